"""Flow control in process: whose turn it is to begin, over all processes on a storage.

A leg of a workflow with flow control has a ticket in the storage (`mastra/storage/flow.py`). Any
process lets in whoever is next, whoever drives it; its driver looks whether it was called.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias, cast
from weakref import WeakKeyDictionary

from mastra.clock import now_ms, sleep
from mastra.jsonable import Json
from mastra.storage.base import RunChanges, WorkflowStore
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.storage.flow import UNSHARED, Ticket
from mastra.workflows.engines.base import LeftOutError
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.door import let_in
from mastra.workflows.flow_control import FlowControl, Rate, key_of

__all__ = ["Admissions", "Place", "take_back"]

_LOOK_S: Final = 0.1
"""How often others may have let somebody in: other processes, and other event loops."""
_SET_BACK_MS: Final = 1000
"""By how much a clock must have been put back for that to matter."""
_SHARED_DOOR: Final = "*"
"""Where workflows stand that share a limit."""

Waiter: TypeAlias = "asyncio.Future[Literal['in', 'out']]"
Cancel: TypeAlias = Callable[[RunTarget], Awaitable[None]]


class Place:
    """The place of one leg: it waits for it, has it, and gives it back."""

    __slots__ = ("_admissions", "_is_put", "_lock", "_ticket", "is_paused")

    def __init__(self, admissions: _OfStore, ticket: Ticket) -> None:
        self._admissions = admissions
        self._lock = asyncio.Lock()
        self._ticket = ticket
        self._is_put = True
        self.is_paused = True
        """Whether it has to wait before anything more is done."""

    async def enter(self) -> None:
        """Wait for the place.

        Raises:
            LeftOutError: Another run has come in its place.
        """
        async with self._lock:
            if not self._is_put:
                await self._admissions.flow.put(self._ticket)
                self._is_put = True
            if self.is_paused:
                await self._admissions.wait(self._ticket)
                self.is_paused = False

    async def pause(self) -> None:
        """Give the place to others for as long as the leg sleeps, where it may be had again."""
        async with self._lock:
            ticket = self._ticket
            if self.is_paused or ticket.lane_a is None:
                return
            # It has begun, so it waits for neither its throttle nor its debounce again.
            self._ticket = replace(ticket, lane_t=None, lane_d=None, due_at=0)
            self.is_paused, self._is_put = True, False
            if ticket.lane_s is None:
                await self._admissions.leave(ticket)
            else:  # until it ends, it is the only one of its kind
                alone = replace(self._ticket, state="in", lane_a=None, lane_b=None)
                await self._admissions.flow.put(alone)
                await self._admissions.next(ticket.door)

    async def leave(self) -> None:
        """Give the place back."""
        await self._admissions.leave(self._ticket)


class Admissions:
    """The places of one engine's legs, by store and event loop."""

    def __init__(self) -> None:
        self._stores: WeakKeyDictionary[
            WorkflowStore, dict[asyncio.AbstractEventLoop, _OfStore]
        ] = WeakKeyDictionary()

    async def ask(self, command: Command, cancel: Cancel) -> Place | None:
        """Return the place of a leg that is about to begin; `None` where it needs none.

        Args:
            command: The leg.
            cancel: Cancels another run of the workflow.

        Raises:
            LeftOutError: It is not to begin. The run is as it was before.
        """
        flow = FlowControl.of(command.target.spec.flow_control)
        if flow is None:
            return None
        store = command.target.store
        loops = self._stores.setdefault(store, {})
        for closed in [one for one in loops if one.is_closed()]:
            del loops[closed]
        of_store = loops.setdefault(asyncio.get_running_loop(), _OfStore(store))
        try:
            ticket = await of_store.ask(command, flow, cancel)
        except LeftOutError:
            await take_back(command)
            raise
        return None if ticket is None else Place(of_store, ticket)


async def take_back(command: Command) -> None:
    """Leave a run that did not begin as it was before."""
    target, hold = command.target, command.hold
    if command.is_created:
        await target.store.update_run(
            target.workflow_id,
            target.run_id,
            RunChanges(status="pending", owner=None),
            expected_status=("running",),
            expected_owner=None if hold is None else hold.owner,
        )


def _event(command: Command) -> dict[str, Json]:
    """Return what keys see: the event that would begin the leg on Inngest."""
    target, answer = command.target, command.reopening.target
    data: dict[str, Json] = {
        "runId": target.run_id,
        "workflowId": target.workflow_id,
        "inputData": command.input if answer is None else answer.data,
        "initialState": cast("Json", command.initial_state),
        "requestContext": command.request_context.to_json(),
    }
    if command.resource_id is not None:
        data["resourceId"] = command.resource_id
    return {"name": f"workflow.{target.workflow_id}", "data": data, "ts": now_ms()}


class _OfStore:
    """The tickets of this process in one store."""

    def __init__(self, store: WorkflowStore) -> None:
        self.flow = store.flow
        self._asking = asyncio.Lock()
        self._waiters: dict[tuple[str, str], tuple[Ticket, Waiter]] = {}
        self._woken = asyncio.Event()
        self._looker: asyncio.Task[None] | None = None
        self._pruned_at = 0

    # -- asking --------------------------------------------------------------------------------

    async def ask(self, command: Command, flow: FlowControl, cancel: Cancel) -> Ticket | None:
        """Return a ticket that stands at its door; `None` where the leg needs none."""
        event, now = _event(command), now_ms()
        if command.kind == "start":
            await self._count(command, flow, event, now)
        ticket = _ticket(command, flow, event, now)
        if ticket is None:
            return None
        try:
            # One after the other: those of one process need not compete for the door's version.
            async with self._asking:
                return await self._queue(command, flow, ticket, cancel)
        except BaseException:
            await self.flow.remove(ticket.workflow_id, ticket.run_id, ticket.owner)
            raise

    async def _queue(
        self, command: Command, flow: FlowControl, ticket: Ticket, cancel: Cancel
    ) -> Ticket:
        lane = ticket.lane_d or ticket.lane_s
        if command.kind != "start" or lane is None:
            await self.flow.put(ticket)
            return ticket
        while True:
            view = await self.flow.read(ticket.door, lane=lane)
            others = [one for one in view.tickets if one.run_id != ticket.run_id]
            before = [one for one in others if one.lane_s and one.lane_s == ticket.lane_s]
            if before and flow.singleton is not None and flow.singleton[0] == "skip":
                raise _left_out(command, f"run {before[0].run_id!r} is under way (singleton)")
            placed, out = _debounced(ticket, flow, others)
            if await self.flow.write(ticket.door, view.version, called=out, new=placed):
                break
        self._woken.set()
        for one in before:
            await cancel(replace(command.target, run_id=one.run_id))
        return placed

    async def _count(
        self, command: Command, flow: FlowControl, event: dict[str, Json], now: int
    ) -> None:
        for name, rate in flow.rate_limits:
            key = key_of(rate.key, event)
            if key in (None, "null"):
                continue  # what has no key is free
            emission, at_once = _emission_us(rate), 1 + rate.limit // 10
            is_free = await self.flow.take(
                f"{name}/{command.target.workflow_id}/{key}",
                now_us=now * 1000,
                emission_us=emission,
                tolerance_us=emission * at_once,
            )
            if not is_free:
                raise _left_out(command, f"too many came before it ({name})")

    # -- waiting -------------------------------------------------------------------------------

    async def wait(self, ticket: Ticket) -> None:
        """Wait until a ticket is called.

        Raises:
            LeftOutError: Another one has come in its place.
        """
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._waiters[ticket.workflow_id, ticket.run_id] = (ticket, waiter)
        looker = self._looker
        if looker is None or looker.done() or looker.get_loop() is not loop:
            self._woken = asyncio.Event()
            self._looker = asyncio.create_task(self._look(), name="mastra doors")  # noqa: TID251
        self._woken.set()
        try:
            called = await waiter
        finally:
            self._waiters.pop((ticket.workflow_id, ticket.run_id), None)
            self._woken.set()
        if called == "out":
            raise LeftOutError(
                f"Run {ticket.run_id!r} of workflow {ticket.workflow_id!r} was not begun: another "
                "one came within the time of its `debounce`, and begins in its place.",
                details={"runId": ticket.run_id},
            )

    async def leave(self, ticket: Ticket) -> None:
        """Take a ticket away, and let in whoever is next."""
        await self.flow.remove(ticket.workflow_id, ticket.run_id, ticket.owner)
        await self.next(ticket.door)

    async def next(self, door: str) -> None:
        """Let in whoever is next."""
        if self._waiters:
            self._woken.set()
        else:  # those of others
            await let_in(self.flow, door, now_ms())

    async def _look(self) -> None:
        """Let in who is next, and wake those of this process that were called."""
        while self._waiters:
            self._woken.clear()
            now = now_ms()
            try:
                await self._follow_clock(now)
                waiting = [ticket for ticket, _ in self._waiters.values()]
                soonest = [one.due_at for one in waiting if one.due_at > now]
                for door in {one.door for one in waiting}:
                    again = await let_in(self.flow, door, now)
                    soonest += [] if again is None else [again]
                called = await self.flow.called(waiting[0].owner[:DRIVER_ID_LENGTH])
            except Exception as error:  # noqa: BLE001 - they cannot begin, and are told
                for _, waiter in self._waiters.values():
                    if not waiter.done():
                        waiter.set_exception(error)
                return
            for one in called:
                found = self._waiters.get((one.workflow_id, one.run_id))
                if found is not None and found[0].owner == one.owner and not found[1].done():
                    found[1].set_result(cast("Any", one.state))
                    self._waiters.pop((one.workflow_id, one.run_id))
            await self._prune(now)
            await self._rest(min(soonest, default=None))

    async def _follow_clock(self, now: int) -> None:
        """Have nobody wait for longer than it was to, where the clock has been put back."""
        for key, (ticket, waiter) in list(self._waiters.items()):
            back = ticket.first_at - now
            if back < _SET_BACK_MS:
                continue
            view = await self.flow.read(ticket.door, lane=ticket.lane_d)
            own = [one for one in view.tickets if (one.workflow_id, one.run_id) == key]
            if [one.state for one in own] != (["waiting"] if ticket.lane_d else []):
                continue  # it was called
            moved = replace(
                ticket, rank=ticket.rank - back, due_at=ticket.due_at - back, first_at=now
            )
            if await self.flow.write(ticket.door, view.version, new=moved):
                self._waiters[key] = (moved, waiter)

    async def _prune(self, now: int) -> None:
        if now - self._pruned_at > 3_600_000:
            self._pruned_at = now
            await self.flow.prune(now - 7 * 86_400_000)

    async def _rest(self, until: int | None) -> None:
        """Wait until somebody leaves, until it is time, or until others may have let somebody in."""
        waits = [asyncio.ensure_future(self._woken.wait())]
        if until is not None:
            seconds = max(0.001, (until - now_ms()) / 1000)
            waits.append(asyncio.ensure_future(cast("Any", sleep(seconds))))
        try:
            await asyncio.wait(
                waits,
                timeout=_LOOK_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*waits, return_exceptions=True)


def _ticket(command: Command, flow: FlowControl, event: dict[str, Json], now: int) -> Ticket | None:
    """Return the ticket of a leg, or `None` where nothing keeps it from beginning at once."""
    target, hold, is_start = command.target, command.hold, command.kind == "start"
    own = target.workflow_id
    lanes: list[tuple[str | None, int]] = [(None, 0), (None, 0)]
    for place, limit in enumerate(flow.concurrency):
        key, is_own = key_of(limit.key, event), limit.scope in (None, "fn")
        lane = f"{own}/{place}/{key}" if is_own else f"{limit.scope}//{key}"
        lanes[place] = (lane, limit.limit)
    lane_d = lane_s = lane_t = None
    emission = tolerance = 0
    due_at = now
    if flow.throttle is not None and command.kind != "restart":
        rate = flow.throttle
        lane_t, emission = f"{own}/throttle/{key_of(rate.key, event)}", _emission_us(rate)
        tolerance = emission * (rate.limit + rate.burst)
    if flow.debounce is not None and is_start:
        lane_d = f"{own}/debounce/{key_of(flow.debounce.key, event)}"
        due_at = now + int(flow.debounce.period_s * 1000)
    if flow.singleton is not None and command.kind in ("start", "restart"):
        key = key_of(flow.singleton[1], event)
        lane_s = None if key in (None, "null") else f"{own}/singleton/{key}"
    if not any((lanes[0][0], lane_d, lane_s, lane_t)):
        return None
    is_common = any(limit.scope not in (None, "fn") for limit in flow.concurrency)
    return Ticket(
        own,
        target.run_id,
        _SHARED_DOOR if is_common else own,
        UNSHARED if hold is None else hold.owner,
        now - flow.offset_ms(event),
        due_at,
        now,
        lane_a=lanes[0][0],
        limit_a=lanes[0][1],
        lane_b=lanes[1][0],
        limit_b=lanes[1][1],
        lane_s=lane_s,
        lane_d=lane_d,
        lane_t=lane_t,
        emission_us=emission,
        tolerance_us=tolerance,
    )


def _emission_us(rate: Rate) -> int:
    return int(rate.period_s * 1_000_000 / rate.limit)


def _debounced(
    ticket: Ticket, flow: FlowControl, others: list[Ticket]
) -> tuple[Ticket, list[Ticket]]:
    """Return a ticket in the place of those that wait in its lane, and those as being out."""
    if flow.debounce is None or ticket.lane_d is None:
        return ticket, []
    waiting = [one for one in others if one.lane_d == ticket.lane_d and one.state == "waiting"]
    first_at = min([ticket.first_at, *(one.first_at for one in waiting)])
    due_at = ticket.due_at
    if flow.debounce.timeout_s is not None:
        due_at = min(due_at, first_at + int(flow.debounce.timeout_s * 1000))
    placed = replace(ticket, first_at=first_at, due_at=max(due_at, 0))
    return placed, [replace(one, state="out") for one in waiting]


def _left_out(command: Command, why: str) -> LeftOutError:
    target = command.target
    return LeftOutError(
        f"Run {target.run_id!r} of workflow {target.workflow_id!r} was not begun: {why}. Start it "
        "again later, or give its workflow other flow control.",
        details={"runId": target.run_id},
    )
