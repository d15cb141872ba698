"""Agents: list, ask, stream, answer what waits, run their tools."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.agents.calls.approvals import asks_of_call
from mastra.agents.options import ToolApproval
from mastra.errors import InputValidationError, ToolApprovalError
from mastra.jsonable import Json
from mastra.models.providers import PROVIDERS
from mastra.request_context import RESOURCE_ID, RequestContext
from mastra.server.caller_messages import plain_messages
from mastra.server.caller_options import call_options
from mastra.server.context import AgentId, Server, ServerDep, ToolId
from mastra.server.describe import agent_wire
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.hanging_up import begin_answer, unless_gone
from mastra.server.payloads import (
    AgentAnswerBody,
    AgentBody,
    AgentObserveBody,
    AgentResumeBody,
    Identifier,
    Moment,
    ToolBody,
)
from mastra.server.routes.tools import run_tool
from mastra.server.schemas import tool_wire
from mastra.server.streaming import agent_response, last_event_id
from mastra.tools.tool import Tool

__all__ = ["add_agent_routes"]


async def list_agents(server: ServerDep, request: Request) -> dict[str, Json]:
    """List the agents by their ids, each with its tools and instructions."""
    context = server.query_context(request)
    return {
        agent.id: await agent_wire(agent, context, key=key)
        for key, agent in server.mastra.list_agents().items()
    }


async def get_agent(server: ServerDep, request: Request, agent_id: AgentId) -> dict[str, Json]:
    """Return an agent with its tools and instructions."""
    return await agent_wire(server.agent(agent_id), server.query_context(request))


async def list_providers() -> dict[str, Json]:
    """List providers of models that are called by name, and whether there is a key for them."""
    return {
        "providers": [
            {
                "id": name,
                "name": provider.title,
                "label": provider.title,
                "description": "",
                "envVar": provider.key_names[0],
                "connected": any(os.environ.get(key) for key in provider.key_names),
                "docUrl": provider.docs_url,
                "models": [],
            }
            for name, provider in PROVIDERS.items()
            if provider.title is not None
        ]
    }


# -- ask ---------------------------------------------------------------------------------------


async def generate(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentBody
) -> dict[str, Json]:
    """Ask an agent and answer with all that came of it."""
    agent = server.agent(agent_id)
    options = await call_options(server, request, agent, body)
    return await _whole(request, _asked(agent, body, options))


async def _whole(request: Request, answer: AgentStream[Any]) -> dict[str, Json]:
    """Return all that comes of an answer. A client that hangs up ends it, unless it is durable."""
    async with answer:
        return (await unless_gone(request, answer.result())).to_wire()


async def stream(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentBody
) -> StreamingResponse:
    """Ask an agent and answer with what it streams."""
    agent = server.agent(agent_id)
    options = await call_options(server, request, agent, body)
    return await _streamed(server, request, _asked(agent, body, options))


def _asked(agent: Agent, body: AgentBody, options: dict[str, Any]) -> AgentStream[Any]:
    if body.messages in ("", []):
        raise InputValidationError("messages must not be empty.")
    return agent.stream(plain_messages(body.messages), **options)


async def _streamed(
    server: Server, request: Request, answer: AgentStream[Any]
) -> StreamingResponse:
    await begin_answer(request, answer)
    return agent_response(server, request, answer)


# -- answer what waits -------------------------------------------------------------------------


async def _waiting(
    server: Server, request: Request, agent_id: str, body: AgentAnswerBody
) -> tuple[Agent, dict[str, Any]]:
    # The run's owner is looked up where it is claimed: in the record itself.
    agent = server.agent(agent_id)
    options = await call_options(server, request, agent, body)
    return agent, options


async def approve(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentAnswerBody
) -> StreamingResponse:
    """Let a tool call that waits for approval run, and answer with what follows."""
    agent, options = await _waiting(server, request, agent_id, body)
    return await _streamed(
        server, request, agent.approve_tool_call(body.run_id, body.tool_call_id, **options)
    )


async def decline(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentAnswerBody
) -> StreamingResponse:
    """Refuse a tool call that waits for approval, and answer with what follows."""
    agent, options = await _waiting(server, request, agent_id, body)
    return await _streamed(
        server,
        request,
        agent.decline_tool_call(body.run_id, body.tool_call_id, reason=body.reason, **options),
    )


async def approve_generate(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentAnswerBody
) -> dict[str, Json]:
    """Let a tool call run, and answer with all that came of it."""
    agent, options = await _waiting(server, request, agent_id, body)
    answer = agent.approve_tool_call(body.run_id, body.tool_call_id, **options)
    return await _whole(request, answer)


async def decline_generate(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentAnswerBody
) -> dict[str, Json]:
    """Refuse a tool call, and answer with all that came of it."""
    agent, options = await _waiting(server, request, agent_id, body)
    answer = agent.decline_tool_call(body.run_id, body.tool_call_id, reason=body.reason, **options)
    return await _whole(request, answer)


async def resume_stream(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentResumeBody
) -> StreamingResponse:
    """Resume a tool that suspended, and answer with what follows."""
    agent, options = await _waiting(server, request, agent_id, body)
    return await _streamed(
        server,
        request,
        agent.resume_stream(
            body.resume_data, run_id=body.run_id, tool_call_id=body.tool_call_id, **options
        ),
    )


async def observe(
    server: ServerDep, request: Request, agent_id: AgentId, body: AgentObserveBody
) -> StreamingResponse:
    """Answer with a stored run's chunks from an offset on: those that were, then those to come."""
    context = server.request_context(request, body.request_context)
    agent = server.agent(agent_id)
    return await _observed(server, request, agent, body.run_id, body.offset, context)


async def observe_by_query(
    server: ServerDep,
    request: Request,
    agent_id: AgentId,
    run_id: Annotated[Identifier, Query(alias="runId")],
    offset: Annotated[int, Query(ge=0, le=10**15)] = 0,
) -> StreamingResponse:
    """Answer with a stored run's chunks, as `POST` does."""
    context = server.query_context(request)
    return await _observed(server, request, server.agent(agent_id), run_id, offset, context)


async def _observed(
    server: Server,
    request: Request,
    agent: Agent,
    run_id: str,
    offset: int,
    context: RequestContext,
) -> StreamingResponse:
    # Looked at before the answer begins: its next chunk may be long in coming.
    await agent.check_stored(run_id, context.get(RESOURCE_ID))
    seen = last_event_id(request)
    place = offset if seen is None else seen + 1
    return agent_response(server, request, agent.observe(run_id, place, request_context=context))


async def list_suspended(
    server: ServerDep,
    request: Request,
    agent_id: AgentId,
    *,
    thread_id: Annotated[Identifier | None, Query(alias="threadId")] = None,
    resource_id: Annotated[Identifier | None, Query(alias="resourceId")] = None,
    from_date: Annotated[Moment | None, Query(alias="fromDate")] = None,
    to_date: Annotated[Moment | None, Query(alias="toDate")] = None,
    page: Annotated[int, Query(ge=0, le=10**9)] = 0,
    per_page: Annotated[int | None, Query(alias="perPage", ge=1, le=1000)] = None,
) -> dict[str, Json]:
    """List the runs that wait for somebody's answer."""
    found = await server.agent(agent_id).list_suspended_runs(
        thread_id=thread_id,
        resource_id=server.owner(request, resource_id),
        from_date=from_date,
        to_date=to_date,
        page=page,
        per_page=per_page or (100 if page else None),
    )
    return found.to_wire()


# -- their tools -------------------------------------------------------------------------------


async def _tool(
    server: Server, request: Request, agent_id: str, tool_id: str
) -> tuple[str, Tool[Any, Any]]:
    tools = await server.agent(agent_id).list_tools(server.query_context(request))
    for key, tool in tools.items():
        if tool_id in {key, tool.id}:
            return key, tool
    raise Refusal(404, "Tool not found")


async def get_tool(
    server: ServerDep, request: Request, agent_id: AgentId, tool_id: ToolId
) -> dict[str, Json]:
    """Return a tool of an agent."""
    _, tool = await _tool(server, request, agent_id, tool_id)
    return tool_wire(tool)


async def execute_tool(
    server: ServerDep, request: Request, agent_id: AgentId, tool_id: ToolId, body: ToolBody
) -> Json:
    """Run a tool of an agent by itself."""
    key, tool = await _tool(server, request, agent_id, tool_id)
    context = server.request_context(request, body.request_context)
    decided = await server.agent(agent_id).get_default_options(context)
    policy = decided.get("require_tool_approval")
    # A tool's own function knows best, as in a run of the agent's.
    if not callable(tool.require_approval) and await asks_of_call(
        policy, ToolApproval(key, body.data, context)
    ):
        raise ToolApprovalError(
            f"Agent {agent_id!r} has a person agree before tool {key!r} runs, who cannot be asked "
            "here: ask the agent.",
            details={"tool": tool.id},
        )
    return await run_tool(server, request, tool, body)


async def list_speakers(server: ServerDep, agent_id: AgentId) -> list[Json]:
    """List the voices of an agent: there are none."""
    server.agent(agent_id)
    return []


def add_agent_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one = "/agents/{agentId}"
    add(router, "GET", "/agents", list_agents)
    add(router, "GET", "/agents/providers", list_providers)
    add(router, "GET", one, get_agent)
    add(router, "POST", f"{one}/generate", generate)
    add(router, "POST", f"{one}/stream", stream)
    add(router, "POST", f"{one}/stream-until-idle", stream)
    add(router, "POST", f"{one}/approve-tool-call", approve)
    add(router, "POST", f"{one}/decline-tool-call", decline)
    add(router, "POST", f"{one}/approve-tool-call-generate", approve_generate)
    add(router, "POST", f"{one}/decline-tool-call-generate", decline_generate)
    add(router, "POST", f"{one}/resume-stream", resume_stream)
    add(router, "POST", f"{one}/observe", observe)
    add(router, "GET", f"{one}/observe", observe_by_query)
    add(router, "GET", f"{one}/suspended-runs", list_suspended)
    add(router, "GET", f"{one}/tools/{{toolId}}", get_tool)
    add(router, "POST", f"{one}/tools/{{toolId}}/execute", execute_tool)
    add(router, "GET", f"{one}/voice/speakers", list_speakers)
