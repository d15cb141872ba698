"""How a run goes on from what is recorded of it, and what it adds to that.

A durable run does so with each of its operations, any other when somebody answers a call that it
waits for.
"""

from __future__ import annotations

from mastra.agents.records.ledger import Ledger, State, answer_id, model_op, told_id
from mastra.agents.records.recordable import Recordable
from mastra.agents.records.requested_call import RequestedCall
from mastra.agents.results import LLMStepResult
from mastra.jsonable import Json

__all__ = ["RecordedLeg"]


class RecordedLeg:
    """A run on its way from what is recorded of it."""

    def __init__(self, run: Recordable, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._state: State | None = None
        self._begun = 0
        self.settled: LLMStepResult | None = None
        """The step that the last model call has left, which this leg completes."""
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

    def restore(self) -> LLMStepResult:
        """Put the run to where the last model call left it; return the step that asked for calls."""
        self._state = self._ledger.hand_over(self._run)
        self.settled = self._state.pending
        assert self.settled is not None  # noqa: S101 - the last model call asked for them
        self._begun = len(self._run.transcript.steps) + 1
        return self.settled

    def calls_of(self, step: LLMStepResult) -> list[RequestedCall]:
        """Return the calls that a step asked for."""
        return self._ledger.calls_of(step)

    def growth(self, pending: LLMStepResult | None = None) -> dict[str, Json]:
        """Return what the leg has added to the run so far."""
        steps = self._run.transcript.steps[self._begun :]
        if pending is not None:
            steps = [*steps, pending]
        return self._ledger.growth(self._run, steps, self._state)
