"""Experiments and their results, as Studio and clients run and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path
from starlette.requests import Request

from mastra.clock import iso_from_ms, now_ms
from mastra.errors import ConfigError, NotFoundError
from mastra.evals.experiment_scores import scores_of
from mastra.evals.running import ExperimentOrder, ExperimentRunner
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import ExperimentBody, ExperimentChangesBody, given
from mastra.server.handling import add
from mastra.server.paging import Page, PerPage, paged, window
from mastra.server.payloads import Identifier
from mastra.server.routes.datasets import DatasetId, dataset_of, datasets_of, in_order
from mastra.storage.evals import EvalFilter, EvalRecord

__all__ = [
    "ExperimentId",
    "add_experiment_routes",
    "changed",
    "experiment_of",
    "experiment_of_dataset",
    "experiment_wire",
    "results_of",
    "runner_of",
]

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
        **record.fault(),
    }
    for name in ("startedAt", "completedAt"):
        if isinstance(wire[name], int):
            wire[name] = iso_from_ms(wire[name])
    return wire


async def experiment_of(
    server: Server, request: Request, experiment_id: str, dataset_id: str | None = None
) -> EvalRecord:
    """Return an experiment.

    Raises:
        Refusal: There is none, or it is not the caller's.
    """
    record = await server.mastra.storage.evals.get("experiment", experiment_id)
    if record is None or (dataset_id is not None and record.parent_id != dataset_id):
        raise Refusal(404, f"Experiment not found: {experiment_id}")
    server.check_owner(request, record.resource_id, "experiment")
    return record


async def experiment_of_dataset(
    server: Server, request: Request, dataset_id: str, experiment_id: str
) -> EvalRecord:
    """Return an experiment of a dataset; see `experiment_of`."""
    await dataset_of(server, request, dataset_id)
    return await experiment_of(server, request, experiment_id, dataset_id)


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
        "totalItems": len(await datasets_of(server).items(dataset.id, version=version)),
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
    return await experiment_of(server, request, record.id)


async def get_experiment(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Return an experiment."""
    return experiment_wire(await experiment_of_dataset(server, request, dataset_id, experiment_id))


async def update_experiment(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    experiment_id: ExperimentId,
    body: ExperimentChangesBody,
) -> Json:
    """Change what an experiment is called and what is known of it."""
    record = await experiment_of_dataset(server, request, dataset_id, experiment_id)
    return experiment_wire(await changed(server, record, given(body)))


async def changed(server: Server, record: EvalRecord, fields: Mapping[str, Json]) -> EvalRecord:
    """Store a record with some fields changed, and return it."""
    made = replace(record, data={**record.data, **fields}, updated_at=now_ms())
    await server.mastra.storage.evals.save([made])
    return made


async def delete_of_dataset(
    server: ServerDep, request: Request, dataset_id: DatasetId, experiment_id: ExperimentId
) -> Json:
    """Delete an experiment with its results and scores."""
    return await _deleted(
        server, await experiment_of_dataset(server, request, dataset_id, experiment_id)
    )


async def delete_any(server: ServerDep, request: Request, experiment_id: ExperimentId) -> Json:
    """Delete an experiment with its results and scores."""
    return await _deleted(server, await experiment_of(server, request, experiment_id))


async def _deleted(server: Server, record: EvalRecord) -> Json:
    store = server.mastra.storage.evals
    await store.delete("experiment_result", parent_id=record.id)
    await store.delete("score", ids=[one.id for one in await scores_of(store, record)])
    await store.delete("experiment", ids=[record.id])
    return {"success": True}


async def results_of(server: Server, experiment_id: str) -> list[EvalRecord]:
    """Return the results of an experiment, the latest first."""
    where = EvalFilter(parent_id=experiment_id)
    return (await server.mastra.storage.evals.list("experiment_result", where)).records


def add_experiment_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    base = "/datasets/{datasetId}/experiments"
    one = f"{base}/{{experimentId}}"
    add(router, "GET", "/experiments", list_all)
    add(router, "DELETE", "/experiments/{experimentId}", delete_any)
    add(router, "GET", base, list_of_dataset)
    add(router, "POST", base, begin_experiment)
    add(router, "GET", one, get_experiment)
    add(router, "PATCH", one, update_experiment)
    add(router, "DELETE", one, delete_of_dataset)
