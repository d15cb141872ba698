"""Results of experiments: listed, sent, reviewed, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Path, Query
from starlette.requests import Request

from mastra.clock import iso_from_ms, now_ms
from mastra.errors import ConfigError, NotFoundError
from mastra.evals.comparison import ScorerComparison, compare_scores
from mastra.evals.experiment_results import result_id
from mastra.evals.experiment_scores import score_id
from mastra.evals.running import ExperimentOrder
from mastra.jsonable import Json
from mastra.server.context import ServerDep
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import (
    CompareBody,
    ResultBody,
    ResultChangesBody,
    RunItemBody,
    given,
)
from mastra.server.handling import add
from mastra.server.paging import Page, PerPage, paged, window
from mastra.server.payloads import Identifier
from mastra.server.routes.datasets import DatasetId, dataset_of, in_order, item_of
from mastra.server.routes.experiments import (
    ExperimentId,
    changed,
    experiment_of,
    experiment_of_dataset,
    experiment_wire,
    results_of,
    runner_of,
)
from mastra.storage.evals import EvalFilter, EvalRecord

__all__ = ["add_result_routes"]

_INSIDE = ("scores", "spanId", "position")
"""What is stored of a result and not sent."""


def result_wire(record: EvalRecord) -> dict[str, Json]:
    """Return a result as clients have it."""
    data: dict[str, Any] = {key: value for key, value in record.data.items() if key not in _INSIDE}
    empty = ("input", "output", "groundTruth", "metadata", "error", "traceId", "status", "tags")
    wire: dict[str, Any] = {
        **dict.fromkeys((*empty, "comment", "itemDatasetVersion", "toolMockReport")),
        "retryCount": 0,
        "attempt": 0,
        **data,
        "id": record.id,
        "experimentId": record.parent_id,
        "itemId": record.subject,
        "createdAt": iso_from_ms(record.created_at),
        **record.fault(),
    }
    for name in ("startedAt", "completedAt"):
        moment = wire.get(name)
        wire[name] = iso_from_ms(moment if isinstance(moment, int) else record.created_at)
    return wire


async def finalize(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Say that an experiment that is run elsewhere has come to its end."""
    record = await experiment_of_dataset(server, request, dataset_id, experiment_id)
    if record.data.get("status") == "completed":
        return experiment_wire(record)
    rows = await results_of(server, experiment_id)
    failed = sum(bool(one.data.get("error")) for one in rows)
    total = record.data.get("totalItems", 0)
    fields: dict[str, Json] = {
        "status": "completed",
        "succeededCount": len(rows) - failed,
        "failedCount": failed,
        "skippedCount": max(0, total - len({one.subject for one in rows})),
        "completedAt": now_ms(),
    }
    return experiment_wire(await changed(server, record, fields))


async def list_results(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    *,
    tags: Annotated[list[str] | None, Query(max_length=100)] = None,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the results of an experiment, the latest first."""
    await experiment_of_dataset(server, request, dataset_id, experiment_id)
    wanted = {tag for tag in tags or () if tag}
    if not wanted and not any(name.startswith("orderBy") for name in request.query_params):
        where = EvalFilter(parent_id=experiment_id)
        found = await server.mastra.storage.evals.list(
            "experiment_result", where, offset=page * per_page, limit=per_page
        )
        shown = [result_wire(one) for one in found.records]
        return {"results": [*shown], "pagination": paged(found.total, page, per_page)}
    rows = [
        row
        for row in map(result_wire, await results_of(server, experiment_id))
        if wanted <= set(cast("list[str]", row["tags"] or []))
    ]
    rows = in_order(request, rows)
    return {"results": window(rows, page, per_page), "pagination": paged(len(rows), page, per_page)}


async def submit_result(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    body: ResultBody,
) -> Json:
    """Store the result of an item of an experiment that is run elsewhere."""
    experiment = await experiment_of_dataset(server, request, dataset_id, experiment_id)
    if experiment.data.get("status") == "completed":
        raise Refusal(409, f"Experiment {experiment_id} has come to its end")
    version = experiment.data.get("datasetVersion")
    item = await item_of(server, dataset_id, body.item_id, version)
    about = body.model_dump(
        by_alias=True,
        exclude_none=True,
        mode="json",
        exclude={"scores", "started_at", "completed_at"},
    )
    data: dict[str, Any] = {
        **{key: item.data.get(key) for key in ("input", "groundTruth")},
        **about,
        "itemDatasetVersion": version,
        "scores": {
            one.scorer_id: {"score": one.score, "reason": one.reason} for one in body.scores
        },
    }
    for name, moment in (("startedAt", body.started_at), ("completedAt", body.completed_at)):
        data[name] = now_ms() if moment is None else int(moment.timestamp() * 1000)
    record = EvalRecord(
        "experiment_result",
        result_id(experiment_id, body.item_id, body.attempt),
        data,
        parent_id=experiment_id,
        subject=body.item_id,
        trace_id=body.trace_id,
        resource_id=experiment.resource_id,
    )
    await server.mastra.storage.evals.save([record, *_sent_scores(experiment, body, data)])
    stored = await server.mastra.storage.evals.get("experiment_result", record.id)
    return result_wire(stored or record)


def _sent_scores(
    experiment: EvalRecord, body: ResultBody, data: Mapping[str, Any]
) -> list[EvalRecord]:
    kind = str(experiment.data.get("targetType") or "agent").upper()
    return [
        EvalRecord(
            "score",
            score_id(experiment.id, body.item_id, body.attempt, one.scorer_id),
            {
                **given(one),
                "scorer": {"id": one.scorer_id, "name": one.scorer_name or one.scorer_id},
                "runId": experiment.id,
                "entityType": kind,
                "entityId": body.item_id,
                "entity": {"id": experiment.data.get("targetId") or ""},
                "source": "TEST",
                "input": data.get("input"),
                "output": data.get("output"),
                "datasetId": experiment.parent_id,
                "datasetItemId": body.item_id,
            },
            parent_id=one.scorer_id,
            subject=f"{kind}/{body.item_id}",
            run_id=experiment.id,
            trace_id=body.trace_id,
            resource_id=experiment.resource_id,
        )
        for one in body.scores
    ]


async def update_result(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    result_id: Annotated[Identifier, Path(alias="resultId")],
    body: ResultChangesBody,
) -> Json:
    """Say of a result whether it was looked at, and what of it."""
    await experiment_of_dataset(server, request, dataset_id, experiment_id)
    record = await server.mastra.storage.evals.get("experiment_result", result_id)
    if record is None or record.parent_id != experiment_id:
        raise Refusal(404, f"Result not found: {result_id}")
    changes = body.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return result_wire(await changed(server, record, changes))


async def run_item(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    item_id: Annotated[Identifier, Path(alias="itemId")],
    body: Annotated[RunItemBody, Body(default_factory=RunItemBody)],
) -> dict[str, Json]:
    """Run one item of an experiment, score it, and store both."""
    record = await experiment_of_dataset(server, request, dataset_id, experiment_id)
    if record.data.get("targetId") is None:
        raise Refusal(400, "The experiment has no target: send its results")
    context = server.request_context(request, body.request_context).to_json()
    order = replace(ExperimentOrder.of(record), request_context=context)
    try:
        experiment, found = await runner_of(server).run_item(order, item_id, body.attempt)
    except ConfigError as error:
        raise Refusal(404 if isinstance(error, NotFoundError) else 400, error.message) from None
    stored = await server.mastra.storage.evals.get(
        "experiment_result", result_id(experiment_id, item_id, body.attempt)
    )
    scores: list[Json] = [
        {
            "scorerId": rule.scorer.id,
            "scorerName": rule.scorer.name,
            "score": found.scores.get(rule.name),
            "reason": found.reasons.get(rule.name),
            "error": None,
        }
        for rule in experiment.grading
    ]
    return {"result": None if stored is None else result_wire(stored), "scores": scores}


async def review_summary(server: ServerDep, request: Request) -> dict[str, Json]:
    """Count the results of each experiment by whether they were looked at."""
    where = EvalFilter(resource_id=server.owner(request))
    found = await server.mastra.storage.evals.count_statuses("experiment_result", where)
    names = {"needs-review": "needsReview", "reviewed": "reviewed", "complete": "complete"}
    counts: dict[str | None, dict[str, Any]] = {}
    for (experiment_id, status), count in found.items():
        row = counts.setdefault(
            experiment_id,
            {"experimentId": experiment_id, "total": 0, **dict.fromkeys(names.values(), 0)},
        )
        row["total"] += count
        if status in names:
            row[names[status]] += count
    return {"counts": list(counts.values())}


async def compare(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: CompareBody
) -> dict[str, Json]:
    """Put the results of two experiments side by side."""
    await dataset_of(server, request, dataset_id)
    items: dict[str, dict[str, Any]] = {}
    both = (body.experiment_id_a, body.experiment_id_b)
    given: dict[str, dict[str, dict[str, list[float]]]] = {}
    for experiment_id in both:
        await experiment_of(server, request, experiment_id)
        for record in reversed(await results_of(server, experiment_id)):
            data: dict[str, Any] = record.data
            row = items.setdefault(
                str(record.subject),
                {
                    "itemId": record.subject,
                    "input": data.get("input"),
                    "groundTruth": data.get("groundTruth"),
                    "results": dict.fromkeys(both),
                },
            )
            scores: Mapping[str, Any] = data.get("scores") or {}
            told = {name: one.get("score") for name, one in scores.items()}
            row["results"][experiment_id] = {"output": data.get("output"), "scores": told}
            for name, score in told.items():
                if score is not None:
                    of_scorer = given.setdefault(name, {}).setdefault(experiment_id, {})
                    of_scorer.setdefault(str(record.subject), []).append(score)
    scorers: dict[str, Json] = {}
    for name, by_experiment in given.items():
        means = [
            {item: mean(found) for item, found in by_experiment.get(one, {}).items()}
            for one in both
        ]
        if means[0].keys() & means[1].keys():
            scorers[name] = _comparison_wire(compare_scores(name, *means))
    return {"baselineId": both[0], "items": list(items.values()), "scorers": scorers}


def _comparison_wire(found: ScorerComparison) -> dict[str, Json]:
    return {
        "baseline": found.baseline,
        "candidate": found.candidate,
        "better": [*found.better],
        "worse": [*found.worse],
        "same": [*found.same],
        "pValue": found.p_value,
    }


def add_result_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/datasets/{datasetId}/experiments/{experimentId}"
    add(router, "GET", "/experiments/review-summary", review_summary)
    add(router, "POST", f"{one}/finalize", finalize)
    add(router, "GET", f"{one}/results", list_results)
    add(router, "POST", f"{one}/results", submit_result)
    add(router, "PATCH", f"{one}/results/{{resultId}}", update_result)
    add(router, "POST", f"{one}/items/{{itemId}}/run", run_item)
    add(router, "POST", "/datasets/{datasetId}/compare", compare)
