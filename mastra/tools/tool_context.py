"""What a tool's function may see and do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mastra.errors import RunStateError
from mastra.failures import Signal
from mastra.models.messages import Message
from mastra.names import python_names
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.stream.abort import AbortSignal
from mastra.stream.writer import NullWriter, Writer

__all__ = ["AgentCall", "Suspender", "ToolContext", "ToolSuspend", "WorkflowCall"]

Suspender = Callable[[Any, "str | Sequence[str] | None"], NoReturn]
"""Ends the tool where it is called, until the run is resumed."""


class ToolSuspend(Signal):
    """Ends a tool that waits for somebody's answer.

    It derives from `BaseException`, so that a tool's own `except Exception` lets it through.
    """

    def __init__(self, payload: Any) -> None:
        super().__init__("suspended")
        self.payload = payload


@dataclass(frozen=True, slots=True)
class AgentCall:
    """The agent that calls the tool, and the call."""

    agent_id: str
    """The agent's id."""
    tool_call_id: str
    """The call's id."""
    messages: Sequence[Message] = ()
    """The conversation up to the call."""
    thread_id: str | None = None
    """The thread of the agent's memory, if any."""
    resource_id: str | None = None
    """Whose thread it is."""
    run_id: str | None = None
    """The agent's run."""


@dataclass(frozen=True, slots=True)
class WorkflowCall:
    """The workflow whose step the tool is."""

    workflow_id: str
    """The workflow's id."""
    run_id: str
    """The run's id."""
    state: Any = None
    """The run's state."""


def _cannot_suspend(_payload: Any, _resume_label: str | Sequence[str] | None = None) -> NoReturn:
    raise RunStateError(
        "This tool was called by itself, so there is no run to suspend. Suspend works where an "
        "agent or a workflow calls the tool."
    )


@python_names
@dataclass(slots=True)
class ToolContext:
    """A tool's view of the call. Made for one call; all of it has defaults, so a test can make one."""

    mastra: Services | None = None
    """The application, where there is one."""
    request_context: RequestContext = field(default_factory=RequestContext)
    """Values of the request."""
    abort_signal: AbortSignal = field(default_factory=AbortSignal)
    """Tells when to stop."""
    writer: Writer = field(default_factory=NullWriter)
    """Sends progress to whoever reads the run."""
    resume_data: Any = None
    """What the run was resumed with, where this call was suspended; else `None`."""
    suspend_data: Any = None
    """What this call suspended with, where it is resumed; else `None`."""
    agent: AgentCall | None = None
    """The agent that calls, if one does."""
    workflow: WorkflowCall | None = None
    """The workflow that calls, if one does."""
    mcp: Any = None
    """What the MCP client that calls can be told and asked (`mastra.mcp.MCPCall`), if one does."""
    is_approved: bool = False
    """Whether a person agreed to the call, or whoever runs the tool asked and nobody has to."""
    suspender: Suspender = _cannot_suspend
    """What `suspend` does; set by whoever calls the tool."""

    def suspend(
        self, payload: Any = None, *, resume_label: str | Sequence[str] | None = None
    ) -> Coroutine[Any, Any, NoReturn]:
        """End the tool here, until somebody resumes the run; `return await ctx.suspend(...)`.

        The call itself ends the tool, in a plain function and without `await` too.

        Args:
            payload: What whoever resumes it needs to know.
            resume_label: A name to resume a workflow by.

        Raises:
            RunStateError: Nothing that can be suspended calls the tool.
        """
        self.suspender(payload, resume_label)
