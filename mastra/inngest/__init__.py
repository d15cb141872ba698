"""Workflows on an Inngest server: durable, visible in its dashboard, with flow control.

Everything is imported on first use, so that a program which only names the package does not load
the SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.inngest.bound import MastraInngest, init
    from mastra.inngest.engine import InngestEngine
    from mastra.inngest.serving import InngestRoute, connect, inngest_route, serve

__all__ = [
    "InngestEngine",
    "InngestRoute",
    "MastraInngest",
    "connect",
    "init",
    "inngest_route",
    "serve",
]

_HOMES = {
    "InngestEngine": "mastra.inngest.engine",
    "InngestRoute": "mastra.inngest.serving",
    "MastraInngest": "mastra.inngest.bound",
    "connect": "mastra.inngest.serving",
    "init": "mastra.inngest.bound",
    "inngest_route": "mastra.inngest.serving",
    "serve": "mastra.inngest.serving",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="inngest,server")
