"""Metrics, as Studio reads them: counted from the spans that are kept."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any, Final, TypeAlias, cast

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.metrics import INTERVALS_MS, Point, Tally, kinds_of, points
from mastra.observability.percentiles import percentiles
from mastra.observability.records import SpanRecord
from mastra.server.context import Server, ServerDep, load_strict
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
    "asked_ms",
    "asked_times",
    "compared",
    "fits",
    "grouped",
    "over_time",
    "percentiles_over_time",
    "period",
    "period_with_before",
    "tallied",
    "time_of",
]

_MOMENT = TypeAdapter(datetime)
_MOST_TALLIES: Final = 100_000
"""How many values are put together for one answer."""
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
        raise Refusal(400, "timestamp must be an object with start and end")
    known = cast("dict[str, Any]", found)
    ends = (known.get("start"), known.get("end"))
    start, end = (None if value is None else time_of(value, "timestamp") for value in ends)
    return start, end


def asked_times(request: Request) -> tuple[float | None, float | None]:
    """Return where the time that a query asks for, in JSON, begins and ends."""
    text = request.query_params.get("timestamp")
    try:
        given = None if text is None else load_strict(text)
    except ValueError:
        given = text  # as all that is no object
    return period({"timestamp": given})


def asked_ms(request: Request) -> tuple[int | None, int | None]:
    """Return what `asked_times` gives for whole milliseconds: the first, and the first after it."""
    start, end = asked_times(request)
    return None if start is None else ceil(start), None if end is None else floor(end) + 1


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


async def _selected(
    server: Server,
    request: Request,
    names: list[str],
    filters: dict[str, Any],
    compare_period: str | None = None,
) -> AsyncIterator[Point]:
    """Yield the points that are asked for, by their time: there may be more than memory holds."""
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
        # Others are waiting.
        for point in await asyncio.to_thread(_chosen, spans, names, wanted):
            yield point


def _chosen(
    spans: Sequence[SpanRecord], names: Collection[str], filters: dict[str, Any]
) -> list[Point]:
    return [one for one in points(spans) if one.name in names and fits(one, filters)]


def _back_ms(compare_period: str, start: float, end: float) -> float:
    return _BACK_MS.get(compare_period, end - start)


def _is_within(point: Point, start: float | None, end: float | None) -> bool:
    return (start is None or point.at_ms >= start) and (end is None or point.at_ms < end)


async def tallied(
    found: AsyncIterator[Point], body: ManyBody, compare_period: str | None
) -> tuple[Tally, Tally | None]:
    """Return what points are together, and those of the time before where that is asked for."""
    start, end = period(body.filters)
    now = Tally(body.aggregation, body.distinct_column)
    if compare_period is None or start is None or end is None:
        async for point in found:
            if _is_within(point, start, end):
                now.add(point)
        return now, None
    before = Tally(body.aggregation, body.distinct_column)
    back = _back_ms(compare_period, start, end)
    async for point in found:
        if _is_within(point, start, end):
            now.add(point)
        if _is_within(point, start - back, end - back):
            before.add(point)
    return now, before


def compared(now: Tally, before: Tally | None) -> dict[str, Json]:
    """Return one value, and what it was in the time before where that is asked for."""
    if before is None:
        return {"value": now.value}
    change = _change(now.value, before.value)
    return {"value": now.value, "previousValue": before.value, "changePercent": change}


async def aggregate_metric(
    server: ServerDep, request: Request, body: AggregateBody
) -> dict[str, Json]:
    """Return one value of a metric, and what it was in the time before where that is asked for."""
    found = _selected(server, request, body.name, body.filters, body.compare_period)
    now, before = await tallied(found, body, body.compare_period)
    answer = {**_cost(now), **compared(now, before)}
    if before is None:
        return answer
    change = _change(now.cost_usd, before.cost_usd)
    return {**answer, "previousEstimatedCost": before.cost_usd, "costChangePercent": change}


def _cost(tally: Tally) -> dict[str, Json]:
    # Of models whose price is not known nothing is counted, as in the original.
    cost = tally.cost_usd
    return {"estimatedCost": cost, "costUnit": None if cost is None else "USD"}


def _change(value: float | None, before: float | None) -> float | None:
    """Return by how many percent a value is above what it was before."""
    return None if value is None or not before else (value - before) / before * 100


Groups: TypeAlias = dict[tuple[str | None, ...], dict[float, Tally]]
"""By the values of some dimensions: what there is of them in each stretch of time, by its begin."""


async def grouped(
    found: AsyncIterator[Point], body: ManyBody, names: list[str], interval: str | None = None
) -> Groups:
    """Return what points are together, by the values of some dimensions and by time.

    Args:
        found: The points.
        body: How many become one.
        names: The dimensions.
        interval: How long a stretch of time is; left out, all of it is one.

    Raises:
        Refusal: Of an answer with as many values nothing could be made.
    """
    length = None if interval is None else INTERVALS_MS[interval]
    groups: Groups = {}
    count = 0
    async for point in found:
        values = (point.dimensions.get(name) for name in names)
        key = tuple(None if value is None else str(value) for value in values)
        stretches = groups.setdefault(key, {})
        begin = 0.0 if length is None else point.at_ms // length * length
        tally = stretches.get(begin)
        if tally is None:
            if (count := count + 1) > _MOST_TALLIES:
                raise Refusal(
                    400,
                    f"The answer would have more than {_MOST_TALLIES} values: ask for a shorter "
                    "time, for longer intervals, or group by what has fewer values.",
                )
            tally = stretches[begin] = Tally(body.aggregation, body.distinct_column)
        tally.add(point)
    return groups


async def break_down(server: ServerDep, request: Request, body: BreakdownBody) -> dict[str, Json]:
    """Return values of a metric by the values of some dimensions."""
    found = _selected(server, request, body.name, body.filters)
    groups: list[dict[str, Json]] = [
        {
            "dimensions": dict(zip(body.group_by, key, strict=True)),
            "value": tally.value,
            **_cost(tally),
        }
        for key, stretches in (await grouped(found, body, body.group_by)).items()
        for tally in stretches.values()
    ]
    groups.sort(key=lambda group: cast("float", group["value"]), reverse=body.order == "DESC")
    return {"groups": groups if body.limit is None else groups[: body.limit]}


async def metric_series(server: ServerDep, request: Request, body: SeriesBody) -> dict[str, Json]:
    """Return values of a metric over time."""
    found = _selected(server, request, body.name, body.filters)
    groups = await grouped(found, body, body.group_by, body.interval)
    series: list[Json] = [
        {
            "name": name,
            "costUnit": None if all(one.cost_usd is None for _, one in stretches) else "USD",
            "points": [
                {**_at(begin, tally), "estimatedCost": tally.cost_usd} for begin, tally in stretches
            ],
        }
        for name, stretches in _series(groups, body.name)
    ]
    return {"series": series}


def over_time(groups: Groups, names: list[str]) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """Yield the name of each group with its values over time."""
    for name, stretches in _series(groups, names):
        yield name, [_at(begin, tally) for begin, tally in stretches]


def _series(groups: Groups, names: list[str]) -> Iterator[tuple[str, list[tuple[float, Tally]]]]:
    for key, stretches in groups.items():
        name = "|".join(value or "" for value in key) or ",".join(names)
        yield name, sorted(stretches.items(), key=lambda one: one[0])


def _at(begin: float, tally: Tally) -> dict[str, Json]:
    return {"timestamp": iso_from_ms(begin), "value": tally.value}


async def metric_percentiles(
    server: ServerDep, request: Request, body: PercentilesBody
) -> dict[str, Json]:
    """Return percentiles of a metric over time."""
    found = _selected(server, request, [body.name], body.filters)
    return await percentiles_over_time(found, body.percentiles, body.interval)


async def percentiles_over_time(
    found: AsyncIterator[Point], shares: list[float], interval: str
) -> dict[str, Json]:
    """Return each percentile over time, of points that come by their time."""
    length = INTERVALS_MS[interval]
    stretches: list[tuple[float, list[float]]] = []
    begin, values = 0.0, array("d")

    async def close() -> None:
        if values:
            stretches.append((begin, await asyncio.to_thread(percentiles, values, shares)))

    # By their time, so that of all the points the values of one stretch are kept at a time.
    async for point in found:
        if (at := point.at_ms // length * length) != begin:
            await close()
            begin, values = at, array("d")
        values.append(point.value)
    await close()
    return _percentiles(shares, stretches)


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
