"""An agent's notes (its working memory) as the state that it shares with pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mastra.jsonable import Json
from mastra.memory import Memory
from mastra.pages.conversation import Conversation
from mastra.pages.facts import is_same
from mastra.server.context import load_strict

__all__ = ["SharedNotes"]

_TEXT: Final = "workingMemory"
"""The key of notes that are text."""


@dataclass(frozen=True, slots=True)
class SharedNotes:
    """The notes of a conversation."""

    memory: Memory
    conversation: Conversation

    @classmethod
    def of(cls, conversation: Conversation) -> SharedNotes | None:
        """Return the notes of a conversation whose agent keeps any."""
        memory = conversation.memory
        if memory is None or memory.working_memory is None:
            return None
        return cls(memory, conversation)

    async def read(self) -> dict[str, Json]:
        """Return the state: an object."""
        thread_id, resource_id = self.conversation.thread_id, self.conversation.resource_id
        notes = await self.memory.get_working_memory(thread_id=thread_id, resource_id=resource_id)
        if notes is None:
            return {}
        if self._has_schema:
            try:
                found = load_strict(notes)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return cast("dict[str, Json]", found)
        return {_TEXT: notes}

    async def take(self, given: Any) -> None:
        """Lay a page's state over the notes; what it leaves out stays.

        Raises:
            InputValidationError: It does not meet the schema of the notes.
        """
        if not isinstance(given, Mapping) or self.memory.read_only:
            return
        state = dict(cast("Mapping[str, Any]", given))
        if not self._has_schema:
            # Notes that are text are one key of the state; the others are the page's own.
            state = {key: value for key, value in state.items() if key == _TEXT}
        known = await self.read() if state else {}
        if all(key in known and is_same(known[key], value) for key, value in state.items()):
            return
        thread_id, resource_id = self.conversation.thread_id, self.conversation.resource_id
        # Where nobody is named, a thread is its own.
        await self.memory.thread_for(thread_id, resource_id or thread_id)
        await self.memory.update_working_memory(
            state if self._has_schema else state[_TEXT],
            thread_id=thread_id,
            resource_id=resource_id,
        )

    @property
    def _has_schema(self) -> bool:
        working = self.memory.working_memory
        return working is not None and working.schema is not None
