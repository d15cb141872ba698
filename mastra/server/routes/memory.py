"""Memory: what there is of it for an agent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mastra.jsonable import Json
from mastra.server.context import ServerDep
from mastra.server.handling import add
from mastra.server.payloads import Identifier

__all__ = ["add_memory_routes"]


async def status(
    server: ServerDep, agent_id: Annotated[Identifier | None, Query(alias="agentId")] = None
) -> dict[str, Json]:
    """Tell whether an agent has a memory."""
    del server, agent_id
    return {"result": False}


def add_memory_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/memory/status", status)
