"""What is recorded of a run: what each model call added to it, and what came of its tool calls.

A model call records the messages and steps that it added, and facts that changed; each tool call
what came of it. Both are stored once. The run as any operation finds it is put together from those
when it goes on somewhere, and handed from one operation to the next while it stays there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final, cast

from mastra.agents.chunks import AgentChunk, ToolResultPayload
from mastra.agents.records.client_tools import elsewhere_with
from mastra.agents.records.meter import Meter
from mastra.agents.records.recordable import Recordable
from mastra.agents.records.requested_call import Done, Outcome, RequestedCall, told_of
from mastra.agents.records.step_records import (
    calls_of,
    load_outcome,
    message_from_record,
    message_to_record,
    step_from_record,
    step_to_record,
    used_in,
)
from mastra.agents.records.transcript import Transcript
from mastra.agents.results import LLMStepResult
from mastra.ids import stable_id
from mastra.jsonable import Json
from mastra.models.messages import Message
from mastra.workflows.records import StepRecord

__all__ = [
    "STEP",
    "Ledger",
    "State",
    "added_messages",
    "answer_id",
    "asked_in",
    "asked_of",
    "model_op",
    "noted",
    "outcomes_of",
    "requested",
    "result_chunk",
    "told_id",
    "tool_op",
]

STEP: Final = "agent"
"""The one step that an agent's run has as the run of a workflow."""


class State:
    """A run as its model calls so far have left it."""

    def __init__(self, transcript: Transcript, meter: Meter) -> None:
        self.transcript = transcript
        self.meter = meter
        self.pending: LLMStepResult | None = None
        """The step whose calls are not settled."""
        self.messages: list[Message] = []
        """The messages that are recorded."""
        self.system: list[Message] = []
        self.counts: tuple[int, int] = (0, 0)
        """How many of them were recorded, where the run still has the same lists."""


class Ledger:
    """The records of one run, in the order in which they were made.

    Args:
        run_id: The agent's run, as its chunks name it.
        keeps_states: Whether processors go on with their states, which are JSON data then.
    """

    def __init__(self, run_id: str, *, keeps_states: bool = True) -> None:
        self.run_id = run_id
        self._keeps_states = keeps_states
        self.facts: dict[str, Any] = {}
        """What the model calls so far say of the run; empty before the first."""
        self._turns: list[tuple[Mapping[str, Any], list[Any]]] = []
        self._state: State | None = None
        self._is_ahead = False
        """Whether the state has what the next model call is about to record."""

    @classmethod
    def of(
        cls, run_id: str, records: Mapping[str, StepRecord], *, keeps_states: bool = True
    ) -> Ledger:
        """Return a run's ledger, made of its records by their operations."""
        ledger = cls(run_id, keeps_states=keeps_states)
        while (record := records.get(model_op(ledger.turn + 1))) is not None:
            reply = cast("dict[str, Any]", record.output)
            if record.status != "success" or "output" in reply:
                break
            ledger.add(reply)
            asked = [
                (call, records.get(tool_op(ledger.turn, place)))
                for place, call in enumerate(asked_in(reply))
            ]
            done = [(call, found) for call, found in asked if found and found.status == "success"]
            ledger.settle([call for call, _ in done], [found.output for _, found in done])
        return ledger

    @property
    def turn(self) -> int:
        """How many model calls are recorded."""
        return len(self._turns)

    @property
    def asked(self) -> list[dict[str, Json]]:
        """The calls of ours that the last model call asks for."""
        return asked_in(self._turns[-1][0])

    @property
    def outcomes(self) -> list[Any]:
        """What came of the calls that the last model call asked for, in their order."""
        return self._turns[-1][1]

    def settle(self, asked: Sequence[Mapping[str, Any]], outcomes: Sequence[Any]) -> None:
        """Take what came of calls that the last model call asked for."""
        self.outcomes.extend(elsewhere_with(asked, outcomes))

    def add(self, reply: Mapping[str, Any]) -> None:
        """Take what a model call recorded."""
        self._turns.append((reply, []))
        self.facts.update((key, reply[key]) for key in reply if key not in _GROWING)
        self.facts["broken"] = _broken(reply, self.facts.get("broken", ()))
        self.run_id = self.facts.get("runId", self.run_id)
        if not self._is_ahead:
            self._state = None
        self._is_ahead = False

    # -- the run as it was left ----------------------------------------------------------------

    @property
    def state(self) -> State:
        """The run as the last model call left it."""
        if self._state is None:
            self._state = self._restored()
        return self._state

    def _restored(self) -> State:
        state = State(Transcript(), Meter())
        transcript = state.transcript
        outcomes: Sequence[Any] = ()
        broken: Sequence[str] = ()
        used: dict[str, Json] | None
        for turn, (reply, following) in enumerate(self._turns, 1):
            told: tuple[Any, ...] = ()
            if state.pending is not None:
                calls = calls_of(state.pending, broken)
                found = outcomes_of(calls, outcomes)
                told = settled(self.run_id, state.pending, calls, found)
                self._append(state, [state.pending])
            added = added_messages(reply, self.run_id, turn, told)
            kept = transcript.messages
            transcript.messages = [*kept[: _keep(reply, "messages", len(kept))], *added]
            if "system" in reply:
                system = map(message_from_record, _added(reply, "system"))
                transcript.system = [*transcript.system[: _keep(reply, "system", 0)], *system]
            items = _added(reply, "steps")
            steps = [step_from_record(self.run_id, item, added) for item in items]
            self._drop(state, len(transcript.steps) - _keep(reply, "steps", len(transcript.steps)))
            state.pending = None if "output" in reply or not steps else steps.pop()
            self._append(state, steps)
            used = reply.get("used")
            if used is None:
                used = used_in([*steps, *([state.pending] if state.pending else [])])
            state.meter.restore(used)
            broken, outcomes = _broken(reply, broken), following
        self._take_facts(transcript)
        self._note(state, is_shown=True)
        return state

    def _append(self, state: State, steps: list[LLMStepResult]) -> None:
        state.transcript.steps += steps
        state.transcript.count(steps)

    def _drop(self, state: State, count: int) -> None:
        """Forget steps that are recorded anew, as earlier versions did."""
        if count > 0:
            kept = state.transcript.steps[:-count]
            known = Transcript()
            known.count(kept)
            state.transcript.steps = kept
            state.transcript.usage, state.transcript.text = known.usage, known.text

    def _take_facts(self, transcript: Transcript) -> None:
        facts = self.facts
        transcript.message_id = facts["messageId"]
        transcript.input_count = facts["inputCount"]
        transcript.retry_count = facts["retryCount"]
        transcript.shown = set(facts["shown"])
        remembered = set(facts["remembered"])
        transcript.remembered = [m for m in transcript.messages if m.id in remembered]

    def _note(self, state: State, *, is_shown: bool) -> None:
        """Take note of what is recorded; of a copy where processors are shown the lists."""
        messages, system = state.transcript.messages, state.transcript.system
        state.messages, state.system = messages, system
        if is_shown:
            state.messages, state.system = [*messages], [*system]
        state.counts = (len(state.messages), len(state.system))

    def lend(self, run: Recordable) -> None:
        """Let a tool call's run see the run, which stays as it is."""
        state = self.state
        run.transcript = copy(state.transcript)
        self._equip(run, state)

    def hand_over(self, run: Recordable) -> State:
        """Give the run to the next model call."""
        state = self.state
        self._state = None  # if the operation fails, what it has done to it is not to stay
        run.transcript = state.transcript
        self._equip(run, state)
        return state

    def _equip(self, run: Recordable, state: State) -> None:
        run.state.update(self.facts["noted"])
        run.meter.go_on_from(state.meter)
        if run.pipeline is not None and self._keeps_states:
            run.pipeline.load_states(self.facts["processors"])

    def calls_of(self, step: LLMStepResult) -> list[RequestedCall]:
        """Return what a step asks for, which the last model call has left."""
        return calls_of(step, self.facts.get("broken", ()))

    # -- what is recorded ----------------------------------------------------------------------

    def growth(
        self, run: Recordable, steps: Sequence[LLMStepResult], known: State | None
    ) -> dict[str, Json]:
        """Return what a model call has added to the run, as it is recorded.

        Args:
            run: The run as the call leaves it.
            steps: The steps that are new; the last one may still wait for its calls.
            known: The run as it was handed over.
        """
        transcript = run.transcript
        pipeline = run.pipeline if self._keeps_states else None
        now: dict[str, Json] = {
            "runId": run.run_id,
            "messageId": transcript.message_id,
            "inputCount": transcript.input_count,
            "retryCount": transcript.retry_count,
            "remembered": [message.id for message in transcript.remembered],
            "shown": sorted(transcript.shown),
            "noted": noted(run),
            "processors": {} if pipeline is None else pipeline.dump_states(),
        }
        reply = {key: value for key, value in now.items() if self.facts.get(key) != value}
        known = known or State(Transcript(), Meter())
        keep = _kept(transcript.messages, known.messages, known.counts[0])
        added, told = transcript.messages[keep:], transcript.told if self._turns else None
        ids = (answer_id(run.run_id, self.turn + 1), told_id(run.run_id, self.turn))
        said: dict[str, Json] = {"add": [_record_of(item, told, *ids) for item in added]}
        if keep != known.counts[0]:
            said["keep"] = keep
        reply["messages"] = said
        same = _kept(transcript.system, known.system, known.counts[1])
        if same < max(len(transcript.system), known.counts[1]):
            system = [message_to_record(item) for item in transcript.system[same:]]
            reply["system"] = {"keep": same, "add": system}
        reply["steps"] = {"add": [step_to_record(step, added) for step in steps]}
        used = run.meter.to_json(known.meter)
        if used != used_in(steps):
            reply["used"] = used
        return reply

    def keep(self, run: Recordable, pending: LLMStepResult) -> None:
        """Keep the run as a model call leaves it, for the operations that follow here."""
        state = State(run.transcript, run.meter.copy())
        state.pending = pending
        self._note(state, is_shown=run.pipeline is not None)
        self._state = state
        self._is_ahead = True


def asked_in(reply: Mapping[str, Any]) -> list[dict[str, Json]]:
    """Return the calls of ours that a model call asks for."""
    step: Mapping[str, Any] = reply["steps"]["add"][-1]
    parts: list[Any] = step.get("content", ())
    if "said" in step:
        first, count = step["said"]
        said = reply["messages"]["add"][first : first + count]
        parts = [part for message in said for part in message["parts"]]
    return [
        {key: part[name] for key, name in _ASKED.items()}
        for part in parts
        if part["type"] == "tool-call" and not part.get("providerExecuted")
    ]


def requested(asked: Mapping[str, Any], broken: Sequence[str] = ()) -> RequestedCall:
    """Return a call that a model call asks for."""
    call_id: str = asked["toolCallId"]
    return RequestedCall(call_id, asked["toolName"], asked["args"], is_json=call_id not in broken)


def asked_of(call: RequestedCall) -> dict[str, Json]:
    """Return a call as its own operation is asked for."""
    return {"toolCallId": call.id, "toolName": call.name, "args": call.args}


_ASKED = {"toolCallId": "toolCallId", "toolName": "toolName", "args": "input"}
_GROWING = frozenset({"messages", "system", "steps", "used", "output"})


def model_op(turn: int) -> str:
    """Return the operation of a model call, in the agent's block."""
    return f"0.model[{turn}]"


def tool_op(turn: int, place: int) -> str:
    """Return the operation of a tool call."""
    return f"1.tool[{turn}][{place}]"


def added_messages(
    reply: Mapping[str, Any], run_id: str, turn: int, told: tuple[Any, ...] = ()
) -> list[Message]:
    """Return the messages that a model call has added.

    Args:
        reply: What it recorded.
        run_id: The agent's run.
        turn: Which of its model calls it is, from 1.
        told: What came of the calls before it, as it was told.
    """
    return [
        Message("tool", told, id=told_id(run_id, turn - 1), created_at=item["told"])
        if "told" in item
        else message_from_record(item, answer_id(run_id, turn))
        for item in _added(reply, "messages")
    ]


def noted(run: Recordable) -> dict[str, Json]:
    """Return what hooks have left for the end of the step, or for that of the next."""
    return {
        key: run.state[key] for key in ("feedback", "is_bailed", "stops_next") if key in run.state
    }


def outcomes_of(calls: Sequence[RequestedCall], data: Sequence[Any]) -> dict[str, Outcome]:
    """Return what came of calls of ours, by their ids."""
    own = (call for call in calls if not call.provider_executed)
    return {call.id: load_outcome(call, item) for call, item in zip(own, data, strict=True)}


def settled(
    run_id: str,
    step: LLMStepResult,
    calls: Sequence[RequestedCall],
    outcomes: Mapping[str, Outcome],
) -> tuple[Any, ...]:
    """Complete a step with what came of its calls; return that as the model is told it."""
    parts: list[Any] = []
    for call in calls:
        outcome = outcomes.get(call.id)
        if outcome is None:
            continue
        parts += told_of(call, outcome)
        if isinstance(outcome, Done):
            step.tool_results.append(result_chunk(run_id, call, outcome))
    step.content.extend(parts)
    return tuple(parts)


def result_chunk(run_id: str, call: RequestedCall, outcome: Done) -> AgentChunk:
    """Return the result of a call as a step has it."""
    is_error = outcome.is_error or None
    payload = ToolResultPayload(call.args, call.id, call.name, outcome.result, is_error)
    return AgentChunk("tool-result", run_id, payload)


def _broken(reply: Mapping[str, Any], before: Sequence[str]) -> Sequence[str]:
    """Return the ids of the calls whose arguments are no JSON."""
    if "calls" in reply:  # of an earlier version
        listed: list[Any] = reply["calls"]
        return [call["toolCallId"] for call in listed if not call["isJson"]]
    return reply.get("broken", before)


def _added(reply: Mapping[str, Any], key: str) -> list[Any]:
    return reply[key]["add"] if key in reply else []


def _keep(reply: Mapping[str, Any], key: str, default: int) -> int:
    return reply[key].get("keep", default) if key in reply else default


def answer_id(run_id: str, turn: int) -> str:
    """Return the id of the message that a model call adds, from the second on."""
    return stable_id(run_id, f"answer {turn}")


def told_id(run_id: str, turn: int) -> str:
    """Return the id of the message with what came of the calls that a model call asks for."""
    return stable_id(run_id, f"told {turn}")


def _record_of(
    message: Message, told: Message | None, answer_id: str, told_id: str
) -> dict[str, Json]:
    if message is told and message.id == told_id:  # made of what the calls have recorded
        return {"told": message.created_at}
    return message_to_record(message, answer_id)


def _kept(now: Sequence[Message], known: Sequence[Message], count: int) -> int:
    """Return how many of the messages are as they are recorded."""
    if now is known:
        return count  # only added to
    keep, most = 0, min(len(now), len(known))
    while keep < most and now[keep] is known[keep]:
        keep += 1
    return keep
