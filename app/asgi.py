"""The ASGI application, by the name that hosts such as Vercel look for."""

from __future__ import annotations

from app.server import build_app

__all__ = ["app"]

app = build_app()
