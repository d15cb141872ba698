"""Which messages of a thread a query asks for.

The thread is read as a whole where a page of the store is not the answer: no store looks into messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

from pydantic import Field

from mastra.clock import ms_from_datetime
from mastra.jsonable import Json
from mastra.memory import Memory
from mastra.server.payloads import Identifier, Moment
from mastra.storage.conversations import MessagePage, StoredMessage, holds
from mastra.wire import WireModel

__all__ = ["Included", "IncludedMessage", "MessageFilter", "messages_asked_for"]

Count = Annotated[int, Field(ge=0, le=1000)]


class DateRange(WireModel):
    """Messages between two times, which belong to it unless it is said that they do not."""

    start: Moment | None = None
    end: Moment | None = None
    start_exclusive: bool = False
    end_exclusive: bool = False

    def has(self, ms: int) -> bool:
        """Return whether a time lies in it."""
        start = None if self.start is None else ms_from_datetime(self.start) + self.start_exclusive
        end = None if self.end is None else ms_from_datetime(self.end) - self.end_exclusive
        return (start is None or start <= ms) and (end is None or ms <= end)


class MessageFilter(WireModel):
    """What messages have to be."""

    date_range: DateRange | None = None
    roles: list[str] | None = None
    metadata: dict[str, str | int | float | bool | None] | None = None
    """What their metadata has to hold."""

    def has(self, message: StoredMessage) -> bool:
        """Return whether a message is asked for."""
        known = message.content.get("metadata")
        return (
            (self.date_range is None or self.date_range.has(message.created_at))
            and (not self.roles or message.role in self.roles)
            and holds(
                cast("Mapping[str, Json]", known) if isinstance(known, Mapping) else None,
                self.metadata,
            )
        )


class IncludedMessage(WireModel):
    """A message that is listed whatever else is asked for, with those around it."""

    id: Identifier
    with_previous_messages: Count = 0
    with_next_messages: Count = 0


Included = Annotated[list[IncludedMessage], Field(max_length=100)]
"""Each of them is looked for by itself."""


async def messages_asked_for(
    memory: Memory,
    thread_id: str,
    owner: str | None,
    *,
    page: int,
    per_page: int,
    from_first: bool = False,
    where: MessageFilter | None = None,
    include: Sequence[IncludedMessage] = (),
) -> MessagePage:
    """Return a page of a thread's messages, the oldest of them first.

    Args:
        memory: Where they are.
        thread_id: The thread.
        owner: Whose messages, those that are included too; `None` for all.
        page: From 0.
        per_page: How many are on one.
        from_first: Whether page 0 has the first messages or the latest.
        where: What the messages have to be.
        include: What is listed beside the page.
    """
    if where is None and not from_first:
        found = await memory.list_messages(
            thread_id=thread_id, resource_id=owner, page=page, per_page=per_page
        )
    else:
        every = (await memory.list_messages(thread_id=thread_id, resource_id=owner)).messages
        wanted = [message for message in every if where is None or where.has(message)]
        total = len(wanted)
        start = page * per_page if from_first else total - (page + 1) * per_page
        found = MessagePage(wanted[max(0, start) : max(0, start + per_page)], total)
    listed = {message.id: message for message in found.messages}
    for one in include:
        around = await memory.store.list_around(
            [one.id], before=one.with_previous_messages, after=one.with_next_messages
        )
        listed |= {near.id: near for near in around if owner in {None, near.resource_id}}
    rows = sorted(listed.values(), key=lambda message: message.created_at)
    return MessagePage(rows, found.total)
