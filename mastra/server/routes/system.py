"""What clients and Studio ask beside agents, workflows and tools.

Studio asks after features that this port does not have; the answer is that there is none of them,
in the form in which the original says so.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from mastra.jsonable import Json
from mastra.server.context import ServerDep
from mastra.server.handling import add
from mastra.server.observed import has_kept

__all__ = ["add_system_routes"]

_NOTHING: dict[str, Json] = {
    "/processors": {},
    "/workspaces": {"workspaces": []},
    "/channels/platforms": [],
    "/editor/builder/settings": {"enabled": False, "modelPolicy": {"active": False}},
    "/editor/builder/models/available": {"providers": []},
    "/stored/prompt-blocks": {
        "promptBlocks": [],
        "total": 0,
        "page": 0,
        "perPage": 50,
        "hasMore": False,
    },
}


async def auth_capabilities() -> dict[str, Json]:
    """Tell how to log in: there is no log-in, callers send their token."""
    return {"enabled": False, "login": None}


async def system_packages(server: ServerDep) -> dict[str, Json]:
    """Tell about storage and tracing."""
    has_traces, has_logs = has_kept(server, "traces"), has_kept(server, "logs")
    return {
        "packages": [],
        "isDev": False,
        "cmsEnabled": False,
        "liveKitConnectionRouteEnabled": False,
        "observabilityEnabled": has_traces,
        "storageType": type(server.mastra.storage).__name__,
        "observabilityStorageType": type(server.mastra.storage.observability).__name__
        if has_traces
        else None,
        "observabilityStorageCapabilities": {
            "metrics": has_traces,
            "logs": has_logs,
            "traceQueryDiscovery": has_traces,
        },
        "observabilityRuntimeStrategy": "event-sourced",
    }


async def list_routes(server: ServerDep, request: Request) -> dict[str, Json]:
    """List the routes there are."""
    routes: list[Json] = [
        {"method": method, "path": path, "responseType": "json"}
        for method, path in server.facts.get("routes", ())
    ]
    del request
    return {"version": 1, "routes": routes}


def _constant(router: APIRouter, path: str, value: Json) -> None:
    async def answer() -> Any:
        return value

    answer.__name__ = "nothing"
    answer.__doc__ = "Answer that there is none of it."
    add(router, "GET", path, answer)


def add_system_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/auth/capabilities", auth_capabilities)
    add(router, "GET", "/system/packages", system_packages)
    add(router, "GET", "/system/api-schema", list_routes)
    for path, value in _NOTHING.items():
        _constant(router, path, value)
