"""How a leg that has all the steps a server takes goes on in another run of the server.

A function run on the server has a bounded number of steps. Before it is full, its worker hands the
leg on: storage takes the next owner, an event begins another run of the same function, and the
walk goes on there from the journal, as after a crash. The run that was full looks after the new one
until that has begun, asleep on the server in between: an event that was lost is sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import inngest

from mastra.inngest.inquiry import ACTIVE
from mastra.inngest.limits import LOOK_AFTER_S
from mastra.inngest.mail import Mail
from mastra.inngest.wire.leg_event import LegEvent, store_identity
from mastra.inngest.wire.names import function_id, hash_of
from mastra.inngest.wire.request import RequestFacts
from mastra.inngest.worker_leg import LegSuperseded, WorkerLeg, owner_of, token_of
from mastra.jsonable import Json
from mastra.storage.base import RunChanges
from mastra.workflows.engines.commands import RunTarget

__all__ = ["LegFull", "Send", "can_go_on", "claim_next", "next_event", "see_to_next"]

Send: TypeAlias = Callable[[str, dict[str, Json], str], Awaitable[Any]]
"""Sends an event: its name, its data, its id."""


class LegFull(BaseException):
    """The server's run takes no more steps; raised in a request, never inside of a step."""


def can_go_on(target: RunTarget, event: LegEvent) -> bool:
    """Return whether a leg may go on in another run of the server.

    Not where other workers may not see what has been done, nor where whoever sent the event waits
    for the end of that run of the server.
    """
    return (
        target.store.is_shared
        and target.spec.should_persist_snapshot is None
        and event.store in ("", store_identity(target.store))
        and (event.token is not None or event.is_on_schedule)
    )


def following(token: str) -> str:
    """Return what names the leg that goes on with one, or its driver: the same, whoever asks."""
    name, _, number = token.rpartition("#")
    return f"{name}#{int(number) + 1}" if name else f"{token}#2"


async def claim_next(leg: WorkerLeg, mail: Mail) -> None:
    """Have storage take the next owner. From here on nobody drives the run until that one begins.

    Raises:
        LegSuperseded: Somebody else drives the run, or has ended it.
    """
    leg.unwatch()
    target = leg.command.target
    head = await target.store.get_run(target.workflow_id, target.run_id)
    if head is None:
        raise LegSuperseded
    known = cast("dict[str, Json]", head.data.get("inngest") or {})
    data = {**head.data, "inngest": {**known, **mail.noted_for_next(leg.publisher.readers)}}
    if not await target.store.update_run(
        target.workflow_id,
        target.run_id,
        RunChanges(status="running", owner=following(leg.owner), data=data),
        expected_status=ACTIVE,
        expected_owner=leg.owner,
    ):
        raise LegSuperseded


def next_event(
    target: RunTarget, event: LegEvent, data: Mapping[str, Any], token: str
) -> dict[str, Json]:
    """Return the data of the event that goes on with a leg.

    What the server's flow control looks at stays as it was.

    Args:
        target: The run.
        event: What began the leg.
        data: Its data, as the server has it.
        token: What names the leg.
    """
    ours = cast("dict[str, Json]", data.get("mastra") or {})
    facts: dict[str, Json] = {
        **ours,
        "leg": following(token),
        "kind": "restart",
        "goesOn": True,
        "n": event.number,
        "store": store_identity(target.store),
        "inbox": event.inbox,
    }
    if event.is_on_schedule:
        return {
            "runId": target.run_id,
            "workflowId": target.workflow_id,
            "inputData": event.input,
            "mastra": facts,
        }
    kept = {name: value for name, value in data.items() if name != "_inngest"}
    return {**kept, "runId": target.run_id, "mastra": facts}


async def see_to_next(
    ctx: inngest.Context,
    facts: RequestFacts,
    target: RunTarget,
    event: LegEvent,
    data: Mapping[str, Any],
    send: Send,
) -> None:
    """Begin the leg that goes on with this one, and look after it until it has begun.

    Each time that it has not, its event is sent (the server takes it once) and the request ends
    with a sleep. Returns where there is nothing, or no more, to look after.
    """
    token = token_of(event.token, facts.run_id)
    owner, event_id = owner_of(following(token)), f"{target.run_id}:{following(token)}"
    for number, delay_s in enumerate(LOOK_AFTER_S):
        name = f"mastra.goes-on.{number}"
        if hash_of(name) in facts.memos:
            continue
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is None or head.owner != owner or head.status not in ACTIVE:
            return
        known = cast("dict[str, Any]", head.data.get("inngest") or {})
        if known.get("runId") != facts.run_id:
            return  # the next one has noted itself
        sent = next_event(target, event, data, token)
        await send(function_id(target.workflow_id), sent, event_id)
        await ctx.step.sleep(name, delay_s * 1000)
