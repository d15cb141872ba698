"""A run while somebody drives it: everything the walk, the steps and the readers share.

One object a leg. It is never shared between runs, and nothing in a workflow's definition refers
to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.schema import Schema
from mastra.services import Services
from mastra.stream.abort import AbortController
from mastra.threads import HomeLoop
from mastra.workflows.events import EventLog, Kind
from mastra.workflows.records import Journal, StepRecord

__all__ = ["ActiveRun", "Reopening", "Scope", "Target", "TimeTravel", "no_usage"]


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


@dataclass(slots=True)
class Scope:
    """Where in the nesting a walk is."""

    prefix: str
    """What operation ids begin with, such as `2.orders/`."""
    names: str
    """What step names begin with, such as `orders.`."""
    workflow_id: str
    init_data: Json
    """The input of this workflow, nested or not."""
    input_schema: Schema[Any]
    state_schema: Schema[Any] | None
    retry_attempts: int
    retry_delay: Any
    """A function of the attempt's number that gives seconds."""
    steps: Mapping[str, Schema[Any]]
    """Output schema by step id, to give results back as values of their type."""
    validates_inputs: bool = True
    validates_outputs: bool = True


def no_usage() -> dict[str, int]:
    """Return what a run has used of tokens when it begins."""
    return {
        "inputTokens": 0,
        "outputTokens": 0,
        "totalTokens": 0,
        "cachedInputTokens": 0,
        "cacheCreationInputTokens": 0,
        "reasoningTokens": 0,
    }


@dataclass(slots=True)
class ActiveRun:
    """The mutable centre of one leg of a run."""

    run_id: str
    workflow_id: str
    resource_id: str | None
    input: Json
    state: dict[str, Json]
    request_context: RequestContext
    services: Services | None
    log: EventLog = field(default_factory=EventLog)
    home: HomeLoop = field(default_factory=HomeLoop)
    """The event loop that drives it, for what steps do in other threads."""
    journal: Journal = field(default_factory=dict[str, StepRecord])
    latest: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    """The last record of each step name, in order of first appearance."""
    path: list[str] = field(default_factory=list[str])
    causes: dict[str, BaseException] = field(default_factory=dict[str, BaseException])
    controller: AbortController = field(default_factory=AbortController)
    reopening: Reopening = field(default_factory=Reopening)
    per_step: bool = False
    is_abort_requested: bool = False
    """A step asked to end the run after it, or the run was cancelled."""
    signal_was_seen: bool = False
    """A step holds the abort signal, so it may end by itself when it is set."""
    usage: dict[str, int] = field(default_factory=no_usage)
    order: int = 0
    merged_at: dict[str, int] = field(default_factory=dict[str, int])
    """The order of the record that last wrote each key of the state."""
    pending: list[tuple[int, int, StepRecord | None, Any]] = field(
        default_factory=list[tuple[int, int, StepRecord | None, Any]]
    )
    """Entries of the log that are not yet in storage: seq, kind, record, value."""
    announced: int = 0
    """Up to which seq the steps under way have been told of in storage."""
    tell: Callable[[], Awaitable[None]] | None = None
    """Stores what steps have written so far, where another process may read it."""
    told_at: float = 0.0
    """When it was called last."""
    marks: set[str] = field(default_factory=set[str])
    """Entries already made for blocks, which a second walk must not make again."""
    blocks: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    """Records of nested workflows and foreach blocks, which are no operations."""
    open_ops: set[str] = field(default_factory=set[str])
    """Suspended operations that this leg resumes and has not yet run."""
    base_ops: frozenset[str] = frozenset()
    """Operations that the journal knew when this leg began."""
    sleeping: int = 0
    """How many branches sleep."""
    stepping: str | None = None
    """Of a run that goes step by step: the one step that this leg runs."""
    begun: set[str] = field(default_factory=set[str])
    """Blocks in which this leg found finished operations."""
    leg: int = 0
    """Which leg of the run this is: 0 for the start, one more for each resume."""
    first_seq: int = 0
    """Where the events of this leg begin."""
    owner: str | None = None
    """Under which name this process drives the run, where that has to be claimed."""
    engine_facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kept: dict[str, Json] = field(default_factory=dict[str, Json])
    """What the engine wants to find in the run's head after this leg."""
    span: Any = None
    """The span of this leg, where somebody traces."""
    last_yield_ms: int = 0

    def has_begun(self, op_id: str) -> bool:
        """Return whether anything is known of an operation, or of one inside that block."""
        return op_id in self.journal or op_id in self.blocks or op_id in self.begun

    def add(self, record: StepRecord) -> None:
        """Put a finished operation into the journal."""
        self.journal[record.op_id] = record
        if record.index is None and record.kind != "decision":
            self.latest[record.step_id] = record
        if self.open_ops:
            self.open_ops.discard(record.op_id)

    def merge_state(self, record: StepRecord) -> None:
        """Apply what a record merges into the state: the later record wins, key by key.

        The order of application does not matter, so a walk that replays gets the same state.
        """
        delta = record.state
        if not delta:
            return
        order, merged_at = record.order, self.merged_at
        for key, value in delta.items():
            if merged_at.get(key, -1) < order:
                merged_at[key] = order
                self.state[key] = value

    def mark(self, key: str, kind: Kind, record: StepRecord, value: Any = None) -> None:
        """Put an entry about a block into the log, once however often the graph is walked."""
        if key in self.marks:
            return
        self.marks.add(key)
        seq = self.log.append(kind, record, value)
        self.pending.append((seq, kind, record, value))

    def add_usage(self, usage: Mapping[str, Any]) -> None:
        """Add the tokens that an agent used to the run's."""
        for key in self.usage:
            self.usage[key] += int(usage.get(key) or 0)
