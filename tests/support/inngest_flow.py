"""Flow control of the small Inngest server: which events begin runs, when, and how many go on at once.

Its own, and not what the in-process engine has, so that the two can be held against each other;
the same tests hold it against the real server. As there, `concurrency` counts requests that are
being answered, not runs: one that sleeps has no place.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mastra.clock import Clock

__all__ = ["Flow", "evaluate"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_IDEMPOTENT_S = 86_400.0
FURTHEST_S = 600.0


def seconds(text: str) -> float:
    """Return a duration such as `"1m30s"` in seconds."""
    return float(sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smhdw])", text)))


def evaluate(expression: str, event: Mapping[str, Any]) -> Any:
    """Return the value of an expression. What the event does not have is null."""
    import cel

    seen: dict[str, Any] = {"event": dict(event)}
    for path in re.findall(r"\bevent(?:\.\w+)+", expression):
        at = seen
        *parents, last = path.split(".")
        for name in parents:
            at[name] = dict(at.get(name) or {})
            at = at[name]
        at.setdefault(last, None)
    return cel.compile(expression).execute(seen)


def key_of(control: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """Return by what an event is counted; `None` where its key sets it free."""
    value = evaluate(control["key"], event) if control.get("key") else ""
    return None if value is False else str(value)


@dataclass
class Rate:
    """So many in a period, evenly, and some at once."""

    at: float = float("-inf")
    """When the next may come if none may come at once."""

    def wait_s(self, now: float, each_s: float, at_once: int) -> float:
        """Return how long one has to wait that comes now, and count it if that is nothing."""
        moved = max(self.at, now) + each_s
        wait = moved - at_once * each_s - now
        if wait <= 0:
            self.at = moved
        return max(0.0, wait)


@dataclass(order=True)
class _Waiter:
    rank: float
    number: int
    lanes: dict[str, int] = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)
    run: Any = field(compare=False)


class Places:
    """How many requests are being answered, by what they are counted in."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()

    async def take(self, lanes: dict[str, int], rank: float, run: Any) -> None:
        """Wait for a place; of those that wait the one of the lowest rank comes first."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bisect.insort(self._waiting, _Waiter(rank, next(self._numbers), lanes, turn, run))
        self._let_in()
        await turn

    def give_back(self, lanes: dict[str, int]) -> None:
        """Let others in."""
        self._taken.subtract(lanes.keys())
        self._let_in()

    def wake(self, run: Any) -> None:
        """Let a run in that has ended meanwhile, so that it hears of it."""
        for waiter in [one for one in self._waiting if one.run is run]:
            self._call(waiter)

    def _call(self, waiter: _Waiter) -> None:
        self._waiting.remove(waiter)
        self._taken.update(waiter.lanes.keys())
        waiter.turn.set_result(None)

    def _let_in(self) -> None:
        for waiter in list(self._waiting):
            if all(self._taken[lane] < limit for lane, limit in waiter.lanes.items()):
                self._call(waiter)


class Flow:
    """What one server knows of the flow control of its functions."""

    def __init__(self, clock: Callable[[], Clock]) -> None:
        self._clock = clock
        self._rates: dict[str, Rate] = {}
        self._places = Places()
        self._debounced: dict[str, _Debounced] = {}

    # -- events --------------------------------------------------------------------------------

    def takes(self, function: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        """Return whether an event may begin a run, by rate limit and idempotency."""
        limits: list[tuple[str, Mapping[str, Any]]] = []
        if "idempotency" in function:
            once = {"key": function["idempotency"], "limit": 1, "period": f"{_IDEMPOTENT_S:.0f}s"}
            limits.append(("idempotency", once))
        if "rateLimit" in function:
            limits.append(("rateLimit", function["rateLimit"]))
        for name, limit in limits:
            key = key_of(limit, event)
            if key is None:
                continue
            rate = self._rates.setdefault(f"{function['id']}/{name}/{key}", Rate())
            each_s, at_once = seconds(limit["period"]) / limit["limit"], 1 + limit["limit"] // 10
            if rate.wait_s(self._clock().now(), each_s, at_once):
                return False
        return True

    async def debounce(self, function: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        """Wait until no other event came for a period; return whether this was the last."""
        control = function.get("debounce")
        if control is None:
            return True
        name, now = f"{function['id']}/{key_of(control, event)}", self._clock().now()
        until = now + seconds(control["period"])
        before = self._debounced.get(name)
        first = now if before is None else before.first
        if control.get("timeout"):
            until = min(until, first + seconds(control["timeout"]))
        mine = self._debounced[name] = _Debounced(first)
        await self._clock().sleep(until - now)
        if self._debounced.get(name) is not mine:
            return False
        del self._debounced[name]
        return True

    @staticmethod
    def alone(function: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
        """Return in what a run is the only one of its function, if it is."""
        control = function.get("singleton")
        return None if control is None else key_of(control, event)

    # -- requests ------------------------------------------------------------------------------

    async def begin(self, function: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Wait until a run may begin, by its throttle."""
        control = function.get("throttle")
        if control is None:
            return
        rate = self._rates.setdefault(f"{function['id']}/throttle/{key_of(control, event)}", Rate())
        each_s = seconds(control["period"]) / control["limit"]
        at_once = control["limit"] + control.get("burst", 1)
        while wait := rate.wait_s(self._clock().now(), each_s, at_once):
            await self._clock().sleep(wait)

    async def enter(self, run: Any) -> Callable[[], None]:
        """Wait for a place to send a request of a run; return how to give it back."""
        function, event = run.function, run.event
        lanes: dict[str, int] = {}
        for number, limit in enumerate(function.get("concurrency") or ()):
            own = limit.get("scope", "fn") == "fn"
            where = f"{function['id']}/{number}" if own else limit["scope"]
            lanes[f"{where}/{key_of(limit, event)}"] = limit["limit"]
        if not lanes:
            return lambda: None
        ahead_s = evaluate(function["priority"]["run"], event) if "priority" in function else 0
        ahead_s = max(-FURTHEST_S, min(FURTHEST_S, ahead_s or 0))
        await self._places.take(lanes, event["ts"] / 1000 - ahead_s, run)
        return lambda: self._places.give_back(lanes)

    def ended(self, run: Any) -> None:
        """Have a run that has ended wait no more."""
        self._places.wake(run)


@dataclass
class _Debounced:
    first: float
