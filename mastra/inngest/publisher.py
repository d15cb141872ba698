"""Sends what happens in a run to whoever reads it in another process.

One task a run. What runs never waits for it: the log of the run is all that both know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final, TypeAlias

from mastra.ids import random_id
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.names import channel
from mastra.jsonable import Json, dump_json
from mastra.logs import get_logger
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.journal import LogRow
from mastra.workflows.events import Entry, Event, Kind, to_event
from mastra.workflows.records import Journal, StepRecord

__all__ = ["EVENTS", "PART", "ROWS", "Publisher", "Tell", "message_of", "post", "rows_of"]

Tell: TypeAlias = Callable[[list[Event], str, list[str] | None], None]
"""Takes events, the name of the log that their seqs are places in, and, where other processes
may run operations beside them, the operation of each."""

EVENTS: Final = "workflow-events"
"""Several events in one message, with the seq of the first."""

PART: Final = "workflow-message-part"
"""A piece of a message that is too large for one."""

ROWS: Final = "workflow-run-rows"
"""A whole run, for a process that cannot see the worker's storage."""

_OF_RECORD: Final = (Kind.STEP_START, Kind.WAITING, Kind.STEP_END)

FLUSH_S: Final = 0.05
FLUSH_BYTES: Final = 4096
LOOK_S: Final = 0.01

PART_CHARACTERS: Final = 120_000
"""Of a message that is sent in pieces. The server cuts what is over 512 KiB, and a character may
take four bytes."""

MESSAGE_BYTES: Final = 480 * 1024


class Publisher:
    """Follows the log of one run and publishes it."""

    def __init__(
        self,
        run: ActiveRun,
        api: InngestApi,
        start: int,
        tell_here: Tell,
    ) -> None:
        """Prepare.

        Args:
            run: The run.
            api: The server.
            start: The seq of the first event to send.
            tell_here: Called with the same events, for readers in this process.
        """
        self._run = run
        self._api = api
        self._next = start
        self._by = random_id()
        self._tell_here = tell_here
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False
        self.names_ops = False
        """Whether events say which operations they are of: several processes send them at once."""
        self.needs_rows: Callable[[], dict[str, Json] | None] = lambda: None
        """Returns the head of the run where a reader needs the whole run with its end."""

    def start(self) -> None:
        """Begin to follow the log."""
        if self._task is None:
            self._task = asyncio.create_task(  # noqa: TID251 - ended by `stop`
                self._follow(), name=f"mastra publisher of run {self._run.run_id}"
            )

    def skip_to(self, seq: int) -> None:
        """Leave out events that another process has sent."""
        self._next = max(self._next, seq)

    async def stop(self) -> None:
        """Send what is left and end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.flush()

    async def _follow(self) -> None:
        log = self._run.log
        while not log.is_closed or self._next < len(log.entries):
            await log.grown(self._next)
            await self._collect()
            await asyncio.shield(self.flush())

    async def _collect(self) -> None:
        """Wait for more to send at once, but not for long."""
        log, begun = self._run.log, self._run.log.written_bytes
        loop = asyncio.get_running_loop()
        until = loop.time() + FLUSH_S
        while loop.time() < until and log.written_bytes - begun < FLUSH_BYTES:
            if log.entries[-1] and log.entries[-1][0] is Kind.FINISH:
                return
            await asyncio.sleep(LOOK_S)

    async def flush(self) -> None:
        """Send every event up to here."""
        async with self._lock:
            run = self._run
            start, entries = self._next, run.log.entries
            batch: list[Event] = []
            about: list[str] = []
            for seq in range(start, len(entries)):
                entry = entries[seq]
                if entry is not None:
                    batch.append(to_event(run.run_id, run.workflow_id, seq, entry, run.log.forms))
                    about.append("" if entry[1] is None else entry[1].op_id)
            self._next = len(entries)
            if not batch:
                return
            ops = about if self.names_ops else None
            self._tell_here(batch, self._by, ops)
            try:
                await self._send(batch, ops)
            except Exception as error:  # noqa: BLE001 - readers find all of it in storage
                if not self._has_failed:
                    self._has_failed = True
                    get_logger({"run_id": run.run_id}).warning(
                        "Events of run %r could not be published; readers elsewhere get them "
                        "from storage, later: %s",
                        run.run_id,
                        error,
                    )

    async def _send(self, batch: list[Event], ops: list[str] | None) -> None:
        if batch[-1].type == "workflow-finish":
            head = self.needs_rows()
            if head is not None:
                seq = batch[-1].seq
                rows = rows_of(self._run.journal, self._run.log.entries)
                await self._post({"type": ROWS, "seq": seq, "head": head, "rows": rows})
        first = 0
        while first < len(batch):
            last = first
            while last + 1 < len(batch) and batch[last + 1].seq == batch[last].seq + 1:
                last += 1
            chosen = slice(first, last + 1)
            await self._post(message_of(batch[chosen], self._by, ops and ops[chosen]))
            first = last + 1

    async def _post(self, message: dict[str, Json]) -> None:
        await post(self._api, channel(self._run.workflow_id, self._run.run_id), message)


async def post(api: InngestApi, where: str, message: dict[str, Json]) -> None:
    """Send a message to a channel, in pieces where it is too large for one."""
    content = dump_json(message, what="An event")
    if len(content) <= MESSAGE_BYTES:
        await api.publish(where, content)
        return
    text, name = content.decode(), random_id()
    pieces = [text[i : i + PART_CHARACTERS] for i in range(0, len(text), PART_CHARACTERS)]
    for place, piece in enumerate(pieces):
        part = {"type": PART, "id": name, "part": place, "of": len(pieces), "text": piece}
        await api.publish(where, dump_json(part))


def message_of(events: list[Event], by: str, ops: list[str] | None = None) -> dict[str, Json]:
    """Return what is sent of events that follow each other."""
    first = events[0]
    more: dict[str, Json] = {"by": by}
    if ops is not None:
        more["ops"] = list(ops)
    if len(events) == 1 and first.payload is not None:
        return {**first.to_wire(), "seq": first.seq, **more}
    return {
        "type": EVENTS,
        "runId": first.run_id,
        "seq": first.seq,
        "events": [event.to_wire() for event in events],
        **more,
    }


def rows_of(journal: Journal, entries: Sequence[Entry | None]) -> list[Any]:
    """Return a run as the rows of a journal."""
    # Operations that two processes ran at once have places in two logs; this is a third.
    places: dict[str, dict[Kind, int]] = {}
    log: list[tuple[int, int, StepRecord | None, Any]] = []
    for seq, entry in enumerate(entries):
        if entry is None:
            continue
        kind, record, value = entry
        if record is not None and kind in _OF_RECORD and journal.get(record.op_id) is record:
            places.setdefault(record.op_id, {})[kind] = seq
        else:
            log.append((seq, int(kind), record, value))
    rows: list[Any] = []
    for op_id, known in journal.items():
        at, record = places.get(op_id, {}), copy(known)
        record.start_seq = at.get(Kind.STEP_START, at.get(Kind.WAITING, -1))
        record.end_seq = at.get(Kind.STEP_END, -1)
        rows.append(record.to_stored())
    rows.append(LogRow(log).to_stored())
    return rows
