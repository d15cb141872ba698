"""Where a memory that was given no store keeps things: in its application, or in this process."""

from __future__ import annotations

import weakref

from mastra.logs import get_logger
from mastra.services import Services
from mastra.storage.conversations import InMemoryMemoryStore, MemoryStore

__all__ = ["Place"]


class Place:
    """The storage of the application that a memory belongs to; before, a store of its own."""

    def __init__(self) -> None:
        self._own = InMemoryMemoryStore()
        self._application: weakref.ref[Services] | None = None
        self._is_told = False

    @property
    def store(self) -> MemoryStore:
        """Where everything is kept now."""
        services = None if self._application is None else self._application()
        return self._own if services is None else services.storage.memory

    def move_to(self, services: Services) -> bool:
        """Belong to an application, and return whether its storage is the place now.

        What has been kept already stays where it is, and so does what comes: nothing is lost
        unseen.
        """
        if self._own.is_empty:
            self._application = weakref.ref(services)
            return True
        if not (self._is_told or isinstance(services.storage.memory, InMemoryMemoryStore)):
            self._is_told = True
            get_logger().warning(
                "A Memory was used before its agent was registered, so all that it keeps stays in "
                "this process and not in the application's storage. Register the agent first, or "
                "give Memory(store=...)."
            )
        return False
