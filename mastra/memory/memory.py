"""`Memory`: what an agent remembers of its conversations.

A thread is one conversation of one resource (a user, a tenant). The agent is shown the latest
messages of the thread, and what it noted in its working memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final, Literal

from mastra.clock import now_ms
from mastra.errors import ConfigError, InputValidationError
from mastra.ids import new_id
from mastra.jsonable import Json, dump_json, load_json
from mastra.logs import get_logger
from mastra.memory.clones import Clones
from mastra.memory.notes import (
    DEFAULT_TEMPLATE,
    WorkingMemory,
    laid_over,
    working_memory_of,
)
from mastra.memory.option_checks import check_memory, named
from mastra.memory.place import Place
from mastra.memory.recalled import readable_messages
from mastra.memory.semantic import Recaller, SemanticRecall, TextVectors, recall_with
from mastra.memory.summaries import messages_since, summary_of
from mastra.models.embedding import Embedder, EmbedderInput, resolve_embedder
from mastra.models.late_results import apart, called, with_results
from mastra.models.messages import Message, ToolResultPart
from mastra.models.resolve import ModelInput
from mastra.models.stored_messages import merged_messages, split_results, stored_content
from mastra.names import python_names, python_options
from mastra.schema import SchemaMismatch, schema_of
from mastra.services import Services
from mastra.storage.conversations import (
    MemoryStore,
    MessagePage,
    ResourceRecord,
    StoredMessage,
    ThreadPage,
    ThreadRecord,
)
from mastra.storage.vectors import Vectors

__all__ = ["Memory"]

_LOOKED_THROUGH: Final = 50
"""How many messages are read at once to find the call that a result answers."""


@python_names
@python_options
class Memory(Clones):
    """Threads, messages and notes over a store.

    Args:
        store: Where they are kept. Left out: the storage of the application that its agent was
            last registered with, or this process. What was kept before the agent was registered
            stays in this process, and so does what comes after it.
        last_messages: How many of the thread's messages the agent is shown; `False` for none.
        working_memory: Notes that the agent keeps: `True`, or how they look.
        generate_title: Give a thread a title after its first answer: `True` for the agent's own
            model, or another model.
        read_only: Show what is there and keep nothing.
        semantic_recall: Show the agent what was said before that is like what it is asked:
            `True`, or how. Needs an `embedder`.
        embedder: Tells what texts mean: `provider/model`, a `ModelConfig`, an object with
            `embed(texts)`, or a function of a list of texts.
        embedder_options: Further fields of an embedding request, such as `dimensions`.
        vectors: Where vectors of messages are kept; left out, beside the messages.

    Raises:
        ConfigError: There is no embedder for semantic recall.
    """

    def __init__(
        self,
        store: MemoryStore | None = None,
        *,
        last_messages: int | Literal[False] = 10,
        working_memory: WorkingMemory | Mapping[str, Any] | bool | None = None,
        generate_title: bool | ModelInput = False,
        read_only: bool = False,
        semantic_recall: SemanticRecall | Mapping[str, Any] | bool | None = None,
        embedder: EmbedderInput | None = None,
        embedder_options: Mapping[str, Any] | None = None,
        vectors: Vectors | None = None,
    ) -> None:
        check_memory("Memory", locals())
        self._store = store
        self._place = Place()  # copies with options of one call share it
        self.vectors = vectors
        """Where vectors of messages are kept, where that is not beside the messages."""
        self.embedder: Embedder | None = (
            None if embedder is None else resolve_embedder(embedder, embedder_options)
        )
        self.semantic_recall = recall_with(self.embedder, semantic_recall)
        self._texts = None if self.embedder is None else TextVectors(self.embedder)
        self.last_messages = last_messages
        self.working_memory = working_memory_of(working_memory)
        self.generate_title = generate_title
        self.read_only = read_only

    def with_options(self, options: Mapping[str, Any]) -> Memory:
        """Return the same memory with options of one call, in snake_case or camelCase."""
        made = copy(self)
        vars(made).update(named(options))
        made.working_memory = working_memory_of(made.working_memory)
        made.semantic_recall = recall_with(made.embedder, made.semantic_recall)
        return made

    def bound_to(self, services: Services | None) -> Memory:
        """Return the same memory over the application's storage, unless it has a store."""
        if self._store is not None or services is None:
            return self
        if not self._place.move_to(services):
            return self
        bound = self.with_options({})
        bound._store = services.storage.memory  # noqa: SLF001 - our own copy
        return bound

    def belong_to(self, services: Services) -> None:
        """Take note of the application whose storage calls on this object are about."""
        self._place.move_to(services)

    @property
    def store(self) -> MemoryStore:
        """Where everything is kept."""
        return self._place.store if self._store is None else self._store

    def to_wire(self) -> dict[str, Json]:
        """Return the configuration as Mastra's JSON."""
        working = self.working_memory
        return {
            "lastMessages": self.last_messages,
            "semanticRecall": False
            if self.semantic_recall is None
            else self.semantic_recall.to_wire(),
            "generateTitle": bool(self.generate_title),
            "workingMemory": {
                "enabled": working is not None and working.enabled,
                "template": DEFAULT_TEMPLATE
                if working is None or working.template is None
                else working.template,
            },
        }

    # -- threads -------------------------------------------------------------------------------

    async def create_thread(
        self,
        *,
        resource_id: str,
        thread_id: str | None = None,
        title: str = "",
        metadata: Mapping[str, Json] | None = None,
    ) -> ThreadRecord:
        """Make a thread."""
        now = now_ms()
        thread = ThreadRecord(thread_id or new_id(), resource_id, title, metadata, now, now)
        await self.store.save_thread(thread)
        return thread

    async def get_thread(self, thread_id: str) -> ThreadRecord | None:
        """Return a thread, or `None`."""
        return await self.store.get_thread(thread_id)

    async def update_thread(
        self,
        thread_id: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, Json] | None = None,
    ) -> ThreadRecord | None:
        """Change a thread's title or add to its metadata; `None` where there is none."""

        def change(thread: ThreadRecord) -> ThreadRecord:
            known = thread.metadata or {}
            return replace(
                thread,
                title=thread.title if title is None else title,
                metadata=thread.metadata if metadata is None else {**known, **metadata},
                # New metadata stands in for what could not be read.
                error=thread.error if metadata is None else None,
            )

        return await self.change_thread(thread_id, change)

    async def change_thread(
        self, thread_id: str, change: Callable[[ThreadRecord], ThreadRecord]
    ) -> ThreadRecord | None:
        """Change a thread by a function of what is stored; `None` where there is none.

        Where somebody else changes the thread meanwhile, the function is called again with what
        they have stored, so that no change is lost. A thread that was deleted stays deleted.
        """
        while (known := await self.store.get_thread(thread_id)) is not None:
            changed = replace(change(known), updated_at=max(now_ms(), known.updated_at + 1))
            if await self.store.change_thread(changed, known):
                return changed
        return None

    async def delete_thread(self, thread_id: str) -> bool:
        """Delete a thread and its messages; return whether it was there."""
        if self.vectors is not None:
            await self.vectors.delete(thread_id=thread_id)
        return await self.store.delete_thread(thread_id)

    async def list_threads(self, **options: Any) -> ThreadPage:
        """Return threads; the options are those of `MemoryStore.list_threads`."""
        return await self.store.list_threads(**options)

    async def thread_for(
        self,
        thread_id: str,
        resource_id: str,
        *,
        title: str = "",
        metadata: Mapping[str, Json] | None = None,
    ) -> ThreadRecord:
        """Return a thread, made where there is none.

        Raises:
            InputValidationError: It belongs to another resource.
        """
        thread = await self.store.get_thread(thread_id)
        if thread is None:
            if self.read_only:
                return ThreadRecord(thread_id, resource_id)
            return await self.create_thread(
                thread_id=thread_id, resource_id=resource_id, title=title, metadata=metadata
            )
        if thread.resource_id != resource_id:
            raise InputValidationError(
                f"Thread {thread_id!r} does not belong to resource {resource_id!r}.",
                code="THREAD_OF_ANOTHER_RESOURCE",
                details={"thread_id": thread_id},
            )
        return thread

    # -- messages ------------------------------------------------------------------------------

    async def save_messages(
        self, messages: Sequence[Message], *, thread_id: str, resource_id: str
    ) -> list[StoredMessage]:
        """Store messages in a thread, each answer with its tools' results as one."""
        stored = self._stored(messages, thread_id, resource_id)
        await self.store_messages(stored)
        return stored

    async def add_messages(
        self, messages: Sequence[Message], *, thread_id: str, resource_id: str
    ) -> bool:
        """Store what was said in a thread that there is; nothing where it was deleted.

        The result of a call that an earlier answer made, as of a tool that the client runs, goes
        into the message of that answer.

        Returns:
            Whether the thread is there.
        """
        kept, late = apart(messages)
        answered: list[StoredMessage] = []
        if late:
            answered, homeless = await self._answered(late, thread_id, resource_id)
            kept = [*(called(part) for part in homeless), *kept]
        stored = [*answered, *self._stored(kept, thread_id, resource_id)]
        if not await self.store.add_messages(stored):
            return False
        await self.index_messages(stored)
        return True

    async def _answered(
        self, results: Sequence[ToolResultPart], thread_id: str, resource_id: str
    ) -> tuple[list[StoredMessage], list[ToolResultPart]]:
        """Return stored messages with the results of calls in them, and what answers none."""
        found: list[StoredMessage] = []
        left, page = [*results], 0
        while left:
            listed = await self.store.list_messages(
                thread_id=thread_id, resource_id=resource_id, page=page, per_page=_LOOKED_THROUGH
            )
            for stored in reversed(listed.messages):
                content, left = with_results(stored.content, left)
                if content is not None:
                    found.append(replace(stored, content=content))
            page += 1
            if page * _LOOKED_THROUGH >= listed.total:
                break
        return found, left

    @staticmethod
    def _stored(
        messages: Sequence[Message], thread_id: str, resource_id: str
    ) -> list[StoredMessage]:
        return [
            StoredMessage(
                message.id,
                thread_id,
                resource_id,
                message.role,
                stored_content(message),
                message.created_at,
            )
            for message in merged_messages(messages)
        ]

    async def store_messages(self, messages: Sequence[StoredMessage]) -> None:
        """Store messages as they are; with semantic recall, what they mean too.

        A message whose meaning cannot be told is stored without it, and the log says so: what
        was said is worth more than finding it.
        """
        await self.store.save_messages(messages)
        await self.index_messages(messages)

    async def index_messages(self, messages: Sequence[StoredMessage]) -> None:
        """Note what stored messages mean, with semantic recall."""
        if self._recaller is not None:
            await self._recaller.index(messages)

    @property
    def _recaller(self) -> Recaller | None:
        if self.semantic_recall is None or self._texts is None:
            return None
        return Recaller(self.store, self._texts, self.semantic_recall, self.vectors)

    async def recall(
        self,
        *,
        thread_id: str,
        resource_id: str | None = None,
        last: int | None = None,
        search: str | None = None,
    ) -> list[Message]:
        """Return a thread's latest messages, the oldest first, as they go to a model.

        Args:
            thread_id: The thread.
            resource_id: Whose.
            last: How many; all where it is left out.
            search: With semantic recall, also messages like this text, of whatever thread the
                recall reaches, with those around them.
        """
        recalled = await self.recall_stored(
            thread_id=thread_id, resource_id=resource_id, last=last, search=search
        )
        return split_results(readable_messages(recalled))

    async def recall_stored(
        self,
        *,
        thread_id: str,
        resource_id: str | None = None,
        last: int | None = None,
        search: str | None = None,
        since: ThreadRecord | None = None,
    ) -> list[StoredMessage]:
        """Return what `recall` returns, as it is stored.

        With `since`, the thread as it was read, all that its summary does not hold comes in place
        of the latest.
        """
        found: list[StoredMessage] = []
        if since is not None:
            found = await messages_since(self.store, thread_id, resource_id, summary_of(since))
        elif last != 0:
            page = await self.store.list_messages(
                thread_id=thread_id, resource_id=resource_id, per_page=last
            )
            found = page.messages
        if search and self._recaller is not None:
            near = await self._recaller.find(search, thread_id=thread_id, resource_id=resource_id)
            known = {message.id for message in found}
            more = [message for message in near if message.id not in known]
            # Of one moment, what was found by its meaning is the older.
            found = sorted([*more, *found], key=lambda message: message.created_at)
        return found

    async def search(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        top_k: int | None = None,
    ) -> list[tuple[StoredMessage, float]]:
        """Return messages like a text with their scores (1 for the same meaning), the best first.

        Raises:
            ConfigError: There is no semantic recall.
            ModelError: The embedder failed.
        """
        recaller = self._recaller
        if recaller is None:
            raise ConfigError(
                "Memory.search() needs semantic recall: Memory(semantic_recall=True, embedder=...)."
            )
        return await recaller.search(
            text, thread_id=thread_id, resource_id=resource_id, top_k=top_k
        )

    async def list_messages(self, **options: Any) -> MessagePage:
        """Return messages as stored; the options are those of `MemoryStore.list_messages`."""
        return await self.store.list_messages(**options)

    async def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages."""
        if self.vectors is not None:
            await self.vectors.delete(message_ids=message_ids)
        await self.store.delete_messages(message_ids)

    # -- working memory ------------------------------------------------------------------------

    async def get_working_memory(
        self, *, thread_id: str | None = None, resource_id: str | None = None
    ) -> str | None:
        """Return the notes: text, or JSON where they have a schema."""
        if self._notes_of_thread():
            thread = None if thread_id is None else await self.store.get_thread(thread_id)
            found = None if thread is None else (thread.metadata or {}).get("workingMemory")
            return None if found is None else str(found)
        resource = None if resource_id is None else await self.store.get_resource(resource_id)
        return None if resource is None else resource.working_memory

    async def update_working_memory(
        self, notes: Any, *, thread_id: str | None = None, resource_id: str | None = None
    ) -> str:
        """Rewrite the notes; with a schema, what is given is laid over what was there.

        Objects are merged at every depth, `None` removes a key, and lists are replaced. Several
        updates at once lose nothing of each other.

        Raises:
            InputValidationError: The notes do not meet the schema, or there is nobody to keep
                them for.
        """
        if self._notes_of_thread():
            text = ""

            def change(thread: ThreadRecord) -> ThreadRecord:
                nonlocal text
                known = thread.metadata or {}
                text = self._new_notes(notes, known.get("workingMemory"))
                return replace(thread, metadata={**known, "workingMemory": text}, error=None)

            if thread_id is None or await self.change_thread(thread_id, change) is None:
                raise InputValidationError(f"There is no thread {thread_id!r} to keep notes in.")
            return text
        if resource_id is None:
            raise InputValidationError("Notes need a resource to be kept for.")
        while True:
            now = now_ms()
            known = await self.store.get_resource(resource_id)
            before = known or ResourceRecord(resource_id, created_at=now)
            text = self._new_notes(notes, before.working_memory)
            at = max(now, before.updated_at + 1)
            changed = replace(before, working_memory=text, updated_at=at)
            if await self.store.change_resource(changed, known):
                return text

    def _notes_of_thread(self) -> bool:
        return self.working_memory is not None and self.working_memory.scope == "thread"

    def _new_notes(self, notes: Any, before: Any) -> str:
        working = self.working_memory
        if working is None or working.schema is None:
            return notes if isinstance(notes, str) else dump_json(notes).decode()
        schema = schema_of(working.schema)
        try:
            given: Any = load_json(notes) if isinstance(notes, str) else notes
        except ValueError:
            raise InputValidationError("The working memory is to be JSON, and is not.") from None
        try:
            old = load_json(before) if before else None
        except (TypeError, ValueError):
            # Text from before there was a schema, or damaged: nothing can be laid over it.
            get_logger().warning("Notes that are no JSON are replaced: %.200r", before)
            old = None
        merged = laid_over(old, given)
        try:
            return dump_json(schema.dump(schema.load(merged))).decode()
        except SchemaMismatch as mismatch:
            raise mismatch.into(InputValidationError, "The working memory") from None
