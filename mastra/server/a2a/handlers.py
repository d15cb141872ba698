"""Who answers the protocol's calls: one handler an agent, made when it is first called."""

from __future__ import annotations

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.default_request_handler_v2 import DefaultRequestHandlerV2
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.server.a2a.cards import card_of
from mastra.server.a2a.executor import REQUEST, AgentTasks
from mastra.server.a2a.tasks import StoredTasks
from mastra.server.context import Server

__all__ = ["dispatcher_of"]

_DISPATCHERS = "a2a.dispatchers"
_IDLE_S = 60.0
"""After which a task that waits is let go of here; its storage has it."""


def dispatcher_of(server: Server, agent: Agent) -> JsonRpcDispatcher:
    """Return what answers calls to an agent."""
    known: dict[str, JsonRpcDispatcher] = server.facts.setdefault(_DISPATCHERS, {})
    if agent.id not in known:
        known[agent.id] = _made(server, agent)
    return known[agent.id]


def _made(server: Server, agent: Agent) -> JsonRpcDispatcher:
    handler = DefaultRequestHandlerV2(
        AgentTasks(server, agent),
        StoredTasks(server.mastra.storage.workflows, agent.id),
        card_of(agent, {}, f"/a2a/{agent.id}", has_auth=False),
        interrupted_task_timeout=_IDLE_S,
    )

    async def close(_patience_s: float) -> None:
        await handler.aclose()

    server.closers.append(close)
    return JsonRpcDispatcher(handler, _Contexts(server), enable_v0_3_compat=True)


class _Contexts(ServerCallContextBuilder):
    """Says who calls, in the protocol's words."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def build(self, request: Request) -> ServerCallContext:
        owner = self._server.owner(request)
        state = {REQUEST: request, "owner": owner, "headers": dict(request.headers)}
        return ServerCallContext(state=state, user=_Caller(owner))


class _Caller(User):
    def __init__(self, owner: str | None) -> None:
        self._owner = owner

    @property
    def is_authenticated(self) -> bool:
        return self._owner is not None

    @property
    def user_name(self) -> str:
        return self._owner or ""
