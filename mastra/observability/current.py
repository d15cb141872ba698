"""What traces an application. Most trace nothing, so here is only what it takes to know that."""

from __future__ import annotations

from typing import Any

from mastra.observability.otel import configured_provider
from mastra.observability.spans import Tracer

__all__ = ["tracer_of"]


def tracer_of(services: Any) -> Tracer | None:
    """Return what begins spans for an application, or `None` where nobody traces."""
    chosen: Any = getattr(services, "observability", None)
    if chosen is None and configured_provider() is None:
        return None
    from mastra.observability.config import chosen_tracer  # noqa: PLC0415 - takes a millisecond

    return chosen_tracer(chosen)
