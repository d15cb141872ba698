"""What is known of a stored agent's run that waits: whose it is, of which thread, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from mastra.jsonable import Json
    from mastra.storage.base import RunHead

__all__ = ["IN_INPUT", "SINCE", "THREAD", "text_at", "thread_of", "waits_since"]

SINCE: Final = ("waiting", "createdAt")
"""Where the data of a run that its reader drives says since when it waits."""
THREAD: Final = ("waiting", "threadId")
"""Where it says of which thread it is."""
IN_INPUT: Final = (("options", "memory", "thread", "id"), ("options", "memory", "thread"))
"""Where the input of a durable run says that."""


def thread_of(head: RunHead) -> str | None:
    """Return the thread of a run that waits."""
    found = text_at(head.data, *THREAD)
    for path in IN_INPUT:
        found = text_at(head.input, *path) if found is None else found
    return found


def waits_since(head: RunHead) -> int:
    """Return since when a run waits, in milliseconds since 1970."""
    since = _at(head.data, SINCE)
    return int(since) if isinstance(since, (int, float)) else head.updated_at


def text_at(data: Json, *path: str) -> str | None:
    """Return the text at a place in stored data."""
    found = _at(data, path)
    return found if isinstance(found, str) else None


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        data = cast("dict[str, Any]", data).get(name) if isinstance(data, dict) else None
    return data
