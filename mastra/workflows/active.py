"""A run while somebody drives it: everything the walk, the steps and the readers share.

One object a leg. It is never shared between runs, and nothing in a workflow's definition refers
to it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Final, Protocol, TypeAlias

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.observability.spans import Span
from mastra.request_context import RequestContext
from mastra.schema import Schema
from mastra.services import Services
from mastra.stream.abort import AbortController, AbortSignal
from mastra.threads import HomeLoop
from mastra.workflows.event_log import EventLog
from mastra.workflows.events import Kind
from mastra.workflows.records import Journal, StepRecord

__all__ = [
    "FROM_THE_TOP",
    "NO_USAGE",
    "ActiveRun",
    "Blocks",
    "Outbox",
    "Pending",
    "Reopening",
    "Scope",
    "State",
    "StopSwitch",
    "Target",
    "TimeTravel",
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which suspended operations a resume is for, and what they are given."""

    op_ids: frozenset[str]
    data: Json


@dataclass(frozen=True, slots=True)
class TimeTravel:
    """Where a run goes back to.

    Steps before it keep the results they have; what stands there without one is skipped.
    """

    op_id: str
    has_input: bool
    input: Json
    resume_data: Json
    dropped: tuple[str, ...] = ()
    """Operations to forget: the one gone back to and what came after it."""
    given: tuple[StepRecord, ...] = ()
    """Results given from outside for steps before it, and a state."""
    suspend_payload: Json = None
    """What the step gone back to had suspended with, where it is given resume data."""

    def to_stored(self) -> dict[str, Json]:
        """Return what later legs need to know of it, as JSON data."""
        return {
            "op": self.op_id,
            "hasInput": self.has_input,
            "input": self.input,
            "resumeData": self.resume_data,
            "suspendPayload": self.suspend_payload,
        }

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> TimeTravel:
        """Return what `to_stored` gave."""
        return cls(
            stored["op"],
            stored["hasInput"],
            stored["input"],
            stored["resumeData"],
            suspend_payload=stored.get("suspendPayload"),
        )


@dataclass(frozen=True, slots=True)
class Reopening:
    """How this leg of a run begins."""

    target: Target | None = None
    travel: TimeTravel | None = None

    def to_stored(self, now_ms: int) -> dict[str, Json] | None:
        """Return it as JSON data, for a leg that may have to begin again after a crash."""
        if self.target is not None:
            ops: list[Json] = sorted(self.target.op_ids)
            return {"at": now_ms, "ops": ops, "data": self.target.data}
        if self.travel is not None:
            return {"at": now_ms, **self.travel.to_stored()}
        return None


FROM_THE_TOP: Final = Reopening()
"""How a run begins that is not resumed and does not go back."""


class Defined(Protocol):
    """What a walk and its steps ask of a workflow's definition."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        ...

    @property
    def input_schema(self) -> Schema[Any]:
        """The input of a run."""
        ...

    @property
    def state_schema(self) -> Schema[Any] | None:
        """The run's state; `None` where nobody checks it."""
        ...

    @property
    def steps(self) -> Mapping[str, Schema[Any]]:
        """Output schema by step id, to give results back as values of their type."""
        ...

    @property
    def validate_inputs(self) -> bool:
        """Whether steps' inputs are checked."""
        ...

    @property
    def validate_outputs(self) -> bool:
        """Whether steps' outputs are checked."""
        ...


class Retries(Protocol):
    """How often a failed step is tried again, and when."""

    @property
    def attempts(self) -> int:
        """Extra tries after the first."""
        ...

    def delay_before(self, retry: int) -> float:
        """Return the seconds to wait before a retry, the first being 1."""
        ...


@dataclass(slots=True)
class Scope:
    """Where in the nesting a walk is."""

    spec: Defined
    """The workflow, nested or not."""
    retry: Retries
    """How its steps are tried again that say nothing of it."""
    prefix: str
    """What operation ids begin with, such as `2.orders/`."""
    names: str
    """What step names begin with, such as `orders.`."""
    init_data: Json
    """The input of this workflow."""

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.spec.id


NO_USAGE: Final = {
    "inputTokens": 0,
    "outputTokens": 0,
    "totalTokens": 0,
    "cachedInputTokens": 0,
    "cacheCreationInputTokens": 0,
    "reasoningTokens": 0,
}
"""What a run has used of tokens when it begins. Never changed: who adds makes another one."""


class StopSwitch:
    """How a run is told to end before its end, and how its steps see that."""

    __slots__ = ("_controller", "is_thrown", "is_watched")

    def __init__(self) -> None:
        self.is_thrown = False
        """A step asked to end the run after it, or the run was cancelled."""
        self.is_watched = False
        """A step holds the abort signal, so it may end by itself when it is set."""
        self._controller: AbortController | None = None

    @property
    def controller(self) -> AbortController:
        """What sets the signal."""
        if self._controller is None:
            self._controller = AbortController()
        return self._controller

    def watch(self) -> AbortSignal:
        """Return the signal, for a step."""
        self.is_watched = True
        return self.controller.signal

    def throw(self) -> None:
        """Cancel the run: set the signal too."""
        self.is_thrown = True
        self.controller.abort()


class State:
    """A run's state: what its steps have merged into what it began with."""

    __slots__ = ("_merged_at", "values")

    def __init__(self, values: dict[str, Json]) -> None:
        self.values = values
        self._merged_at: dict[str, int] = {}
        """The order of the record that last wrote each key."""

    def merge(self, record: StepRecord) -> None:
        """Apply what a record merges: the later record wins, key by key.

        The order of application does not matter, so a walk that replays gets the same state.
        """
        delta = record.state
        if not delta:
            return
        order, merged_at = record.order, self._merged_at
        for key, value in delta.items():
            if merged_at.get(key, -1) < order:
                merged_at[key] = order
                self.values[key] = value


class Outbox:
    """What storage, and so readers in other processes, are still to be told."""

    __slots__ = ("announced", "pending", "tell", "told_at")

    def __init__(self) -> None:
        self.pending: list[Pending] = []
        """Entries of the log that are not yet in storage, but for what steps wrote: that the log
        itself keeps until it is taken."""
        self.announced = 0
        """Up to which seq the steps under way have been told of."""
        self.tell: Callable[[], Awaitable[None]] | None = None
        """Stores what steps have written so far, where another process may read it."""
        self.told_at = 0.0
        """When it was called last."""

    def take(self, log: EventLog) -> list[Pending]:
        """Return what is to be stored. From then on it is the caller's to store."""
        pending, self.pending = self.pending, []
        return [*pending, *log.take_outputs()] if log.untaken else pending


class Blocks:
    """Nested workflows and foreach blocks, which are no operations. Most runs have none."""

    __slots__ = ("begun", "marks", "records")

    def __init__(self) -> None:
        self.records: dict[str, StepRecord] = {}
        self.marks: set[str] = set()
        """Entries already made for them, which a second walk must not make again."""
        self.begun: set[str] = set()
        """Those in which this leg found finished operations."""


Pending: TypeAlias = tuple[int, int, StepRecord | None, Any]
"""An entry of the log on its way to storage: seq, kind, record, value."""


class Place(Protocol):
    """A leg's place among those that may be under way at once."""

    @property
    def is_paused(self) -> bool:
        """Whether it has to wait before anything more is done."""
        ...

    async def enter(self) -> None:
        """Wait for the place."""
        ...

    async def pause(self) -> None:
        """Give the place to others for as long as the leg sleeps."""
        ...

    async def leave(self) -> None:
        """Give the place back."""
        ...


@dataclass(slots=True)
class ActiveRun:
    """The mutable centre of one leg of a run."""

    run_id: str
    workflow_id: str
    resource_id: str | None
    input: Json
    state: State
    request_context: RequestContext
    services: Services | None
    reopening: Reopening
    per_step: bool
    usage: Mapping[str, int]
    log: EventLog = field(default_factory=EventLog)
    outbox: Outbox = field(default_factory=Outbox)
    home: HomeLoop = field(default_factory=HomeLoop)
    """The event loop that drives it, for what steps do in other threads."""
    stop: StopSwitch = field(default_factory=StopSwitch)
    journal: Journal = field(default_factory=dict[str, StepRecord])
    latest: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    """The last record of each step name, in order of first appearance."""
    path: list[str] = field(default_factory=list[str])
    causes: dict[str, BaseException] = field(default_factory=dict[str, BaseException])
    order: int = 0
    open_ops: set[str] = field(default_factory=set[str])
    """Suspended operations that this leg resumes and has not yet run."""
    base_ops: frozenset[str] = frozenset()
    """Operations that the journal knew when this leg began."""
    sleeping: int = 0
    """How many branches sleep."""
    stepping: str | None = None
    """Of a run that goes step by step: the one step that this leg runs."""
    leg: int = 0
    """Which leg of the run this is: 0 for the start, one more for each resume."""
    first_seq: int = 0
    """Where the events of this leg begin."""
    owner: str | None = None
    """Under which name this process drives the run, where that has to be claimed."""
    engine_facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kept: dict[str, Json] = field(default_factory=dict[str, Json])
    """What the engine wants to find in the run's head after this leg."""
    _blocks: Blocks | None = None
    span: Span | None = None
    """The span of this leg, where somebody traces."""
    place: Place | None = None
    """Its place among the legs that may be under way at once, where those are limited."""

    @property
    def blocks(self) -> Blocks:
        """Its nested workflows and foreach blocks."""
        if self._blocks is None:
            self._blocks = Blocks()
        return self._blocks

    def has_begun(self, op_id: str) -> bool:
        """Return whether anything is known of an operation, or of one inside that block."""
        blocks = self.blocks
        return op_id in self.journal or op_id in blocks.records or op_id in blocks.begun

    def add(self, record: StepRecord) -> None:
        """Put a finished operation into the journal."""
        self.journal[record.op_id] = record
        if record.index is None and record.kind != "decision":
            self.latest[record.step_id] = record
        if self.open_ops:
            self.open_ops.discard(record.op_id)

    def note(self, kind: Kind, record: StepRecord | None = None, value: Any = None) -> None:
        """Put an entry into the log that is stored with the next operation."""
        seq = self.log.append(kind, record, value)
        self.outbox.pending.append((seq, kind, record, value))

    def mark(self, key: str, kind: Kind, record: StepRecord, value: Any = None) -> None:
        """Put an entry about a block into the log, once however often the graph is walked."""
        if key not in self.blocks.marks:
            self.blocks.marks.add(key)
            self.note(kind, record, value)

    def add_usage(self, usage: Mapping[str, Any]) -> None:
        """Add the tokens that an agent used to the run's."""
        self.usage = {key: total + _tokens(usage.get(key)) for key, total in self.usage.items()}


def _tokens(said: Any) -> int:
    # What a step writes may look like an agent's chunk and be none.
    return int(said) if isinstance(said, (int, float)) and math.isfinite(said) else 0
