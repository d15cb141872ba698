"""What is known of one operation of a run, and how it is stored.

An operation is a step, a map, a sleep or a decision at one place of the graph. Its id is made of
the ids of steps (`orders/increment[3]`), so that every walk of the same graph asks for the same.
A run's records by operation id are its journal: a walk that meets a finished one takes its
result and does not run it again.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from mastra.jsonable import Json, dump_json, load_json

__all__ = ["Journal", "RecordKind", "StepRecord", "StepStatus", "decode_record"]

StepStatus: TypeAlias = Literal[
    "running", "success", "failed", "suspended", "waiting", "paused", "canceled", "bailed", "retry"
]
RecordKind: TypeAlias = Literal["step", "map", "sleep", "decision", "block"]

# Stored under short names: a run of 10,000 steps has as many of them.
_FIELDS = {
    "step_id": "id",
    "kind": "k",
    "status": "s",
    "payload": "p",
    "started_at": "t0",
    "ended_at": "t1",
    "error": "e",
    "suspend_payload": "sp",
    "suspended_at": "st",
    "resume_payload": "rp",
    "resumed_at": "rt",
    "labels": "l",
    "state": "d",
    "decision": "x",
    "iteration": "i",
    "index": "f",
    "total": "n",
    "retry_count": "r",
    "tripwire": "tw",
    "wake_at": "w",
    "order": "o",
    "start_seq": "q0",
    "end_seq": "q1",
}


class StepRecord:
    """One operation: what went in, what came of it, and when.

    Most fields of most records stay at their default, so defaults live on the class and an
    instance holds only what differs. A record that has ended is never changed.
    """

    kind: RecordKind = "step"
    status: StepStatus = "running"
    output: Json = None
    ended_at: int | None = None
    error: dict[str, Json] | None = None
    """`{"message", "name", …}`."""
    suspend_payload: Json = None
    suspended_at: int | None = None
    resume_payload: Json = None
    resumed_at: int | None = None
    labels: tuple[str, ...] = ()
    """Names under which a suspension can be resumed."""
    state: dict[str, Json] | None = None
    """What the step merged into the run's state."""
    decision: Json = None
    """Outcome of the condition after it: which arms to take, or whether a loop goes on."""
    iteration: int | None = None
    """In a loop: which turn, from 1."""
    index: int | None = None
    """In a foreach: which item, from 0."""
    total: int | None = None
    """Of a foreach block: how many items."""
    retry_count: int = 0
    tripwire: dict[str, Json] | None = None
    wake_at: float | None = None
    """Of a sleep: when it ends, in seconds since 1970."""
    is_until: bool = False
    """Of a sleep: whether that moment was asked for, and not a length. Not stored."""
    order: int = 0
    """Grows with each record of a run; decides which of two merges into the state is later."""
    start_seq: int = -1
    end_seq: int = -1
    """Places of its two events in the run's stream."""

    def __init__(self, op_id: str, step_id: str, payload: Json, started_at: int) -> None:
        self.op_id = op_id
        """Its id in the run."""
        self.step_id = step_id
        """The name under which it appears in results: `step`, or `nested.step`."""
        self.payload = payload
        """Its input, as JSON."""
        self.started_at = started_at
        """In milliseconds since 1970, as every time here but `wake_at`."""

    @property
    def key(self) -> str:
        """What its row in a journal is filed under."""
        return self.op_id

    def __repr__(self) -> str:
        return f"StepRecord({self.op_id!r}, {self.status})"

    def begun(self) -> StepRecord:
        """Return the record as it was when its step began."""
        begun = StepRecord(self.op_id, self.step_id, self.payload, self.started_at)
        begun.kind, begun.iteration = self.kind, self.iteration
        begun.resumed_at, begun.resume_payload = self.resumed_at, self.resume_payload
        return begun

    @property
    def duration_ms(self) -> int:
        """How long it took so far."""
        return (self.ended_at or self.started_at) - self.started_at

    def encode(self) -> bytes:
        """Return the record as stored JSON.

        Raises:
            SerializationError: Part of it cannot be JSON.
        """
        return dump_json(self.to_stored(), what=f"Record of step {self.step_id!r}")

    def to_stored(self) -> dict[str, Json]:
        """Return the record as JSON data; an output that is its input is written once."""
        values = self.__dict__
        stored = {short: values[name] for name, short in _FIELDS.items() if name in values}
        stored["op"] = self.op_id
        if self.status in ("success", "bailed"):
            if self.output is self.payload and self.payload is not None:
                stored["same"] = True
            else:
                stored["y"] = self.output
        return stored


def decode_record(data: bytes | str | dict[str, Json]) -> StepRecord:
    """Return the record that `encode` or `to_stored` gave."""
    stored: dict[str, Any] = data if isinstance(data, dict) else load_json(data)
    record = StepRecord(stored["op"], stored["id"], stored.get("p"), stored["t0"])
    for name, short in _FIELDS.items():
        if short in stored:
            setattr(record, name, stored[short])
    record.labels = tuple(record.labels)
    if stored.get("same"):
        record.output = record.payload
    elif "y" in stored:
        record.output = stored["y"]
    return record


Journal: TypeAlias = dict[str, StepRecord]
"""A run's records by operation id, in the order in which they were made."""
