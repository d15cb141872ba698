"""What an application may say when one agent asks another: hooks, and what they see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast

from mastra.agents.context import resolve_dynamic
from mastra.errors import ConfigError
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.models.messages import Message, MessageInput
from mastra.request_context import RequestContext

__all__ = [
    "DelegationComplete",
    "DelegationDecision",
    "DelegationOptions",
    "DelegationStart",
    "DelegationVerdict",
    "HookErrors",
]

HOOK_ERRORS = "__mastra_delegationHookErrors"
"""Where the request's values tell of hooks that raised."""


@dataclass(frozen=True, slots=True)
class DelegationStart:
    """What `on_delegation_start` and `message_filter` look at."""

    primitive_id: str
    """The agent that is to be asked."""
    primitive_type: str
    """`agent`."""
    prompt: str
    """What it is to be asked; for the filter, as `on_delegation_start` left it."""
    params: Mapping[str, Any]
    """What else the model said: `thread_id`, `resource_id`, `instructions`, `max_steps`."""
    iteration: int
    """Which turn of the conversation it is, from 1."""
    run_id: str
    """The run of the agent that asks."""
    thread_id: str | None
    """The thread of its conversation, if any."""
    resource_id: str | None
    """Whose thread it is."""
    parent_agent_id: str
    """The agent that asks."""
    parent_agent_name: str
    """Its name."""
    tool_call_id: str
    """The tool call by which it asks."""
    messages: Sequence[Message]
    """The conversation so far, without tool calls and their results."""
    request_context: RequestContext
    """Values of the request that the asked agent gets; a copy that may be changed."""


class DelegationDecision(TypedDict, total=False):
    """What `on_delegation_start` may return."""

    proceed: bool
    """Whether the agent is asked at all."""
    rejection_reason: str
    """Why not, for the model."""
    modified_prompt: str
    """What it is asked."""
    modified_instructions: str
    """What it is told beside its own instructions."""
    modified_max_steps: int
    """The most steps it may take."""


@dataclass(slots=True)
class DelegationComplete:
    """What `on_delegation_complete` looks at."""

    primitive_id: str
    """The agent that was asked."""
    primitive_type: str
    """`agent`."""
    prompt: str
    """What it was asked."""
    result: dict[str, Any]
    """What it gave: `text`, `subAgentToolResults` and so on; an empty text where it failed."""
    duration: float
    """How long it took, in seconds."""
    success: bool
    """Whether it answered."""
    error: BaseException | None
    """What went wrong."""
    iteration: int
    """Which turn of the conversation it is, from 1."""
    run_id: str
    """The run of the agent that asks."""
    tool_call_id: str
    """The tool call by which it asks."""
    parent_agent_id: str
    """The agent that asks."""
    parent_agent_name: str
    """Its name."""
    messages: Sequence[Message]
    """The asked agent's own conversation."""
    is_bailed: bool = field(default=False, init=False)
    """Whether `bail` was called."""

    def bail(self) -> None:
        """End the run of the agent that asks, after this step: the answer is enough."""
        self.is_bailed = True


class DelegationVerdict(TypedDict, total=False):
    """What `on_delegation_complete` may return."""

    feedback: str
    """What the agent that asks is told after the answer."""
    result_text: str
    """What it is told in place of the answer's text."""
    bail: bool
    """Whether its run ends after this step."""


class DelegationOptions(TypedDict, total=False):
    """How an agent asks its sub-agents."""

    on_delegation_start: Callable[
        [DelegationStart], DelegationDecision | Awaitable[DelegationDecision | None] | None
    ]
    """Called before a sub-agent is asked; not again when it goes on after a wait."""
    on_delegation_complete: Callable[
        [DelegationComplete], DelegationVerdict | Awaitable[DelegationVerdict | None] | None
    ]
    """Called when it has answered, or failed."""
    message_filter: Callable[[DelegationStart], MessageInput | Awaitable[MessageInput]]
    """Returns the messages of the conversation that it is shown; left out: all."""
    include_sub_agent_tool_results_in_model_context: bool
    """Show the model what the sub-agent's tools gave, and not its text alone."""
    hook_error_strategy: Literal["warn", "throw"]
    """Whether a hook that raises is logged (the default), or fails the tool call."""


class HookErrors:
    """Calls hooks, and notes on the request those that raise.

    Args:
        strategy: `warn` or `throw`.
        request_context: Where they are noted, as `__mastra_delegationHookErrors`.
        facts: What is noted of each.
    """

    def __init__(
        self, strategy: str, request_context: RequestContext, facts: Mapping[str, str]
    ) -> None:
        if strategy not in ("warn", "throw"):
            raise ConfigError(f"hook_error_strategy is 'warn' or 'throw', not {strategy!r}.")
        self._throws = strategy == "throw"
        self._request_context = request_context
        self._facts = facts

    async def call(
        self,
        name: str,
        hook: Any,
        context: Any,
        allowed: type[Any] | None = None,
        *,
        may_throw: bool = True,
    ) -> Any:
        """Return what a hook returns; `None` where there is none or it raised.

        Args:
            name: The hook's name.
            hook: The function, if there is one.
            context: What it gets.
            allowed: A `TypedDict` of what it may return.
            may_throw: Not where something else has failed already, which says more.
        """
        if hook is None:
            return None
        try:
            given = await resolve_dynamic(hook, context)
            return given if allowed is None else _known(name, given, allowed)
        except Exception as error:
            noted: list[Any] = self._request_context.get(HOOK_ERRORS) or []
            note = {"hook": name, **self._facts, "name": type(error).__name__}
            note["message"] = text_of(error)
            self._request_context.set(HOOK_ERRORS, [*noted, note])
            get_logger(self._facts).error("%s raised", name, exc_info=error)
            if self._throws and may_throw:
                raise
            return None


def _known(name: str, given: Any, allowed: type[Any]) -> Mapping[str, Any]:
    if given is None:
        return {}
    keys = sorted(allowed.__annotations__)
    if not isinstance(given, Mapping) or cast("Mapping[str, Any]", given).keys() - set(keys):
        raise ConfigError(
            f"{name} returned {given!r}: return None, or a dict with some of {', '.join(keys)}."
        )
    return cast("Mapping[str, Any]", given)
