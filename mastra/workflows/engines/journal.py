"""A run's journal in storage: its rows, and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, cast

from mastra.dataclass import dataclass
from mastra.jsonable import Json, dump_json, load_json
from mastra.storage.base import RunHead, StoredRow, WorkflowStore
from mastra.storage.damage import UNREADABLE, unreadable
from mastra.workflows.active import NO_USAGE
from mastra.workflows.events import Entry, Kind, LegEnd
from mastra.workflows.records import Journal, StepRecord, decode_record
from mastra.workflows.written import Packed, Written

__all__ = [
    "CLOSED_UP",
    "FINAL",
    "DropRow",
    "LoadedRun",
    "LogRow",
    "check_head",
    "fold_rows",
    "load_run",
]

_BLOCK_KINDS = (Kind.STEP_START, Kind.STEP_END)
FINAL = ("success", "failed", "tripwire", "canceled")
"""States of a run that has ended."""

CLOSED_UP = -1
"""In place of a seq: from this row on, the events before it are counted without gaps."""


class LogRow(list[tuple[int, int, StepRecord | None, Any]]):
    """Entries of the run's log that belong to no finished operation.

    A list itself, since in memory each item of a foreach keeps one: the garbage collector looks
    through every object that is kept.
    """

    __slots__ = ()
    key = ""

    def encode(self) -> bytes:
        """Return the row as JSON."""
        return dump_json(self.to_stored(), what="What steps wrote")

    def to_stored(self) -> dict[str, Json]:
        """Return the row as JSON data."""
        stored: list[Json] = []
        packed: list[Json] = []
        after: tuple[int, StepRecord | None] | None = None
        for seq, kind, record, value in self:
            if isinstance(value, Written):
                if after != (seq, record):
                    packed = []
                    stored.append(self._entry(seq, Kind.PACKED, record, packed))
                packed.append(value.to_stored())
                after = (seq + 1, record)
            else:
                stored.append(self._entry(seq, kind, record, value))
        return {"log": stored}

    @staticmethod
    def _entry(seq: int, kind: int, record: StepRecord | None, value: Any) -> list[Json]:
        if isinstance(value, LegEnd):
            return [seq, int(kind), None, value.to_stored()]
        if record is None:
            return [seq, int(kind), None, value]
        if kind in _BLOCK_KINDS:
            return [seq, int(kind), record.to_stored(), value]
        return [seq, int(kind), [record.op_id, record.step_id, record.started_at], value]


class DropRow:
    """Says that operations are to be forgotten: a run went back in time."""

    __slots__ = ("ops",)
    key = ""

    def __init__(self, ops: list[str]) -> None:
        self.ops = ops

    def encode(self) -> bytes:
        """Return the row as JSON."""
        return dump_json(self.to_stored())

    def to_stored(self) -> dict[str, Json]:
        """Return the row as JSON data."""
        return {"drop": self.ops}


@dataclass(slots=True)
class LoadedRun:
    """A run as storage knows it."""

    head: RunHead
    journal: Journal = field(default_factory=dict[str, StepRecord])
    latest: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    blocks: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    by_seq: dict[int, Entry] = field(default_factory=dict[int, Entry])
    beside: dict[int, list[Entry]] = field(default_factory=dict[int, list[Entry]])
    """What other operations told with the same seq: two processes ran them at once."""
    entries: list[Entry | None] = field(default_factory=list[Any])
    """The run's log. While the run goes on: as far as nothing of it is still to come."""
    seqs: list[int] = field(default_factory=list[int])
    """The seqs that those are stored with, where some are stored with the same."""
    has_gaps: bool = False
    """Whether the stored log has gaps, which a process leaves that was killed."""
    added: int = 0
    """How many entries at the end of the log are not stored: what the head says of the end."""
    order: int = 0
    legs: int = 0
    last_position: int = -1
    closings: int = 0
    """How often its engine had been closed when it was asked for, by whom a leg is to begin."""

    @property
    def suspended(self) -> list[StepRecord]:
        """The operations that wait to be resumed."""
        return [record for record in self.journal.values() if record.status == "suspended"]

    @property
    def is_under_way(self) -> bool:
        """Whether the run has begun and not stopped."""
        return self.head.status in ("running", "waiting")

    def close_up(self) -> bool:
        """Count events without gaps; return whether there were any."""
        ordered = self._in_order() if self.beside else [*map(self.by_seq.get, sorted(self.by_seq))]
        has_gaps = bool(ordered) and max(self.by_seq) >= len(ordered)
        self.by_seq = cast("dict[int, Entry]", dict(enumerate(ordered)))
        self.beside = {}
        self.entries = [*ordered]
        return has_gaps

    @property
    def lowest_shared(self) -> int | None:
        """The lowest seq that is stored more than once."""
        pairs = enumerate(self.seqs)
        return next((seq for place, seq in pairs if seq != place), None)

    def _in_order(self, *, is_whole: bool = True) -> list[Entry | None]:
        """Return the log in the order of the seqs, the same ones in that in which they came."""
        ordered: list[Entry | None] = []
        self.seqs = []
        for seq in sorted(self.by_seq):
            if seq > len(ordered) and not is_whole:
                break
            entries = [self.by_seq[seq], *self.beside.get(seq, ())]
            ordered += entries
            self.seqs += [seq] * len(entries)
        return ordered

    def go_on(self) -> None:
        """Add to the log what has come, as far as nothing before it is still to come."""
        if self.beside:
            self.entries = self._in_order(is_whole=False)
            return
        place = len(self.entries)
        while place in self.by_seq:
            self.entries.append(self.by_seq[place])
            place += 1

    @property
    def initial_state(self) -> dict[str, Json]:
        """The state that the run was started with."""
        return dict(cast("dict[str, Json]", self.head.data.get("initialState") or {}))


async def load_run(store: WorkflowStore, workflow_id: str, run_id: str) -> LoadedRun | None:
    """Read a run with its journal, or return `None` where there is no such run.

    Raises:
        StorageError: It cannot be read (`ROW_UNREADABLE`).
    """
    head = await store.get_run(workflow_id, run_id)
    if head is None:
        return None
    check_head(head)
    loaded = LoadedRun(head)
    fold_rows(loaded, await store.load_rows(workflow_id, run_id))
    return loaded


def check_head(head: RunHead) -> None:
    """Refuse a head of which a column is damaged.

    Raises:
        StorageError: It cannot be read (`ROW_UNREADABLE`).
    """
    if head.damage is not None:
        raise unreadable(_name_of(head), head.damage)


def _name_of(head: RunHead) -> str:
    return f"Run {head.run_id!r} of workflow {head.workflow_id!r}"


def fold_rows(loaded: LoadedRun, rows: Sequence[StoredRow]) -> None:
    """Add rows to what is known of a run.

    Raises:
        StorageError: One of them cannot be read (`ROW_UNREADABLE`).
    """
    try:
        _fold_rows(loaded, rows)
    except UNREADABLE as error:
        raise unreadable(_name_of(loaded.head), "a row of its journal is damaged") from error


def _fold_rows(loaded: LoadedRun, rows: Sequence[StoredRow]) -> None:
    outputs: dict[tuple[str, str], StepRecord] = {}
    for row in rows:
        loaded.last_position = row.position
        data = row.data
        if isinstance(data, StepRecord):
            _fold_record(loaded, data)
        elif isinstance(data, LogRow):
            for seq, kind, record, value in data:
                _fold_entry(loaded, seq, Kind(kind), record, value)
        elif isinstance(data, DropRow):
            _drop(loaded, data.ops)
        else:
            stored = load_json(data if isinstance(data, (bytes, str)) else data.encode())
            _fold_stored(loaded, stored, outputs)
    if loaded.is_under_way:
        loaded.go_on()
    else:
        loaded.has_gaps = loaded.close_up()
        _complete(loaded)
    loaded.legs = sum(1 for entry in loaded.by_seq.values() if entry[0] is Kind.START)


def _complete(loaded: LoadedRun) -> None:
    """Add the end of a run that nobody drove when it ended, or whose driver was killed then."""
    head, entries = loaded.head, loaded.entries
    if head.status not in FINAL:
        return
    last = entries[-1] if entries else None
    if last is not None and last[0] is Kind.FINISH and last[2].status == head.status:
        return
    data = head.data
    end = LegEnd(
        head.status,
        head.result,
        bool(data.get("hasResult")),
        head.error,
        data.get("tripwire"),
        data.get("usage") or NO_USAGE,
    )
    ends: list[Entry] = [(Kind.FINISH, None, end)]
    if head.status == "canceled":
        ends.insert(0, (Kind.CANCELED, None, None))
    entries += ends
    loaded.added = len(ends)


def _fold_stored(
    loaded: LoadedRun,
    stored: dict[str, Any],
    outputs: dict[tuple[str, str], StepRecord],
) -> None:
    if "drop" in stored:
        _drop(loaded, stored["drop"])
    elif "log" in stored:
        for seq, kind, about, value in stored["log"]:
            record: StepRecord | None = None
            if isinstance(about, dict):
                record = decode_record(cast("dict[str, Json]", about))
            elif about is not None:
                op_id, step_id, started_at = about
                key = (op_id, step_id)
                record = outputs.get(key)
                if record is None:
                    record = outputs[key] = StepRecord(op_id, step_id, None, started_at)
            if kind == Kind.FINISH:
                value = LegEnd.from_stored(value)  # noqa: PLW2901 - the same value, decoded
            _fold_entry(loaded, seq, Kind(kind), record, value)
    else:
        _fold_record(loaded, decode_record(stored))


def _fold_record(loaded: LoadedRun, record: StepRecord) -> None:
    loaded.journal[record.op_id] = record
    loaded.order = max(loaded.order, record.order)
    if record.index is None and record.kind != "decision":
        loaded.latest[record.step_id] = record
    if record.start_seq >= 0:
        kind = Kind.WAITING if record.kind == "sleep" else Kind.STEP_START
        _place(loaded, record.start_seq, (kind, record, None))
    if record.end_seq >= 0:
        _place(loaded, record.end_seq, (Kind.STEP_END, record, None))


def _place(loaded: LoadedRun, seq: int, entry: Entry) -> None:
    known = loaded.by_seq.setdefault(seq, entry)
    if known is entry:
        return
    if _is_of_same(known, entry):
        loaded.by_seq[seq] = entry
        return
    others = loaded.beside.setdefault(seq, [])
    for place, other in enumerate(others):
        if _is_of_same(other, entry):
            others[place] = entry
            return
    others.append(entry)


def _is_of_same(known: Entry, entry: Entry) -> bool:
    """Return whether two entries with one seq are the same one, stored again."""
    return known[1] is None or entry[1] is None or known[1].op_id == entry[1].op_id


def _fold_entry(
    loaded: LoadedRun,
    seq: int,
    kind: Kind,
    record: StepRecord | None,
    value: Any,
) -> None:
    if seq == CLOSED_UP:
        loaded.close_up()
        return
    if kind is Kind.PACKED and record is not None:
        for place, packed in enumerate(value, seq):
            entry = (Kind.OUTPUT, record, Packed(packed, record, loaded.journal))
            _place(loaded, place, entry)
        return
    _place(loaded, seq, (kind, record, value))
    if record is not None and kind in _BLOCK_KINDS:
        if record.kind == "block":
            loaded.blocks[record.op_id] = record
        if record.status == "running" and record.kind != "block":
            loaded.latest.setdefault(record.step_id, record)  # it may have ended in another turn
        else:
            loaded.latest[record.step_id] = record


def _drop(loaded: LoadedRun, ops: Sequence[str]) -> None:
    for op_id in ops:
        for known in (loaded.journal, loaded.blocks):
            record = known.pop(op_id, None)
            if record is not None and loaded.latest.get(record.step_id) is record:
                del loaded.latest[record.step_id]
