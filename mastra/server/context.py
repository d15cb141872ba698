"""What every route needs: the `Mastra` object, who calls, and whose things they may touch."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

import pydantic_core
from fastapi import Depends, Path, Query
from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.errors import NotFoundError
from mastra.given import ID_PATTERN, MAX_ID
from mastra.registry import Mastra
from mastra.request_context import AUTH_TOKEN, RESOURCE_ID, THREAD_ID, RequestContext
from mastra.server.auth import Caller
from mastra.server.config import ServerConfig
from mastra.server.errors import Refusal
from mastra.server.gate import Gate
from mastra.server.turns import Turns
from mastra.storage.base import RunHead
from mastra.workflows.workflow import Workflow

__all__ = [
    "SERVER_KEY",
    "WHO",
    "AgentId",
    "PathRunId",
    "RunId",
    "Server",
    "ServerDep",
    "ToolId",
    "WorkflowId",
    "caller_of",
    "load_strict",
]

SERVER_KEY = "mastra.server"
USER = "user"
"""Where steps and tools find what is known of a caller. Nobody else may say who calls."""
_RESERVED = frozenset({RESOURCE_ID, THREAD_ID, AUTH_TOKEN})
WHO = _RESERVED | {USER}
"""What says who calls: nothing that is kept for later may."""

RunId = Annotated[str, Query(alias="runId", min_length=1, max_length=MAX_ID, pattern=ID_PATTERN)]
"""The `runId` of a query."""
PathRunId = Annotated[str, Path(alias="runId", min_length=1, max_length=MAX_ID)]
WorkflowId = Annotated[str, Path(alias="workflowId", description="A workflow's key or id.")]
AgentId = Annotated[str, Path(alias="agentId", description="An agent's key or id.")]
ToolId = Annotated[str, Path(alias="toolId", description="A tool's key or id.")]


def load_strict(data: bytes | str) -> Any:
    """Decode strict JSON of a sane depth.

    Raises:
        ValueError: It is neither.
    """
    found = pydantic_core.from_json(data, allow_inf_nan=False, cache_strings="none")
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    # Databases keep no NUL in a text, so what has one could not be stored on all of them alike.
    if b"\\u0000" in raw and _holds(found, _has_nul):
        raise ValueError("a text holds the character U+0000")
    # Nor is there a JSON for the infinite number that is read of one like 1e400.
    if _LARGE.search(raw) and _holds(found, _is_infinite):
        raise ValueError("a number is beyond 1.8e308")
    return found


_LARGE: Final = re.compile(rb"[0-9][eE]\+?0*[0-9]{3}|(?<![0-9])[0-9]{309}")
"""What a number may look like that no float holds. Texts may, too."""


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\x00" in value


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _holds(value: Any, is_one: Callable[[Any], bool]) -> bool:
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return any(map(is_one, known)) or any(_holds(one, is_one) for one in known.values())
    if isinstance(value, list):
        return any(_holds(one, is_one) for one in cast("list[Any]", value))
    return is_one(value)


@dataclass(slots=True)
class Server:
    """One server: what it serves and what its requests share."""

    mastra: Mastra
    config: ServerConfig
    gate: Gate
    """Lets requests in."""
    starting: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Runs that are being started by a request right now."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server has been told to stop."""
    drained: asyncio.Future[None] | None = None
    """Done when its runs have ended, or their time is up; `None` until they are asked to."""
    turns: Turns = field(default_factory=Turns)
    """Whose turn it is to encode and send."""
    closers: set[Callable[[float], Awaitable[None]]] = field(
        default_factory=set[Callable[[float], Awaitable[None]]]
    )
    """What ends when the server stops, told how many seconds it may take. A server that has stopped
    may start once more: what cannot go on after its end takes itself out, and is made anew."""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """What parts of the server keep, by their own names."""

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """The application's logger."""
        return self.mastra.logger

    def workflow(self, key: str) -> Workflow[Any, Any, Any]:
        """Return a workflow by key or id.

        Raises:
            Refusal: There is none.
        """
        try:
            return self.mastra.get_workflow_by_id(key)
        except NotFoundError:
            raise Refusal(404, "Workflow not found") from None

    def agent(self, agent_id: str) -> Agent:
        """Return an agent by its id, or by its key.

        Raises:
            Refusal: There is none (404).
        """
        try:
            return self.mastra.get_agent_by_id(agent_id)
        except NotFoundError:
            raise Refusal(404, f"Agent with id {agent_id} not found") from None

    def request_context(
        self, request: Request, given: Mapping[str, Any] | None = None
    ) -> RequestContext:
        """Return the values of a request: the client's, under the middleware's and the caller's."""
        reserved = _RESERVED if self.config.auth is None else _RESERVED | {USER}
        values = {key: item for key, item in (given or {}).items() if key not in reserved}
        found = RequestContext(values)
        set_before: Any = getattr(request.state, "request_context", None)
        if set_before is not None:
            for key, item in RequestContext.of(set_before).items():
                found.set(key, item)
        caller = caller_of(request)
        if caller.resource_id is not None:
            found.set(RESOURCE_ID, caller.resource_id)
        if caller.token is not None:
            found.set(AUTH_TOKEN, caller.token)
        if caller.claims:
            found.set(USER, dict(caller.claims))
        return found

    def query_context(self, request: Request) -> RequestContext:
        """Return the values that a GET carries as base64 of JSON."""
        text = request.query_params.get("requestContext")
        if not text:
            return self.request_context(request)
        try:
            given = load_strict(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error):
            raise Refusal(400, "requestContext must be base64 of a JSON object") from None
        if not isinstance(given, dict):
            raise Refusal(400, "requestContext must be base64 of a JSON object")
        return self.request_context(request, cast("dict[str, Any]", given))

    def owner(self, request: Request, named: str | None = None) -> str | None:
        """Return whose things a request is about: the caller's, or those it names.

        Raises:
            Refusal: The caller names somebody else's.
        """
        mine = self.request_context(request).get(RESOURCE_ID)
        if mine is None:
            return named
        if named is not None and named != mine:
            raise Refusal(403, "Access denied: the resource belongs to somebody else")
        return str(mine)

    def check_owner(self, request: Request, resource_id: str | None, what: str) -> None:
        """Refuse a caller who is tied to a resource and asks for what is not of it.

        Raises:
            Refusal: It is somebody else's, or nobody's.
        """
        mine = self.request_context(request).get(RESOURCE_ID)
        if mine is not None and resource_id != mine:
            raise Refusal(403, f"Access denied: {what} belongs to a different resource")

    async def run_head(
        self, request: Request, workflow: Workflow[Any, Any, Any], run_id: str
    ) -> RunHead | None:
        """Return what is stored of a run, or `None`.

        Raises:
            Refusal: It is not the caller's.
        """
        head = await workflow.runtime.store.get_run(workflow.id, run_id)
        if head is not None:
            self.check_owner(request, head.resource_id, "workflow run")
        return head

    async def need_run(
        self, request: Request, workflow: Workflow[Any, Any, Any], run_id: str
    ) -> RunHead:
        """Return what is stored of a run.

        Raises:
            Refusal: There is none, or it is not the caller's.
        """
        head = await self.run_head(request, workflow, run_id)
        if head is None:
            raise Refusal(404, "Workflow run not found")
        return head


def caller_of(request: Request) -> Caller:
    """Return who calls; a FastAPI dependency may have put it at `request.state.caller`."""
    found: Any = getattr(request.state, "caller", None)
    return found if isinstance(found, Caller) else Caller()


async def _server_of(request: Request) -> Server:
    # Not a plain function, which FastAPI would call in a thread, for every request.
    return cast("Server", request.scope[SERVER_KEY])


ServerDep = Annotated[Server, Depends(_server_of)]
"""The server that a route belongs to."""
