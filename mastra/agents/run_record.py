"""A suspended run as JSON data, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.chunks import (
    AgentChunk,
    FilePayload,
    SourcePayload,
    ToolCallPayload,
    ToolResultPayload,
    plain,
)
from mastra.agents.limits import UsageLimits
from mastra.agents.metering import Meter
from mastra.agents.recorder import RequestedCall
from mastra.agents.results import StepResult, stored_form
from mastra.agents.run import AgentRun
from mastra.agents.suspended import WaitingCall
from mastra.clock import ms_from_iso, now_ms
from mastra.errors import RunStateError
from mastra.jsonable import Json
from mastra.models.chunks import Usage
from mastra.models.message_forms import message_from
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import Message

__all__ = [
    "chosen_call",
    "restore",
    "restored_message",
    "step_from_record",
    "step_to_record",
    "to_record",
    "used_in",
]


def to_record(run: AgentRun, waiting: Sequence[WaitingCall]) -> dict[str, Json]:
    """Return what a resume needs of a run that is to wait."""
    return {
        "createdAt": now_ms(),
        "threadId": run.thread_id,
        "resourceId": run.resource_id,
        "messageId": run.message_id,
        "inputCount": run.input_count,
        "requestContext": run.request_context.to_json(),
        "messages": [stored_form(message) for message in run.messages],
        "remembered": [message.id for message in run.remembered],
        "shown": sorted(run.shown),
        "said": [stored_form(message) for message in run.said],
        "steps": [step_to_record(step) for step in run.steps],
        "used": run.meter.to_json(),
        "waiting": [dataclasses.asdict(call) for call in waiting],
        "options": {
            key: plain(run.options.get(key))
            for key in ("max_steps", "tool_choice", "active_tools", "memory")
            if key in run.options
        }
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


def step_to_record(step: StepResult) -> dict[str, Json]:
    """Return a step as JSON data, without what was sent for it."""
    return {
        "stepType": step.step_type,
        "text": step.text,
        "reasoningText": step.reasoning_text,
        "toolCalls": [plain(call.payload) for call in step.tool_calls],
        "toolResults": [plain(result.payload) for result in step.tool_results],
        "content": [part_to_wire(part) for part in step.content],
        "finishReason": step.finish_reason,
        "rawReason": step.raw_reason,
        "usage": dataclasses.asdict(step.usage),
        "response": step.response,
        "model": step.model,
        "providerMetadata": plain(step.provider_metadata),
        "sources": [plain(source.payload) for source in step.sources],
        "files": [plain(file.payload) for file in step.files],
    }


def step_from_record(run_id: str, record: Mapping[str, Any]) -> StepResult:
    """Return the step that `step_to_record` gave."""
    message = message_from({"role": "assistant", "content": record["content"]})
    return StepResult(
        record["stepType"],
        record["text"],
        record["reasoningText"],
        [
            AgentChunk(
                "tool-call",
                run_id,
                ToolCallPayload(
                    call["toolCallId"],
                    call["toolName"],
                    call["args"],
                    call.get("providerExecuted"),
                    call.get("providerMetadata"),
                ),
            )
            for call in record["toolCalls"]
        ],
        [
            AgentChunk(
                "tool-result",
                run_id,
                ToolResultPayload(
                    item["args"],
                    item["toolCallId"],
                    item["toolName"],
                    item["result"],
                    item.get("isError"),
                    item.get("providerExecuted"),
                    item.get("providerMetadata"),
                ),
            )
            for item in record["toolResults"]
        ],
        list(message.parts),
        record["finishReason"],
        record["rawReason"],
        Usage(**record["usage"]),
        response=record["response"],
        model=record["model"],
        run_id=run_id,
        # Not in what earlier versions stored.
        provider_metadata=record.get("providerMetadata"),
        sources=[
            AgentChunk("source", run_id, SourcePayload(source["id"], **_named(source)))
            for source in record.get("sources", ())
        ],
        files=[
            AgentChunk(
                "file",
                run_id,
                FilePayload(file["data"], file["mimeType"], file.get("providerMetadata")),
            )
            for file in record.get("files", ())
        ],
    )


def _named(source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source_type": source["sourceType"],
        "title": source.get("title"),
        "url": source.get("url"),
        "media_type": source.get("mediaType"),
        "filename": source.get("filename"),
        "provider_metadata": source.get("providerMetadata"),
    }


def restore(run: AgentRun, record: Mapping[str, Any]) -> tuple[StepResult, list[RequestedCall]]:
    """Put a run back to where it stopped.

    Returns:
        The step it stopped in, and the calls that wait.
    """
    run.message_id = record["messageId"]
    run.input_count = record["inputCount"]
    run.messages = [restored_message(item) for item in record["messages"]]
    remembered = set(record["remembered"])
    # Older records have neither.
    run.shown = set(record.get("shown", ()))
    run.said = [*map(restored_message, record.get("said", ())), *run.said]
    run.remembered = [message for message in run.messages if message.id in remembered]
    steps = [step_from_record(run.run_id, step) for step in record["steps"]]
    run.meter.limits = UsageLimits.of(run.options.get("limits"))
    run.meter.restore(record.get("used") or used_in(steps))
    step = steps.pop()
    step.finish_reason = "tool-calls"
    run.steps = steps
    for done in steps:
        run.usage = run.usage + done.usage
        if done.finish_reason != "retry":  # a processor did not let it stand
            run.text += done.text
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


def used_in(steps: Sequence[StepResult]) -> dict[str, Json]:
    """Return what steps have used, of a run that was stored before that was counted."""
    meter = Meter()
    for step in steps:
        meter.before_request()
        meter.answered(step.model, step.usage, step.response.get("modelId"))
        meter.calls(len(step.tool_calls))
    return meter.to_json()


def restored_message(stored: Mapping[str, Any]) -> Message:
    """Return the message that `stored_form` gave."""
    known = {**stored, "createdAt": ms_from_iso(stored["createdAt"])}
    return message_from({**known, "metadata": stored["content"].get("metadata")})


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
