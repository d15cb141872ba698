"""What one call of an agent may be told, and what an agent is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict, cast

from mastra.agents.chunks import AgentChunk
from mastra.agents.completion import TaskCompletion
from mastra.agents.delegation_hooks import DelegationOptions
from mastra.agents.iterations import IterationContext, IterationDecision
from mastra.agents.limits import LimitsInput, UsageLimits
from mastra.agents.option_checks import check_call, check_made
from mastra.agents.output import StructuredOutput
from mastra.agents.prompt import Instructions, StaticInstructions
from mastra.agents.results import AgentResult, LLMStepResult
from mastra.agents.stop_conditions import StopCondition
from mastra.errors import ConfigError
from mastra.given import check_names
from mastra.models.base import ToolChoice
from mastra.models.messages import Message, MessageInput
from mastra.models.resolve import ModelInput
from mastra.models.settings import ModelSettings, SettingsInput
from mastra.request_context import RequestContext
from mastra.storage.base import WorkflowStore
from mastra.storage.in_process import InMemoryWorkflowStore
from mastra.stream.abort import AbortSignal
from mastra.tools.tool import ToolSetInput

__all__ = [
    "AbortEvent",
    "AgentOptions",
    "AgentSpec",
    "CallOptions",
    "ErrorEvent",
    "MemoryOption",
    "PreparedStep",
    "StepPreparation",
    "ToolApproval",
    "ToolCallHooks",
    "ToolConcurrency",
    "ToolSet",
]

ToolSet: TypeAlias = ToolSetInput
"""Tools by the name the model sees, or a list, where the name is the tool's id."""


class MemoryOption(TypedDict, total=False):
    """Which conversation a call belongs to."""

    thread: str | Mapping[str, Any]
    """The thread's id, or `{"id": …, "title": …, "metadata": …}`."""
    resource: str
    """Whose thread it is."""
    options: Mapping[str, Any]
    """Overrides of the memory's own options."""
    save_per_step: bool
    """Whether each step is stored as it ends. Steps are anyway in which a tool ran that somebody
    approved or that is marked `has_effect=True`."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """What `on_error` gets."""

    error: BaseException
    """What went wrong."""


@dataclass(frozen=True, slots=True)
class AbortEvent:
    """What `on_abort` gets."""

    steps: Sequence[LLMStepResult]
    """The steps that were completed."""
    text: str
    """What the step that was cut had said so far."""


@dataclass(frozen=True, slots=True)
class ToolApproval:
    """What a `require_tool_approval` function looks at."""

    tool_name: str
    """What would be called."""
    args: Any
    """With what."""
    request_context: RequestContext
    """Values of the request."""


@dataclass(frozen=True, slots=True)
class StepPreparation:
    """What `prepare_step` looks at."""

    step_number: int
    """From 0."""
    steps: Sequence[LLMStepResult]
    """The steps so far."""
    messages: Sequence[Message]
    """The conversation so far, without the system's messages."""
    model: str
    """`provider/model` of the model to call."""
    tools: Sequence[str]
    """The names of the tools to offer."""
    request_context: RequestContext
    """Values of the request."""


class PreparedStep(TypedDict, total=False):
    """What `prepare_step` may change, for this step alone."""

    model: ModelInput
    tools: ToolSet
    active_tools: Sequence[str]
    tool_choice: ToolChoice
    messages: MessageInput
    system: StaticInstructions
    model_settings: SettingsInput
    provider_options: Mapping[str, Any]
    structured_output: Any


class ToolConcurrency(TypedDict, total=False):
    """How many tool calls of a step run at once."""

    limit: int
    """How many, at most. Default: 10."""
    strategy: Literal["available", "called"]
    """Calls go one by one where a tool is `available` that may wait for a person (the default), or
    only those `called` that may."""


class ToolCallHooks(TypedDict, total=False):
    """Functions around every tool call of an agent."""

    before_tool_call: Callable[..., Any]
    """Gets the call (`name`, `args`, `id`); may return `{"proceed": False, "output": …}` to skip the
    tool."""
    after_tool_call: Callable[..., Any]
    """Gets the call, and its output as JSON data or the exception that it raised."""


class CallOptions(TypedDict, total=False):
    """Options of everything that runs an agent; all may be left out."""

    max_steps: int
    limits: LimitsInput
    stop_when: StopCondition | Sequence[StopCondition]
    tool_choice: ToolChoice
    active_tools: Sequence[str]
    toolsets: Mapping[str, ToolSet]
    client_tools: ToolSet
    client_results: Sequence[Mapping[str, Any]]
    model: ModelInput
    model_settings: SettingsInput
    instructions: StaticInstructions
    system: StaticInstructions
    context: MessageInput
    memory: MemoryOption
    request_context: RequestContext | Mapping[str, Any]
    prepare_step: Callable[[StepPreparation], PreparedStep | Awaitable[PreparedStep | None] | None]
    on_step_finish: Callable[[LLMStepResult], Any]
    on_iteration_complete: Callable[
        [IterationContext], IterationDecision | Awaitable[IterationDecision | None] | None
    ]
    is_task_complete: TaskCompletion
    delegation: DelegationOptions
    auto_resume_suspended_tools: bool
    on_finish: Callable[[AgentResult[Any]], Any]
    on_chunk: Callable[[AgentChunk], Any]
    on_error: Callable[[ErrorEvent], Any]
    on_abort: Callable[[AbortEvent], Any]
    abort_signal: AbortSignal | asyncio.Event
    require_tool_approval: bool | Callable[[ToolApproval], bool | Awaitable[bool]]
    tool_call_concurrency: int | ToolConcurrency
    input_processors: Sequence[Any]
    output_processors: Sequence[Any]
    error_processors: Sequence[Any]
    max_processor_retries: int
    provider_options: Mapping[str, Any]
    include_raw_chunks: bool
    hooks: ToolCallHooks
    scorers: Mapping[str, Any]
    return_scorer_data: bool


class AgentOptions(CallOptions, total=False):
    """Options of `Agent.stream` and `Agent.generate`; all may be left out."""

    run_id: str
    structured_output: Any


_KNOWN = sorted(AgentOptions.__annotations__)


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> AgentOptions:
    """Return the options of a call over the agent's defaults.

    Raises:
        ConfigError: There is no option of that name.
    """
    for named in (given, defaults):
        check_names("Agents have no option", named, _KNOWN)
    options = {**defaults, **{key: value for key, value in given.items() if value is not None}}
    check_call(options)
    if "model_settings" in defaults and given.get("model_settings") is not None:
        options["model_settings"] = ModelSettings.of(given["model_settings"]).over(
            ModelSettings.of(defaults["model_settings"])
        )
    if "limits" in defaults and given.get("limits") is not None:
        options["limits"] = UsageLimits.of(given["limits"]).over(UsageLimits.of(defaults["limits"]))
    if defaults.get("memory") and given.get("memory") is not None:
        # Which conversation it is says the call; how its steps are stored may be the agent's.
        options["memory"] = {**defaults["memory"], **given["memory"]}
    return cast("AgentOptions", cast("object", options))


def concurrency_of(options: AgentOptions) -> tuple[int, str]:
    """Return how many tool calls run at once, and whose waiting for a person counts.

    Raises:
        ConfigError: It is no number from 1, or the strategy is unknown.
    """
    given: Any = options.get("tool_call_concurrency", 10)
    known: Mapping[str, Any] = {"limit": given}
    if isinstance(given, Mapping):
        known = cast("Mapping[str, Any]", given)
    limit, strategy = known.get("limit", 10), known.get("strategy", "available")
    is_number = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    if not is_number or strategy not in ("available", "called"):
        raise ConfigError(
            f"tool_call_concurrency is {given!r}: give a number from 1, or a dict with 'limit' and "
            "'strategy' ('available' or 'called')."
        )
    return limit, strategy


@dataclass(frozen=True)
class AgentSpec:
    """What an agent is made of. Where a value may be a function, it gets the `AgentContext`."""

    id: str
    name: str
    instructions: Instructions
    model: ModelInput
    tools: ToolSet | Callable[..., Any] | None = None
    agents: Mapping[str, Any] | Callable[..., Any] | None = None
    workflows: Mapping[str, Any] | Callable[..., Any] | None = None
    memory: Any = None
    description: str = ""
    default_options: Mapping[str, Any] | Callable[..., Any] | None = None
    max_retries: int | None = None
    input_processors: Sequence[Any] | Callable[..., Any] = ()
    output_processors: Sequence[Any] | Callable[..., Any] = ()
    error_processors: Sequence[Any] | Callable[..., Any] = ()
    max_processor_retries: int | None = None
    metadata: Mapping[str, Any] | Callable[..., Any] | None = None
    request_context_schema: Any = None
    hooks: ToolCallHooks = field(default_factory=ToolCallHooks)
    durable: bool = False
    cache_instructions: bool = False
    scorers: Mapping[str, Any] | Callable[..., Any] | None = None
    runs: WorkflowStore = field(default_factory=InMemoryWorkflowStore)
    """Where the runs of an agent are stored that belongs to no application."""

    def __post_init__(self) -> None:
        """Check what is given."""
        check_made(vars(self))


def output_of(options: AgentOptions) -> StructuredOutput[Any] | None:
    """Return what the answer must be, if a call says so."""
    wanted = options.get("structured_output")
    return None if wanted is None else StructuredOutput.of(wanted)
