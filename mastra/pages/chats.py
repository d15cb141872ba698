"""Which runs a chat's message is made of, and what stops the answers under way.

An answer that goes on without its reader is found again by its chat, from any process: the storage
keeps a note of each such chat, in a head without a journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.ids import new_id, stable_id
from mastra.jsonable import Json
from mastra.server.context import Server
from mastra.server.leftovers import LEFT, forget_old
from mastra.storage.base import RunChanges, RunHead
from mastra.stream.abort import AbortController

__all__ = ["Chat", "ChatNote", "cancel", "status_of"]

_STOPS = "pages.stops"
_ANSWERED = "pages.answered"


@dataclass(slots=True)
class ChatNote:
    """What is known of a chat's latest answer."""

    message_id: str
    """The message that it is."""
    runs: list[dict[str, Json]] = field(default_factory=list[dict[str, Any]])
    """The runs that it is made of, in order: `id`; what the page's tools gave as `results` before
    it, and as `given` while it waited."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of somebody with an agent or a workflow."""

    server: Server
    kind: str
    """The protocol, `agent` or `workflow`, and its id, with colons between."""
    id: str
    """The page's id for it."""
    owner: str | None
    """Whose it is, where callers are known."""

    @classmethod
    def of(
        cls,
        server: Server,
        request: Request,
        kind: str,
        chat_id: str,
        named: str | None = None,
    ) -> Chat:
        """Return the caller's chat of an id: everybody has their own.

        Args:
            server: The server.
            request: Who asks.
            kind: The protocol and who answers.
            chat_id: The page's id for it.
            named: Whose it is, as a page says where callers are not known.

        Raises:
            Refusal: The caller is known, and somebody else is named.
        """
        return cls(server, kind, chat_id, server.owner(request, named))

    @property
    def _place(self) -> tuple[str, str]:
        return self.kind, stable_id(self.owner or "", self.id)

    # -- the note ------------------------------------------------------------------------------

    async def note(self, note: ChatNote) -> None:
        """Keep a note of the chat's latest answer."""
        workflow_id, run_id = self._place
        store = self.server.mastra.storage.workflows
        data: dict[str, Json] = {"messageId": note.message_id, "runs": note.runs}
        head = RunHead(workflow_id, run_id, LEFT, self.owner, data=data)
        if not await store.create_run(head):
            await store.update_run(workflow_id, run_id, RunChanges(data=data))
        await forget_old(self.server, workflow_id)

    async def add_run(self, run_id: str, is_live: Callable[[str], Awaitable[bool]]) -> None:
        """Add a run to the note, of a chat of which several runs may be under way.

        Those who do so at once, also in other processes, lose nothing of each other.

        Args:
            run_id: The run.
            is_live: Whether another of the note's runs is under way or waits; others are left out.
        """
        workflow_id, place = self._place
        store = self.server.mastra.storage.workflows
        is_done = False
        while not is_done:
            head = await store.get_run(workflow_id, place)
            known: list[dict[str, Json]] = [] if head is None else head.data.get("runs", [])
            if any(run["id"] == run_id for run in known):
                return
            runs = [run for run in known if await is_live(str(run["id"]))]
            data: dict[str, Json] = {"messageId": run_id, "runs": [*runs, {"id": run_id}]}
            claim = new_id()
            if head is None:
                made = RunHead(workflow_id, place, LEFT, self.owner, owner=claim, data=data)
                is_done = await store.create_run(made)
            else:
                changes = RunChanges(data=data, owner=claim)
                is_done = await store.update_run(
                    workflow_id, place, changes, expected_owner=head.owner
                )
        await forget_old(self.server, workflow_id)

    async def noted(self) -> ChatNote | None:
        """Return the note, if there is one."""
        head = await self.server.mastra.storage.workflows.get_run(*self._place)
        if head is None or "runs" not in head.data:
            return None
        return ChatNote(head.data["messageId"], [*head.data["runs"]])

    # -- stopping ------------------------------------------------------------------------------

    @contextmanager
    def stoppable(self) -> Generator[AbortController]:
        """Give what stops an answer of the chat, for as long as it is under way here."""
        stops: dict[Any, set[AbortController]] = self.server.facts.setdefault(_STOPS, {})
        controller = AbortController()
        own = stops.setdefault(self._place, set())
        own.add(controller)
        try:
            yield controller
        finally:
            own.discard(controller)
            if not own:
                stops.pop(self._place, None)

    def stop(self) -> bool:
        """Stop the answers of the chat that are under way here; return whether there were any."""
        stops: dict[Any, set[AbortController]] = self.server.facts.get(_STOPS, {})
        found = [*stops.get(self._place, ())]
        for controller in found:
            controller.abort("The page stopped the answer.")
        return bool(found)

    @contextmanager
    def answering(self, run_id: str) -> Generator[bool]:
        """Tell whether nobody else here answers what a run waits for, and let nobody until the end.

        Several calls of a step are answered one after the other, and all of one page's answers count
        or none.
        """
        with self._first(run_id) as is_first:
            yield is_first

    @contextmanager
    def telling(self, results: Sequence[Mapping[str, Any]]) -> Generator[bool]:
        """Tell whether nobody else here tells what the page's tools gave, as `answering` does."""
        with ExitStack() as stack:
            calls = {str(result["toolCallId"]) for result in results}
            keys = [(*self._place, call) for call in calls]
            yield all(stack.enter_context(self._first(key)) for key in keys)

    @contextmanager
    def _first(self, key: Hashable) -> Generator[bool]:
        answered: set[Hashable] = self.server.facts.setdefault(_ANSWERED, set())
        is_first = key not in answered
        if is_first:
            answered.add(key)
        try:
            yield is_first
        finally:
            if is_first:
                answered.discard(key)


# -- the runs of a durable agent -------------------------------------------------------------------


async def status_of(agent: Agent, run_id: str) -> str | None:
    """Return the status of a durable agent's run, `None` where there is none."""
    found = await agent.durable_runs.workflow.get_run(run_id)
    return None if found is None else found.status


async def cancel(agent: Agent, run_id: str) -> None:
    """Stop a durable agent's run, wherever it is driven."""
    await (await agent.durable_runs.workflow.create_run(run_id)).cancel()
