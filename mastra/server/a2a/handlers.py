"""Who answers the protocol's calls: one handler an agent, made when it is first called."""

from __future__ import annotations

from typing import Any, cast

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.default_request_handler_v2 import DefaultRequestHandlerV2
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types.a2a_pb2 import TaskState
from a2a.utils.constants import PROTOCOL_VERSION_0_3, PROTOCOL_VERSION_1_0, VERSION_HEADER
from a2a.utils.errors import InvalidParamsError
from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.server.a2a.cards import card_of
from mastra.server.a2a.executor import REQUEST, AgentTasks
from mastra.server.a2a.pushing import Addresses, StoredAddresses, Teller
from mastra.server.a2a.tasks import StoredTasks
from mastra.server.context import Server, load_strict

__all__ = ["dispatcher_of", "refused"]

_DISPATCHERS = "a2a.dispatchers"
_HEADER = VERSION_HEADER.lower()
_STATES: list[Any] = [*TaskState.keys(), *TaskState.values()]
_IDLE_S = 60.0
"""After which a task that waits is let go of here; its storage has it."""


def refused(request: Request, body: bytes) -> dict[str, Any] | None:
    """Return the answer to a call whose values the SDK would take for others; `None` for the rest.

    It notes which version of the protocol the call is of: as it says, else as its method is spelt.
    """
    try:
        found: Any = load_strict(body)
    except ValueError:
        found = None
    call: dict[str, Any] = cast("Any", found) if isinstance(found, dict) else {}
    method: Any = call.get("method")
    is_newer = isinstance(method, str) and method[:1].isupper()
    spelt = PROTOCOL_VERSION_1_0 if is_newer else PROTOCOL_VERSION_0_3
    request.state.a2a_version = request.headers.get(_HEADER) or spelt
    params: Any = call.get("params")
    if method != "ListTasks" or not isinstance(params, dict):
        return None
    status: Any = cast("dict[str, Any]", params).get("status")
    if status is None or status in _STATES:
        return None
    error = InvalidParamsError(message="status is none of a task's.")
    call_id: Any = call.get("id")
    return build_error_response(call_id if isinstance(call_id, str | int) else None, error)


def dispatcher_of(server: Server, agent: Agent) -> JsonRpcDispatcher:
    """Return what answers calls to an agent."""
    known: dict[str, JsonRpcDispatcher] = server.facts.setdefault(_DISPATCHERS, {})
    if agent.id not in known:
        known[agent.id] = _made(server, agent)
    return known[agent.id]


def _made(server: Server, agent: Agent) -> JsonRpcDispatcher:
    origins = server.config.push_origins
    addresses = Addresses(origins)
    stored = StoredAddresses(server, agent.id) if origins else None
    teller = None if stored is None else Teller(addresses, stored)
    handler = DefaultRequestHandlerV2(
        AgentTasks(server, agent),
        StoredTasks(server, agent.id),
        card_of(agent, {}, f"/a2a/{agent.id}", has_auth=False, has_push=bool(origins)),
        push_config_store=stored,
        push_sender=teller,
        push_url_validator=addresses.allow,
        interrupted_task_timeout=_IDLE_S,
    )

    async def close(patience_s: float) -> None:
        await handler.aclose()
        if teller is not None:
            await teller.aclose(patience_s)
        server.closers.discard(close)
        server.facts[_DISPATCHERS].pop(agent.id, None)

    server.closers.add(close)
    return JsonRpcDispatcher(handler, _Contexts(server), enable_v0_3_compat=True)


class _Contexts(ServerCallContextBuilder):
    """Says who calls, in the protocol's words."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def build(self, request: Request) -> ServerCallContext:
        owner = self._server.owner(request)
        headers = {**dict(request.headers), _HEADER: request.state.a2a_version}
        state = {REQUEST: request, "owner": owner, "headers": headers}
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
