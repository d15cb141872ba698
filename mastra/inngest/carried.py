"""A run that goes on at a worker whose storage does not know it: the event brings it along.

Where each process has a storage of its own, a run that waits is with whoever began it and with the
worker that drove it last. That worker may have been started anew since, or another one may get the
event.
"""

from __future__ import annotations

from typing import Any, Final, cast

from mastra.errors import RunNotFoundError
from mastra.inngest.inquiry import ACTIVE
from mastra.inngest.publisher import rows_of
from mastra.inngest.wire.leg_event import LegEvent, store_identity
from mastra.jsonable import Json, dump_json
from mastra.storage.base import RunHead
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, LogRow, load_run
from mastra.workflows.events import Kind, LegEnd
from mastra.workflows.records import StepRecord, decode_record

__all__ = ["KEPT_FACTS", "known_run", "row_of", "run_to_carry"]

KEPT_FACTS: Final = ("initialState", "path", "tripwire", "hasResult", "graph", "version")
"""What of a head's data is for processes with another storage."""

MAX_CARRIED_BYTES: Final = 128 * 1024
"""How large a run may be that an event brings along: servers take events of 256 KiB and more."""


def run_to_carry(loaded: LoadedRun) -> dict[str, Json] | None:
    """Return what an event brings along of a run, or `None` where that is too much for one."""
    head = loaded.head
    carried: dict[str, Json] = {
        "createdAt": head.created_at,
        "state": head.state,
        "data": {name: head.data[name] for name in KEPT_FACTS if name in head.data},
        "rows": rows_of(loaded.journal, loaded.entries),
    }
    size = len(dump_json(carried, what=f"Run {head.run_id!r}"))
    return carried if size <= MAX_CARRIED_BYTES else None


async def known_run(target: RunTarget, event: LegEvent) -> LoadedRun | None:
    """Return a run as the storage here has it, once it has what the event brings along.

    Raises:
        RunNotFoundError: It is to go on, and is not known: not here, nor by its event.
    """
    store, key = target.store, (target.workflow_id, target.run_id)
    loaded = await load_run(store, *key)
    goes_on = event.kind in ("resume", "travel") or event.carried is not None
    if not goes_on or target.spec.should_persist_snapshot is not None:
        return loaded
    if loaded is not None and (
        store.is_shared
        or event.token is None
        or loaded.head.status in ACTIVE
        or loaded.legs >= event.number
    ):
        return loaded
    # Whoever sent it from here had the run here.
    if event.carried is None or event.store == store_identity(store):
        raise RunNotFoundError(
            f"Run {target.run_id!r} of workflow {target.workflow_id!r} is to go on here, and the "
            "storage of this worker does not know what it has done: it was deleted, or the worker "
            "that ran it has another storage, or had one in memory and was started anew. Have all "
            "workers share one: SQLite in a file, or PostgreSQL.",
            details={"runId": target.run_id},
        )
    if loaded is not None:
        await store.delete_run(*key)
    await store.create_run(_head_of(target, event, event.carried))
    rows = cast("list[dict[str, Any]]", event.carried["rows"])
    stored = store.append(*key, [row_of(row) for row in rows])
    if stored is not None:
        await stored
    return await load_run(store, *key)


def _head_of(target: RunTarget, event: LegEvent, carried: dict[str, Any]) -> RunHead:
    return RunHead(
        workflow_id=target.workflow_id,
        run_id=target.run_id,
        status="suspended",  # for the leg that is about to begin, whatever it had come to
        resource_id=event.resource_id,
        created_at=carried["createdAt"],
        input=event.input,
        state=carried["state"],
        request_context=event.request_context,
        data={"initialState": event.initial_state, **carried["data"]},
    )


def row_of(stored: dict[str, Any]) -> StepRecord | LogRow:
    """Return a row of those that `rows_of` gave."""
    if "log" not in stored:
        return decode_record(stored)
    entries: list[tuple[int, int, StepRecord | None, Any]] = []
    for seq, kind, about, value in stored["log"]:
        record: StepRecord | None = None
        if isinstance(about, dict):
            record = decode_record(cast("dict[str, Any]", about))
        elif about is not None:
            op_id, step_id, started_at = about
            record = StepRecord(op_id, step_id, None, started_at)
        told = LegEnd.from_stored(value) if kind == Kind.FINISH else value
        entries.append((seq, kind, record, told))
    return LogRow(entries)
