"""One operation of a durable run: how it goes on from those before it, and what it records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.ledger import Ledger, State, answer_id, model_op, told_id, tool_op
from mastra.agents.recorder import StepRecorder
from mastra.agents.results import StepResult
from mastra.agents.run import AgentRun
from mastra.agents.setup import plan_step
from mastra.agents.step_records import load_outcome
from mastra.agents.tool_calls import CallRunner
from mastra.agents.tool_outcomes import add_answer
from mastra.jsonable import Json
from mastra.tools.tool import Tool

__all__ = ["Leg", "offered_tools"]


class Leg:
    """One operation of a durable run.

    Args:
        run: The run, as the operation drives it.
        ledger: What the operations before it have recorded.
    """

    def __init__(self, run: AgentRun, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._state: State | None = None
        self._begun = 0
        self.settled: StepResult | None = None
        """The step that the last model call has left, which this one completes."""
        self.reply: dict[str, Json] | None = None
        """What a model call records that asks for tools."""
        self.pending: StepResult | None = None
        """The step that asks for them."""
        self.places: dict[str, str] = {}
        """The operations of the calls that are settled, by the calls' ids."""

    @property
    def asked_by(self) -> str:
        """The operation of the model call that asked for them."""
        return model_op(self._ledger.turn)

    @property
    def answer_id(self) -> str:
        """The id of the message that the model's answer adds."""
        return answer_id(self._run.run_id, self._ledger.turn + 1)

    @property
    def told_id(self) -> str:
        """The id of the message with what came of the calls."""
        return told_id(self._run.run_id, self._ledger.turn)

    @property
    def is_first(self) -> bool:
        """Whether nothing has been asked yet."""
        return not self._ledger.turn

    def restore(self, run: AgentRun) -> None:
        """Put the run to where the last model call left it."""
        self._state = self._ledger.hand_over(run)
        self.settled = self._state.pending
        self._begun = len(run.transcript.steps) + 1

    def settle(self, run: AgentRun, runner: CallRunner) -> StepRecorder:
        """Return the step that asked for the calls, with what came of them."""
        assert self.settled is not None  # noqa: S101 - a leg is restored before it goes on
        recorder = StepRecorder(run, self.settled.model, runner.start)
        recorder.result = self.settled
        recorder.is_resumed = True
        recorder.calls = self._ledger.calls_of(self.settled)
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
        self.pending = recorder.result
        self._ledger.keep(run, self.pending)
        return True

    def growth(self, pending: StepResult | None = None) -> dict[str, Json]:
        """Return what the operation has added to the run so far."""
        steps = self._run.transcript.steps[self._begun :]
        if pending is not None:
            steps = [*steps, pending]
        return self._ledger.growth(self._run, steps, self._state)


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
