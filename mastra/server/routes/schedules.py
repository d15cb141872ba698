"""Schedules, as Studio and clients keep them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from mastra.clock import datetime_from_ms
from mastra.errors import ConfigError, MissingDependencyError, NotFoundError
from mastra.jsonable import Json
from mastra.schedules import Schedule
from mastra.server.caller_settings import provider_options
from mastra.server.context import WHO, Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import Identifier
from mastra.server.schedule_payloads import (
    ScheduleBody,
    ScheduleChangesBody,
    ScheduleStatusName,
)

__all__ = ["add_schedule_routes"]

ScheduleId = Annotated[Identifier, Path(alias="scheduleId")]
Name = Annotated[Identifier | None, Query()]
Milliseconds = Annotated[int | None, Query(ge=0, le=253_402_300_799_999)]

_ENDED = ("success", "failed", "canceled", "bailed", "tripwire")


async def _need(server: ServerDep, request: Request, schedule_id: ScheduleId) -> Schedule:
    found = await server.mastra.schedules.get(schedule_id)
    if found is None:
        raise Refusal(404, "Schedule not found")
    server.check_owner(request, found.resource_id, "schedule")
    return found


Own = Annotated[Schedule, Depends(_need)]
"""A schedule that the caller may touch."""


@contextmanager
def _as_refusals() -> Generator[None, None, None]:
    """Answer with 400 what the caller has asked for and no schedule can be."""
    try:
        yield
    except (NotFoundError, MissingDependencyError):
        raise
    except ConfigError as error:
        raise Refusal(400, error.message) from error


async def _summary(server: Server, workflow_id: str, run_id: str) -> dict[str, Json] | None:
    """Return how a run stands, in the form in which the original tells it here."""
    try:
        workflow = server.mastra.get_workflow_by_id(workflow_id)
    except NotFoundError:
        return None
    head = await workflow.runtime.store.get_run(workflow.id, run_id)
    if head is None:
        return None
    found: dict[str, Json] = {"status": head.status, "startedAt": head.created_at}
    if head.status in _ENDED:
        found |= {"completedAt": head.updated_at, "durationMs": head.updated_at - head.created_at}
    if head.error is not None:
        found["error"] = head.error.get("message")
    return found


async def _wire(server: Server, schedule: Schedule) -> dict[str, Json]:
    found = schedule.to_wire()
    if schedule.workflow_id is not None and schedule.last_run_id is not None:
        run = await _summary(server, schedule.workflow_id, schedule.last_run_id)
        if run is not None:
            found["lastRun"] = run
    return found


async def _options(
    server: Server, request: Request, body: Any, agent_id: str | None
) -> dict[str, Any]:
    """Return what a body asks for, as far as it is the caller's to say."""
    options: dict[str, Any] = body.options()
    if "resource_id" in options:
        options["resource_id"] = server.owner(request, options["resource_id"])
    if options.get("request_context"):
        given = options["request_context"].items()
        options["request_context"] = {key: value for key, value in given if key not in WHO}
    if options.get("provider_options") and agent_id is not None:
        agent = server.mastra.get_agent_by_id(agent_id)
        defaults = await agent.get_default_options(server.request_context(request))
        author: Any = defaults.get("provider_options") or {}
        options["provider_options"] = provider_options(
            options["provider_options"], author, server.config.allowed_provider_options
        )
    return options


async def list_schedules(
    server: ServerDep,
    request: Request,
    *,
    workflow_id: Annotated[Identifier | None, Query(alias="workflowId")] = None,
    agent_id: Annotated[Identifier | None, Query(alias="agentId")] = None,
    status: Annotated[ScheduleStatusName | None, Query()] = None,
    thread_id: Annotated[Identifier | None, Query(alias="threadId")] = None,
    resource_id: Annotated[Identifier | None, Query(alias="resourceId")] = None,
    name: Name = None,
) -> dict[str, Json]:
    """List the schedules of workflows and agents, the first made first."""
    if workflow_id is not None:
        with suppress(Refusal):  # by its key, too
            workflow_id = server.workflow(workflow_id).id
    found = await server.mastra.schedules.list(
        workflow_id=workflow_id,
        agent_id=agent_id,
        status=status,
        thread_id=thread_id,
        resource_id=server.owner(request, resource_id),
        name=name,
    )
    return {"schedules": [await _wire(server, one) for one in found]}


async def create_schedule(
    server: ServerDep, request: Request, body: ScheduleBody
) -> dict[str, Json]:
    """Make a schedule of a workflow or of an agent."""
    with _as_refusals():
        options = await _options(server, request, body, body.agent_id)
        options["resource_id"] = server.owner(request, body.resource_id)
        made = await server.mastra.schedules.create(
            id=body.id,
            workflow_id=body.workflow_id,
            agent_id=body.agent_id,
            cron=body.cron,
            **options,
        )
    return await _wire(server, made)


async def get_schedule(server: ServerDep, schedule: Own) -> dict[str, Json]:
    """Return a schedule."""
    return await _wire(server, schedule)


async def update_schedule(
    server: ServerDep, request: Request, schedule_id: ScheduleId, body: ScheduleChangesBody
) -> dict[str, Json]:
    """Change a schedule. A new expression or zone counts from now."""
    known = await _need(server, request, schedule_id)
    with _as_refusals():
        options = await _options(server, request, body, known.agent_id)
        if "resource_id" in options and known.agent_id is not None:
            raise Refusal(400, "Whose an agent's schedule is stays: delete it, and make another")
        found = await server.mastra.schedules.update(schedule_id, cron=body.cron, **options)
    return await _wire(server, found)


async def delete_schedule(server: ServerDep, schedule: Own) -> dict[str, Json]:
    """Delete a schedule with what is known of its fires."""
    await server.mastra.schedules.delete(schedule.id)
    return {"message": "Schedule deleted"}


async def pause_schedule(server: ServerDep, schedule: Own) -> dict[str, Json]:
    """Start nothing by a schedule until it is resumed."""
    return await _wire(server, await server.mastra.schedules.pause(schedule.id))


async def resume_schedule(server: ServerDep, schedule: Own) -> dict[str, Json]:
    """Go on with a schedule, from now."""
    return await _wire(server, await server.mastra.schedules.resume(schedule.id))


async def run_schedule(server: ServerDep, schedule: Own) -> dict[str, Json]:
    """Start what a schedule names at once, beside its moments."""
    return await server.mastra.schedules.run(schedule.id)


async def list_triggers(
    server: ServerDep,
    request: Request,
    schedule_id: ScheduleId,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    from_ms: Annotated[Milliseconds, Query(alias="fromActualFireAt")] = None,
    to_ms: Annotated[Milliseconds, Query(alias="toActualFireAt")] = None,
) -> dict[str, Json]:
    """List when a schedule started something, the latest first."""
    schedule = await _need(server, request, schedule_id)
    found = await server.mastra.schedules.list_triggers(
        schedule_id,
        limit=limit,
        from_date=None if from_ms is None else datetime_from_ms(from_ms),
        to_date=None if to_ms is None else datetime_from_ms(to_ms),
    )
    triggers: list[Json] = []
    for one in found:
        row = one.to_wire()
        if one.outcome == "published" and one.run_id and schedule.workflow_id is not None:
            run = await _summary(server, schedule.workflow_id, one.run_id)
            row |= {} if run is None else {"run": run}
        triggers.append(row)
    return {"triggers": triggers}


def add_schedule_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/schedules/{scheduleId}"
    add(router, "GET", "/schedules", list_schedules)
    add(router, "POST", "/schedules", create_schedule)
    add(router, "GET", one, get_schedule)
    add(router, "PATCH", one, update_schedule)
    add(router, "DELETE", one, delete_schedule)
    add(router, "POST", f"{one}/pause", pause_schedule)
    add(router, "POST", f"{one}/resume", resume_schedule)
    add(router, "POST", f"{one}/run", run_schedule)
    add(router, "GET", f"{one}/triggers", list_triggers)
