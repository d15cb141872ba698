"""Tells once more how a leg ended, to a caller that has another storage and did not hear of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mastra.ids import random_id
from mastra.inngest.carried import KEPT_FACTS
from mastra.inngest.inquiry import ACTIVE
from mastra.inngest.publisher import ROWS, message_of, rows_of
from mastra.inngest.wire.leg_event import LegEvent, store_identity
from mastra.inngest.worker_leg import owner_of
from mastra.jsonable import Json
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import load_run
from mastra.workflows.events import Kind, to_event
from mastra.workflows.spec_forms import forms_of

__all__ = ["tell_again"]


async def tell_again(
    send: Callable[[str, dict[str, Any]], Awaitable[None]], target: RunTarget, event: LegEvent
) -> None:
    """Tell of a leg that has ended, where its event came again and its sender cannot look.

    Args:
        send: Sends a message to an inbox.
        target: The run.
        event: What came again.

    Raises:
        NotReached: The server could not be reached.
        RunError: It did not take the message.
    """
    if not event.token or not event.inbox or event.store == store_identity(target.store):
        return
    workflow_id, run_id = target.workflow_id, target.run_id
    loaded = await load_run(target.store, workflow_id, run_id)
    # A later leg is not for whoever waits for this one.
    if loaded is None or loaded.head.status in ACTIVE or loaded.legs != event.number + 1:
        return
    head, entries = loaded.head, loaded.entries
    seq = len(entries) - 1
    last = entries[seq] if entries else None
    if last is None or last[0] is not Kind.FINISH:
        return
    facts: dict[str, Json] = {
        "owner": owner_of(event.token),
        "status": head.status,
        "input": head.input,
        "result": head.result,
        "error": head.error,
        "state": head.state,
        "data": {name: head.data[name] for name in KEPT_FACTS if name in head.data},
    }
    event_told = to_event(run_id, workflow_id, seq, last, forms_of(target.spec))
    names: dict[str, Json] = {"runId": run_id, "workflowId": workflow_id}
    rows = rows_of(loaded.journal, entries)
    await send(event.inbox, {"type": ROWS, "seq": seq, "head": facts, "rows": rows, **names})
    await send(event.inbox, {**message_of([event_told], random_id()), **names})
