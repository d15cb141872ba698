"""The summary that stands for the older turns of a thread, as the thread's metadata has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mastra.storage.conversations import MemoryStore, StoredMessage, ThreadRecord

__all__ = ["SUMMARY", "Summary", "messages_since", "summary_of"]

SUMMARY: Final = "compaction"
"""The key among a thread's metadata."""

_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Summary:
    """What was said in a thread as far as one of its messages."""

    text: str
    """What was said, in short."""
    through: str
    """The id of the last message that it holds."""
    at: int
    """When that was said, in milliseconds since 1970."""


def summary_of(thread: ThreadRecord) -> Summary | None:
    """Return the summary that a thread has; `None` where it has none that can be read."""
    found: Any = (thread.metadata or {}).get(SUMMARY)
    known = cast("Mapping[str, Any]", found if isinstance(found, Mapping) else {})
    text, through, at = (known.get(key) for key in ("summary", "through", "at"))
    if isinstance(text, str) and isinstance(through, str) and isinstance(at, int):
        return Summary(text, through, at)
    return None


async def messages_since(
    store: MemoryStore, thread_id: str, resource_id: str | None, summary: Summary | None
) -> list[StoredMessage]:
    """Return the messages of a thread that its summary does not hold, the oldest first."""
    if summary is None:
        page = await store.list_messages(thread_id=thread_id, resource_id=resource_id)
        return page.messages
    found: list[StoredMessage] = []
    page_number = 0
    while True:
        page = await store.list_messages(
            thread_id=thread_id, resource_id=resource_id, page=page_number, per_page=_PAGE
        )
        for message in reversed(page.messages):
            # The message itself may have been deleted.
            if message.id == summary.through or message.created_at < summary.at:
                return found[::-1]
            found.append(message)
        page_number += 1
        if page_number * _PAGE >= page.total:
            return found[::-1]
