"""Durations, token counts and what they cost, taken from the spans that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mastra.jsonable import Json
from mastra.observability.records import SpanRecord
from mastra.observability.spans import SpanKind
from mastra.observability.wire import span_to_wire

__all__ = [
    "AGGREGATIONS",
    "INTERVALS_MS",
    "Point",
    "aggregate",
    "cost_usd",
    "grouped",
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


def _distinct(found: list[Point], column: str | None) -> float:
    known = {point.dimensions.get(column or "") for point in found}
    return float(len(known - {None}))


AGGREGATIONS: Final[Mapping[str, Callable[[list[Point], str | None], float]]] = {
    "sum": lambda found, _: math.fsum(point.value for point in found),
    "avg": lambda found, _: math.fsum(point.value for point in found) / len(found),
    "min": lambda found, _: min(point.value for point in found),
    "max": lambda found, _: max(point.value for point in found),
    "count": lambda found, _: float(len(found)),
    "last": lambda found, _: max(found, key=lambda point: point.at_ms).value,
    "count_distinct": _distinct,
}
"""How many values become one, by the name on the wire."""


def aggregate(found: list[Point], how: str, column: str | None = None) -> float | None:
    """Return one value for many, or `None` where there are none."""
    return AGGREGATIONS[how](found, column) if found else None


def cost_usd(found: Iterable[Point]) -> float | None:
    """Return what is known of what points cost together, in US dollars; `None` for nothing."""
    known = [point.cost_usd for point in found if point.cost_usd is not None]
    return math.fsum(known) if known else None


def grouped(
    found: Iterable[Point], names: list[str]
) -> list[tuple[dict[str, str | None], list[Point]]]:
    """Return points by the values of some dimensions."""
    groups: dict[tuple[str | None, ...], list[Point]] = {}
    for point in found:
        values = (point.dimensions.get(name) for name in names)
        key = tuple(None if value is None else str(value) for value in values)
        groups.setdefault(key, []).append(point)
    return [(dict(zip(names, key, strict=True)), points) for key, points in groups.items()]
