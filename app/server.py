"""The FastAPI backend: Mastra's REST API over this app under `/api`, `/api/inngest` and `/docs`."""

from __future__ import annotations

from fastapi import FastAPI

from app.durable import build_route
from app.main import mastra
from mastra import Mastra
from mastra.server import ServerConfig, create_app, serve

__all__ = ["build_app", "run"]


def build_app(app: Mastra = mastra, *, restart_runs: bool = True) -> FastAPI:
    """Return the FastAPI application, for a server of your own or to mount in an app.

    Args:
        app: What to serve.
        restart_runs: Whether runs that were cut off go on when it starts.
    """
    return create_app(app, ServerConfig(api_routes=[build_route()], restart_runs=restart_runs))


def run(host: str, port: int, app: Mastra = mastra) -> None:
    """Serve an app, by default this one, until the process is told to stop."""
    serve(app, ServerConfig(host=host, port=port, api_routes=[build_route()]))
