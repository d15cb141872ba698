"""An application as a function of Vercel."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from fastapi import FastAPI

from mastra.registry import Mastra
from mastra.server.app import create_app
from mastra.server.config import ServerConfig

__all__ = ["vercel_app"]

_NAMES: Final = ("VERCEL_URL", "VERCEL_BRANCH_URL", "VERCEL_PROJECT_PRODUCTION_URL")


def vercel_app(mastra: Mastra, config: ServerConfig | None = None) -> FastAPI:
    """Return the application for a function: many of them live at once, each for a few requests.

    One that starts must not take over the runs that another drives, and it is called by the names
    that Vercel gave the deployment.

    Args:
        mastra: What to serve.
        config: How; left out, what `Mastra(server=...)` says.
    """
    given = config or mastra.server or ServerConfig()
    names = [name for key in _NAMES if (name := os.environ.get(key))]
    hosts = [*given.allowed_hosts, *names]
    return create_app(mastra, replace(given, restart_runs=False, allowed_hosts=hosts))
