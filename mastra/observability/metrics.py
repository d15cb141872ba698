"""Durations, token counts and what they cost, taken from the spans that are kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mastra.jsonable import Json
from mastra.observability.records import SpanRecord
from mastra.observability.spans import SpanKind
from mastra.observability.wire import span_to_wire

__all__ = [
    "INTERVALS_MS",
    "Point",
    "Tally",
    "kinds_of",
    "points",
]

_DURATIONS: Final[Mapping[SpanKind, str]] = {
    "agent_run": "mastra_agent_duration_ms",
    "workflow_run": "mastra_workflow_duration_ms",
    "tool_call": "mastra_tool_duration_ms",
    "model_generation": "mastra_model_duration_ms",
}
_TOKENS: Final = ("mastra_model_total_input_tokens", "mastra_model_total_output_tokens")
_DIMENSIONS = (
    "traceId",
    "spanId",
    "entityType",
    "entityName",
    "runId",
    "threadId",
    "resourceId",
    "serviceName",
    "environment",
)

INTERVALS_MS: Final[Mapping[str, int]] = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "1d": 86_400_000,
}
"""How long a bucket of a series is, by its name on the wire."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    name: str
    at_ms: float
    value: float
    dimensions: dict[str, Json] = field(default_factory=dict[str, Any])
    """What it can be grouped and filtered by, under the names of the wire."""
    cost_usd: float | None = None
    """What it cost, in US dollars; `None` where that is not known, or nothing is to be paid."""


def kinds_of(names: Collection[str]) -> list[SpanKind]:
    """Return the kinds of the spans that metrics of some names are counted from."""
    found: list[SpanKind] = [kind for kind, name in _DURATIONS.items() if name in names]
    if "model_generation" not in found and not set(_TOKENS).isdisjoint(names):
        found.append("model_generation")
    return found


def points(spans: Iterable[SpanRecord]) -> Iterator[Point]:
    """Yield what spans tell: how long they took, and what models were given.

    Args:
        spans: Of the kinds that `kinds_of` gives.
    """
    for span in spans:
        wire = span_to_wire(span)
        dimensions = {name: wire[name] for name in _DIMENSIONS}
        dimensions["status"] = "error" if span.is_failed else "ok"
        took = span.ended_ms - span.started_ms
        values: list[tuple[str, float, float | None]] = [(_DURATIONS[span.kind], took, None)]
        if span.kind == "model_generation":
            dimensions["model"], dimensions["provider"] = span.model, span.provider
            dimensions["entityName"] = span.entity_id  # tokens belong to the agent
            given, received = _TOKENS
            values += [
                (given, float(span.input_tokens or 0), span.input_cost_usd),
                (received, float(span.output_tokens or 0), span.output_cost_usd),
            ]
        for name, value, cost in values:
            yield Point(name, span.ended_ms, value, {**dimensions, "name": name}, cost)


class Tally:
    """Many values that become one while they come; none of them is kept.

    Args:
        how: `sum`, `avg`, `min`, `max`, `count`, `last` or `count_distinct`.
        column: Which dimension `count_distinct` counts.
    """

    __slots__ = ("_column", "_costs", "_count", "_found", "_how", "_last_ms", "_seen", "_sums")

    def __init__(self, how: str, column: str | None = None) -> None:
        self._how = how
        self._column = column or ""
        self._count = 0
        self._found = 0.0
        self._last_ms = 0.0
        self._sums: list[float] = []
        self._costs: list[float] = []
        self._seen: set[str | float | None] = set()

    def add(self, point: Point) -> None:
        """Count a value in."""
        self._count += 1
        if point.cost_usd is not None:
            _add_exactly(self._costs, point.cost_usd)
        value, is_first = point.value, self._count == 1
        match self._how:
            case "sum" | "avg":
                _add_exactly(self._sums, value)
            case "min":
                self._found = value if is_first else min(self._found, value)
            case "max":
                self._found = value if is_first else max(self._found, value)
            case "last" if is_first or point.at_ms > self._last_ms:
                self._found, self._last_ms = value, point.at_ms
            case "count_distinct":
                seen = point.dimensions.get(self._column)
                is_plain = seen is None or isinstance(seen, str | int | float)
                self._seen.add(seen if is_plain else str(seen))
            case _:
                pass

    @property
    def value(self) -> float | None:
        """What they are together; `None` where there are none."""
        if not self._count:
            return None
        match self._how:
            case "sum":
                return math.fsum(self._sums)
            case "avg":
                return math.fsum(self._sums) / self._count
            case "count":
                return float(self._count)
            case "count_distinct":
                return float(len(self._seen - {None}))
            case _:
                return self._found

    @property
    def cost_usd(self) -> float | None:
        """What is known of what they cost together, in US dollars; `None` for nothing."""
        return math.fsum(self._costs) if self._costs else None


def _add_exactly(parts: list[float], value: float) -> None:
    """Add a number to a sum that is kept as numbers which do not overlap, so that none is rounded."""
    kept = 0
    for part in parts:
        large, small = (value, part) if abs(value) >= abs(part) else (part, value)
        value = large + small
        if math.isinf(value):
            parts[:] = [value]
            return
        if rest := small - (value - large):
            parts[kept] = rest
            kept += 1
    parts[kept:] = [value]
