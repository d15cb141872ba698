"""OpenAI's responses API on the wire: requests out, streamed events in. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mastra.jsonable import Json
from mastra.models.base import ModelRequest, ToolSpec
from mastra.models.chunks import (
    FinishChunk,
    FinishReason,
    ModelChunk,
    ReasoningDelta,
    ReasoningSignature,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.openai_request import arguments_of, as_text, data_url, options_for, tool_of
from mastra.models.openai_wire import SseDecoder, usage_of

__all__ = ["ResponsesDecoder", "responses_body"]


def responses_body(request: ModelRequest, model_name: str, provider: str) -> dict[str, Json]:
    """Return the body of a streamed response."""
    settings = request.settings
    body: dict[str, Json] = {
        "model": model_name,
        "input": [item for message in request.messages for item in _items(message)],
        "stream": True,
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice = request.tool_choice
        body["tool_choice"] = (
            choice if isinstance(choice, str) else {"type": "function", "name": tool_of(choice)}
        )
    if request.response_format is not None:
        wanted = request.response_format
        body["text"] = {
            "format": {
                "type": "json_schema",
                "name": wanted.name,
                "schema": wanted.schema,
                "strict": wanted.strict,
            }
        }
    given = {
        "temperature": settings.temperature,
        "max_output_tokens": settings.max_output_tokens,
        "top_p": settings.top_p,
        "parallel_tool_calls": settings.parallel_tool_calls,
        "reasoning": None if settings.reasoning is None else _reasoning(settings.reasoning),
    }
    body.update({key: value for key, value in given.items() if value is not None})
    body.update(options_for(request.provider_options, provider))
    if settings.extra_body:
        body.update(settings.extra_body)
    return body


def _reasoning(value: Any) -> Json:
    return {"effort": value} if isinstance(value, str) else value


def _tool(tool: ToolSpec) -> dict[str, Json]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        # Left out it means true here, and not every schema can be kept to.
        "strict": bool(tool.strict),
    }


def _items(message: Message) -> list[Json]:
    match message.role:
        case "system":
            return [{"role": "system", "content": message.text}]
        case "user":
            content = [wire for part in message.parts if (wire := _user_part(part)) is not None]
            return [{"role": "user", "content": content}]
        case "assistant":
            return [wire for part in message.parts if (wire := _said(part)) is not None]
        case "tool":
            return [
                {
                    "type": "function_call_output",
                    "call_id": part.tool_call_id,
                    "output": as_text(part),
                }
                for part in message.parts
                if isinstance(part, ToolResultPart)
            ]


def _user_part(part: MessagePart) -> Json:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            return {"type": "input_image", "image_url": data_url(part)}
        case FilePart() if part.file_id is not None:
            return {"type": "input_file", "file_id": part.file_id}
        case FilePart() if part.url is not None and not part.url.startswith("data:"):
            return {"type": "input_file", "file_url": part.url}
        case FilePart():
            name = part.filename or "file"
            return {"type": "input_file", "filename": name, "file_data": data_url(part)}
        case _:
            return None


def _said(part: MessagePart) -> Json:
    match part:
        case TextPart():
            return {"role": "assistant", "content": [{"type": "output_text", "text": part.text}]}
        case ToolCallPart():
            return {
                "type": "function_call",
                "call_id": part.tool_call_id,
                "name": part.tool_name,
                "arguments": arguments_of(part),
            }
        case ReasoningPart() if part.signature is not None:
            # The provider's own item: it goes back as it came.
            return orjson.loads(part.signature)
        case _:
            return None


_INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "content_filter": "content-filter",
}


class ResponsesDecoder(SseDecoder):
    """Events of the responses API to model chunks."""

    __slots__ = ("_calls", "_finish", "_has_calls")

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._calls: dict[str, tuple[str, str]] = {}
        self._has_calls = False
        self._finish: FinishChunk | None = None

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one event in."""
        kind: str = event.get("type", "")
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                if event["delta"]:
                    out.append(TextDelta(event["delta"]))
            case "response.function_call_arguments.delta":
                call_id, _ = self._calls[event["item_id"]]
                out.append(ToolCallDelta(call_id, event["delta"]))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                out.append(ReasoningDelta(event["delta"]))
            case "response.output_item.added":
                self._item_added(event["item"], out)
            case "response.output_item.done":
                self._item_done(event["item"], out)
            case _:
                self._rare(kind, event, out)

    def _rare(self, kind: str, event: dict[str, Any], out: list[ModelChunk]) -> None:
        match kind:
            case "response.created":
                response = event["response"]
                created = response.get("created_at")
                out.append(
                    ResponseMetadata(
                        response.get("id"),
                        response.get("model"),
                        int(created * 1000) if created is not None else None,
                    )
                )
            case "response.output_text.annotation.added":
                note = event["annotation"]
                if note.get("url"):
                    out.append(SourceChunk(note["url"], note["url"], note.get("title")))
            case "response.completed" | "response.incomplete":
                self._end(event["response"], out)
            case "response.failed":
                raise self.fail(event["response"].get("error"))
            case "error":
                raise self.fail(event.get("error") or event)
            case _:
                if "error" in event and not kind:
                    raise self.fail(event["error"])

    def _item_added(self, item: dict[str, Any], out: list[ModelChunk]) -> None:
        if item["type"] == "function_call":
            call_id = item["call_id"]
            self._calls[item["id"]] = (call_id, item["name"])
            self._has_calls = True
            out.append(ToolCallStart(call_id, item["name"]))

    def _item_done(self, item: dict[str, Any], out: list[ModelChunk]) -> None:
        if item["type"] == "function_call":
            out.append(ToolCallEnd(item["call_id"], item["name"], item["arguments"]))
        elif item["type"] == "reasoning":
            out.append(ReasoningSignature(orjson.dumps(item).decode()))

    def _end(self, response: dict[str, Any], out: list[ModelChunk]) -> None:
        reason: FinishReason = "tool-calls" if self._has_calls else "stop"
        details: dict[str, Any] = response.get("incomplete_details") or {}
        raw: str | None = details.get("reason")
        if raw is not None:
            reason = _INCOMPLETE.get(raw, "other")
        usage = response.get("usage")
        self._finish = FinishChunk(reason, raw, Usage() if usage is None else _usage(usage))
        self.finish(out)

    def is_complete(self) -> bool:
        """Return whether the response said that it had ended."""
        return self._finish is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in.

        Raises:
            ModelError: There was none.
        """
        if self.done:
            return
        if self._finish is None:
            raise self.cut()
        self.done = True
        out.append(self._finish)


def _usage(usage: Mapping[str, Any]) -> Usage:
    read: Mapping[str, Any] = usage.get("input_tokens_details") or {}
    written: Mapping[str, Any] = usage.get("output_tokens_details") or {}
    return usage_of(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("total_tokens"),
        read.get("cached_tokens") or 0,
        written.get("reasoning_tokens") or 0,
        dict(usage),
    )
