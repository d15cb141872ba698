"""What is recorded of a run that its readers drive: where it waits, and when it ends after that.

The records are those of a durable run, a model call and what came of each tool call, so whoever
goes on with either reads the same. Between two waits nothing is stored: what several model calls
have added is then one record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from mastra.agents.records.ledger import STEP, Ledger, asked_of, model_op, result_chunk, tool_op
from mastra.agents.records.leg import RecordedLeg
from mastra.agents.records.meter import NOTHING_USED
from mastra.agents.records.recordable import Recordable
from mastra.agents.records.requested_call import (
    Done,
    Elsewhere,
    NeedsApproval,
    Outcome,
    RequestedCall,
    Suspended,
)
from mastra.agents.records.step_records import (
    dump_outcome,
    load_outcome,
    message_from_record,
    message_to_record,
)
from mastra.agents.results import LLMStepResult
from mastra.clock import now_ms
from mastra.jsonable import Json
from mastra.workflows.records import Journal, StepRecord
from mastra.workflows.written import records_in

__all__ = ["WaitingLeg", "made_record"]


class WaitingLeg(RecordedLeg):
    """A run that waits, or goes on from there.

    Args:
        run: The run.
        journal: What is stored of it; nothing where it waits for the first time.
        waiting: What its head says beside that.
    """

    def __init__(
        self,
        run: Recordable,
        journal: Journal | None = None,
        waiting: Mapping[str, Any] | None = None,
    ) -> None:
        records = records_in(journal or {}, f"{STEP}/")
        super().__init__(run, Ledger.of(run.run_id, records, keeps_states=False))
        self._records = records
        self._waiting: Mapping[str, Any] = waiting or {}
        self._meter = run.meter.copy()
        """What was used by the time of the last model call that is recorded."""
        self._settled: dict[str, Outcome] = {}
        """What came of calls before this leg, by their ids."""
        self.rows: list[StepRecord] = []
        """What is not stored yet."""

    # -- from what is stored -------------------------------------------------------------------

    def restore(self) -> LLMStepResult:
        """Put the run to where it waits, with what has been said to it since."""
        run = self._run
        before = run.transcript
        self._meter = self._ledger.state.meter
        settled = super().restore()
        now = run.transcript
        if not now.system or {"instructions", "system"} & run.options.keys():
            now.system = before.system
        now.usage = now.usage + before.usage
        now.said = [*map(message_from_record, self._waiting.get("said", ())), *before.said]
        used = self._waiting.get("used")
        if used is not None:
            run.meter.restore(used)
        return settled

    def recall(self, step: LLMStepResult, calls: Sequence[RequestedCall]) -> dict[str, Outcome]:
        """Return what came of the calls of a step before, by their ids; its readers know that."""
        self._find_places(calls)
        for call in calls:
            record = self._records.get(self.places.get(call.id, ""))
            if record is None:
                continue
            asked: Any = record.payload
            call.args = asked["args"]
            output = cast("dict[str, Any]", record.output)
            outcome = self._settled[call.id] = load_outcome(call, output)
            if isinstance(outcome, Done):
                step.tool_results.append(result_chunk(self._run.run_id, call, outcome))
        return dict(self._settled)

    def _find_places(self, calls: Sequence[RequestedCall]) -> None:
        own = [call.id for call in calls if not call.provider_executed]
        self.places = {key: tool_op(self._ledger.turn, at) for at, key in enumerate(own)}

    # -- what is to be stored ------------------------------------------------------------------

    def note(
        self, step: LLMStepResult, calls: Sequence[RequestedCall], outcomes: Mapping[str, Outcome]
    ) -> None:
        """Note a step of which calls are settled or wait, before the model is told of them.

        A call without an outcome is one that nobody has run.
        """
        if step is self.settled:
            # Answers came in an order of their own.
            order = {call.id: place for place, call in enumerate(calls)}
            step.tool_results.sort(key=lambda chunk: order.get(chunk.payload.tool_call_id, -1))
        else:
            self._note_model_call(step, calls)
        for call in calls:
            outcome = outcomes.get(call.id, Elsewhere())
            known = self._settled.get(call.id)
            # What ran elsewhere may be known by now.
            is_new = known is None or (isinstance(known, Elsewhere) and known != outcome)
            waits = isinstance(outcome, NeedsApproval | Suspended)
            if is_new and not waits and not call.provider_executed:
                told = dump_outcome(call, outcome)
                self.rows.append(made_record(self.places[call.id], "tool", asked_of(call), told))

    def _note_model_call(self, step: LLMStepResult, calls: Sequence[RequestedCall]) -> None:
        theirs = [chunk for chunk in step.tool_results if chunk.payload.provider_executed]
        reply = self.growth(replace(step, tool_results=theirs))
        reply["broken"] = [call.id for call in calls if not call.is_json]
        self._meter = self._run.meter.copy()
        self._add(reply)
        self._settled = {}
        self._find_places(calls)

    def end(self, output: Json) -> None:
        """Note how the run has ended."""
        self._add({"output": output, **self.growth()})

    def _add(self, reply: dict[str, Json]) -> None:
        op_id = model_op(self._ledger.turn + 1)
        self.rows.append(made_record(op_id, "model", None, reply))
        if "output" not in reply:
            self._ledger.add(reply)

    def to_waiting(self) -> dict[str, Json]:
        """Return what a run that waits has beside its records."""
        waiting: dict[str, Json] = {}
        used = self._run.meter.to_json(self._meter)
        if used != NOTHING_USED:
            waiting["used"] = used
        said = self._run.transcript.said
        if said:
            waiting["said"] = [message_to_record(message) for message in said]
        return waiting


def made_record(op: str, name: str, given: Json, output: Any) -> StepRecord:
    """Return the record of an operation of an agent's run that has just ended."""
    now = now_ms()
    record = StepRecord(f"{STEP}/{op}", f"{STEP}.{name}", given, now)
    record.status, record.output, record.ended_at = "success", output, now
    return record
