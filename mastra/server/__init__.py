"""Mastra's REST API on FastAPI: `create_app(mastra)`, or `router(mastra)` in an app of your own.

Names are imported on first use, so that a program that only writes a `ServerConfig` loads no web
framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.server.app import create_app, router
    from mastra.server.auth import BearerAuth, Caller, JWTAuth
    from mastra.server.config import ApiRoute, CorsConfig, ServerConfig
    from mastra.server.openai.route import openai_route
    from mastra.server.runner import serve
    from mastra.server.vercel import vercel_app

__all__ = [
    "ApiRoute",
    "BearerAuth",
    "Caller",
    "CorsConfig",
    "JWTAuth",
    "ServerConfig",
    "create_app",
    "openai_route",
    "router",
    "serve",
    "vercel_app",
]

_HOMES = {
    "ApiRoute": "mastra.server.config",
    "BearerAuth": "mastra.server.auth",
    "Caller": "mastra.server.auth",
    "CorsConfig": "mastra.server.config",
    "JWTAuth": "mastra.server.auth",
    "ServerConfig": "mastra.server.config",
    "create_app": "mastra.server.app",
    "openai_route": "mastra.server.openai.route",
    "router": "mastra.server.app",
    "serve": "mastra.server.runner",
    "vercel_app": "mastra.server.vercel",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="server")
