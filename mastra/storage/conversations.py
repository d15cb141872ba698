"""What a store of conversations has to do, and one that keeps them in this process.

Records are plain data: a store knows threads, messages and resources, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mastra.errors import ConfigError, IdTakenError
from mastra.jsonable import Json, dump_json, load_json
from mastra.storage.limits import check_columns
from mastra.storage.vectors import InMemoryVectors

__all__ = [
    "InMemoryMemoryStore",
    "MemoryStore",
    "MessagePage",
    "ResourceRecord",
    "StoredMessage",
    "ThreadPage",
    "ThreadRecord",
    "check_order",
    "check_record",
    "holds",
    "id_taken",
]


@dataclass(frozen=True, slots=True)
class ThreadRecord:
    """One conversation. Times in milliseconds since 1970."""

    id: str
    resource_id: str
    """Whose it is."""
    title: str = ""
    metadata: Mapping[str, Json] | None = None
    created_at: int = 0
    updated_at: int = 0
    error: Mapping[str, Json] | None = None
    """Why part of the row could not be read, as JSON with the code `ROW_UNREADABLE`. It is not stored."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a thread."""

    id: str
    thread_id: str
    resource_id: str
    role: str
    """`user`, `assistant` or `system`; tool results are part of the assistant's."""
    content: Mapping[str, Json]
    """`{"format": 2, "parts": [...], "content": text}`, as Mastra stores it."""
    created_at: int
    """Milliseconds since 1970."""
    error: Mapping[str, Json] | None = None
    """Why the content could not be read, as JSON with the code `ROW_UNREADABLE`. It is not stored."""


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """What is kept of a user, a tenant or whatever owns threads."""

    id: str
    working_memory: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict[str, Json])
    created_at: int = 0
    updated_at: int = 0
    error: Mapping[str, Json] | None = None
    """Why part of the row could not be read, as JSON with the code `ROW_UNREADABLE`. It is not stored."""


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """Some of the threads there are."""

    threads: list[ThreadRecord]
    total: int


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Some of the messages there are, the oldest first."""

    messages: list[StoredMessage]
    total: int


def id_taken(kind: str, identifier: str) -> IdTakenError:
    """Return the error for a row that would take the place of one of another resource."""
    return IdTakenError(
        f"{kind} id {identifier!r} is taken: what is stored under it belongs to another resource. "
        "Nothing was stored; give it another id.",
        details={"id": identifier},
    )


def check_order(order_by: str) -> None:
    """Refuse an order in which no store lists threads.

    Raises:
        ConfigError: It is one.
    """
    if order_by not in ("created_at", "updated_at"):
        raise ConfigError(f"Threads are ordered by created_at or updated_at, not {order_by!r}.")


_MESSAGE_COLUMNS = ("id", "thread_id", "resource_id", "role", "created_at")


def check_record(record: ThreadRecord | StoredMessage | ResourceRecord) -> str:
    """Refuse a record that one of the stores would not take; return what it is called.

    Raises:
        SerializationError: One would not.
    """
    if isinstance(record, ThreadRecord):
        what = f"thread {record.id!r}"
        check_columns(what, record, "id", "resource_id", "title", "created_at", "updated_at")
    elif isinstance(record, StoredMessage):
        what = f"message {record.id!r}"
        check_columns(what, record, *_MESSAGE_COLUMNS)
    else:
        what = f"resource {record.id!r}"
        check_columns(what, record, "id", "working_memory", "created_at", "updated_at")
    return what


class MemoryStore(Protocol):
    """Keeps threads, messages and resources. Every method may be called at once by many.

    A row that cannot be read comes with an `error`, alone or among others; storing it again leaves
    what could not be read as it is.

    A store with an attribute `vectors`, a `Vectors`, can also find messages by what they
    mean.
    """

    async def get_thread(self, thread_id: str) -> ThreadRecord | None:
        """Return a thread, or `None`."""
        ...

    async def save_thread(self, thread: ThreadRecord) -> None:
        """Store a thread, in place of an older one of that id.

        Raises:
            IdTakenError: The older one belongs to another resource, and stays.
        """
        ...

    async def add_thread(self, thread: ThreadRecord) -> bool:
        """Store a thread unless there is one of that id; return whether it was stored."""
        ...

    async def change_thread(self, thread: ThreadRecord, known: ThreadRecord) -> bool:
        """Store a thread if it is still there and was not changed since it was read.

        Args:
            thread: What to store; its `updated_at` is later than that of `known`.
            known: The thread as it was read. Its `updated_at` says whether it is still the same.

        Returns:
            Whether it was stored.
        """
        ...

    async def delete_thread(self, thread_id: str) -> bool:
        """Delete a thread and its messages; return whether it was there."""
        ...

    async def list_threads(
        self,
        *,
        resource_id: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        page: int = 0,
        per_page: int | None = None,
        order_by: str = "updated_at",
        descending: bool = True,
    ) -> ThreadPage:
        """Return threads, of one resource or of all, whose metadata has all of these values.

        Args:
            resource_id: Whose.
            metadata: What the metadata has to hold.
            page: From 0.
            per_page: All of them where it is left out.
            order_by: `created_at` or `updated_at`.
            descending: Whether the latest comes first.
        """
        ...

    async def save_messages(self, messages: Sequence[StoredMessage]) -> None:
        """Store messages, in place of older ones of the same ids, and touch their threads.

        Raises:
            IdTakenError: One of the older belongs to another resource; nothing was stored.
        """
        ...

    async def add_messages(self, messages: Sequence[StoredMessage]) -> bool:
        """Store messages as `save_messages` does, if their threads are there.

        A thread that is deleted meanwhile is either gone before, and nothing is stored, or takes
        the messages along.

        Returns:
            Whether all of the threads were there.

        Raises:
            IdTakenError: As `save_messages`.
        """
        ...

    async def list_messages(
        self,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        ids: Sequence[str] | None = None,
        page: int = 0,
        per_page: int | None = None,
    ) -> MessagePage:
        """Return messages, the oldest first; page 0 holds the latest."""
        ...

    async def list_around(
        self, message_ids: Sequence[str], *, before: int, after: int
    ) -> list[StoredMessage]:
        """Return messages with those said just before and after each in its thread.

        Each comes once, the oldest first.
        """
        ...

    async def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages."""
        ...

    async def get_resource(self, resource_id: str) -> ResourceRecord | None:
        """Return a resource, or `None`."""
        ...

    async def save_resource(self, resource: ResourceRecord) -> None:
        """Store a resource, in place of an older one of that id."""
        ...

    async def change_resource(self, resource: ResourceRecord, known: ResourceRecord | None) -> bool:
        """Store a resource if it was not changed since it was read, as `change_thread` does.

        Args:
            resource: What to store.
            known: The resource as it was read; `None` where there was none.

        Returns:
            Whether it was stored.
        """
        ...


class InMemoryMemoryStore:
    """Keeps conversations in this process."""

    def __init__(self) -> None:
        self._threads: dict[str, ThreadRecord] = {}
        self._messages: dict[str, StoredMessage] = {}
        self._resources: dict[str, ResourceRecord] = {}
        self.vectors = InMemoryVectors(self._owner_of)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever kept, or all of it is deleted."""
        return not (self._threads or self._messages or self._resources)

    def _owner_of(self, message_id: str) -> tuple[str, str] | None:
        message = self._messages.get(message_id)
        return None if message is None else (message.thread_id, message.resource_id)

    async def get_thread(self, thread_id: str) -> ThreadRecord | None:
        """Return a thread, or `None`."""
        return self._threads.get(thread_id)

    async def save_thread(self, thread: ThreadRecord) -> None:
        """Store a thread."""
        known = self._threads.get(thread.id)
        if known is not None and known.resource_id != thread.resource_id:
            raise id_taken("Thread", thread.id)
        metadata = _kept(thread.metadata, check_record(thread))
        self._threads[thread.id] = replace(thread, metadata=metadata)

    async def add_thread(self, thread: ThreadRecord) -> bool:
        """Store a thread unless there is one of that id; return whether it was stored."""
        if thread.id in self._threads:
            return False
        await self.save_thread(thread)
        return True

    async def change_thread(self, thread: ThreadRecord, known: ThreadRecord) -> bool:
        """Store a thread if it is still there and was not changed since it was read."""
        found = self._threads.get(thread.id)
        if found is None or found.updated_at != known.updated_at:
            return False
        await self.save_thread(thread)
        return True

    async def delete_thread(self, thread_id: str) -> bool:
        """Delete a thread and its messages."""
        await self.delete_messages(
            [key for key, item in self._messages.items() if item.thread_id == thread_id]
        )
        return self._threads.pop(thread_id, None) is not None

    async def list_threads(
        self,
        *,
        resource_id: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        page: int = 0,
        per_page: int | None = None,
        order_by: str = "updated_at",
        descending: bool = True,
    ) -> ThreadPage:
        """Return threads."""
        check_order(order_by)
        found = [
            thread
            for thread in self._threads.values()
            if resource_id in {None, thread.resource_id} and holds(thread.metadata, metadata)
        ]
        # Python's sort keeps the order of equals, so the later stored of two is turned first.
        found.sort(key=lambda thread: getattr(thread, order_by))
        if descending:
            found.reverse()
        total = len(found)
        if per_page is not None:
            found = found[page * per_page : (page + 1) * per_page]
        return ThreadPage(found, total)

    async def save_messages(self, messages: Sequence[StoredMessage]) -> None:
        """Store messages."""
        owners: dict[str, str] = {}
        for message in messages:
            known = self._messages.get(message.id)
            owner = owners.setdefault(
                message.id, message.resource_id if known is None else known.resource_id
            )
            if owner != message.resource_id:
                raise id_taken("Message", message.id)
        contents = [_kept(message.content, check_record(message)) for message in messages]
        for message, content in zip(messages, contents, strict=True):
            self._messages[message.id] = replace(message, content=content)
            thread = self._threads.get(message.thread_id)
            if thread is not None:
                touched = max(thread.updated_at, message.created_at)
                self._threads[thread.id] = replace(thread, updated_at=touched)

    async def add_messages(self, messages: Sequence[StoredMessage]) -> bool:
        """Store messages, if their threads are there."""
        if any(message.thread_id not in self._threads for message in messages):
            return False
        await self.save_messages(messages)
        return True

    async def list_messages(
        self,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        ids: Sequence[str] | None = None,
        page: int = 0,
        per_page: int | None = None,
    ) -> MessagePage:
        """Return messages, the oldest first; page 0 holds the latest."""
        found = [
            message
            for message in self._messages.values()
            if thread_id in {None, message.thread_id}
            and resource_id in {None, message.resource_id}
            and (ids is None or message.id in ids)
        ]
        found.sort(key=lambda message: message.created_at)
        total = len(found)
        if per_page is not None:
            end = total - page * per_page
            found = found[max(0, end - per_page) : max(0, end)]
        return MessagePage([_copy(message) for message in found], total)

    async def list_around(
        self, message_ids: Sequence[str], *, before: int, after: int
    ) -> list[StoredMessage]:
        """Return messages with those said just before and after each in its thread."""
        found: dict[str, StoredMessage] = {}
        for message_id in message_ids:
            anchor = self._messages.get(message_id)
            if anchor is None:
                continue
            thread = [m for m in self._messages.values() if m.thread_id == anchor.thread_id]
            thread.sort(key=lambda message: message.created_at)
            at = next(index for index, message in enumerate(thread) if message is anchor)
            near = thread[max(0, at - before) : at + after + 1]
            found.update((message.id, message) for message in near)
        ordered = sorted(found.values(), key=lambda message: message.created_at)
        return [_copy(message) for message in ordered]

    async def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages."""
        for message_id in message_ids:
            self._messages.pop(message_id, None)
        self.vectors.forget(message_ids)

    async def get_resource(self, resource_id: str) -> ResourceRecord | None:
        """Return a resource, or `None`."""
        return self._resources.get(resource_id)

    async def save_resource(self, resource: ResourceRecord) -> None:
        """Store a resource."""
        metadata = _kept(resource.metadata, check_record(resource))
        self._resources[resource.id] = replace(resource, metadata=metadata)

    async def change_resource(self, resource: ResourceRecord, known: ResourceRecord | None) -> bool:
        """Store a resource if it was not changed since it was read."""
        found = self._resources.get(resource.id)
        if (found is None) != (known is None):
            return False
        if found is not None and known is not None and found.updated_at != known.updated_at:
            return False
        await self.save_resource(resource)
        return True


def _kept(value: Json, what: str) -> Json:
    """Return a value as a database gives it back: what one store takes, every store takes.

    Raises:
        SerializationError: A database would not take it.
    """
    return None if value is None else load_json(dump_json(value, what=what))


def _copy(message: StoredMessage) -> StoredMessage:
    return replace(message, content=_kept(message.content, "message"))


def holds(metadata: Mapping[str, Json] | None, wanted: Mapping[str, Json] | None) -> bool:
    """Return whether metadata has all that is wanted."""
    if not wanted:
        return True
    return metadata is not None and all(
        key in metadata and metadata[key] == value for key, value in wanted.items()
    )
