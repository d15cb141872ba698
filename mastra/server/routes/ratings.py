"""Scores and feedback put together from many: one value, values by dimensions and over time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.metrics import INTERVALS_MS, Point
from mastra.server.context import Server, ServerDep
from mastra.server.handling import add
from mastra.server.payloads import Filters, Identifier, Interval, ManyBody, Period
from mastra.server.routes.feedback import feedback_to_wire
from mastra.server.routes.metrics import (
    compared,
    fits,
    grouped,
    over_time,
    percentiles_over_time,
    period_with_before,
    tallied,
)
from mastra.server.routes.scores import score_to_signal, signal_conditions
from mastra.storage.evals import EvalFilter, EvalKind, EvalRecord, FieldCondition
from mastra.wire import WireModel

__all__ = ["add_rating_routes"]


class Scores(WireModel):
    """Which scores are meant."""

    scorer_id: Identifier
    score_source: Identifier | None = None
    filters: Filters = Field(default_factory=dict[str, Any])


class Feedback(WireModel):
    """Which feedback is meant: that with a number."""

    feedback_type: Identifier
    feedback_source: Identifier | None = None
    filters: Filters = Field(default_factory=dict[str, Any])


class One(ManyBody):
    """One value, perhaps compared with that of the time before."""

    compare_period: Period | None = None


class Groups(ManyBody):
    """Values by dimensions."""

    group_by: Annotated[list[str], Field(min_length=1, max_length=20)]


class Series(ManyBody):
    """Values over time."""

    interval: Interval
    group_by: list[str] = Field(default_factory=list[str], max_length=20)


class Percentiles(WireModel):
    """Percentiles over time."""

    percentiles: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=100)
    ]
    interval: Interval


class ScoreOne(Scores, One):
    """One value of many scores."""


class ScoreGroups(Scores, Groups):
    """Values of scores by dimensions."""


class ScoreSeries(Scores, Series):
    """Values of scores over time."""


class ScorePercentiles(Scores, Percentiles):
    """Percentiles of scores over time."""


class FeedbackOne(Feedback, One):
    """One value of much feedback."""


class FeedbackGroups(Feedback, Groups):
    """Values of feedback by dimensions."""


class FeedbackSeries(Feedback, Series):
    """Values of feedback over time."""


class FeedbackPercentiles(Feedback, Percentiles):
    """Percentiles of feedback over time."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between scores and feedback."""

    kind: EvalKind
    number: str
    """Under what name the number is, stored and on the wire."""
    to_wire: Callable[[EvalRecord], dict[str, Json]]
    conditions: Callable[[str, Sequence[str]], tuple[FieldCondition, ...] | None]
    """What must be stored where a name on the wire has one of some texts; `None` if not told."""


def _stored_feedback(name: str, values: Sequence[str]) -> tuple[FieldCondition, ...] | None:
    # As clients gave it, but for these.
    if name in ("resourceId", "feedbackId", "timestamp") or not name.isidentifier():
        return None
    return (FieldCondition(((name,),), (*values,)),)


_SCORES = _Kind("score", "score", score_to_signal, signal_conditions)
_FEEDBACK = _Kind("feedback", "value", feedback_to_wire, _stored_feedback)


def _asked(
    server: Server, request: Request, body: Scores | Feedback, compare_period: str | None = None
) -> tuple[_Kind, EvalFilter, dict[str, Any]]:
    """Return what is meant and the caller may see, and what is left to look for on the wire."""
    start, end = period_with_before(body.filters, compare_period)
    where = EvalFilter(
        resource_id=server.owner(request),
        from_ms=None if start is None else math.ceil(start),
        before_ms=None if end is None else math.ceil(end),
    )
    if isinstance(body, Scores):
        kind, where = _SCORES, replace(where, parent_id=body.scorer_id)
        named = {"scoreSource": body.score_source}
    else:
        kind = _FEEDBACK
        named = {"feedbackType": body.feedback_type, "feedbackSource": body.feedback_source}
    fields: list[FieldCondition] = []
    left: dict[str, Any] = {}
    for name, value in (*body.filters.items(), *named.items()):
        if name == "timestamp" or value is None:
            continue
        values = cast("list[Any]", value if isinstance(value, list) else [value])
        known = None
        if all(isinstance(one, str) and one for one in values):
            known = kind.conditions("traceId" if name == "traceIds" else name, values)
        if known is None:
            left[name] = value
        else:
            fields += known
    return kind, replace(where, fields=tuple(fields)), left


async def _points(
    server: Server, kind: _Kind, where: EvalFilter, filters: dict[str, Any], names: Iterable[str]
) -> AsyncIterator[Point]:
    """Yield the numbers there are, the oldest first, each with what it is asked for under names.

    Records are read some at a time, as inputs and outputs are in them.
    """
    async for page in server.mastra.storage.evals.pages(kind.kind, where):
        for record in page:
            row = kind.to_wire(record)
            number = row.get(kind.number)
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if fits(Point(kind.number, record.created_at, float(number), row), filters):
                about = {name: row.get(name) for name in names}
                yield Point(kind.number, record.created_at, float(number), about)


def _selected(
    server: Server,
    request: Request,
    body: ScoreOne | ScoreGroups | ScoreSeries | FeedbackOne | FeedbackGroups | FeedbackSeries,
    group_by: Iterable[str] = (),
    compare_period: str | None = None,
) -> AsyncIterator[Point]:
    """Return what is meant and the caller may see, the oldest first."""
    kind, where, left = _asked(server, request, body, compare_period)
    names = (*group_by, *filter(None, [body.distinct_column]))
    return _points(server, kind, where, left, names)


async def _one(server: Server, request: Request, body: ScoreOne | FeedbackOne) -> dict[str, Json]:
    found = _selected(server, request, body, compare_period=body.compare_period)
    return compared(*await tallied(found, body, body.compare_period))


async def _groups(
    server: Server, request: Request, body: ScoreGroups | FeedbackGroups
) -> dict[str, Json]:
    found = _selected(server, request, body, body.group_by)
    groups: list[dict[str, Json]] = [
        {"dimensions": dict(zip(body.group_by, key, strict=True)), "value": tally.value}
        for key, stretches in (await grouped(found, body, body.group_by)).items()
        for tally in stretches.values()
    ]
    groups.sort(key=lambda group: cast("float", group["value"]), reverse=True)
    return {"groups": groups}


async def _series(
    server: Server, request: Request, body: ScoreSeries | FeedbackSeries
) -> dict[str, Json]:
    found = _selected(server, request, body, body.group_by)
    name = body.scorer_id if isinstance(body, ScoreSeries) else body.feedback_type
    groups = over_time(await grouped(found, body, body.group_by, body.interval), [name])
    return {"series": [{"name": name, "points": points} for name, points in groups]}


async def _percentiles(
    server: Server, request: Request, body: ScorePercentiles | FeedbackPercentiles
) -> dict[str, Json]:
    kind, where, left = _asked(server, request, body)
    if left:
        found = _points(server, kind, where, left, ())
        return await percentiles_over_time(found, body.percentiles, body.interval)
    stretches = await server.mastra.storage.evals.percentiles(
        kind.kind,
        (kind.number,),
        where,
        shares=body.percentiles,
        interval_ms=INTERVALS_MS[body.interval],
    )
    return {
        "series": [
            {
                "percentile": share,
                "points": [
                    {"timestamp": iso_from_ms(begin), "value": values[at]}
                    for begin, values in stretches
                ],
            }
            for at, share in enumerate(body.percentiles)
        ]
    }


async def aggregate_scores(server: ServerDep, request: Request, body: ScoreOne) -> dict[str, Json]:
    """Return one value of a scorer's scores."""
    return await _one(server, request, body)


async def break_scores_down(
    server: ServerDep, request: Request, body: ScoreGroups
) -> dict[str, Json]:
    """Return values of a scorer's scores by the values of some dimensions."""
    return await _groups(server, request, body)


async def score_series(server: ServerDep, request: Request, body: ScoreSeries) -> dict[str, Json]:
    """Return values of a scorer's scores over time."""
    return await _series(server, request, body)


async def score_percentiles(
    server: ServerDep, request: Request, body: ScorePercentiles
) -> dict[str, Json]:
    """Return percentiles of a scorer's scores over time."""
    return await _percentiles(server, request, body)


async def aggregate_feedback(
    server: ServerDep, request: Request, body: FeedbackOne
) -> dict[str, Json]:
    """Return one value of feedback of a type."""
    return await _one(server, request, body)


async def break_feedback_down(
    server: ServerDep, request: Request, body: FeedbackGroups
) -> dict[str, Json]:
    """Return values of feedback of a type by the values of some dimensions."""
    return await _groups(server, request, body)


async def feedback_series(
    server: ServerDep, request: Request, body: FeedbackSeries
) -> dict[str, Json]:
    """Return values of feedback of a type over time."""
    return await _series(server, request, body)


async def feedback_percentiles(
    server: ServerDep, request: Request, body: FeedbackPercentiles
) -> dict[str, Json]:
    """Return percentiles of feedback of a type over time."""
    return await _percentiles(server, request, body)


def add_rating_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    scores, feedback = "/observability/scores", "/observability/feedback"
    add(router, "POST", f"{scores}/aggregate", aggregate_scores)
    add(router, "POST", f"{scores}/breakdown", break_scores_down)
    add(router, "POST", f"{scores}/timeseries", score_series)
    add(router, "POST", f"{scores}/percentiles", score_percentiles)
    add(router, "POST", f"{feedback}/aggregate", aggregate_feedback)
    add(router, "POST", f"{feedback}/breakdown", break_feedback_down)
    add(router, "POST", f"{feedback}/timeseries", feedback_series)
    add(router, "POST", f"{feedback}/percentiles", feedback_percentiles)
