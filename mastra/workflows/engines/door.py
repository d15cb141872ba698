"""Who is next at a door: decided from what is stored, and written if nobody was faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mastra.storage.flow import FlowStore, Ticket

__all__ = ["let_in"]

_AT_A_TIME: Final = 100


async def let_in(flow: FlowStore, door: str, now: int) -> int | None:
    """Let in all that may begin.

    Args:
        flow: Where the tickets are.
        door: Where they stand.
        now: What time it is, in milliseconds since 1970.

    Returns:
        When one may begin that only has to wait for its time; `None` where there is none.
    """
    while True:
        view = await flow.read(door)
        taken = Counter(lane for one in view.tickets for lane, _ in one.lanes)
        full = {lane for one in view.tickets for lane, most in one.lanes if taken[lane] >= most}
        again: int | None = None
        moved: dict[str, int] = {}
        while True:
            waiting = await flow.waiting(door, now=now, without=full, limit=_AT_A_TIME)
            called, marks, later = await _choose(flow, waiting, taken, full, now)
            moved |= marks
            again = min((at for at in (again, later) if at is not None), default=None)
            if called or len(waiting) < _AT_A_TIME:
                break
        if not called and not moved:
            return again
        is_all = len(waiting) < _AT_A_TIME
        if await flow.write(door, view.version, called=called, marks=moved) and is_all:
            return again


async def _choose(
    flow: FlowStore, waiting: Sequence[Ticket], taken: Counter[str], full: set[str], now: int
) -> tuple[list[Ticket], dict[str, int], int | None]:
    """Return who is called, how far the marks are moved for them, and when the next may be.

    Lanes that have no room are added to those that are full.
    """
    marks = await flow.marks({one.lane_t for one in waiting if one.lane_t is not None})
    called: list[Ticket] = []
    moved: dict[str, int] = {}
    again: int | None = None
    for one in waiting:
        if full & {lane for lane, _ in one.lanes} or one.lane_t in full:
            continue
        if one.lane_t is not None:
            latest = now * 1000 + one.tolerance_us
            mark = max(moved.get(one.lane_t, marks.get(one.lane_t, 0)), now * 1000)
            if mark > latest:  # of a clock that was ahead
                mark = moved[one.lane_t] = latest
            over = mark + one.emission_us - one.tolerance_us - now * 1000
            if over > 0:
                full.add(one.lane_t)
                at = now + -(-over // 1000)
                again = at if again is None else min(again, at)
                continue
            moved[one.lane_t] = mark + one.emission_us
        called.append(replace(one, state="in"))
        for lane, most in one.lanes:
            taken[lane] += 1
            if taken[lane] >= most:
                full.add(lane)
    return called, moved, again
