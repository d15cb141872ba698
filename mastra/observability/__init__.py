"""Spans of runs, steps, agents, model calls and tools; and logs as JSON.

Where OpenTelemetry is set up in the process, spans go there without any setting here. An
`Observability` given to `Mastra` also keeps them in its storage for a time, where Studio reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.observability.config import Observability
    from mastra.observability.logs import JsonLogFormatter
    from mastra.observability.spans import Span, current_span

__all__ = ["JsonLogFormatter", "Observability", "Span", "current_span"]

_HOMES = {
    "JsonLogFormatter": "mastra.observability.logs",
    "Observability": "mastra.observability.config",
    "Span": "mastra.observability.spans",
    "current_span": "mastra.observability.spans",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
