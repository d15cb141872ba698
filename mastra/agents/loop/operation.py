"""One operation of a durable run: what it does with the calls, and what it records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.calls.outcomes import add_answer
from mastra.agents.calls.runner import CallRunner
from mastra.agents.loop.setup import plan_step
from mastra.agents.records.ledger import Ledger, tool_op
from mastra.agents.records.leg import Leg
from mastra.agents.records.step_records import load_outcome
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder
from mastra.jsonable import Json
from mastra.tools.tool import Tool

__all__ = ["Operation", "offered_tools"]


class Operation(Leg):
    """One operation of a durable run, from where those before it have left the run."""

    def __init__(self, run: AgentRun, ledger: Ledger) -> None:
        super().__init__(run, ledger)
        self.reply: dict[str, Json] | None = None
        """What a model call records that asks for tools."""

    def settle(self, run: AgentRun, runner: CallRunner) -> StepRecorder:
        """Return the step that asked for the calls, with what came of them."""
        recorder = self.recorder(runner.start)
        outcomes = enumerate(self._ledger.outcomes)
        for call in recorder.calls:
            if not call.provider_executed:
                place, data = next(outcomes)
                if not data.get("isTold"):
                    self.places[call.id] = tool_op(self._ledger.turn, place)
                runner.know(call, load_outcome(data))
                _take_note(run, data.get("noted", {}))
                if "used" in data:
                    run.meter.restore(data["used"])
        return recorder

    def park(
        self, run: AgentRun, recorder: StepRecorder, runner: CallRunner, tools: Sequence[str]
    ) -> bool:
        """Record the run as it is, if the model asks for tools; return whether it does."""
        if recorder.is_resumed or all(call.provider_executed for call in recorder.calls):
            return False
        run.status = "parked"
        add_answer(run, recorder)
        facts = self._ledger.facts
        more: dict[str, Json] = {
            "tools": list(tools),
            "atOnce": runner.at_once(recorder.calls),
            "broken": [call.id for call in recorder.calls if not call.is_json],
        }
        self.reply = self.growth(recorder.result)
        self.reply |= {key: value for key, value in more.items() if facts.get(key) != value}
        self._ledger.keep(run, recorder.result)
        return True


def _take_note(run: AgentRun, notes: Mapping[str, Any]) -> None:
    for key, value in notes.items():
        # Several calls of one step may each have something to say.
        run.state[key] = [*run.state.get(key, ()), *value] if key == "feedback" else value


async def offered_tools(run: AgentRun, ledger: Ledger) -> Mapping[str, Tool[Any, Any]]:
    """Return the tools that the last model call was offered."""
    names: list[str] = ledger.facts["tools"]
    found = run.tools
    if any(name not in found for name in names):
        # Given for this step alone, by `prepare_step` or a processor.
        found = (await plan_step(run)).tools
    return {name: found[name] for name in names if name in found}
