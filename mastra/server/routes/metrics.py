"""Metrics, as Studio reads them: counted from the spans that are kept."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.metrics import (
    INTERVALS_MS,
    Point,
    aggregate,
    cost_usd,
    grouped,
    kinds_of,
    points,
)
from mastra.observability.percentiles import percentiles
from mastra.observability.records import SpanRecord
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.observed import kept_in
from mastra.server.payloads import (
    AggregateBody,
    BreakdownBody,
    ManyBody,
    PercentilesBody,
    SeriesBody,
)
from mastra.storage.evals import EvalFilter
from mastra.storage.observability import SpanFilter

__all__ = [
    "add_metric_routes",
    "compared",
    "fits",
    "over_time",
    "percentiles_over_time",
    "period",
    "period_with_before",
    "time_of",
    "within",
]

_MOMENT = TypeAdapter(datetime)
_BACK_MS = {"previous_day": 86_400_000, "previous_week": 7 * 86_400_000}


def time_of(value: Any, what: str) -> float:
    """Return a moment of a filter, ISO 8601 or milliseconds since 1970, in milliseconds.

    Raises:
        Refusal: It is neither.
    """
    try:
        found = _MOMENT.validate_python(value)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1000
    except (ValidationError, OverflowError, OSError, ValueError):
        raise Refusal(400, f"{what} must be a time, such as 2026-01-31T12:00:00Z") from None


def period(filters: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return where the time of a filter begins and ends."""
    found = filters.get("timestamp")
    if found is None:
        return None, None
    if not isinstance(found, dict):
        raise Refusal(400, "filters.timestamp must be an object with start and end")
    known = cast("dict[str, Any]", found)
    ends = (known.get("start"), known.get("end"))
    start, end = (None if value is None else time_of(value, "timestamp") for value in ends)
    return start, end


def period_with_before(
    filters: dict[str, Any], compare_period: str | None
) -> tuple[float | None, float | None]:
    """Return the time of a filter, with the time before it that it is compared with, if any."""
    start, end = period(filters)
    if compare_period is not None and start is not None and end is not None:
        start -= _back_ms(compare_period, start, end)
    return start, end


def fits(point: Point, filters: dict[str, Any]) -> bool:
    """Return whether a point has the dimensions that a filter names."""
    for name, wanted in filters.items():
        if name == "timestamp" or wanted is None:
            continue
        key = "traceId" if name == "traceIds" else name
        # What no point is told of, such as tags, no point has.
        value = point.dimensions.get(key)
        if value not in wanted if isinstance(wanted, (list, frozenset)) else value != wanted:
            return False
    return True


async def _of_experiments(
    server: Server, request: Request, filters: dict[str, Any]
) -> dict[str, Any]:
    """Return filters that name traces in place of experiments: of these no span tells."""
    named = filters.get("experimentId")
    if named is None:
        return filters
    traces: set[str] = set()
    for experiment_id in cast("list[Any]", named if isinstance(named, list) else [named]):
        where = EvalFilter(parent_id=str(experiment_id), resource_id=server.owner(request))
        async for page in server.mastra.storage.evals.pages("experiment_result", where):
            traces.update(one.trace_id for one in page if one.trace_id is not None)
    others = {name: value for name, value in filters.items() if name != "experimentId"}
    asked: Any = others.pop("traceIds", None)
    if asked is not None:
        listed = cast("list[Any]", asked if isinstance(asked, list) else [asked])
        traces &= {one for one in listed if isinstance(one, str)}
    return {**others, "traceIds": frozenset(traces)}


async def _pages(
    server: Server,
    request: Request,
    names: list[str],
    filters: dict[str, Any],
    compare_period: str | None = None,
) -> AsyncIterator[list[Point]]:
    """Yield the points that are asked for, by their time, some at once."""
    start, end = period_with_before(filters, compare_period)
    store = await kept_in(server, "traces")
    kinds = tuple(kinds_of(names))
    if store is None or not kinds:
        return
    where = SpanFilter(
        kinds=kinds, resource_id=server.owner(request), ended_from=start, ended_before=end
    )
    wanted = await _of_experiments(server, request, filters)
    async for spans in store.figures(where):
        # There may be many, and others are waiting.
        yield await asyncio.to_thread(_chosen, spans, names, wanted)


def _chosen(
    spans: Sequence[SpanRecord], names: Collection[str], filters: dict[str, Any]
) -> list[Point]:
    return [one for one in points(spans) if one.name in names and fits(one, filters)]


async def _selected(
    server: Server,
    request: Request,
    names: list[str],
    filters: dict[str, Any],
    compare_period: str | None = None,
) -> list[Point]:
    pages = _pages(server, request, names, filters, compare_period)
    return [one async for page in pages for one in page]


def _back_ms(compare_period: str, start: float, end: float) -> float:
    return _BACK_MS.get(compare_period, end - start)


def within(found: Iterable[Point], start: float | None, end: float | None) -> list[Point]:
    """Return the points of a time."""
    return [
        point
        for point in found
        if (start is None or point.at_ms >= start) and (end is None or point.at_ms < end)
    ]


def compared(found: list[Point], body: ManyBody, compare_period: str | None) -> dict[str, Json]:
    """Return one value, and what it was in the time before where that is asked for."""
    start, end = period(body.filters)
    value = aggregate(within(found, start, end), body.aggregation, body.distinct_column)
    if compare_period is None or start is None or end is None:
        return {"value": value}
    back = _back_ms(compare_period, start, end)
    earlier = within(found, start - back, end - back)
    before = aggregate(earlier, body.aggregation, body.distinct_column)
    return {"value": value, "previousValue": before, "changePercent": _change(value, before)}


async def aggregate_metric(
    server: ServerDep, request: Request, body: AggregateBody
) -> dict[str, Json]:
    """Return one value of a metric, and what it was in the time before where that is asked for."""
    found = await _selected(server, request, body.name, body.filters, body.compare_period)
    answer = compared(found, body, body.compare_period)
    start, end = period(body.filters)
    cost = _cost(within(found, start, end))
    if body.compare_period is None or start is None or end is None:
        return {**cost, **answer}
    back = _back_ms(body.compare_period, start, end)
    before = cost_usd(within(found, start - back, end - back))
    change = _change(cast("float | None", cost["estimatedCost"]), before)
    return {**cost, **answer, "previousEstimatedCost": before, "costChangePercent": change}


def _cost(found: list[Point]) -> dict[str, Json]:
    # Of models whose price is not known nothing is counted, as in the original.
    cost = cost_usd(found)
    return {"estimatedCost": cost, "costUnit": None if cost is None else "USD"}


def _change(value: float | None, before: float | None) -> float | None:
    """Return by how many percent a value is above what it was before."""
    return None if value is None or not before else (value - before) / before * 100


async def break_down(server: ServerDep, request: Request, body: BreakdownBody) -> dict[str, Json]:
    """Return values of a metric by the values of some dimensions."""
    found = within(await _selected(server, request, body.name, body.filters), *period(body.filters))
    groups: list[dict[str, Json]] = [
        {
            "dimensions": dimensions,
            "value": aggregate(members, body.aggregation, body.distinct_column),
            **_cost(members),
        }
        for dimensions, members in grouped(found, body.group_by)
    ]
    groups.sort(key=lambda group: cast("float", group["value"]), reverse=body.order == "DESC")
    return {"groups": groups if body.limit is None else groups[: body.limit]}


def _buckets(found: list[Point], interval: str) -> list[tuple[float, list[Point]]]:
    length = INTERVALS_MS[interval]
    buckets: dict[float, list[Point]] = {}
    for point in found:
        buckets.setdefault(point.at_ms // length * length, []).append(point)
    return sorted(buckets.items())


async def metric_series(server: ServerDep, request: Request, body: SeriesBody) -> dict[str, Json]:
    """Return values of a metric over time."""
    found = within(await _selected(server, request, body.name, body.filters), *period(body.filters))
    series: list[Json] = [
        {
            "name": name,
            "costUnit": _cost([point for _, bucket in buckets for point in bucket])["costUnit"],
            "points": [
                {**_at(moment, bucket, body), "estimatedCost": cost_usd(bucket)}
                for moment, bucket in buckets
            ],
        }
        for name, buckets in _series(found, body.interval, body.group_by, body.name)
    ]
    return {"series": series}


def over_time(
    found: list[Point], body: ManyBody, interval: str, group_by: list[str], names: list[str]
) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """Yield the name of each group with its values over time."""
    for name, buckets in _series(found, interval, group_by, names):
        yield name, [_at(moment, bucket, body) for moment, bucket in buckets]


def _series(
    found: list[Point], interval: str, group_by: list[str], names: list[str]
) -> Iterator[tuple[str, list[tuple[float, list[Point]]]]]:
    for dimensions, members in grouped(found, group_by) if found else []:
        name = "|".join(value or "" for value in dimensions.values()) or ",".join(names)
        yield name, _buckets(members, interval)


def _at(moment: float, bucket: list[Point], body: ManyBody) -> dict[str, Json]:
    value = aggregate(bucket, body.aggregation, body.distinct_column)
    return {"timestamp": iso_from_ms(moment), "value": value}


async def metric_percentiles(
    server: ServerDep, request: Request, body: PercentilesBody
) -> dict[str, Json]:
    """Return percentiles of a metric over time."""
    length = INTERVALS_MS[body.interval]
    stretches: list[tuple[float, list[float]]] = []
    begin, values = 0.0, array("d")

    async def close() -> None:
        if values:
            shares = await asyncio.to_thread(percentiles, values, body.percentiles)
            stretches.append((begin, shares))

    # By their time, so that of all the points the values of one stretch are kept at a time.
    async for page in _pages(server, request, [body.name], body.filters):
        for point in page:
            if (at := point.at_ms // length * length) != begin:
                await close()
                begin, values = at, array("d")
            values.append(point.value)
    await close()
    return _percentiles(body.percentiles, stretches)


def percentiles_over_time(
    found: list[Point], shares: list[float], interval: str
) -> dict[str, Json]:
    """Return each percentile over time."""
    buckets = _buckets(found, interval)
    return _percentiles(
        shares, [(at, percentiles([one.value for one in bucket], shares)) for at, bucket in buckets]
    )


def _percentiles(
    shares: list[float], stretches: list[tuple[float, list[float]]]
) -> dict[str, Json]:
    return {
        "series": [
            {
                "percentile": share,
                "points": [
                    {"timestamp": iso_from_ms(begin), "value": values[place]}
                    for begin, values in stretches
                ],
            }
            for place, share in enumerate(shares)
        ]
    }


def add_metric_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    base = "/observability/metrics"
    add(router, "POST", f"{base}/aggregate", aggregate_metric)
    add(router, "POST", f"{base}/breakdown", break_down)
    add(router, "POST", f"{base}/timeseries", metric_series)
    add(router, "POST", f"{base}/percentiles", metric_percentiles)
