"""Workflows on an Inngest server: durable, visible in its dashboard, with flow control.

Everything is imported on first use, so that a program which only names the package does not load
the SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "InngestEngine": "mastra.inngest.engine",
    "InngestRoute": "mastra.inngest.serving",
    "MastraInngest": "mastra.inngest.bound",
    "connect": "mastra.inngest.serving",
    "init": "mastra.inngest.bound",
    "inngest_route": "mastra.inngest.serving",
    "serve": "mastra.inngest.serving",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
