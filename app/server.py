"""The FastAPI backend: Mastra's REST API over this app under `/api`, `/api/inngest` and `/docs`."""

from __future__ import annotations

from fastapi import FastAPI

from app.durable import build_route
from app.main import mastra
from mastra import Mastra
from mastra.server import ServerConfig, create_app, serve

__all__ = ["build_app", "run"]


def build_app() -> FastAPI:
    """Return the FastAPI application, for a server of your own or to mount in an app."""
    return create_app(mastra, ServerConfig(api_routes=[build_route()]))


def run(host: str, port: int, app: Mastra = mastra) -> None:
    """Serve an app, by default this one, until the process is told to stop."""
    serve(app, ServerConfig(host=host, port=port, api_routes=[build_route()]))
