"""Spans of runs, steps, agents, model calls and tools; and logs as JSON.

Where OpenTelemetry is set up in the process, spans go there without any setting here. An
`Observability` given to `Mastra` also keeps the latest traces in memory, where Studio reads them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.observability.config import Observability
    from mastra.observability.logs import JsonLogFormatter
    from mastra.observability.records import LogStore
    from mastra.observability.spans import Span, current_span
    from mastra.observability.store import TraceStore

__all__ = ["JsonLogFormatter", "LogStore", "Observability", "Span", "TraceStore", "current_span"]

_HOMES = {
    "JsonLogFormatter": "mastra.observability.logs",
    "LogStore": "mastra.observability.records",
    "Observability": "mastra.observability.config",
    "Span": "mastra.observability.spans",
    "TraceStore": "mastra.observability.store",
    "current_span": "mastra.observability.spans",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'mastra.observability' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
