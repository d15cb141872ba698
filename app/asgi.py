"""The ASGI application, by the name that hosts such as Vercel look for."""

from __future__ import annotations

import os

from app.deployed import mastra
from app.server import build_app

__all__ = ["app"]

# A function that starts there must not take over what another one drives.
app = build_app(mastra, restart_runs="VERCEL" not in os.environ)
