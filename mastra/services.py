"""What a step, a tool or an agent may ask of the `Mastra` object it runs under.

Protocols only, so that nothing below the registry imports it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from dataclasses import field
from typing import Any, Final, Literal, Protocol, Self

from mastra.clock import Clock, current_clock
from mastra.dataclass import dataclass
from mastra.ids import IdSource, current_ids
from mastra.jsonable import Json
from mastra.storage.base import Storage
from mastra.stream.writer import Writer

__all__ = [
    "AgentAnswer",
    "AgentHandle",
    "AgentStreamHandle",
    "Scorable",
    "Services",
    "WorkflowHandle",
    "surroundings",
]


@dataclass(frozen=True, slots=True)
class Scorable:
    """What has ended and may be scored: an answer of an agent, a step, a run, a call of a tool."""

    entity_type: Literal["AGENT", "WORKFLOW", "STEP", "TOOL"]
    entity: Mapping[str, Json]
    """Its `id`, its `name`, and of a step the `stepId` in the workflow that `id` names."""
    run_id: str
    input: Any
    """Of an agent `{inputMessages, rememberedMessages, systemMessages, taggedSystemMessages}`,
    with messages as storage has them; of the others their input as JSON."""
    output: Any
    """Of an agent the messages of its answer; of the others their output as JSON."""
    request_context: Mapping[str, Json] = field(default_factory=dict[str, Json])
    resource_id: str | None = None
    thread_id: str | None = None
    trace: Mapping[str, Json] | None = None
    """`traceId` and `spanId`, where somebody traces."""
    is_structured: bool = False


class AgentAnswer(Protocol):
    """An agent's whole answer, as a step sees it."""

    @property
    def text(self) -> str:
        """What the model said."""
        ...

    @property
    def object(self) -> Any:
        """The structured output."""
        ...

    @property
    def run_id(self) -> str:
        """The run."""
        ...

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        ...

    @property
    def usage(self) -> Any:
        """Tokens of the whole run."""
        ...

    @property
    def tool_calls(self) -> Sequence[Any]:
        """Every call."""
        ...

    @property
    def tool_results(self) -> Sequence[Any]:
        """Every result."""
        ...

    @property
    def steps(self) -> Sequence[Any]:
        """Its steps."""
        ...

    @property
    def messages(self) -> Sequence[Any]:
        """The conversation."""
        ...

    @property
    def suspend_payload(self) -> Any:
        """What the run waits for."""
        ...


class AgentStreamHandle(Protocol):
    """An agent's answer while it arrives, as a step sees it."""

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        ...

    @property
    def full_stream(self) -> AsyncIterator[Any]:
        """Every chunk."""
        ...

    @property
    def object_stream(self) -> AsyncIterator[Any]:
        """The structured output as it grows."""
        ...

    @property
    def run_id(self) -> str:
        """The run."""
        ...

    @property
    def status(self) -> str:
        """Where the run stands."""
        ...

    def __await__(self) -> Generator[Any, None, Self]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[Any]: ...

    async def text(self) -> str:
        """Return the whole text."""
        ...

    async def object(self) -> Any:
        """Return the structured output."""
        ...

    async def reasoning(self) -> str:
        """Return what the model thought."""
        ...

    async def tool_calls(self) -> Sequence[Any]:
        """Return every call."""
        ...

    async def tool_results(self) -> Sequence[Any]:
        """Return every result."""
        ...

    async def usage(self) -> Any:
        """Return the tokens of the whole run."""
        ...

    async def total_usage(self) -> Any:
        """Return the tokens of the whole run."""
        ...

    async def finish_reason(self) -> str:
        """Return why it ended."""
        ...

    async def steps(self) -> Sequence[Any]:
        """Return its steps."""
        ...

    async def messages(self) -> Sequence[Any]:
        """Return the conversation."""
        ...

    async def result(self) -> AgentAnswer:
        """Return everything that `generate()` returns."""
        ...

    async def pipe_to(self, writer: Writer) -> None:
        """Write every chunk to a step's writer."""
        ...

    async def aclose(self) -> None:
        """Close the model call."""
        ...


class AgentHandle(Protocol):
    """An agent, as a step sees it."""

    @property
    def id(self) -> str:
        """The agent's id."""
        ...

    @property
    def name(self) -> str:
        """The agent's name."""
        ...

    def stream(self, messages: Any, **options: Any) -> AgentStreamHandle:
        """Start an answer and return it at once."""
        ...

    async def generate(self, messages: Any, **options: Any) -> AgentAnswer:
        """Return the whole answer."""
        ...


class WorkflowHandle(Protocol):
    """A workflow, as a step sees it."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        ...

    async def create_run(self, run_id: str | None = None, resource_id: str | None = None) -> Any:
        """Return a run of it."""
        ...


class Services(Protocol):
    """The part of `Mastra` that running code uses."""

    def get_agent(self, key: str) -> AgentHandle:
        """Return the agent registered under a key.

        Raises:
            NotFoundError: There is none; the message lists the keys there are.
        """
        ...

    def get_agent_by_id(self, agent_id: str) -> AgentHandle:
        """Return the agent with an id."""
        ...

    def get_workflow(self, key: str) -> WorkflowHandle:
        """Return the workflow registered under a key."""
        ...

    def get_workflow_by_id(self, workflow_id: str) -> WorkflowHandle:
        """Return the workflow with an id."""
        ...

    def get_tool(self, key: str) -> Any:
        """Return the tool registered under a key."""
        ...

    def list_agents(self) -> Mapping[str, AgentHandle]:
        """Return the agents by key."""
        ...

    def list_workflows(self) -> Mapping[str, WorkflowHandle]:
        """Return the workflows by key."""
        ...

    def list_tools(self) -> Mapping[str, Any]:
        """Return the tools by key."""
        ...

    def score(self, scorers: Mapping[str, Any], key: str, make: Callable[[], Scorable]) -> None:
        """Have something that has ended scored later, if the sampling takes it. It never raises.

        Args:
            scorers: `{"scorer": …, "sampling": …, "filter": …}` by key.
            key: By which the sampling decides: the id of the trace or of the run.
            make: Gives what is scored; called only for what the sampling takes.
        """
        ...

    @property
    def storage(self) -> Storage:
        """The storage of runs and memory."""
        ...

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """The application's logger."""
        ...

    @property
    def clock(self) -> Clock | None:
        """What its runs go by; `None` for the clock around them, else the machine's."""
        ...

    @property
    def ids(self) -> IdSource | None:
        """What makes ids; `None` for what does around it, else random ones."""
        ...


class _Surroundings:
    __slots__ = ("_clock", "_clock_before", "_ids", "_ids_before")

    def __init__(self, clock: Clock | None, ids: IdSource | None) -> None:
        self._clock, self._ids = clock, ids
        self._clock_before: Token[Clock] | None = None
        self._ids_before: Token[IdSource] | None = None

    def __enter__(self) -> None:
        if self._clock is not None:
            self._clock_before = current_clock.set(self._clock)
        if self._ids is not None:
            self._ids_before = current_ids.set(self._ids)

    def __exit__(self, *exc: object) -> None:
        if self._clock_before is not None:
            current_clock.reset(self._clock_before)
        if self._ids_before is not None:
            current_ids.reset(self._ids_before)


AS_AROUND: Final = nullcontext()
"""The surroundings that are there already."""


def surroundings(
    services: Services | None, clock: Clock | None = None
) -> AbstractContextManager[None]:
    """Return a block in which the clock and the ids of an application are the current ones.

    Tasks that are started in it keep them.

    Args:
        services: The application.
        clock: Goes before that of the application.
    """
    ids = None
    if services is not None:
        clock, ids = clock or services.clock, services.ids
    return AS_AROUND if clock is None and ids is None else _Surroundings(clock, ids)
