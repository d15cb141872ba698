"""Agents for programs that speak A2A: their cards, and where they are spoken to."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mastra.agents.agent import Agent
from mastra.errors import MissingDependencyError, NotFoundError
from mastra.extras import needs
from mastra.server.context import AgentId, Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import WireResponse, add
from mastra.server.loading import loaded

__all__ = ["add_a2a_routes"]

_CARD = ".well-known/agent-card.json"


async def _agent(server: Server, agent_id: str, part: str) -> Agent:
    """Return an agent, with what speaks the protocol loaded.

    Args:
        server: Whose agent it is.
        agent_id: Its key or id.
        part: The module that is needed next.
    """
    try:
        with needs("a2a", "A2A"):
            await loaded("a2a.types", part)
        return server.mastra.get_agent_by_id(agent_id)
    except MissingDependencyError as error:
        raise Refusal(501, error.message) from error
    except NotFoundError:
        raise Refusal(404, "Agent not found") from None


async def _card(server: Server, request: Request, agent_id: str, url: str) -> Response:
    agent = await _agent(server, agent_id, "mastra.server.a2a.cards")
    from mastra.server.a2a.cards import card_of, card_wire  # noqa: PLC0415 - an optional package

    tools = await agent.list_tools(server.request_context(request))
    config = server.config
    has_auth, has_push = config.auth is not None, bool(config.push_origins)
    return WireResponse(card_wire(card_of(agent, tools, url, has_auth=has_auth, has_push=has_push)))


async def get_agent_card(server: ServerDep, request: Request, agent_id: AgentId) -> Response:
    """Return an agent's card."""
    base = str(request.url.replace(query="")).partition("/.well-known/")[0]
    return await _card(server, request, agent_id, f"{base}/a2a/{agent_id}")


async def get_own_card(server: ServerDep, request: Request, agent_id: AgentId) -> Response:
    """Return an agent's card, from where clients look for it that know the agent's address."""
    url = str(request.url.replace(query="")).partition("/.well-known/")[0]
    return await _card(server, request, agent_id, url)


async def call_agent(server: ServerDep, request: Request, agent_id: AgentId) -> Response:
    """Answer a call of the protocol: JSON-RPC, streamed or not, of both versions."""
    agent = await _agent(server, agent_id, "mastra.server.a2a.handlers")
    from mastra.server.a2a.handlers import dispatcher_of, refused  # noqa: PLC0415 - optional

    answer = refused(request, await request.body())
    if answer is not None:
        return WireResponse(answer)
    return await dispatcher_of(server, agent).handle_requests(request)


def add_a2a_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", f"/.well-known/{{agentId}}/{_CARD.rpartition('/')[2]}", get_agent_card)
    add(router, "GET", f"/a2a/{{agentId}}/{_CARD}", get_own_card)
    add(router, "POST", "/a2a/{agentId}", call_agent)
