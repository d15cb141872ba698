"""Scores and feedback put together from many: one value, values by dimensions and over time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from mastra.jsonable import Json
from mastra.observability.metrics import Point, aggregate, grouped
from mastra.server.context import Server, ServerDep
from mastra.server.handling import add
from mastra.server.payloads import Identifier, Interval, ManyBody, Period
from mastra.server.routes.feedback import feedback_to_wire
from mastra.server.routes.metrics import (
    compared,
    fits,
    over_time,
    percentiles_over_time,
    period,
    period_with_before,
    within,
)
from mastra.server.routes.scores import score_to_signal
from mastra.storage.evals import EvalFilter
from mastra.wire import WireModel

__all__ = ["add_rating_routes"]


class Scores(WireModel):
    """Which scores are meant."""

    scorer_id: Identifier
    score_source: Identifier | None = None
    filters: dict[str, Any] = Field(default_factory=dict[str, Any])


class Feedback(WireModel):
    """Which feedback is meant: that with a number."""

    feedback_type: Identifier
    feedback_source: Identifier | None = None
    filters: dict[str, Any] = Field(default_factory=dict[str, Any])


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


async def _selected(
    server: Server,
    request: Request,
    body: Scores | Feedback,
    compare_period: str | None = None,
) -> list[Point]:
    """Return what is meant and the caller may see, the oldest first."""
    start, end = period_with_before(body.filters, compare_period)
    where = EvalFilter(
        resource_id=server.owner(request),
        from_ms=None if start is None else math.ceil(start),
        before_ms=None if end is None else math.ceil(end),
    )
    if isinstance(body, Scores):
        kind, to_wire, value = "score", score_to_signal, "score"
        where = replace(where, parent_id=body.scorer_id)
        asked = {"scoreSource": body.score_source}
    else:
        kind, to_wire, value = "feedback", feedback_to_wire, "value"
        asked = {"feedbackType": body.feedback_type, "feedbackSource": body.feedback_source}
    found = await server.mastra.storage.evals.list(kind, where, is_ascending=True)

    def points() -> list[Point]:
        rows = [(one.created_at, to_wire(one)) for one in found.records]
        return list(_points(rows, value, {**body.filters, **_given(asked)}))

    # There may be many, and others are waiting.
    return await asyncio.to_thread(points)


def _given(asked: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if value is not None}


def _points(
    rows: list[tuple[int, dict[str, Json]]], value: str, filters: dict[str, Any]
) -> Iterator[Point]:
    for at_ms, row in rows:
        number = row.get(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        point = Point(value, at_ms, float(number), row)
        if fits(point, filters):
            yield point


async def _one(server: Server, request: Request, body: ScoreOne | FeedbackOne) -> dict[str, Json]:
    found = await _selected(server, request, body, body.compare_period)
    return compared(found, body, body.compare_period)


async def _groups(
    server: Server, request: Request, body: ScoreGroups | FeedbackGroups
) -> dict[str, Json]:
    found = within(await _selected(server, request, body), *period(body.filters))
    groups: list[dict[str, Json]] = [
        {
            "dimensions": dimensions,
            "value": aggregate(members, body.aggregation, body.distinct_column),
        }
        for dimensions, members in grouped(found, body.group_by)
    ]
    groups.sort(key=lambda group: cast("float", group["value"]), reverse=True)
    return {"groups": groups}


async def _series(
    server: Server, request: Request, body: ScoreSeries | FeedbackSeries
) -> dict[str, Json]:
    found = within(await _selected(server, request, body), *period(body.filters))
    name = body.scorer_id if isinstance(body, ScoreSeries) else body.feedback_type
    groups = over_time(found, body, body.interval, body.group_by, [name])
    return {"series": [{"name": name, "points": points} for name, points in groups]}


async def _percentiles(
    server: Server, request: Request, body: ScorePercentiles | FeedbackPercentiles
) -> dict[str, Json]:
    found = within(await _selected(server, request, body), *period(body.filters))
    return percentiles_over_time(found, body.percentiles, body.interval)


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
