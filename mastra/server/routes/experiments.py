"""Experiments and their results, as Studio and clients run and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Path, Query
from starlette.requests import Request

from mastra.clock import iso_from_ms, now_ms
from mastra.errors import ConfigError, NotFoundError
from mastra.evals.experiments import result_id
from mastra.evals.running import ExperimentOrder, ExperimentRunner
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import (
    CompareBody,
    ExperimentBody,
    ExperimentChangesBody,
    ResultBody,
    ResultChangesBody,
    RunItemBody,
    given,
)
from mastra.server.handling import add
from mastra.server.payloads import Identifier
from mastra.server.routes.datasets import DatasetId, dataset_of, in_order, item_of, window
from mastra.server.routes.scores import Page, PerPage, paged
from mastra.storage.evals import EvalFilter, EvalRecord

__all__ = ["add_experiment_routes", "runner_of"]

ExperimentId = Annotated[Identifier, Path(alias="experimentId")]
_RUNNER = "experiments"
_GROUPING = ("experimentSetId", "comparisonId", "variantId", "trialIndex")


def runner_of(server: Server) -> ExperimentRunner:
    """Return what runs experiments in the background of a server."""
    found = server.facts.get(_RUNNER)
    if found is None:
        found = server.facts[_RUNNER] = ExperimentRunner(server.mastra)
    return cast("ExperimentRunner", found)


def experiment_wire(record: EvalRecord) -> dict[str, Json]:
    """Return an experiment as clients have it."""
    empty = ("targetType", "targetId", "scorerIds", "startedAt", "completedAt", "datasetVersion")
    data = {key: value for key, value in record.data.items() if key != "order"}
    wire: dict[str, Any] = {
        **dict.fromkeys((*empty, *_GROUPING)),
        "succeededCount": 0,
        "failedCount": 0,
        "skippedCount": 0,
        "totalItems": 0,
        "status": "pending",
        **data,
        "datasetId": record.parent_id,
        "id": record.id,
        "createdAt": iso_from_ms(record.created_at),
        "updatedAt": iso_from_ms(record.updated_at),
    }
    for name in ("startedAt", "completedAt"):
        if isinstance(wire[name], int):
            wire[name] = iso_from_ms(wire[name])
    return wire


def result_wire(record: EvalRecord) -> dict[str, Json]:
    """Return a result as clients have it."""
    data: dict[str, Any] = {
        key: value for key, value in record.data.items() if key not in ("scores", "spanId")
    }
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
    }
    for name in ("startedAt", "completedAt"):
        moment = wire.get(name)
        wire[name] = iso_from_ms(moment if isinstance(moment, int) else record.created_at)
    return wire


async def _experiment(
    server: Server, request: Request, experiment_id: str, dataset_id: str | None = None
) -> EvalRecord:
    record = await server.mastra.storage.evals.get("experiment", experiment_id)
    if record is None or (dataset_id is not None and record.parent_id != dataset_id):
        raise Refusal(404, f"Experiment not found: {experiment_id}")
    server.check_owner(request, record.resource_id, "experiment")
    return record


async def _of_dataset(
    server: Server, request: Request, dataset_id: str, experiment_id: str
) -> EvalRecord:
    await dataset_of(server, request, dataset_id)
    return await _experiment(server, request, experiment_id, dataset_id)


# -- experiments -------------------------------------------------------------------------------


async def _listed(
    server: Server, request: Request, page: int, per_page: int, dataset_id: str | None = None
) -> dict[str, Json]:
    where = EvalFilter(parent_id=dataset_id, resource_id=server.owner(request))
    found = await server.mastra.storage.evals.list("experiment", where)
    query = request.query_params
    asked = {key: query[key] for key in (*_GROUPING, "targetType", "targetId") if query.get(key)}
    rows = [
        row
        for row in map(experiment_wire, found.records)
        if all(str(row[key]) == value for key, value in asked.items())
    ]
    rows = in_order(request, rows)
    shown = window(rows, page, per_page)
    return {"experiments": shown, "pagination": paged(len(rows), page, per_page)}


async def list_all(
    server: ServerDep, request: Request, page: Page = 0, per_page: PerPage = 20
) -> dict[str, Json]:
    """List the experiments, the newest first."""
    return await _listed(server, request, page, per_page)


async def list_of_dataset(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the experiments of a dataset, the newest first."""
    await dataset_of(server, request, dataset_id)
    return await _listed(server, request, page, per_page, dataset_id)


async def begin_experiment(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: ExperimentBody
) -> dict[str, Json]:
    """Run a target on a dataset in the background, or make an experiment run elsewhere."""
    await dataset_of(server, request, dataset_id)
    if body.start and (body.target_type is None or body.target_id is None):
        raise Refusal(400, "targetType and targetId are required to start an experiment")
    about = given(body)
    more: dict[str, Json] = {
        **{
            key: about[key]
            for key in ("description", "metadata", "provenance", "agentVersion")
            if key in about
        },
        **cast("dict[str, Json]", about.get("grouping") or {}),
    }
    order = ExperimentOrder(
        dataset_id,
        body.target_type,
        body.target_id,
        body.scorer_ids or (),
        body.version,
        body.max_concurrency,
        body.name,
        server.request_context(request, body.request_context).to_json(),
        server.owner(request),
        more=more,
    )
    if body.start:
        try:
            record = await runner_of(server).start(order)
        except ConfigError as error:
            raise Refusal(404 if isinstance(error, NotFoundError) else 400, error.message) from None
    else:
        record = await _made(server, request, order, body.id)
    wire = experiment_wire(record)
    kept = ("status", "totalItems", "datasetVersion", "startedAt", "completedAt")
    return {
        "experimentId": record.id,
        **{name: wire[name] for name in kept},
        "succeededCount": 0,
        "failedCount": 0,
        "results": [],
    }


async def _made(
    server: Server, request: Request, order: ExperimentOrder, name: str | None
) -> EvalRecord:
    dataset = await dataset_of(server, request, order.dataset_id)
    version = dataset.version if order.version is None else order.version
    data: dict[str, Json] = {
        "name": order.name,
        "datasetId": dataset.id,
        "datasetVersion": version,
        "targetType": order.target_type,
        "targetId": order.target_id,
        "scorerIds": list(order.scorer_ids) or None,
        "status": "running",
        "totalItems": len(await _items(server, dataset.id, version)),
        "startedAt": now_ms(),
        **(order.more or {}),
    }
    record = EvalRecord(
        "experiment",
        name or new_id(),
        {key: value for key, value in data.items() if value is not None},
        parent_id=dataset.id,
        resource_id=order.resource_id,
    )
    known = await server.mastra.storage.evals.get("experiment", record.id)
    if known is not None:  # asked for again, as after a lost answer
        server.check_owner(request, known.resource_id, "experiment")
        if known.parent_id != dataset.id:
            raise Refusal(409, f"Experiment {record.id} is of another dataset")
        return known
    await server.mastra.storage.evals.save([record])
    return await _experiment(server, request, record.id)


async def _items(server: Server, dataset_id: str, version: int) -> list[EvalRecord]:
    where = EvalFilter(parent_id=dataset_id, at_version=version)
    return (await server.mastra.storage.evals.list("dataset_item", where)).records


async def get_experiment(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Return an experiment."""
    return experiment_wire(await _of_dataset(server, request, dataset_id, experiment_id))


async def update_experiment(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    body: ExperimentChangesBody,
) -> Json:
    """Change what an experiment is called and what is known of it."""
    record = await _of_dataset(server, request, dataset_id, experiment_id)
    return experiment_wire(await _changed(server, record, given(body)))


async def _changed(server: Server, record: EvalRecord, fields: Mapping[str, Json]) -> EvalRecord:
    changed = replace(record, data={**record.data, **fields}, updated_at=now_ms())
    await server.mastra.storage.evals.save([changed])
    return changed


async def delete_of_dataset(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Delete an experiment with its results and scores."""
    return await _deleted(server, await _of_dataset(server, request, dataset_id, experiment_id))


async def delete_any(server: ServerDep, request: Request, experiment_id: ExperimentId) -> Json:
    """Delete an experiment with its results and scores."""
    return await _deleted(server, await _experiment(server, request, experiment_id))


async def _deleted(server: Server, record: EvalRecord) -> Json:
    store = server.mastra.storage.evals
    await store.delete("experiment_result", parent_id=record.id)
    scores = await store.list("score", EvalFilter(run_id=record.id))
    await store.delete("score", ids=[one.id for one in scores.records])
    await store.delete("experiment", ids=[record.id])
    return {"success": True}


async def finalize(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Say that an experiment that is run elsewhere has come to its end."""
    record = await _of_dataset(server, request, dataset_id, experiment_id)
    if record.data.get("status") == "completed":
        return experiment_wire(record)
    rows = await _results(server, experiment_id)
    failed = sum(bool(one.data.get("error")) for one in rows)
    total = record.data.get("totalItems", 0)
    fields: dict[str, Json] = {
        "status": "completed",
        "succeededCount": len(rows) - failed,
        "failedCount": failed,
        "skippedCount": max(0, total - len({one.subject for one in rows})),
        "completedAt": now_ms(),
    }
    return experiment_wire(await _changed(server, record, fields))


# -- results -----------------------------------------------------------------------------------


async def _results(server: Server, experiment_id: str) -> list[EvalRecord]:
    where = EvalFilter(parent_id=experiment_id)
    return (await server.mastra.storage.evals.list("experiment_result", where)).records


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
    await _of_dataset(server, request, dataset_id, experiment_id)
    wanted = {tag for tag in tags or () if tag}
    rows = [
        row
        for row in map(result_wire, await _results(server, experiment_id))
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
    experiment = await _of_dataset(server, request, dataset_id, experiment_id)
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
            f"expscore:{experiment.id}:{body.item_id}:{body.attempt}:{one.scorer_id}",
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
    await _of_dataset(server, request, dataset_id, experiment_id)
    record = await server.mastra.storage.evals.get("experiment_result", result_id)
    if record is None or record.parent_id != experiment_id:
        raise Refusal(404, f"Result not found: {result_id}")
    changes = body.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return result_wire(await _changed(server, record, changes))


async def run_item(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    item_id: Annotated[Identifier, Path(alias="itemId")],
    body: Annotated[RunItemBody, Body(default_factory=RunItemBody)],
) -> dict[str, Json]:
    """Run one item of an experiment, score it, and store both."""
    record = await _of_dataset(server, request, dataset_id, experiment_id)
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
    owner = server.owner(request)
    found = await server.mastra.storage.evals.list(
        "experiment_result", EvalFilter(resource_id=owner)
    )
    counts: dict[str, dict[str, Any]] = {}
    names = {"needs-review": "needsReview", "reviewed": "reviewed", "complete": "complete"}
    for record in found.records:
        row = counts.setdefault(
            str(record.parent_id),
            {"experimentId": record.parent_id, "total": 0, **dict.fromkeys(names.values(), 0)},
        )
        row["total"] += 1
        name = names.get(str(record.data.get("status")))
        if name is not None:
            row[name] += 1
    return {"counts": list(counts.values())}


async def compare(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: CompareBody
) -> dict[str, Json]:
    """Put the results of two experiments side by side."""
    await dataset_of(server, request, dataset_id)
    items: dict[str, dict[str, Any]] = {}
    for experiment_id in (body.experiment_id_a, body.experiment_id_b):
        await _experiment(server, request, experiment_id)
        for record in reversed(await _results(server, experiment_id)):
            data: dict[str, Any] = record.data
            row = items.setdefault(
                str(record.subject),
                {
                    "itemId": record.subject,
                    "input": data.get("input"),
                    "groundTruth": data.get("groundTruth"),
                    "results": {body.experiment_id_a: None, body.experiment_id_b: None},
                },
            )
            scores: Mapping[str, Any] = data.get("scores") or {}
            row["results"][experiment_id] = {
                "output": data.get("output"),
                "scores": {name: one.get("score") for name, one in scores.items()},
            }
    return {"baselineId": body.experiment_id_a, "items": list(items.values())}


def add_experiment_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    base = "/datasets/{datasetId}/experiments"
    one = f"{base}/{{experimentId}}"
    add(router, "GET", "/experiments", list_all)
    add(router, "GET", "/experiments/review-summary", review_summary)
    add(router, "DELETE", "/experiments/{experimentId}", delete_any)
    add(router, "GET", base, list_of_dataset)
    add(router, "POST", base, begin_experiment)
    add(router, "GET", one, get_experiment)
    add(router, "PATCH", one, update_experiment)
    add(router, "DELETE", one, delete_of_dataset)
    add(router, "POST", f"{one}/finalize", finalize)
    add(router, "GET", f"{one}/results", list_results)
    add(router, "POST", f"{one}/results", submit_result)
    add(router, "PATCH", f"{one}/results/{{resultId}}", update_result)
    add(router, "POST", f"{one}/items/{{itemId}}/run", run_item)
    add(router, "POST", "/datasets/{datasetId}/compare", compare)
