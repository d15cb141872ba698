"""What is asked of the server about a leg of which nothing has been heard for some time.

A caller waits as long as its run takes. It must not wait for a run that never began, or that the
server has ended without a worker that could tell: this finds out.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mastra.errors import RunError
from mastra.inngest.options import function_options
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.names import function_id
from mastra.inngest.wire.transport import NotReached
from mastra.jsonable import Json
from mastra.storage.base import RunHead
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.outcome import Outcome

__all__ = ["ACTIVE", "Inquiry", "Sent", "given_up"]

ACTIVE: Final = ("pending", "running", "waiting")

UNBEGUN_S: Final = 5.0
"""How long after its event a run must have begun on a server of one's own."""

UNBEGUN_IN_PRODUCTION_S: Final = 30.0
"""The same in production, where the server's memory of events may lag behind."""

LOST_S: Final = 60.0
"""How long the server may be out of reach before its callers are told."""

SOON_S: Final = 1.0
"""After how long a question is asked again whose answer was not final."""

_LEAVES_OUT: Final = ("debounce", "rate_limit", "idempotency", "singleton")
"""Flow control by which the server drops events."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A leg whose event was sent from here."""

    command: Command
    event_id: str
    """The id that the server gave the event."""
    owner: str
    """What storage has as the driver of the leg."""
    tell_again: Callable[[], Awaitable[None]] | None
    """Asks the worker to tell once more how the leg ended, where it does not share our storage."""
    sent_at: float


class Ender(Protocol):
    """What an inquiry has done to a run."""

    async def end(self, target: RunTarget, head: RunHead, outcome: Outcome) -> bool:
        """End a run that no worker is answering requests for."""
        ...

    async def take_back(self, command: Command, error: RunError) -> None:
        """Undo the claim of a leg that did not begin."""
        ...


def given_up(reason: str | None) -> Outcome:
    """Return how a run ends that the server has given up."""
    error: dict[str, Json] = {
        "name": "RunError",
        "code": "INNGEST_GAVE_UP",
        "message": "Inngest gave the run up: its worker could not be reached, or failed"
        + (f": {reason}" if reason else "."),
    }
    return Outcome("failed", error=error)


class Inquiry:
    """The questions about one leg, and what has been found out so far."""

    __slots__ = ("_api", "_completions", "_ender", "_lost_since", "_run_ids", "_target", "sent")

    def __init__(self, target: RunTarget, api: InngestApi, ender: Ender, sent: Sent | None) -> None:
        """Prepare; nothing is asked.

        Args:
            target: The run.
            api: The server.
            ender: Ends the run in storage.
            sent: The leg's event, where it was sent from this process.
        """
        self._target = target
        self._api = api
        self._ender = ender
        self.sent = sent
        self._run_ids: list[str] = []
        self._lost_since: float | None = None
        self._completions = 0

    async def ask(self) -> float | None:
        """Ask, and end the run in storage where the server has ended it.

        Returns:
            After how many seconds to ask again; `None` if there is no hurry.

        Raises:
            RunError: There is nothing to wait for.
        """
        target = self._target
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is not None and head.status not in ACTIVE:
            return None
        try:
            due = await self._ask(head)
        except NotReached as error:
            return self._not_reached(error)
        self._lost_since = None
        return due

    async def _ask(self, head: RunHead | None) -> float | None:
        known: Any = None if head is None else head.data.get("inngest")
        sent = self.sent
        if sent is not None and head is not None and head.owner != sent.owner:
            sent, self._run_ids = None, []  # somebody else drives the run by now
        if sent is not None and not self._run_ids:
            found = await self._api.runs_of(sent.event_id)
            if found is not None:
                if not found:
                    return await self._not_begun(sent)
                # Functions of others may listen to the same event.
                is_ours = known and known["runId"] in found
                self._run_ids = [known["runId"]] if is_ours else found
        run_ids = self._run_ids or ([known["runId"]] if known else [])
        runs = [await self._api.server_run(run_id) for run_id in run_ids]
        if not runs or None in runs:
            return None
        ended = [run for run in runs if run is not None]
        statuses = {run.status for run in ended}
        if statuses == {"Cancelled"}:
            await self._end(head, Outcome("canceled"))
        elif statuses == {"Skipped"} and sent is not None:
            return await self._not_begun(sent, is_skipped=True)
        elif "Failed" in statuses and statuses <= {"Failed", "Completed", "Cancelled"}:
            await self._end(
                head, given_up(next(run.reason for run in ended if run.status == "Failed"))
            )
        elif statuses == {"Completed"} and not _is_of_another_leg(known, head, sent):
            return await self._not_told()
        return None

    async def _end(self, head: RunHead | None, outcome: Outcome) -> None:
        target = self._target
        if head is not None:
            await self._ender.end(target, head, outcome)
            return
        reason = (outcome.error or {}).get("message") or "It was cancelled there."
        raise RunError(
            f"Run {target.run_id!r} of workflow {target.workflow_id!r} was ended by the Inngest "
            f"server, and its workflow has it not stored. {reason}",
            code="INNGEST_RUN_ENDED",
        )

    async def _not_begun(self, sent: Sent, *, is_skipped: bool = False) -> float | None:
        flow = self._target.spec.flow_control
        is_production = self._api.client.is_production
        patience = UNBEGUN_IN_PRODUCTION_S if is_production else UNBEGUN_S
        if flow.get("debounce") is not None:
            debounce = function_options({"debounce": flow["debounce"]})["debounce"]
            patience += debounce.period.total_seconds()
        waited = time.monotonic() - sent.sent_at
        if waited < patience and not is_skipped:
            return min(SOON_S, patience - waited)
        error = RunError(
            f"Event {function_id(self._target.workflow_id)!r} began no run on the Inngest server at "
            f"{self._api.client.api_origin}. {_why(flow, is_skipped=is_skipped)}",
            code="INNGEST_RUN_NOT_BEGUN",
            details={"runId": self._target.run_id, "eventId": sent.event_id},
        )
        await self._ender.take_back(sent.command, error)
        raise error

    async def _not_told(self) -> float | None:
        """The server's run has ended well, and our storage does not say so."""
        self._completions += 1
        if self._completions == 1:
            return SOON_S  # it may have ended between the two questions
        tell_again = None if self.sent is None else self.sent.tell_again
        if self._completions == 2 and tell_again is not None:
            await tell_again()
            return UNBEGUN_S
        target = self._target
        raise RunError(
            f"Run {target.run_id!r} of workflow {target.workflow_id!r} has ended on the Inngest "
            "server, and the storage of this process does not know how. Give caller and worker "
            "the same storage.",
            code="INNGEST_RESULT_NOT_STORED",
            details={"runId": target.run_id},
        )

    def _not_reached(self, error: NotReached) -> float:
        now = time.monotonic()
        self._lost_since = since = self._lost_since or now
        if now - since < LOST_S:
            return min(5 * SOON_S, LOST_S)
        target = self._target
        raise RunError(
            f"The Inngest server at {self._api.client.api_origin} has not been reached for "
            f"{LOST_S:.0f} seconds, so run {target.run_id!r} of workflow {target.workflow_id!r} is "
            "no longer waited for. It is not stopped: once the server is back, wait for it with "
            "`(await workflow.create_run(run_id)).result()`, or bring it back with `restart()`.",
            code="INNGEST_NOT_REACHED",
            details={"runId": target.run_id},
        ) from error


def _is_of_another_leg(known: Any, head: RunHead | None, sent: Sent | None) -> bool:
    """Return whether what is noted is the server's run of a leg before the one under way.

    Flow control may hold that one back: until it has begun nothing of it is noted.
    """
    if sent is not None or head is None or not known:
        return False
    return known.get("owner", head.owner) != head.owner


def _why(flow: Any, *, is_skipped: bool) -> str:
    named = [name for name in _LEAVES_OUT if flow.get(name) is not None]
    controls = f"the workflow's {' or '.join(named)} left the event out" if named else ""
    if is_skipped:
        return f"It was skipped: {controls or 'its function is paused, or full'}."
    absent = (
        "no app that the server knows serves that function: start the app and have it synced, "
        "such as with `inngest dev -u http://localhost:4111/api/inngest`"
    )
    return f"Either {controls}, or {absent}." if controls else f"{absent[0].upper()}{absent[1:]}."
