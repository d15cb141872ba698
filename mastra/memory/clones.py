"""Copies of threads: a conversation that goes on in two ways from one of its messages.

A clone has what it was made of in its metadata, under `clone`. It has nothing else of the source's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol, cast

from mastra.clock import iso_from_ms, ms_from_datetime, now_ms
from mastra.errors import IdTakenError, NotFoundError
from mastra.given import COUNT, ID, MAPPING, MOMENT, TEXT, TEXTS, check_given
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.memory.notes import WorkingMemory
from mastra.storage.conversations import MemoryStore, StoredMessage, ThreadRecord

__all__ = ["ClonedThread", "Clones"]

_KEY: Final = "clone"
_FORMS: Final = {
    "source_thread_id": ID,
    "new_thread_id": ID,
    "resource_id": ID,
    "title": TEXT,
    "metadata": MAPPING,
    "message_limit": COUNT,
    "message_ids": TEXTS,
    "start_date": MOMENT,
    "end_date": MOMENT,
}


@dataclass(frozen=True, slots=True)
class ClonedThread:
    """A copy of a thread."""

    thread: ThreadRecord
    """The new thread."""
    cloned_messages: list[StoredMessage]
    """Its messages, the oldest first."""
    message_id_map: Mapping[str, str]
    """The ids of the copies, by those of the messages that they are copies of."""


class _Remembering(Protocol):
    """What a memory has to have for this."""

    working_memory: WorkingMemory | None

    @property
    def store(self) -> MemoryStore: ...
    async def get_thread(self, thread_id: str) -> ThreadRecord | None: ...
    async def delete_thread(self, thread_id: str) -> bool: ...
    async def index_messages(self, messages: Sequence[StoredMessage]) -> None: ...
    async def get_working_memory(
        self, *, thread_id: str | None = None, resource_id: str | None = None
    ) -> str | None: ...
    async def update_working_memory(
        self, notes: Any, *, thread_id: str | None = None, resource_id: str | None = None
    ) -> str: ...
    def get_clone_metadata(self, thread: ThreadRecord | None) -> Mapping[str, Any] | None: ...


class Clones:
    """Of `Memory`: copies of its threads, and what they were made of."""

    async def clone_thread(
        self: _Remembering,
        source_thread_id: str,
        *,
        new_thread_id: str | None = None,
        resource_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        message_limit: int | None = None,
        message_ids: Sequence[str] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> ClonedThread:
        """Copy a thread with its messages, each under an id of its own, to go on from there.

        Notes of a thread are copied, and those of a resource where the copy is another resource's.
        With semantic recall the copies are found by their meaning, too.

        Args:
            source_thread_id: The thread.
            new_thread_id: The copy's id; left out, a new one.
            resource_id: Whose the copy is; left out, whose the thread is.
            title: What it is called; left out, "Clone of" and the thread's title.
            metadata: Facts of the application's for the copy.
            message_limit: The latest messages alone, so many.
            message_ids: These messages alone.
            start_date: Messages of then and later alone.
            end_date: Messages of then and earlier alone.

        Raises:
            NotFoundError: There is no such thread.
            IdTakenError: There is a thread with the copy's id.
        """
        given = {key: value for key, value in locals().items() if key in _FORMS}
        check_given(f"clone_thread of {source_thread_id!r}", given, _FORMS)
        source = await self.get_thread(source_thread_id)
        if source is None:
            raise NotFoundError(f"There is no thread {source_thread_id!r} to clone.")
        identifier = new_thread_id or new_id()
        since = None if start_date is None else ms_from_datetime(start_date)
        until = None if end_date is None else ms_from_datetime(end_date)
        listed = (await self.store.list_messages(thread_id=source_thread_id)).messages
        wanted = [
            message
            for message in listed
            if (not message_ids or message.id in message_ids)
            and (since is None or message.created_at >= since)
            and (until is None or message.created_at <= until)
        ]
        wanted = wanted[-message_limit:] if message_limit else wanted
        now = now_ms()
        made_of: dict[str, Json] = {"sourceThreadId": source.id, "clonedAt": iso_from_ms(now)}
        if wanted:
            made_of["lastMessageId"] = wanted[-1].id
        thread = ThreadRecord(
            identifier,
            resource_id or source.resource_id,
            title or (f"Clone of {source.title}" if source.title else ""),
            {**(metadata or {}), _KEY: made_of},
            now,
            now,
        )
        ids = {message.id: new_id() for message in wanted}
        owner = {} if resource_id is None else {"resource_id": resource_id}
        copies = [
            replace(message, id=ids[message.id], thread_id=identifier, **owner)
            for message in wanted
        ]
        # Of two at once with one id only one is made.
        if not await self.store.add_thread(thread):
            raise IdTakenError(
                f"Thread id {identifier!r} is taken: give the clone another new_thread_id.",
                details={"id": identifier},
            )
        try:
            await self.store.save_messages(copies)
            await _copy_notes(self, source, thread)
        except BaseException:
            # A copy that is not whole is none.
            await self.delete_thread(identifier)
            raise
        await self.index_messages(copies)
        return ClonedThread(await self.get_thread(identifier) or thread, copies, ids)

    def get_clone_metadata(self, thread: ThreadRecord | None) -> Mapping[str, Any] | None:
        """Return what a thread is a copy of; `None` where it is none.

        Returns:
            `sourceThreadId`, `clonedAt`, and `lastMessageId`, the last of the source's messages
            that was copied.
        """
        found: Any = None if thread is None else (thread.metadata or {}).get(_KEY)
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else None

    def is_clone(self, thread: ThreadRecord) -> bool:
        """Return whether a thread is a copy of another."""
        return self.get_clone_metadata(thread) is not None

    async def get_source_thread(self: _Remembering, thread_id: str) -> ThreadRecord | None:
        """Return the thread that one is a copy of; `None` where it is none, or that has gone."""
        made_of = self.get_clone_metadata(await self.get_thread(thread_id))
        return (
            None if made_of is None else await self.get_thread(str(made_of.get("sourceThreadId")))
        )

    async def list_clones(
        self: _Remembering, source_thread_id: str, resource_id: str | None = None
    ) -> list[ThreadRecord]:
        """Return the copies of a thread, the latest first.

        Args:
            source_thread_id: The thread.
            resource_id: Whose copies; left out, those of the resource whose the thread is.
        """
        if resource_id is None:
            source = await self.get_thread(source_thread_id)
            if source is None:
                return []
            resource_id = source.resource_id
        found = await self.store.list_threads(resource_id=resource_id, order_by="created_at")
        of = source_thread_id
        return [
            thread
            for thread in found.threads
            if (self.get_clone_metadata(thread) or {}).get("sourceThreadId") == of
        ]

    async def get_clone_history(self: _Remembering, thread_id: str) -> list[ThreadRecord]:
        """Return a thread with all that it was copied from, the original first."""
        history: list[ThreadRecord] = []
        wanted: Any = thread_id
        while wanted is not None and all(thread.id != wanted for thread in history):
            thread = await self.get_thread(str(wanted))
            if thread is None:
                break
            history.insert(0, thread)
            wanted = (self.get_clone_metadata(thread) or {}).get("sourceThreadId")
        return history


async def _copy_notes(memory: _Remembering, source: ThreadRecord, thread: ThreadRecord) -> None:
    working = memory.working_memory
    if working is None or not working.enabled:
        return
    if working.scope != "thread" and thread.resource_id == source.resource_id:
        return  # they are the same
    notes = await memory.get_working_memory(thread_id=source.id, resource_id=source.resource_id)
    if notes:
        await memory.update_working_memory(
            notes, thread_id=thread.id, resource_id=thread.resource_id
        )
