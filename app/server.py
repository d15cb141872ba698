"""The FastAPI backend: Mastra's REST API over this app, under `/api`, and `/docs`."""

from __future__ import annotations

from fastapi import FastAPI

from app.main import mastra
from mastra.server import ServerConfig, create_app, serve

__all__ = ["build_app", "run"]


def build_app() -> FastAPI:
    """Return the FastAPI application, for a server of your own or to mount in an app."""
    return create_app(mastra)


def run(host: str, port: int) -> None:
    """Serve until the process is told to stop."""
    serve(mastra, ServerConfig(host=host, port=port))
