"""A durable run from one operation to the next: what is recorded, and how the next goes on from it.

A model call records what it added to the run, and the tool calls it asks for; each tool call
records what came of it. The run as any operation finds it is put together from those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from mastra.agents.metering import Meter, joined
from mastra.agents.recorder import RequestedCall, StepRecorder
from mastra.agents.results import StepResult, stored_form
from mastra.agents.run import AgentRun
from mastra.agents.run_record import restored_message, step_from_record, step_to_record, used_in
from mastra.agents.setup import plan_step
from mastra.agents.tool_calls import CallRunner, Denied, Done, Elsewhere, Outcome, Raised
from mastra.agents.tool_outcomes import add_answer
from mastra.failures import error_to_json
from mastra.jsonable import Json, to_jsonable
from mastra.models.messages import Message
from mastra.tools.tool import Tool
from mastra.workflows.error_data import error_from_json

__all__ = ["Leg", "dump_outcome", "grown", "load_outcome", "noted", "requested"]

T = TypeVar("T")

_GROWING = ("messages", "system", "steps")
"""Lists of which a model call records only what it added."""


class Leg:
    """One operation of a durable run.

    Args:
        state: The run as the model calls so far have left it; empty before the first.
        outcomes: What came of the tool calls that the last of them asked for, in their order.
    """

    def __init__(self, state: Mapping[str, Any], outcomes: Sequence[Json] = ()) -> None:
        self.state = state
        self.reply: dict[str, Json] | None = None
        """What a model call records that asks for tools."""
        self._outcomes = outcomes
        self._messages: list[Message] = []
        self._system: list[Message] = []
        self._steps: list[StepResult] = []
        self._step: StepResult | None = None
        self._before: Meter | None = None

    @property
    def is_first(self) -> bool:
        """Whether nothing has been asked yet."""
        return not self.state

    def restore(self, run: AgentRun) -> None:
        """Put the run to where the last model call left it."""
        state = self.state
        run.message_id = state["messageId"]
        run.input_count = state["inputCount"]
        run.retry_count = state["retryCount"]
        self._messages = [restored_message(item) for item in state["messages"]]
        self._system = [restored_message(item) for item in state["system"]]
        run.messages, run.system = [*self._messages], [*self._system]
        remembered = set(state["remembered"])
        run.shown = set(state["shown"])
        run.state.update(state["noted"])
        run.remembered = [message for message in run.messages if message.id in remembered]
        # The last of them is still to get its results, and is recorded anew with them.
        *self._steps, self._step = [step_from_record(run.run_id, item) for item in state["steps"]]
        run.steps = [*self._steps]
        for step in run.steps:
            run.usage = run.usage + step.usage
            if step.finish_reason != "retry":
                run.text += step.text
        run.meter.restore(state.get("used") or used_in([*self._steps, self._step]))
        self._before = run.meter.copy()
        if run.pipeline is not None:
            run.pipeline.load_states(state["processors"])

    def settle(self, run: AgentRun, runner: CallRunner) -> StepRecorder:
        """Return the step that asked for the calls, with what came of them."""
        assert self._step is not None  # noqa: S101 - a leg is restored before it goes on
        recorder = StepRecorder(run, self._step.model, runner.start)
        recorder.result = self._step
        recorder.is_resumed = True
        recorder.calls = [requested(call) for call in self.state["calls"]]
        outcomes = iter(self._outcomes)
        for call in recorder.calls:
            if not call.provider_executed:
                data = next(outcomes)
                runner.know(call, load_outcome(data))
                _take_note(run, data["noted"])
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
        run.steps.append(recorder.result)
        known = self.state
        now: dict[str, Json] = {
            "runId": run.run_id,
            "messageId": run.message_id,
            "inputCount": run.input_count,
            "retryCount": run.retry_count,
            "remembered": [message.id for message in run.remembered],
            "shown": sorted(run.shown),
            "noted": noted(run),
            "processors": {} if run.pipeline is None else run.pipeline.dump_states(),
            "tools": list(tools),
            "atOnce": runner.at_once(recorder.calls),
            "calls": [_call(call) for call in recorder.calls],
        }
        self.reply = {key: value for key, value in now.items() if known.get(key) != value}
        since = self._before if "used" in known else None
        self.reply["used"] = run.meter.to_json(since)
        self.reply["messages"] = _added(run.messages, self._messages, stored_form)
        self.reply["system"] = _added(run.system, self._system, stored_form)
        self.reply["steps"] = _added(run.steps, self._steps, step_to_record)
        return True

    async def tools(self, run: AgentRun) -> Mapping[str, Tool[Any, Any]]:
        """Return the tools that the last model call was offered."""
        names: list[str] = self.state["tools"]
        found = run.tools
        if any(name not in found for name in names):
            # Given for this step alone, by `prepare_step` or a processor.
            found = (await plan_step(run)).tools
        return {name: found[name] for name in names if name in found}


def noted(run: AgentRun) -> dict[str, Json]:
    """Return what hooks have left for the end of the step, or for that of the next."""
    return {
        key: run.state[key] for key in ("feedback", "is_bailed", "stops_next") if key in run.state
    }


def _take_note(run: AgentRun, notes: Mapping[str, Any]) -> None:
    for key, value in notes.items():
        # Several calls of one step may each have something to say.
        run.state[key] = [*run.state.get(key, ()), *value] if key == "feedback" else value


def grown(state: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with what a model call recorded."""
    merged = {**state, **reply}
    if "used" in reply:
        merged["used"] = joined(state.get("used"), reply["used"])
    for key in _GROWING:
        kept = cast("list[Json]", state.get(key, []))
        merged[key] = [*kept[: reply[key]["keep"]], *reply[key]["add"]]
    return merged


def _added(now: Sequence[T], before: Sequence[T], dump: Callable[[T], Json]) -> dict[str, Json]:
    keep = 0
    while keep < min(len(now), len(before)) and now[keep] is before[keep]:
        keep += 1
    return {"keep": keep, "add": [dump(item) for item in now[keep:]]}


def _call(call: RequestedCall) -> dict[str, Json]:
    return {
        "toolCallId": call.id,
        "toolName": call.name,
        "args": call.args,
        "isJson": call.is_json,
        "isElsewhere": call.provider_executed,
    }


def requested(call: Mapping[str, Any]) -> RequestedCall:
    """Return a call that a model call recorded."""
    made = RequestedCall(call["toolCallId"], call["toolName"], call["args"], is_json=call["isJson"])
    made.provider_executed = call["isElsewhere"]
    return made


def dump_outcome(call: RequestedCall, outcome: Outcome) -> dict[str, Json]:
    """Return what came of a call, which waits for nobody, as JSON data."""
    what = f"What tool {call.name!r} gave"
    match outcome:
        case Done(result, is_error, shown):
            return {
                "kind": "done",
                "result": to_jsonable(result, what=what),
                "isError": is_error,
                "shown": to_jsonable(shown, what=f"{what} for the model"),
            }
        case Raised(error):
            return {"kind": "raised", "error": error_to_json(error)}
        case Denied(reason):
            return {"kind": "denied", "reason": reason}
        case _:
            return {"kind": "elsewhere"}


def load_outcome(data: Any) -> Outcome:
    """Return what `dump_outcome` was given."""
    match data["kind"]:
        case "done":
            return Done(data["result"], data["isError"], data["shown"])
        case "raised":
            return Raised(error_from_json(data["error"]))
        case "denied":
            return Denied(data["reason"])
        case _:
            return Elsewhere()
