"""One operation of a durable run: what those before it have left, and what it records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.records.ledger import Ledger, tool_op
from mastra.agents.records.leg import RecordedLeg
from mastra.agents.records.recordable import Recordable
from mastra.agents.records.requested_call import Outcome, RequestedCall
from mastra.agents.records.step_records import load_outcome
from mastra.agents.results import LLMStepResult
from mastra.jsonable import Json

__all__ = ["Operation"]


class Operation(RecordedLeg):
    """One operation of a durable run, from where those before it have left the run."""

    def __init__(self, run: Recordable, ledger: Ledger) -> None:
        super().__init__(run, ledger)
        self.reply: dict[str, Json] | None = None
        """What a model call records that asks for tools."""

    def recall(self, calls: Sequence[RequestedCall]) -> dict[str, Outcome]:
        """Return what came of the calls of ours, by their ids, and take what they noted and used."""
        own = (call for call in calls if not call.provider_executed)
        known: dict[str, Outcome] = {}
        for place, (call, data) in enumerate(zip(own, self._ledger.outcomes, strict=True)):
            if not data.get("isTold"):
                self.places[call.id] = tool_op(self._ledger.turn, place)
            known[call.id] = load_outcome(call, data)
            self._take_note(data.get("noted", {}))
            if "used" in data:
                self._run.meter.restore(data["used"])
        return known

    def _take_note(self, notes: Mapping[str, Any]) -> None:
        state = self._run.state
        for key, value in notes.items():
            # Several calls of one step may each have something to say.
            state[key] = [*state.get(key, ()), *value] if key == "feedback" else value

    def park(
        self,
        step: LLMStepResult,
        calls: Sequence[RequestedCall],
        tools: Sequence[str],
        at_once: int,
    ) -> None:
        """Record the run as it is, for the operations of the calls that the model asks for.

        Args:
            step: What the model said.
            calls: Those calls.
            tools: What the model was offered.
            at_once: How many of the calls run at once.
        """
        more: dict[str, Json] = {
            "tools": list(tools),
            "atOnce": at_once,
            "broken": [call.id for call in calls if not call.is_json],
        }
        facts = self._ledger.facts
        self.reply = self.growth(step)
        self.reply |= {key: value for key, value in more.items() if facts.get(key) != value}
        self._ledger.keep(self._run, step)
