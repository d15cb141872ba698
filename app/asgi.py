"""The ASGI application as a function of Vercel, which finds it through `pyproject.toml`."""

from __future__ import annotations

from app.deployed import mastra
from mastra.server import vercel_app

__all__ = ["app"]

app = vercel_app(mastra)
"""The FastAPI backend: Mastra's REST API over this app under `/api`, `/api/inngest` and `/docs`."""
