"""The log of a run: what it told, in order, for any number of readers.

Seq numbers count its entries, from 0, without gaps. A reader is a place in the log, so that one
that never reads costs nothing.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast, overload

from mastra.errors import StreamOverflowError
from mastra.workflows.events import Entry, Event, Kind, to_event
from mastra.workflows.forms import PLAIN
from mastra.workflows.records import StepRecord

__all__ = ["Batch", "Entries", "EventLog"]

KEPT_OUTPUTS: Final = 50_000
"""Chunks of step output that a run keeps in memory for readers that are behind."""

KEPT_BYTES: Final = 64 * 1024 * 1024
"""About how much memory those may take."""

_OTHER_SIZE: Final = 512
"""About how many bytes of memory something takes that a step writes and that is no text."""

_TOGETHER: Final = 64
"""How many entries are looked at together for a reader who takes them one by one."""

_GONE: Final = object()
"""In place of an entry that is not there, or no longer."""

_Source: TypeAlias = tuple[Kind, StepRecord]


class Entries(Sequence[Entry | None]):
    """The entries of a log by seq; `None` where one is not there, or no longer.

    What a step writes is kept as the bare value, and whose it is only where that changes: a run
    that writes ten thousand pieces keeps ten thousand references, no objects of its own.
    """

    __slots__ = ("_changes", "_has_gaps", "_source", "_sources", "floor", "items")

    def __init__(self, entries: Sequence[Entry | None] = ()) -> None:
        self.items: list[Any] = []
        """As they are kept. An `Entry` is the only tuple: what a step writes is JSON, or a `Written`."""
        self._has_gaps = False
        self._sources: list[_Source] = []
        self._changes: list[int] = []
        """From which seq on bare values come from each source."""
        self._source: _Source | None = None
        self.floor = 0
        """Bare values before it are told to nobody any more."""
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry | None) -> None:
        """Add an entry."""
        if entry is None:
            self._has_gaps = True
        self.items.append(_GONE if entry is None else entry)

    @property
    def last(self) -> Entry | None:
        """The newest entry, where that is there and no bare value."""
        newest = self.items[-1] if self.items else None
        return cast("Entry", newest) if type(newest) is tuple else None

    def append_bare(self, kind: Kind, record: StepRecord, value: Any) -> int:
        """Add what a step wrote; return its seq."""
        items, source = self.items, self._source
        seq = len(items)
        if source is None or source[1] is not record or source[0] is not kind:
            source = self._source = (kind, record)
            self._sources.append(source)
            self._changes.append(seq)
        items.append(value)
        return seq

    def __len__(self) -> int:
        return len(self.items)

    def __setitem__(self, seq: int, entry: Entry) -> None:
        self.items[seq] = entry

    @overload
    def __getitem__(self, index: int) -> Entry | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry | None]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry | None] | None:
        if isinstance(index, slice):
            return self.at(range(len(self.items))[index])
        seq = range(len(self.items))[index]
        return self._between(seq, seq + 1, self.floor)[0]

    def at(self, seqs: range) -> list[Entry | None]:
        """Return the entries of some seqs, in the order in which those are given."""
        if seqs.step < 0:
            return self.at(seqs[::-1])[::-1]
        return self._between(seqs.start, seqs.stop, self.floor)[:: seqs.step]

    def written(self, start: int) -> list[tuple[int, Kind, StepRecord, Any]]:
        """Return what steps wrote from a seq on, with its seq; also what readers no longer get."""
        items, entries = self.items, self._between(start, len(self.items), 0)
        return [
            (seq, *cast("tuple[Kind, StepRecord, Any]", entry))
            for seq, entry in enumerate(entries, start)
            if entry is not None and type(items[seq]) is not tuple
        ]

    def _between(self, start: int, end: int, floor: int) -> list[Entry | None]:
        changes, found = self._changes, list[Entry | None]()
        place = bisect_right(changes, start)
        while start < end:
            kind, record = self._sources[place - 1] if place else (Kind.OUTPUT, None)
            until = min(end, changes[place]) if place < len(changes) else end
            for seq, item in enumerate(self.items[start:until], start):
                if type(item) is not tuple:
                    is_kept = item is not _GONE and seq >= floor
                    found.append((kind, record, item) if is_kept else None)
                else:
                    found.append(item)  # pyright: ignore[reportUnknownArgumentType] - an `Entry`
            start, place = until, place + 1
        return found

    def end_of_kept(self, start: int, limit: int) -> int:
        """Return up to where readers have every entry, from a seq on and of so many."""
        items, end = self.items, min(start + limit, len(self.items))
        if start >= self.floor and not self._has_gaps:
            return end
        for seq in range(start, end):
            item = items[seq]
            if type(item) is not tuple and (seq < self.floor or item is _GONE):
                return seq
        return end

    def drop_oldest(self) -> Any:
        """Let readers no longer have the oldest value that a step wrote, and return it."""
        items, seq = self.items, self.floor
        while type(items[seq]) is tuple or items[seq] is _GONE:
            seq += 1
        self.floor = seq + 1
        return items[seq]

    def forget(self, start: int, end: int) -> None:
        """Give back the memory of what steps wrote, from a seq up to another."""
        items = self.items
        for seq in range(start, end):
            if type(items[seq]) is not tuple:
                items[seq] = _GONE


class EventLog:
    """The events of one run, appended by its driver and followed by any number of readers.

    What steps write is kept for readers up to a bound; the events of steps are the journal itself
    and always kept. What is still to be stored is kept until it is, once for both.
    """

    __slots__ = (
        "_bytes",
        "_first_untaken",
        "_forgotten",
        "_items",
        "_outputs",
        "_waiters",
        "entries",
        "forms",
        "is_closed",
        "untaken",
    )

    def __init__(self, entries: Sequence[Entry | None] = ()) -> None:
        self.entries = Entries(entries)
        self._items = self.entries.items
        self.forms = PLAIN
        """How readers see the values."""
        self.is_closed = False
        """Set when the leg has ended; a new leg has a log of its own."""
        self._waiters: list[asyncio.Future[None]] = []
        self._outputs = 0
        """How many values of steps are kept for readers, and about how many bytes they take."""
        self._bytes = 0
        self._forgotten = 0
        """Up to which seq the memory of what nobody is told any more was given back."""
        self._first_untaken = 0
        self.untaken = 0
        """How many values storage has not been given yet."""

    def append(self, kind: Kind, record: StepRecord | None = None, value: Any = None) -> int:
        """Add an entry; return its seq. Never waits for a reader."""
        items = self._items  # once a step begins and once it ends
        items.append((kind, record, value))
        if self._waiters:
            self._wake()
        return len(items) - 1

    def append_output(self, kind: Kind, record: StepRecord, value: Any) -> int:
        """Add what a step wrote, dropping the oldest of such where there are too many."""
        seq = self.entries.append_bare(kind, record, value)
        if self._waiters:
            self._wake()
        size = len(value) if type(value) is str else _OTHER_SIZE
        if not self.untaken:
            self._first_untaken = seq
        self.untaken += 1
        self._outputs += 1
        self._bytes += size
        if self._outputs > KEPT_OUTPUTS or self._bytes > KEPT_BYTES:
            self._drop_oldest()
        return seq

    def _drop_oldest(self) -> None:
        while self._outputs > KEPT_OUTPUTS or self._bytes > KEPT_BYTES:
            value = self.entries.drop_oldest()
            self._outputs -= 1
            self._bytes -= len(value) if type(value) is str else _OTHER_SIZE
        self._forget()

    def take_outputs(self) -> list[tuple[int, Kind, StepRecord, Any]]:
        """Return what steps have written since the last call. It is the caller's to store.

        Who calls has looked whether there is any (`untaken`).
        """
        taken = self.entries.written(self._first_untaken)
        self.untaken = 0
        self._forget()
        return taken

    def _forget(self) -> None:
        floor = self.entries.floor
        until = min(floor, self._first_untaken) if self.untaken else floor
        if self._forgotten < until:
            self.entries.forget(self._forgotten, until)
            self._forgotten = until

    def close(self) -> None:
        """Let readers end after the last entry."""
        self.is_closed = True
        if self._waiters:
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def grown(self, seq: int) -> None:
        """Wait until there is an entry at a place, or the log is closed."""
        while seq >= len(self.entries) and not self.is_closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    async def read(self, run_id: str, workflow_id: str, start: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a run, from a place on, until the leg has ended.

        Raises:
            StreamOverflowError: An entry that is wanted is no longer kept.
        """
        async for batch in self.batches(run_id, workflow_id, start, _TOGETHER):
            for event in batch:
                yield event

    async def batches(
        self, run_id: str, workflow_id: str, start: int, limit: int
    ) -> AsyncIterator[Batch]:
        """Yield the events of a run as `read` does, those that are there already together.

        Args:
            run_id: The run.
            workflow_id: Its workflow.
            start: The place of the first event.
            limit: How many events at most come together.

        Raises:
            StreamOverflowError: An entry that is wanted is no longer kept.
        """
        seq = start
        while True:
            while seq < len(self.entries):
                end = self.entries.end_of_kept(seq, limit)
                if end == seq:
                    raise self.overflow(seq)
                yield Batch(self, run_id, workflow_id, range(seq, end))
                seq = end
            if self.is_closed:
                return
            await self.grown(seq)

    def overflow(self, seq: int) -> StreamOverflowError:
        """Return the error of a reader for whom an entry is no longer kept."""
        newest = len(self.entries) - 1
        return StreamOverflowError(
            f"The reader is too far behind: event {seq} and others before {newest + 1} are no "
            "longer kept. Read faster, or read the run's stored result.",
            details={"seq": seq, "newest": newest},
        )


class Batch(Sequence[Event]):
    """Events that are there together. They are made where somebody looks at them.

    A reader that waits before it looks, as hundreds do for their turn, keeps none of them.

    Raises:
        StreamOverflowError: One that is looked at is no longer kept.
    """

    __slots__ = ("_log", "_run_id", "_seqs", "_workflow_id")

    def __init__(self, log: EventLog, run_id: str, workflow_id: str, seqs: range) -> None:
        self._log = log
        self._run_id = run_id
        self._workflow_id = workflow_id
        self._seqs = seqs

    def __len__(self) -> int:
        return len(self._seqs)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> Event | Batch:
        if isinstance(index, slice):
            return Batch(self._log, self._run_id, self._workflow_id, self._seqs[index])
        seq = self._seqs[index]
        return self._event(seq, self._log.entries[seq])

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, self._seqs, self._log.entries.at(self._seqs))

    def _event(self, seq: int, entry: Entry | None) -> Event:
        if entry is None:
            raise self._log.overflow(seq)
        return to_event(self._run_id, self._workflow_id, seq, entry, self._log.forms)
