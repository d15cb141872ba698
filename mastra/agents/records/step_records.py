"""Messages, steps and what came of tool calls as JSON data, each thing once, and back.

What a step says is the message that it added to the conversation, so a step refers to that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from mastra.agents.chunks import (
    AgentChunk,
    FilePayload,
    SourcePayload,
    ToolCallPayload,
    ToolResultPayload,
    plain,
)
from mastra.agents.records.meter import Meter
from mastra.agents.records.requested_call import (
    Denied,
    Done,
    Elsewhere,
    Outcome,
    Raised,
    RequestedCall,
)
from mastra.agents.results import LLMStepResult
from mastra.clock import ms_from_iso
from mastra.failures import error_to_json
from mastra.jsonable import Json, to_jsonable
from mastra.models.chunks import Usage
from mastra.models.message_forms import message_from
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.workflows.error_data import error_from_json

__all__ = [
    "calls_of",
    "dump_outcome",
    "load_outcome",
    "message_from_record",
    "message_to_record",
    "step_from_record",
    "step_to_record",
    "used_in",
    "written_from",
]


def message_to_record(message: Message, usual_id: str = "") -> dict[str, Json]:
    """Return a message as JSON data, without its id where that is the usual one."""
    record: dict[str, Json] = {} if message.id == usual_id else {"id": message.id}
    record |= {
        "role": message.role,
        "createdAt": message.created_at,
        "parts": [part_to_wire(part) for part in message.parts],
    }
    if message.metadata:
        record["metadata"] = plain(dict(message.metadata))
    return record


def message_from_record(record: Mapping[str, Any], usual_id: str = "") -> Message:
    """Return the message that `message_to_record`, or `stored_form`, gave."""
    if "parts" in record:
        return message_from({"id": usual_id, **record, "content": record["parts"]})
    known = {**record, "createdAt": ms_from_iso(record["createdAt"])}
    return message_from({**known, "metadata": record["content"].get("metadata")})


def step_to_record(step: LLMStepResult, added: Sequence[Message]) -> dict[str, Json]:
    """Return a step as JSON data, without what was sent for it.

    Args:
        step: The step.
        added: The messages that are stored beside it.
    """
    usage: list[Json] = list(dataclasses.astuple(step.usage))
    while usage and usage[-1] is None:
        usage.pop()
    record: dict[str, Json] = {"response": step.response, "model": step.model, "usage": usage}
    where = _where(step.content, added)
    if where is None:
        record["content"] = [part_to_wire(part) for part in step.content]
    else:
        record["said"] = where
    results = _results(step)
    optional: dict[str, Any] = {
        "stepType": None if step.step_type == "tool-result" else step.step_type,
        "finishReason": None if step.finish_reason == "tool-calls" else step.finish_reason,
        "results": results,
        "text": None if step.text == _text_of(step.content) else step.text,
        "reasoningText": step.reasoning_text or None,
        "rawReason": step.raw_reason,
        "providerMetadata": step.provider_metadata,
        "object": step.object,
    }
    record.update({key: plain(value) for key, value in optional.items() if value is not None})
    return record


def _where(content: Sequence[MessagePart], added: Sequence[Message]) -> list[Json] | None:
    """Return which of the messages a step has said: the first, and how many."""
    if not content:
        return [0, 0]
    for first, message in enumerate(added):
        if message.role != "assistant" or not message.parts or message.parts[0] is not content[0]:
            continue
        known = list(message.parts)
        last = first + 1
        if len(known) < len(content) and last < len(added) and added[last].role == "tool":
            known += added[last].parts
            last += 1
        if len(known) == len(content) and all(a is b for a, b in zip(known, content, strict=True)):
            return [first, last - first]
    return None


def _text_of(content: Iterable[MessagePart]) -> str:
    return "".join(part.text for part in content if isinstance(part, TextPart))


def _results(step: LLMStepResult) -> dict[str, Json] | None:
    """Return which calls of ours gave a result, with it where the model was shown another."""
    shown = {
        part.tool_call_id: part.result for part in step.content if isinstance(part, ToolResultPart)
    }
    found: dict[str, Json] = {}
    for chunk in step.tool_results:
        payload: ToolResultPayload = chunk.payload
        if not payload.provider_executed:
            is_same = shown.get(payload.tool_call_id) is payload.result
            found[payload.tool_call_id] = None if is_same else {"result": payload.result}
    return found or None


def step_from_record(
    run_id: str, record: Mapping[str, Any], added: Sequence[Message] = ()
) -> LLMStepResult:
    """Return the step that `step_to_record` gave, or that an earlier version stored."""
    if "said" in record:
        first, count = record["said"]
        content = [part for message in added[first : first + count] for part in message.parts]
    else:
        message = message_from({"role": "assistant", "content": record["content"]})
        content = list(message.parts)
    used: Any = record["usage"]
    return LLMStepResult(
        record.get("stepType", "tool-result"),
        record.get("text", _text_of(content)),
        record.get("reasoningText", ""),
        [_call(run_id, part) for part in content if isinstance(part, ToolCallPart)],
        _result_chunks(run_id, content, record),
        content,
        record.get("finishReason", "tool-calls"),
        record.get("rawReason"),
        Usage(*cast("list[Any]", used)) if isinstance(used, list) else Usage(**used),
        response=record["response"],
        model=record["model"],
        run_id=run_id,
        provider_metadata=record.get("providerMetadata"),
        sources=[_source(run_id, part) for part in content if isinstance(part, SourcePart)],
        files=[
            AgentChunk("file", run_id, FilePayload(part.data, part.media_type or "", _own(part)))
            for part in content
            if isinstance(part, ImagePart | FilePart) and part.data is not None
        ],
        object=record.get("object"),
    )


def _own(part: Any) -> dict[str, Any] | None:
    return None if part.provider_metadata is None else dict(part.provider_metadata)


def _call(run_id: str, part: ToolCallPart) -> AgentChunk:
    ran_there = part.provider_executed or None
    payload = ToolCallPayload(part.tool_call_id, part.tool_name, part.args, ran_there, _own(part))
    return AgentChunk("tool-call", run_id, payload)


def _source(run_id: str, part: SourcePart) -> AgentChunk:
    payload = SourcePayload(
        part.id,
        part.source_type,
        part.title,
        part.url,
        part.media_type,
        part.filename,
        _own(part),
    )
    return AgentChunk("source", run_id, payload)


def _result_chunks(
    run_id: str, content: Iterable[MessagePart], record: Mapping[str, Any]
) -> list[AgentChunk]:
    listed = record.get("toolResults")
    if listed is not None:  # of an earlier version
        results = {item["toolCallId"]: item for item in listed}
    else:
        results = cast("dict[str, Any]", record.get("results") or {})
    chunks: list[AgentChunk] = []
    for part in content:
        if not isinstance(part, ToolResultPart):
            continue
        call_id, ran_there = part.tool_call_id, part.provider_executed
        if call_id in results or ran_there:
            known: Mapping[str, Any] = results.get(call_id) or {}
            payload = ToolResultPayload(
                part.args,
                call_id,
                part.tool_name,
                known.get("result", part.result),
                part.is_error or None,
                ran_there or None,
                _own(part),
            )
            chunks.append(AgentChunk("tool-result", run_id, payload))
    return chunks


def calls_of(step: LLMStepResult, broken: Iterable[str] = ()) -> list[RequestedCall]:
    """Return the calls that a step asks for.

    Args:
        step: The step.
        broken: The ids of those whose arguments are no JSON.
    """
    calls: list[RequestedCall] = []
    for chunk in step.tool_calls:
        asked: ToolCallPayload = chunk.payload
        is_json = asked.tool_call_id not in broken
        call = RequestedCall(asked.tool_call_id, asked.tool_name, asked.args, is_json=is_json)
        call.provider_executed = bool(asked.provider_executed)
        calls.append(call)
    return calls


def used_in(steps: Sequence[LLMStepResult]) -> dict[str, Json]:
    """Return what the model calls of steps have used, where nothing else did."""
    meter = Meter()
    for step in steps:
        meter.before_request()
        meter.answered(step.model, step.usage, step.response.get("modelId"))
        meter.calls(sum(not chunk.payload.provider_executed for chunk in step.tool_calls))
    return meter.to_json()


def dump_outcome(call: RequestedCall, outcome: Outcome) -> dict[str, Json]:
    """Return what came of a call, which waits for nobody, as JSON data, with what it has written."""
    dumped = _dumped(call, outcome)
    if call.written:
        dumped["written"] = [part_to_wire(part) for part in call.written]
    return dumped


def _dumped(call: RequestedCall, outcome: Outcome) -> dict[str, Json]:
    what = f"What tool {call.name!r} gave"
    match outcome:
        case Done(result, is_error, shown):
            dumped: dict[str, Json] = {"kind": "done", "result": to_jsonable(result, what=what)}
            if is_error:
                dumped["isError"] = True
            if shown is not None:
                dumped["shown"] = to_jsonable(shown, what=f"{what} for the model")
            return dumped
        case Raised(error):
            return {"kind": "raised", "error": error_to_json(error)}
        case Denied(reason):
            return {"kind": "denied", "reason": reason}
        case _:
            return {"kind": "elsewhere"}


def written_from(data: Iterable[Mapping[str, Any]]) -> list[DataPart]:
    """Return what a tool has written, from JSON data."""
    return [DataPart(part["type"], part["data"]) for part in data]


def load_outcome(call: RequestedCall, data: Mapping[str, Any]) -> Outcome:
    """Return what `dump_outcome` was given, and give the call back what it has written."""
    call.written = written_from(data.get("written", ()))
    match data["kind"]:
        case "done":
            return Done(data["result"], data.get("isError", False), data.get("shown"))
        case "raised":
            return Raised(error_from_json(data["error"]))
        case "denied":
            return Denied(data["reason"])
        case _:
            return Elsewhere()
