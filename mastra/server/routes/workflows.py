"""Workflows: what there are, and their runs as stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from mastra.jsonable import Json
from mastra.server.context import PathRunId, Server, ServerDep, WorkflowId
from mastra.server.describe import workflow_wire
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import CreateRunBody, Identifier
from mastra.workflows.results import RunStatus
from mastra.workflows.run_info import RunInfo
from mastra.workflows.workflow import Workflow

__all__ = ["add_workflow_routes"]

_RUN_FIELDS = frozenset(
    {
        "result",
        "error",
        "payload",
        "steps",
        "activeStepsPath",
        "serializedStepGraph",
        "initialState",
        "suspendedPaths",
        "resumeLabels",
        "waitingPaths",
    }
)
_MAX_PAGE = 1000


def _wire_of(server: Server, key: str, workflow: Workflow[Any, Any, Any]) -> dict[str, Json]:
    # A committed workflow never changes, and describing one walks its whole graph.
    known = server.facts.setdefault("workflows", {})
    found = known.get(key)
    if found is None or found[0] is not workflow:
        found = known[key] = (workflow, workflow_wire(workflow))
    return found[1]


async def list_workflows(server: ServerDep) -> dict[str, Json]:
    """List the workflows, each with its steps, graph and schemas."""
    return {
        key: _wire_of(server, key, workflow)
        for key, workflow in server.mastra.list_workflows().items()
    }


async def get_workflow(server: ServerDep, workflow_id: WorkflowId) -> dict[str, Json]:
    """Return a workflow with its steps, graph and schemas."""
    return _wire_of(server, workflow_id, server.workflow(workflow_id))


async def count_runs(server: ServerDep, request: Request) -> dict[str, Json]:
    """Count the runs of each workflow that are under way or suspended."""
    owner = server.owner(request)
    counts: dict[str, Json] = {}
    for key, workflow in server.mastra.list_workflows().items():
        store = workflow.runtime.store

        async def count(*status: str, of: str = workflow.id, store: Any = store) -> int:
            page = await store.list_runs(of, status=status, resource_id=owner, limit=1)
            return page.total

        counts[key] = {
            "running": await count("running", "waiting"),
            "suspended": await count("suspended"),
        }
    return counts


async def create_run(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    body: Annotated[CreateRunBody, Body(default_factory=CreateRunBody)],
    run_id: Annotated[Identifier | None, Query(alias="runId")] = None,
) -> dict[str, Json]:
    """Store a run as pending and return its id. The id of a run that is there gives that run."""
    workflow = server.workflow(workflow_id)
    owner = server.owner(request, body.resource_id)
    if run_id is not None:
        await server.run_head(request, workflow, run_id)
    run = await workflow.create_run(run_id, resource_id=owner)
    return {"runId": run.run_id}


async def list_runs(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    *,
    status: Annotated[Literal[RunStatus, "bailed", "skipped"] | None, Query()] = None,
    resource_id: Annotated[Identifier | None, Query(alias="resourceId")] = None,
    from_date: Annotated[datetime | None, Query(alias="fromDate")] = None,
    to_date: Annotated[datetime | None, Query(alias="toDate")] = None,
    page: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    per_page: Annotated[int | None, Query(alias="perPage", ge=1, le=_MAX_PAGE)] = None,
    limit: Annotated[int | None, Query(ge=1, le=_MAX_PAGE)] = None,
    offset: Annotated[int | None, Query(ge=0, le=10**12)] = None,
) -> dict[str, Json]:
    """List runs, the newest first, by page (`page`, `perPage`) or by `limit` and `offset`."""
    workflow = server.workflow(workflow_id)
    size = per_page or limit or 100
    start = offset if offset is not None else (page or 0) * size
    found = await workflow.runtime.store.list_runs(
        workflow.id,
        status=None if status is None else (status,),
        resource_id=server.owner(request, resource_id),
        from_ms=_milliseconds(from_date),
        to_ms=_milliseconds(to_date),
        offset=start,
        limit=size,
    )
    infos = [await workflow.get_run(head.run_id) for head in found.runs]
    return {"runs": [_row(info) for info in infos if info is not None], "total": found.total}


def _milliseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    # One without a zone is UTC, as everywhere, and not of wherever the server stands.
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _row(info: RunInfo) -> dict[str, Json]:
    wire = info.to_wire(frozenset())
    snapshot = info.to_snapshot()
    return {
        "workflowName": wire["workflowName"],
        "runId": wire["runId"],
        "snapshot": snapshot,
        "resourceId": wire["resourceId"],
        "createdAt": wire["createdAt"],
        "updatedAt": wire["updatedAt"],
    }


async def get_run(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: PathRunId,
    fields: Annotated[str | None, Query(max_length=400)] = None,
    *,
    with_nested: Annotated[bool, Query(alias="withNestedWorkflows")] = True,
) -> dict[str, Json]:
    """Return a run as stored: all of it, or only some fields (`fields=result,steps`).

    Raises:
        Refusal: There is no such run, or no such field.
    """
    workflow = server.workflow(workflow_id)
    await server.need_run(request, workflow, run_id)
    info = await workflow.get_run(run_id)
    if info is None:
        raise Refusal(404, "Workflow run not found")
    wanted = None if fields is None else frozenset(name.strip() for name in fields.split(","))
    unknown = (wanted or frozenset()) - _RUN_FIELDS
    if unknown:
        raise Refusal(
            400,
            f"A run has no field {', '.join(map(repr, sorted(unknown)))}. "
            f"It has {', '.join(sorted(_RUN_FIELDS))}.",
        )
    return info.to_wire(wanted, with_nested=with_nested)


async def delete_run(
    server: ServerDep, request: Request, workflow_id: WorkflowId, run_id: PathRunId
) -> dict[str, Json]:
    """Remove a run from storage, cancelling it where it is under way."""
    workflow = server.workflow(workflow_id)
    await server.need_run(request, workflow, run_id)
    await workflow.delete_run(run_id)
    return {"message": "Workflow run deleted"}


async def cancel_run(
    server: ServerDep, request: Request, workflow_id: WorkflowId, run_id: PathRunId
) -> dict[str, Json]:
    """Cancel a run."""
    workflow = server.workflow(workflow_id)
    await server.need_run(request, workflow, run_id)
    run = await workflow.create_run(run_id)
    await run.cancel()
    return {"message": "Workflow run cancelled"}


def add_workflow_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/workflows/{workflowId}"
    add(router, "GET", "/workflows", list_workflows)
    add(router, "GET", "/workflows/run-counts", count_runs)
    add(router, "GET", one, get_workflow)
    add(router, "POST", f"{one}/create-run", create_run)
    add(router, "GET", f"{one}/runs", list_runs)
    add(router, "GET", f"{one}/runs/{{runId}}", get_run)
    add(router, "DELETE", f"{one}/runs/{{runId}}", delete_run)
    add(router, "POST", f"{one}/runs/{{runId}}/cancel", cancel_run)
