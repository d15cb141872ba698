"""What a process tells others of the runs that it drives, and hears of those that it waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

from mastra.inngest.inbox import Inbox
from mastra.inngest.outbox import Outbox
from mastra.inngest.publisher import Listener, Readers, Rounds
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.names import OUR_TOPIC
from mastra.jsonable import Json

__all__ = ["READ", "Mail", "RunKey"]

RunKey: TypeAlias = tuple[str, str]
"""A workflow's id and a run's."""

READ: Final = "mastra-read"
"""Asks the worker that drives a run to tell of it in an inbox."""


class Mail:
    """The inbox and the outbox of an engine."""

    def __init__(
        self,
        api: InngestApi,
        *,
        listeners: Callable[[RunKey], Sequence[Listener]],
        take: Callable[[dict[str, Any]], Awaitable[None]],
        on_gap: Callable[[], None],
        watched: bool,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            api: The server.
            listeners: Returns who reads a run in this process.
            take: Takes a message that came for one run.
            on_gap: Called when messages may have been missed.
            watched: Whether readers of the original may read any run.
        """
        self.outbox = Outbox(api)
        self.rounds = Rounds()
        self.inbox = Inbox(api, take, on_gap)
        self._listeners = listeners
        self._take = take
        self._is_watched = watched

    def readers_of(
        self, workflow_id: str, run_id: str, *, inboxes: Iterable[str], is_watched: bool
    ) -> Readers:
        """Return who hears of a run.

        Args:
            workflow_id: The workflow.
            run_id: The run.
            inboxes: Those that are known; may be empty, and this process's own.
            is_watched: Whether it was begun by other than this library.
        """
        key = (workflow_id, run_id)
        return Readers(
            here=lambda: self._listeners(key),
            take_here=self._take,
            inboxes={inbox for inbox in inboxes if inbox and inbox != self.inbox.channel},
            is_watched=is_watched or self._is_watched,
            come_late=is_watched,
        )

    def noted(self, readers: Readers) -> dict[str, Json]:
        """Return what storage keeps of who tells and who hears of a run."""
        noted: dict[str, Json] = {}
        if self.inbox.is_open:
            noted["worker"] = self.inbox.channel
        if readers.inboxes:
            noted["readers"] = sorted(readers.inboxes)
        if readers.is_watched:
            noted["watched"] = True
        return noted

    def noted_for_next(self, readers: Readers) -> dict[str, Json]:
        """Return the same for whoever drives the run next: who hears of it here is one of them."""
        noted = self.noted(readers)
        if readers.here() and self.inbox.is_open:
            noted["readers"] = sorted({*readers.inboxes, self.inbox.channel})
        return noted

    def readers_noted(self, key: RunKey, known: Any) -> Readers:
        """Return who hears of a run by what storage keeps; see `noted`."""
        facts = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
        inboxes = [*facts.get("readers", ()), facts.get("worker", "")]
        return self.readers_of(*key, inboxes=inboxes, is_watched=bool(facts.get("watched")))

    async def ask_for(self, key: RunKey, known: Any) -> str | None:
        """Ask the worker that drives a run to tell of it here; return which, if one can be asked.

        Raises:
            NotReached: The server could not be reached.
            RunError: It did not take the message.
        """
        worker = cast("dict[str, Any]", known).get("worker") if isinstance(known, dict) else None
        if not worker or worker == self.inbox.channel:
            return worker or None
        await self.inbox.open()
        asked = {"type": READ, "workflowId": key[0], "runId": key[1], "inbox": self.inbox.channel}
        await self.outbox.post((worker, OUR_TOPIC), cast("dict[str, Json]", asked))
        return worker

    async def send(self, inbox: str, message: dict[str, Any]) -> None:
        """Send a message to an inbox, which may be this process's own.

        Raises:
            NotReached: The server could not be reached.
            RunError: It did not take the message.
        """
        if inbox == self.inbox.channel:
            await self._take(message)
        else:
            await self.outbox.post((inbox, OUR_TOPIC), message)

    async def aclose(self) -> None:
        """End the subscription and give up what has not been sent."""
        await self.inbox.aclose()
        await self.outbox.aclose()
