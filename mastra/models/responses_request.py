"""Request bodies of OpenAI's responses API. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mastra.jsonable import Json, load_json
from mastra.models.base import ModelRequest, ProviderTool, ToolSpec
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    metadata_of,
)
from mastra.models.openai_request import (
    arguments_of,
    as_text,
    data_url,
    format_of,
    options_for,
    parameters_of,
    provider_tools,
)
from mastra.models.tool_choice import chosen_tool
from mastra.models.tool_content import content_of

__all__ = ["responses_body"]

_REASONING: Final = "reasoning"


def responses_body(request: ModelRequest, model_name: str, provider: str) -> dict[str, Json]:
    """Return the body of a streamed response."""
    settings = request.settings
    body: dict[str, Json] = {
        "model": model_name,
        "input": [item for message in request.messages for item in _items(message, provider)],
        "stream": True,
    }
    tools = [_tool(tool) for tool in request.tools]
    tools += provider_tools(request.provider_tools, provider)
    if tools:
        body["tools"] = tools
        body["tool_choice"] = _tool_choice(chosen_tool(request, provider))
    if request.response_format is not None:
        body["text"] = {"format": {"type": "json_schema", **format_of(request.response_format)}}
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


def _tool_choice(choice: str | ToolSpec | ProviderTool) -> Json:
    match choice:
        case ToolSpec():
            return {"type": "function", "name": choice.name}
        case ProviderTool():
            named = {key: choice.args[key] for key in _NAMING if key in choice.args}
            return {"type": choice.name, **named}
        case _:
            return choice


_NAMING: Final = ("name", "server_label")
"""Settings that tell tools of one type apart."""


def _tool(tool: ToolSpec) -> dict[str, Json]:
    parameters, strict = parameters_of(tool)
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
        # Left out it means true here, and not every schema can be kept to.
        "strict": strict,
    }


def _items(message: Message, provider: str) -> list[Json]:
    match message.role:
        case "system":
            return [{"role": "system", "content": message.text}]
        case "user":
            content = [wire for part in message.parts if (wire := _user_part(part, provider))]
            return [{"role": "user", "content": content}] if content else []
        case "assistant":
            return _answer(message.parts, provider)
        case _:  # results of tools
            return [
                {
                    "type": "function_call_output",
                    "call_id": part.tool_call_id,
                    "output": _output(part, provider),
                }
                for part in message.parts
                if isinstance(part, ToolResultPart)
            ]


def _output(part: ToolResultPart, provider: str) -> Json:
    content = content_of(part)
    if content is None:
        return as_text(part)
    return [wire for item in content if (wire := _user_part(item, provider))]


def _user_part(part: MessagePart, provider: str) -> Json:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            detail = metadata_of(part, provider).get("imageDetail")
            told = {"detail": detail} if detail else {}
            return {"type": "input_image", "image_url": data_url(part), **told}
        case FilePart() if part.file_id is not None:
            kind = "input_image" if part.media_type.startswith("image/") else "input_file"
            return {"type": kind, "file_id": part.file_id}
        case FilePart() if part.url is not None and not part.url.startswith("data:"):
            return {"type": "input_file", "file_url": part.url}
        case FilePart():
            name = part.filename or "file"
            return {"type": "input_file", "filename": name, "file_data": data_url(part)}
        case _:
            return None


def _answer(parts: Sequence[MessagePart], provider: str) -> list[Json]:
    """Return what the model said, thought and did, as the items that it came in."""
    pictures = {
        metadata_of(part, provider).get("itemId"): part.data
        for part in parts
        if isinstance(part, (ImagePart, FilePart))
    }
    items: list[Json] = []
    seen: set[object] = set()
    for part in parts:
        item = _said(part, provider)
        if item is None:
            continue
        if item.get("type") == "image_generation_call":
            item = {**item, "result": pictures.get(item.get("id"))}
        # The provider refuses an item that comes twice, as a message of two texts would.
        same = item.get("id")
        if same is not None and same in seen:
            item = {key: value for key, value in item.items() if key != "id"}
        seen.add(same)
        items.append(item)
    return items


def _said(part: MessagePart, provider: str) -> dict[str, Json] | None:
    own = metadata_of(part, provider)
    match part:
        case TextPart() if part.text:
            return _message(part, own)
        case ToolCallPart() if part.provider_executed:
            return own.get("item")
        case ToolCallPart():
            call: dict[str, Json] = {
                "type": "function_call",
                "call_id": part.tool_call_id,
                "name": part.tool_name,
                "arguments": arguments_of(part),
            }
            return {"id": own["itemId"], **call} if "itemId" in own else call
        case ToolResultPart() if part.provider_executed:
            return own.get("item")
        case ReasoningPart():
            return _thought(part, provider)
        case ProviderPart() if part.provider == provider:
            return part.data
        case _:
            return None


def _message(part: TextPart, own: Mapping[str, Any]) -> dict[str, Json]:
    content: list[Json] = [{"type": "output_text", "text": part.text}]
    if "itemId" not in own:
        return {"role": "assistant", "content": content}
    message: dict[str, Json] = {
        "type": "message",
        "id": own["itemId"],
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": part.text, "annotations": []}],
    }
    return {**message, "phase": own["phase"]} if "phase" in own else message


def _thought(part: ReasoningPart, provider: str) -> dict[str, Json] | None:
    """Return the provider's own item, as it came; what another signed says nothing to it."""
    if part.signature is None or part.provider not in {None, provider}:
        return None
    try:
        item: Any = load_json(part.signature)
    except ValueError:
        return None
    return item if isinstance(item, dict) and item.get("type") == _REASONING else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
