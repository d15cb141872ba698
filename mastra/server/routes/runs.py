"""Runs: start, stream, resume, observe, restart, go back in time."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.server.context import RunId, Server, ServerDep, WorkflowId
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import (
    Identifier,
    RestartBody,
    ResumeBody,
    StartBody,
    TimeTravelBody,
)
from mastra.server.streaming import last_event_id, run_response
from mastra.workflows.run import Run

__all__ = ["add_run_routes", "starting"]

_ENDED = ("success", "failed", "tripwire", "canceled")


@asynccontextmanager
async def starting(
    server: Server, request: Request, workflow_id: str, run_id: str | None, body: StartBody
) -> AsyncGenerator[tuple[Run[Any], dict[str, Any]]]:
    """Give a run that nobody has started, and what to start it with.

    Raises:
        Refusal: It was started before, or is not the caller's.
    """
    workflow = server.workflow(workflow_id)
    owner = server.owner(request, body.resource_id)
    key, is_new = (workflow.id, run_id or ""), True
    if run_id is not None:
        head = await server.run_head(request, workflow, run_id)
        if key in server.starting or (head is not None and head.status != "pending"):
            status = "starting" if head is None else head.status
            raise Refusal(409, f"Workflow run {run_id!r} was started before: it is {status}")
        server.starting.add(key)
        is_new = head is None
    try:
        run = await workflow.create_run(run_id, resource_id=owner)
        options = {
            "input_data": body.input_data,
            "initial_state": body.initial_state,
            "request_context": server.request_context(request, body.request_context),
            "per_step": body.per_step,
        }
        try:
            yield run, options
        except Exception:
            # What this very call has made and could not begin is not there: the caller asks anew.
            left = await server.run_head(request, workflow, run.run_id) if is_new else None
            if left is not None and left.status == "pending":
                await workflow.delete_run(run.run_id)
            raise
    finally:
        server.starting.discard(key)


async def start(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[StartBody, Body(default_factory=StartBody)],
) -> dict[str, Json]:
    """Start a run and answer at once."""
    async with starting(server, request, workflow_id, run_id, body) as (run, options):
        await run.start_async(**options)
    return {"message": "Workflow run started"}


async def start_async(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    body: Annotated[StartBody, Body(default_factory=StartBody)],
    run_id: Annotated[Identifier | None, Query(alias="runId")] = None,
) -> dict[str, Json]:
    """Start a run and answer with its result."""
    async with starting(server, request, workflow_id, run_id, body) as (run, options):
        await run.start_async(**options)
    return (await run.result()).to_wire()


async def stream(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[StartBody, Body(default_factory=StartBody)],
) -> StreamingResponse:
    """Start a run and answer with its events as they come."""
    async with starting(server, request, workflow_id, run_id, body) as (run, options):
        events = run.stream(**options)
        await events.__aenter__()
    again = functools.partial(server.workflow(workflow_id).create_run, run_id)
    follow = None if body.close_on_suspend else again
    return run_response(server, request, events, follow)


# -- resume ------------------------------------------------------------------------------------


async def _suspended(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[ResumeBody, Body(default_factory=ResumeBody)],
) -> tuple[Run[Any], dict[str, Any]]:
    workflow = server.workflow(workflow_id)
    await server.need_run(request, workflow, run_id)
    run = await workflow.create_run(run_id)
    return run, {
        "resume_data": body.resume_data,
        "step": body.step,
        "label": body.label,
        "for_each_index": body.for_each_index,
        "request_context": server.request_context(request, body.request_context),
        "per_step": body.per_step,
    }


Suspended = Annotated[tuple[Run[Any], dict[str, Any]], Depends(_suspended)]
"""A run that waits, and what to resume it with."""


async def resume(suspended: Suspended) -> dict[str, Json]:
    """Resume a run and answer at once."""
    run, options = suspended
    await run.resume_async(**options)
    return {"message": "Workflow run resumed"}


async def resume_async(suspended: Suspended) -> dict[str, Json]:
    """Resume a run and answer with its next result."""
    run, options = suspended
    return (await run.resume(**options)).to_wire()


async def resume_no_wait(suspended: Suspended) -> dict[str, Json]:
    """Resume a run and answer with its id at once."""
    run, options = suspended
    return {"runId": await run.resume_async(**options)}


async def resume_stream(
    server: ServerDep, request: Request, suspended: Suspended
) -> StreamingResponse:
    """Resume a run and answer with its events from there on."""
    run, options = suspended
    events = run.resume_stream(**options)
    await events.__aenter__()
    return run_response(server, request, events)


# -- look, restart, go back --------------------------------------------------------------------


async def observe(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    offset: Annotated[int, Query(ge=0, le=10**15)] = 0,
) -> StreamingResponse:
    """Answer with a run's events from an offset on: those that were, then those that come.

    A reader that was cut off sends `Last-Event-ID`, which goes before the offset. Of a run that
    nobody has begun there are none: as the original's, the answer ends at once.
    """
    seen = last_event_id(request)
    workflow = server.workflow(workflow_id)
    head = await server.need_run(request, workflow, run_id)
    if head.status == "pending" and "initialState" not in head.data:
        return run_response(server, request, None)
    run = await workflow.create_run(run_id)
    events = run.observe_stream(offset=offset if seen is None else seen + 1)
    await events.__aenter__()
    return run_response(server, request, events)


async def _cut_off(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: Annotated[RestartBody, Body(default_factory=RestartBody)],
) -> tuple[Run[Any], bool, RequestContext]:
    workflow = server.workflow(workflow_id)
    head = await server.need_run(request, workflow, run_id)
    context = server.request_context(request, body.request_context)
    return await workflow.create_run(run_id), head.status in _ENDED, context


CutOff = Annotated[tuple[Run[Any], bool, RequestContext], Depends(_cut_off)]
"""A run to go on with, whether it has ended after all, and the values of the request."""


async def restart(cut_off: CutOff) -> dict[str, Json]:
    """Go on with a run that was cut off, and answer at once."""
    run, has_ended, context = cut_off
    if not has_ended:
        await run.restart_async(request_context=context)
    return {"message": "Workflow run restarted"}


async def restart_async(cut_off: CutOff) -> dict[str, Json]:
    """Go on with a run that was cut off, and answer with its result; of one that ended, that."""
    run, has_ended, context = cut_off
    result = await (run.result() if has_ended else run.restart(request_context=context))
    wire = result.to_wire(resume_labels=True)
    # As the original: whoever restarts a run is not who traces it.
    return {key: value for key, value in wire.items() if key not in {"traceId", "spanId"}}


async def restart_all(
    server: ServerDep, request: Request, workflow_id: WorkflowId
) -> dict[str, Json]:
    """Go on with every run that was cut off."""
    workflow = server.workflow(workflow_id)
    if server.owner(request) is not None:
        raise Refusal(403, "Access denied: the runs belong to different resources")
    await workflow.restart_all_active_runs()
    return {"message": "All active workflow runs restarted"}


async def _traveller(
    server: ServerDep,
    request: Request,
    workflow_id: WorkflowId,
    run_id: RunId,
    body: TimeTravelBody,
) -> tuple[Run[Any], dict[str, Any]]:
    workflow = server.workflow(workflow_id)
    await server.need_run(request, workflow, run_id)
    options: dict[str, Any] = {
        "step": body.step,
        "resume_data": body.resume_data,
        "initial_state": body.initial_state,
        "context": body.context,
        "nested_steps_context": body.nested_steps_context,
        "request_context": server.request_context(request, body.request_context),
        "per_step": body.per_step,
    }
    if "input_data" in body.model_fields_set:
        options["input_data"] = body.input_data
    return await workflow.create_run(run_id), options


Traveller = Annotated[tuple[Run[Any], dict[str, Any]], Depends(_traveller)]
"""A run, and where in it to go back to with what."""


async def time_travel(traveller: Traveller) -> dict[str, Json]:
    """Run again from a step, and answer at once."""
    run, options = traveller
    await run.time_travel_stream(**options).__aenter__()
    return {"message": "Workflow run time travel started"}


async def time_travel_async(traveller: Traveller) -> dict[str, Json]:
    """Run again from a step, and answer with the result."""
    run, options = traveller
    return (await run.time_travel(**options)).to_wire()


async def time_travel_stream(
    server: ServerDep, request: Request, traveller: Traveller
) -> StreamingResponse:
    """Run again from a step, and answer with the events."""
    run, options = traveller
    events = run.time_travel_stream(**options)
    await events.__aenter__()
    return run_response(server, request, events)


def add_run_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/workflows/{workflowId}"
    add(router, "POST", f"{one}/start", start)
    add(router, "POST", f"{one}/start-async", start_async)
    add(router, "POST", f"{one}/stream", stream)
    add(router, "POST", f"{one}/resume", resume)
    add(router, "POST", f"{one}/resume-async", resume_async)
    add(router, "POST", f"{one}/resume-no-wait", resume_no_wait)
    add(router, "POST", f"{one}/resume-stream", resume_stream)
    add(router, "POST", f"{one}/observe", observe)
    add(router, "POST", f"{one}/restart", restart)
    add(router, "POST", f"{one}/restart-async", restart_async)
    add(router, "POST", f"{one}/restart-all-active-workflow-runs", restart_all)
    add(router, "POST", f"{one}/restart-all-active-workflow-runs-async", restart_all)
    add(router, "POST", f"{one}/time-travel", time_travel)
    add(router, "POST", f"{one}/time-travel-async", time_travel_async)
    add(router, "POST", f"{one}/time-travel-stream", time_travel_stream)
