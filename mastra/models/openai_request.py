"""OpenAI's request bodies, made of messages, tools and settings. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mastra.jsonable import Json, to_jsonable
from mastra.models.base import ModelRequest, ToolChoice, ToolSpec
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.settings import ModelSettings

__all__ = ["as_text", "chat_body", "data_url", "is_reasoning_model", "options_for"]


def chat_body(request: ModelRequest, model_name: str, provider: str) -> dict[str, Json]:
    """Return the body of a streamed chat completion."""
    body: dict[str, Json] = {
        "model": model_name,
        "messages": _messages(request),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.settings.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.settings.parallel_tool_calls
    if request.response_format is not None:
        wanted = request.response_format
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"schema": wanted.schema, "strict": wanted.strict, "name": wanted.name},
        }
    _settings(body, request.settings, model_name)
    body.update(options_for(request.provider_options, provider))
    if request.settings.extra_body:
        body.update(request.settings.extra_body)
    return body


def _settings(body: dict[str, Json], settings: ModelSettings, model_name: str) -> None:
    limit = "max_completion_tokens" if is_reasoning_model(model_name) else "max_tokens"
    given = {
        "temperature": settings.temperature,
        limit: settings.max_output_tokens,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "stop": list(settings.stop) if isinstance(settings.stop, tuple) else settings.stop,
        "seed": settings.seed,
        "reasoning_effort": settings.reasoning,
    }
    body.update({key: value for key, value in given.items() if value is not None})


def is_reasoning_model(model_name: str) -> bool:
    """Return whether OpenAI counts a model's thinking among its completion tokens."""
    return model_name.startswith(("o1", "o3", "o4", "gpt-5"))


def options_for(options: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Return a provider's own options, spelt as its API spells them."""
    found: Mapping[str, Any] = options.get(provider) or {}
    return {_snake(key): value for key, value in found.items()}


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def _tool(tool: ToolSpec) -> dict[str, Json]:
    function: dict[str, Json] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> Json:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": tool_of(choice)}}


def tool_of(choice: Mapping[str, str]) -> str:
    """Return the tool that a choice names."""
    return choice.get("tool_name") or choice["toolName"]


def _messages(request: ModelRequest) -> list[Json]:
    out: list[Json] = []
    for message in request.messages:
        match message.role:
            case "system":
                out.append({"role": "system", "content": message.text})
            case "user":
                out.append({"role": "user", "content": _user_content(message)})
            case "assistant":
                out.append(_assistant(message))
            case "tool":
                out += [
                    {"role": "tool", "tool_call_id": part.tool_call_id, "content": as_text(part)}
                    for part in message.parts
                    if isinstance(part, ToolResultPart)
                ]
    return out


def _user_content(message: Message) -> Json:
    content = message.content
    if isinstance(content, str):
        return content
    if all(isinstance(part, TextPart) for part in content):
        return message.text
    return [wire for part in content if (wire := _user_part(part)) is not None]


def _user_part(part: MessagePart) -> Json:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case FilePart() if part.media_type.startswith("audio/"):
            kind = part.media_type.removeprefix("audio/")
            wire_format = {"mpeg": "mp3", "x-wav": "wav"}.get(kind, kind)
            return {
                "type": "input_audio",
                "input_audio": {"data": part.data, "format": wire_format},
            }
        case FilePart():
            if part.file_id is not None:
                return {"type": "file", "file": {"file_id": part.file_id}}
            name = part.filename or "file"
            return {"type": "file", "file": {"filename": name, "file_data": data_url(part)}}
        case _:
            return None


def _assistant(message: Message) -> Json:
    wire: dict[str, Json] = {"role": "assistant", "content": message.text or None}
    calls = message.tool_calls
    if calls:
        wire["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": arguments_of(call)},
            }
            for call in calls
        ]
    return wire


def arguments_of(call: ToolCallPart) -> str:
    """Return a call's arguments as the JSON text that a model wrote, or would have."""
    if isinstance(call.args, str):
        return call.args
    return orjson.dumps(call.args if call.args is not None else {}).decode()


def data_url(part: ImagePart | FilePart) -> str:
    """Return where a part's bytes are: its address, or the bytes themselves in a `data:` URL."""
    return part.url or f"data:{part.media_type};base64,{part.data}"


def as_text(part: ToolResultPart) -> str:
    """Return a tool's result as the text that the model reads."""
    if isinstance(part.result, str):
        return part.result
    return orjson.dumps(to_jsonable(part.result)).decode()
