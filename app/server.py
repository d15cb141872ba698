"""The FastAPI backend: Mastra's REST API over this app under `/api`, `/api/inngest` and `/docs`."""

from __future__ import annotations

import os

from fastapi import FastAPI

from app.durable import build_route
from app.main import mastra
from mastra import Mastra
from mastra.server import ServerConfig, create_app, serve

__all__ = ["allowed_hosts", "build_app", "run"]


def allowed_hosts() -> list[str]:
    """Return the names that `MASTRA_ALLOWED_HOSTS` has, parted by commas.

    By these names the server may be called beside this machine's own: those of a proxy in front.
    """
    listed = os.environ.get("MASTRA_ALLOWED_HOSTS", "").split(",")
    return [name.strip() for name in listed if name.strip()]


def build_app(app: Mastra = mastra, *, restart_runs: bool = True) -> FastAPI:
    """Return the FastAPI application, for a server of your own or to mount in an app.

    Args:
        app: What to serve.
        restart_runs: Whether runs that were cut off go on when it starts.
    """
    config = ServerConfig(
        api_routes=[build_route()], restart_runs=restart_runs, allowed_hosts=allowed_hosts()
    )
    return create_app(app, config)


def run(host: str, port: int, app: Mastra = mastra) -> None:
    """Serve an app, by default this one, until the process is told to stop."""
    config = ServerConfig(
        host=host, port=port, api_routes=[build_route()], allowed_hosts=allowed_hosts()
    )
    serve(app, config)
