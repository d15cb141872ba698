"""The app's place on an Inngest server: the client, the engine, and the route that is called."""

from __future__ import annotations

import os

import inngest

from mastra.inngest import InngestEngine, InngestRoute, inngest_route

__all__ = ["build_client", "build_engine", "build_route"]


def build_client() -> inngest.Inngest:
    """Return the client: for production where the environment has a signing key, else for dev."""
    return inngest.Inngest(
        app_id="mastra", is_production=bool(os.environ.get("INNGEST_SIGNING_KEY"))
    )


def build_engine() -> InngestEngine:
    """Return the engine that runs workflows on the Inngest server."""
    return InngestEngine(build_client())


def build_route() -> InngestRoute:
    """Return the route that the Inngest server calls, at `/api/inngest`."""
    return inngest_route(build_client())
