"""A suspended run as JSON data, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.chunks import (
    plain,
)
from mastra.agents.client_tools import described
from mastra.agents.limits import UsageLimits
from mastra.agents.recorder import RequestedCall
from mastra.agents.results import StepResult
from mastra.agents.run import AgentRun
from mastra.agents.step_records import (
    message_from_record,
    message_to_record,
    step_from_record,
    step_to_record,
    used_in,
)
from mastra.agents.suspended import WaitingCall
from mastra.clock import now_ms
from mastra.errors import RunStateError
from mastra.jsonable import Json

__all__ = [
    "chosen_call",
    "restore",
    "to_record",
]


def to_record(run: AgentRun, waiting: Sequence[WaitingCall]) -> dict[str, Json]:
    """Return what a resume needs of a run that is to wait."""
    messages = run.transcript.messages
    return {
        "runId": run.run_id,
        "createdAt": now_ms(),
        "threadId": run.thread_id,
        "resourceId": run.resource_id,
        "messageId": run.transcript.message_id,
        "inputCount": run.transcript.input_count,
        "requestContext": run.request_context.to_json(),
        "messages": [message_to_record(message) for message in messages],
        "remembered": [message.id for message in run.transcript.remembered],
        "shown": sorted(run.transcript.shown),
        "said": [message_to_record(message) for message in run.transcript.said],
        "steps": [step_to_record(step, messages) for step in run.transcript.steps],
        "used": run.meter.to_json(),
        "waiting": [dataclasses.asdict(call) for call in waiting],
        "options": {
            key: plain(run.options.get(key))
            for key in ("max_steps", "tool_choice", "active_tools", "memory")
            if key in run.options
        }
        | (
            {"client_tools": described(run.options.get("client_tools"))}
            if run.options.get("client_tools")
            else {}
        )
        | (
            {"limits": UsageLimits.of(run.options.get("limits")).to_json()}
            if "limits" in run.options
            else {}
        )
        # A function is not stored; whoever goes on with the run gives it again.
        | (
            {"require_tool_approval": True}
            if run.options.get("require_tool_approval") is True
            else {}
        ),
    }


def restore(run: AgentRun, record: Mapping[str, Any]) -> tuple[StepResult, list[RequestedCall]]:
    """Put a run back to where it stopped.

    Returns:
        The step it stopped in, and the calls that wait.
    """
    run.transcript.message_id = record["messageId"]
    run.transcript.input_count = record["inputCount"]
    run.transcript.messages = [message_from_record(item) for item in record["messages"]]
    remembered = set(record["remembered"])
    # Older records have neither.
    run.transcript.shown = set(record.get("shown", ()))
    run.transcript.said = [*map(message_from_record, record.get("said", ())), *run.transcript.said]
    run.transcript.remembered = [
        message for message in run.transcript.messages if message.id in remembered
    ]
    steps = [
        step_from_record(run.run_id, step, run.transcript.messages) for step in record["steps"]
    ]
    run.meter.limits = UsageLimits.of(run.options.get("limits"))
    run.meter.restore(record.get("used") or used_in(steps))
    step = steps.pop()
    step.finish_reason = "tool-calls"
    run.transcript.steps = steps
    for done in steps:
        run.transcript.usage = run.transcript.usage + done.usage
        if done.finish_reason != "retry":  # a processor did not let it stand
            run.transcript.text += done.text
    calls = [
        RequestedCall(
            call["tool_call_id"],
            call["tool_name"],
            call["args"],
            is_json=not isinstance(call["args"], str),
        )
        for call in record["waiting"]
    ]
    return step, calls


def chosen_call(record: Mapping[str, Any], tool_call_id: str | None) -> Mapping[str, Any]:
    """Return the waiting call that an answer is for.

    Raises:
        RunStateError: It is not among those that wait, or it is not clear which is meant.
    """
    waiting: list[Mapping[str, Any]] = record["waiting"]
    if tool_call_id is None and len(waiting) == 1:
        return waiting[0]
    for call in waiting:
        if call["tool_call_id"] == tool_call_id:
            return call
    listed = ", ".join(repr(call["tool_call_id"]) for call in waiting)
    raise RunStateError(
        f"Run {record['runId']!r} waits for the tool calls {listed}: say which with tool_call_id."
    )
