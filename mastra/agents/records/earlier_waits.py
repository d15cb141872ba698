"""What earlier versions stored of an agent's run that waits, as the records that are stored now.

They kept the whole of it in the head: messages and steps, where the step that waits has what came
of its other calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mastra.agents.records.ledger import asked_of, model_op, tool_op
from mastra.agents.records.requested_call import Done, Elsewhere
from mastra.agents.records.step_records import (
    calls_of,
    dump_outcome,
    message_from_record,
    message_to_record,
    step_from_record,
    step_to_record,
)
from mastra.agents.records.waiting_leg import made_record
from mastra.agents.results import LLMStepResult
from mastra.jsonable import Json
from mastra.models.messages import ToolResultPart
from mastra.workflows.records import StepRecord

__all__ = ["rows_of_earlier"]


def rows_of_earlier(waiting: Mapping[str, Any]) -> list[StepRecord]:
    """Return the records of a run: a model call that has said all of it, and its tool calls."""
    messages = [message_from_record(item) for item in waiting["messages"]]
    steps = [step_from_record("", item, messages) for item in waiting["steps"]]
    told = _taken_out(steps[-1])
    while told and messages[-1].role == "tool":
        messages.pop()
    broken = [c["tool_call_id"] for c in waiting["waiting"] if isinstance(c["args"], str)]
    reply: dict[str, Json] = {
        "messageId": waiting["messageId"],
        "inputCount": waiting["inputCount"],
        "retryCount": 0,
        "remembered": waiting["remembered"],
        "shown": waiting.get("shown", []),
        "noted": {},
        "processors": {},
        "messages": {"add": [message_to_record(message) for message in messages]},
        "steps": {"add": [step_to_record(step, messages) for step in steps]},
        "broken": list[Json](broken),
        "used": waiting.get("used") or None,
    }
    rows = [made_record(model_op(1), "model", None, reply)]
    own = [call for call in calls_of(steps[-1]) if not call.provider_executed]
    waits = {call["tool_call_id"] for call in waiting["waiting"]}
    for place, call in enumerate(own):
        if call.id not in waits:
            call.args, outcome = told.get(call.id, (call.args, Elsewhere()))
            dumped = dump_outcome(call, outcome)
            rows.append(made_record(tool_op(1, place), "tool", asked_of(call), dumped))
    return rows


def _taken_out(step: LLMStepResult) -> dict[str, tuple[Json, Done]]:
    """Take what came of a step's calls out of it; return that by their ids, with their arguments."""
    results = {chunk.payload.tool_call_id: chunk.payload.result for chunk in step.tool_results}
    told = [
        part
        for part in step.content
        if isinstance(part, ToolResultPart) and not part.provider_executed
    ]
    step.content = [part for part in step.content if part not in told]
    step.tool_results = [chunk for chunk in step.tool_results if chunk.payload.provider_executed]
    step.finish_reason = "tool-calls"
    found: dict[str, tuple[Json, Done]] = {}
    for part in told:
        result = results.get(part.tool_call_id, part.result)
        shown = None if result == part.result else part.result
        found[part.tool_call_id] = (part.args, Done(result, part.is_error, shown))
    return found
