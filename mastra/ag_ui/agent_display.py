"""Shows the runs of a turn as one run of the page's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import (
    RunFinishedCancelledOutcome,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
)

from mastra.ag_ui.agent_teller import AgentTeller, Telling
from mastra.ag_ui.interrupts import Open
from mastra.ag_ui.state import SharedNotes
from mastra.ag_ui.usage import usage_of_model
from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk, error_to_wire
from mastra.agents.records.client_tools import unanswered
from mastra.errors import MastraError

__all__ = ["AgentDisplay"]


@dataclass(slots=True)
class AgentDisplay:
    """Shows the runs of a turn as one run of the page's."""

    telling: Telling
    teller: AgentTeller
    notes: SharedNotes | None
    opens: Callable[[str], Awaitable[list[Open]]]
    """Gives what waits on the thread once a run does."""
    goes_on: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether the agent's notes have changed."""
        return self.teller.has_new_notes

    async def begin(self) -> bytes:
        """Open the run, and show the state."""
        outbox = self.telling.outbox
        outbox.start()
        await self._show_notes()
        return outbox.taken()

    def frames(self, chunks: Sequence[AgentChunk]) -> bytes:
        """Show chunks."""
        self.teller.tell(chunks)
        return self.telling.outbox.taken()

    async def catch_up(self) -> bytes:
        """Show what the agent's notes have become."""
        self.teller.has_new_notes = False
        await self._show_notes()
        return self.telling.outbox.taken()

    async def _show_notes(self) -> None:
        if self.notes is not None:
            self.telling.outbox.show_state(await self.notes.read())

    async def end(self, stream: AgentStream[Any]) -> bytes:
        """End the run as its last leg did."""
        outbox, teller = self.telling.outbox, self.teller
        teller.close()
        match stream.status:
            case "suspended":
                await self._show_notes()
                opens = await self.opens(stream.run_id)
                interrupts = [one.interrupt for one in opens]
                usage = teller.usage or usage_of_model({}, (await stream.usage()).to_wire())
                outbox.finish(RunFinishedInterruptOutcome(interrupts=interrupts), usage=usage)
            case "success":
                steps = await stream.steps()
                left = unanswered(steps[-1]) if steps else {}
                # A run that goes on tells nothing of the calls that it began with.
                waiting = [*teller.pending, *(call for call in left if call not in teller.pending)]
                outcome = RunFinishedSuccessOutcome(pending_tool_call_ids=waiting or None)
                outbox.finish(outcome, usage=teller.usage, result=teller.result)
            case "aborted" | "canceled":
                outbox.finish(RunFinishedCancelledOutcome(), usage=teller.usage)
            case _:
                error = stream.error
                wire: Any = (
                    {"message": "The run failed."} if error is None else error_to_wire(error)
                )
                outbox.fail(self.telling.text_of_error(wire), wire.get("code"))
        return outbox.taken()

    async def fail(self, error: MastraError) -> bytes:
        """End the run with an error."""
        outbox = self.telling.outbox
        self.teller.close()
        outbox.fail(self.telling.text_of_error(error_to_wire(error)), error.code)
        return outbox.taken()
