"""The traces and logs that a server answers from: those in the application's storage."""

from __future__ import annotations

from typing import Literal

from mastra.server.context import Server
from mastra.storage.observability import ObservabilityStore

__all__ = ["has_kept", "kept_in"]


def has_kept(server: Server, what: Literal["traces", "logs"]) -> bool:
    """Return whether traces or logs are kept."""
    observability = server.mastra.observability
    return observability is not None and getattr(observability, what)


async def kept_in(server: Server, what: Literal["traces", "logs"]) -> ObservabilityStore | None:
    """Return what keeps traces or logs, all that this process has so far among them; or `None`."""
    observability = server.mastra.observability
    if observability is None or not getattr(observability, what):
        return None
    await observability.flush()
    return server.mastra.storage.observability
