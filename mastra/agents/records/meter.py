"""What a run has used, counted with all that it asks others to do.

A run's meter hands on what it counts to that of the run in one of whose tools it runs, so limits
hold for a whole tree of agents. What a run had used when it stopped to wait is stored with it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mastra.agents.limits import UsageLimits
from mastra.errors import UsageLimitError
from mastra.jsonable import Json
from mastra.models.chunks import TOKEN_COUNTS, Usage
from mastra.models.prices import Spending, kept_for_an_hour

__all__ = ["NOTHING_USED", "Meter", "count_within", "meter_around"]

_current: contextvars.ContextVar[Meter | None] = contextvars.ContextVar("meter", default=None)
_NO_LIMITS: Final = UsageLimits()


def meter_around() -> Meter | None:
    """Return the meter of the run in one of whose tools this is called, while that run lasts."""
    meter = _current.get()
    return None if meter is None or meter.is_closed else meter


def count_within(context: contextvars.Context, meter: Meter) -> None:
    """Let runs that begin in a context be counted with the run whose meter it is."""
    context.run(_current.set, meter)


class Meter:
    """What one run has used, and how much it may use."""

    __slots__ = (
        "_cost",
        "_priced",
        "_tokens",
        "_tripped",
        "agent_id",
        "is_closed",
        "limits",
        "parent",
        "requests",
        "spent",
        "tool_calls",
    )

    def __init__(self, parent: Meter | None = None, agent_id: str = "") -> None:
        self.parent = parent
        self.agent_id = agent_id
        self.limits = _NO_LIMITS
        self.is_closed = False
        """Whether the run is over, so that nothing is part of it any more."""
        self.requests = 0
        self.tool_calls = 0
        self.spent: list[Spending] = []
        """The requests that were answered, those of agents that were asked included."""
        self._tokens = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        self._cost = 0.0
        self._priced = 0
        self._tripped: tuple[str, float, float] | None = None

    def _all(self) -> Iterator[Meter]:
        meter: Meter | None = self
        while meter is not None:
            yield meter
            meter = meter.parent
            if meter is not None and meter.is_closed:
                return  # begun in a tool of that run, and still there after it

    def asked(self) -> list[str]:
        """Return the ids of the agents that ask each other here, the first one first."""
        return [meter.agent_id for meter in self._all()][::-1]

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit, of this run or of one that it is part of."""
        return any(meter.limits is not _NO_LIMITS for meter in self._all())

    def before_request(self) -> None:
        """Count a model request that is about to be sent.

        Raises:
            UsageLimitError: It would be one too many, or there is nothing left for it.
        """
        for meter in self._all():
            if meter.limits is _NO_LIMITS:
                continue
            meter.refuse_again()
            most = meter.limits.requests
            if most is not None and meter.requests >= most:
                meter.trip("requests", most, meter.requests + 1)
            for name, used, most in meter.amounts():
                # Every request takes something: where all is used there is no room for another.
                if used >= most:
                    meter.trip(name, most, used)
        for meter in self._all():
            meter.requests += 1

    def answered(self, model: str, usage: Usage, answered_by: str | None = None) -> None:
        """Count what an answer took.

        Raises:
            UsageLimitError: It was more than there was left.
        """
        item = Spending(model, usage, answered_by)
        for meter in self._all():
            meter.add(item)
        self.check()

    def calls(self, count: int) -> None:
        """Count the tool calls of a step, before any of them runs.

        Raises:
            UsageLimitError: They are too many.
        """
        for meter in self._all():
            most = meter.limits.tool_calls
            if most is not None and count and meter.tool_calls + count > most:
                meter.trip("tool_calls", most, meter.tool_calls + count)
        for meter in self._all():
            meter.tool_calls += count

    def check(self) -> None:
        """Look whether more was used than may be, by this run or by what it asked others to do.

        Raises:
            UsageLimitError: It was.
        """
        for meter in self._all():
            if meter.limits is _NO_LIMITS:
                continue
            meter.refuse_again()
            for name, used, most in meter.amounts():
                if used > most:
                    meter.trip(name, most, used)

    def close(self) -> None:
        """Take no more from runs that outlive the run."""
        self.is_closed = True

    def amounts(self) -> Iterator[tuple[str, float, float]]:
        """Yield each limited amount: its name, what was used, and how much there is."""
        limits = self.limits
        for name, used in self._tokens.items():
            most = getattr(limits, name)
            if most is not None:
                yield name, used, most
        if limits.cost_usd is not None:
            for item in self.spent[self._priced :]:
                self._cost += item.cost_usd or 0.0
            self._priced = len(self.spent)
            yield "cost_usd", self._cost, limits.cost_usd

    def add(self, item: Spending) -> None:
        """Count one answer, here alone."""
        self.spent.append(item)
        usage, tokens = item.usage, self._tokens
        given, made = usage.input_tokens or 0, usage.output_tokens or 0
        tokens["input_tokens"] += given
        tokens["output_tokens"] += made
        tokens["total_tokens"] += max(usage.total_tokens or 0, given + made)

    def trip(self, name: str, most: float, used: float) -> None:
        """Take note that a limit was met.

        Raises:
            UsageLimitError: Always.
        """
        self._tripped = (name, most, used)
        self.refuse_again()

    def refuse_again(self) -> None:
        """Raise where a limit was met before.

        An agent that was asked may have met this run's limit, and its error have been told to the
        model: the run ends all the same.

        Raises:
            UsageLimitError: One was.
        """
        if self._tripped is None:
            return
        name, most, used = self._tripped
        raise UsageLimitError(
            f"The run's limit of {name} is {most:g}; it would come to {used:g}. The result so far "
            f"is the error's `result`; give more by limits=UsageLimits({name}=...).",
            details={"limit": name, "max": most, "used": used},
        )

    # -- what is stored ------------------------------------------------------------------------

    def to_json(self, since: Meter | None = None) -> dict[str, Json]:
        """Return what was used as JSON data.

        Args:
            since: Only what was used since then.
        """
        before = Meter() if since is None else since
        return {
            "requests": self.requests - before.requests,
            "toolCalls": self.tool_calls - before.tool_calls,
            "spent": [_dump(item) for item in self.spent[len(before.spent) :]],
        }

    def copy(self) -> Meter:
        """Return the counts as they are now."""
        made = Meter()
        made.take(self)
        return made

    def take(self, other: Meter) -> None:
        """Add what another counts. Runs that this one is part of have counted it."""
        if not self.spent:
            self._cost, self._priced = other._cost, other._priced
        self.requests += other.requests
        self.tool_calls += other.tool_calls
        self.spent += other.spent
        for name, count in other._tokens.items():
            self._tokens[name] += count

    def go_on_from(self, earlier: Meter) -> None:
        """Add what was used before anything that is counted here."""
        own = self.copy()
        self.requests, self.tool_calls, self.spent = 0, 0, []
        self._tokens = dict.fromkeys(self._tokens, 0)
        self.take(earlier)
        self.take(own)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Add what was stored. Runs that this one is part of have counted it."""
        self.requests += data["requests"]
        self.tool_calls += data["toolCalls"]
        for item in data["spent"]:
            self.add(_load(item))


NOTHING_USED: Final = Meter().to_json()


def _dump(item: Spending) -> Json:
    counts: Sequence[int | None] = [getattr(item.usage, name) for name in TOKEN_COUNTS]
    return [item.model, item.answered_by, *counts, kept_for_an_hour(item.usage)]


def _load(data: Sequence[Any]) -> Spending:
    model, answered_by, *counts, for_an_hour = data
    # Where the provider says it.
    raw: Json = {"raw": {"cache_creation": {"ephemeral_1h_input_tokens": for_an_hour}}}
    counted = dict(zip(TOKEN_COUNTS, counts, strict=True))
    usage = Usage(**counted, raw=raw if for_an_hour else None)
    return Spending(model, usage, answered_by)
