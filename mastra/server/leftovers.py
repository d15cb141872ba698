"""What the server keeps beside runs: the answers of pages, a chat's latest answer, tasks that ended.

It is deleted once it is old, while more of it is kept.
"""

from __future__ import annotations

import time
from typing import Final

from mastra.clock import now_ms
from mastra.server.context import Server

__all__ = ["LEFT", "forget_old"]

LEFT: Final = "success"
"""The status of what is kept: nobody drives it."""
_FORGOTTEN: Final = "leftovers.forgotten"
_EVERY_S: Final = 600.0


async def forget_old(server: Server, place: str) -> None:
    """Delete what has been kept in a place for longer than the server keeps it, now and then.

    Args:
        server: The server.
        place: The workflow id under which it is kept.
    """
    keep_s = server.config.chat_retention
    if keep_s is None:
        return
    done: dict[str, float] = server.facts.setdefault(_FORGOTTEN, {})
    now = time.monotonic()
    if now - done.get(place, -_EVERY_S) < _EVERY_S:
        return
    done[place] = now
    store = server.mastra.storage.workflows
    before = now_ms() - round(keep_s * 1000)
    await store.delete_runs_before(before, statuses=(LEFT,), workflow_id=place)
