"""The app as a container runs it: on the Inngest server that the environment names, if it does."""

from __future__ import annotations

import os

from app.durable import build_engine, build_route
from app.main import build_mastra
from app.server import allowed_hosts
from mastra import ServerConfig

__all__ = ["mastra"]

# Inngest's own names: a server of one's own, or an account at Inngest.
_NAMES = ("INNGEST_BASE_URL", "INNGEST_EVENT_KEY")

mastra = build_mastra(
    engine=build_engine() if any(os.environ.get(name) for name in _NAMES) else None,
    server=ServerConfig(api_routes=[build_route()], allowed_hosts=allowed_hosts()),
)
