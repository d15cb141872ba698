"""OpenAI's request bodies, made of messages, tools and settings. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mastra.jsonable import Json, dump_wire, load_json
from mastra.models.base import ModelRequest, ProviderTool, ResponseFormat, ToolSpec
from mastra.models.chat_thoughts import thoughts_to_send
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    metadata_of,
)
from mastra.models.openai_schema import strict_form
from mastra.models.schema_parts import input_schema
from mastra.models.settings import ModelSettings
from mastra.models.tool_choice import chosen_tool
from mastra.models.tool_content import content_of
from mastra.names import snake

__all__ = [
    "arguments_object",
    "arguments_of",
    "as_text",
    "cache_mark",
    "chat_body",
    "data_url",
    "format_of",
    "is_reasoning_model",
    "options_for",
    "parameters_of",
]


def chat_body(request: ModelRequest, model_name: str, provider: str) -> dict[str, Json]:
    """Return the body of a streamed chat completion."""
    body: dict[str, Json] = {
        "model": model_name,
        "messages": _messages(request, provider),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    tools = [_tool(tool) for tool in request.tools]
    tools += provider_tools(request.provider_tools, provider)
    if tools:
        body["tools"] = tools
        body["tool_choice"] = _tool_choice(chosen_tool(request, provider))
        if request.settings.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.settings.parallel_tool_calls
    if request.response_format is not None:
        wanted = request.response_format
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": format_of(wanted),
        }
    _settings(body, request.settings, model_name)
    body.update(options_for(request.provider_options, provider))
    if request.settings.extra_body:
        body.update(request.settings.extra_body)
    return body


def provider_tools(tools: Sequence[ProviderTool], provider: str) -> list[dict[str, Json]]:
    """Return the declarations of those tools that run at a provider, and at this one."""
    return [{"type": tool.name, **tool.args} for tool in tools if tool.provider == provider]


def format_of(wanted: ResponseFormat) -> dict[str, Json]:
    """Return the form of an answer; the provider keeps to it where a model can be held to it."""
    strict = strict_form(wanted.schema) if wanted.strict else None
    schema = wanted.schema if strict is None else strict
    return {"schema": schema, "strict": strict is not None, "name": wanted.name}


def parameters_of(tool: ToolSpec) -> tuple[dict[str, Json], bool]:
    """Return the schema of a tool's input, and whether the provider can keep to it."""
    strict = strict_form(tool.parameters) if tool.strict else None
    return (input_schema(tool.parameters), False) if strict is None else (strict, True)


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
    return {snake(key): value for key, value in found.items()}


def _tool(tool: ToolSpec) -> dict[str, Json]:
    parameters, strict = parameters_of(tool)
    function: dict[str, Json] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
    }
    if tool.strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _tool_choice(choice: str | ToolSpec | ProviderTool) -> Json:
    match choice:
        case ToolSpec():
            return {"type": "function", "function": {"name": choice.name}}
        case ProviderTool():
            custom: Any = choice.args.get("custom")  # of which there may be several
            return {
                "type": choice.name,
                **({} if custom is None else {"custom": {"name": custom["name"]}}),
            }
        case _:
            return choice


def _messages(request: ModelRequest, provider: str) -> list[Json]:
    out: list[Json] = []
    shown: list[Json] = []
    """Pictures and files that tools gave: only a user may show them."""
    for message in request.messages:
        if shown and message.role != "tool":
            out.append({"role": "user", "content": shown})
            shown = []
        match message.role:
            case "system" | "user":
                out.append({"role": message.role, "content": _content(message, provider)})
            case "assistant":
                said = _assistant(message, provider)
                if said is not None:
                    out.append(said)
            case _:  # results of tools
                results = [part for part in message.parts if isinstance(part, ToolResultPart)]
                out += [_result(part, provider, shown) for part in results]
    if shown:
        out.append({"role": "user", "content": shown})
    return out


def _content(message: Message, provider: str) -> Json:
    content = message.content
    if isinstance(content, str):
        return content
    if all(isinstance(part, TextPart) and not cache_mark(part, provider) for part in content):
        return message.text
    if message.role == "system":
        content = tuple(part for part in content if isinstance(part, TextPart))
    return [wire for part in content if (wire := _user_part(part, provider)) is not None]


def _user_part(part: MessagePart, provider: str) -> Json:
    wire = _bare_part(part, provider)
    mark = cache_mark(part, provider)
    if wire is not None and mark:
        wire["cache_control"] = mark
    return wire


def _bare_part(part: MessagePart, provider: str) -> Any:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            image: dict[str, Json] = {"url": data_url(part)}
            detail = metadata_of(part, provider).get("imageDetail")
            return {
                "type": "image_url",
                "image_url": image | ({"detail": detail} if detail else {}),
            }
        case FilePart() if part.media_type.startswith("audio/") and (data := _bytes_of(part)):
            kind = part.media_type.removeprefix("audio/")
            wire_format = {"mpeg": "mp3", "x-wav": "wav"}.get(kind, kind)
            return {
                "type": "input_audio",
                "input_audio": {"data": data, "format": wire_format},
            }
        case FilePart():
            if part.file_id is not None:
                return {"type": "file", "file": {"file_id": part.file_id}}
            name = part.filename or "file"
            return {"type": "file", "file": {"filename": name, "file_data": data_url(part)}}
        case _:
            return None


def cache_mark(part: MessagePart, provider: str) -> Json:
    """Return the mark that has a provider keep the conversation as far as a part, if any.

    OpenAI keeps what it wants to by itself, and refuses a mark.
    """
    own = metadata_of(part, provider)
    found = own.get("cacheControl") or own.get("cache_control")
    if found is None and getattr(part, "cache", False) and provider in _KEEPS_ON_REQUEST:
        return {"type": "ephemeral"}
    return found


_KEEPS_ON_REQUEST = frozenset(("anthropic", "bedrock", "openrouter", "vertex_ai"))


def _result(part: ToolResultPart, provider: str, shown: list[Json]) -> Json:
    """Return the answer to a call; what is no text of it is left in `shown`."""
    content = content_of(part)
    if content is None:
        text = as_text(part)
    else:
        text = "\n".join(item.text for item in content if isinstance(item, TextPart))
        files = [item for item in content if not isinstance(item, TextPart)]
        if files:
            text = f"{text}\n\n" if text else ""
            text += "What the tool gave besides is in the message that follows the tools' results."
            shown.append({"type": "text", "text": f"From tool call {part.tool_call_id}:"})
            shown += [wire for item in files if (wire := _user_part(item, provider)) is not None]
    mark = cache_mark(part, provider)
    told: Json = [{"type": "text", "text": text, "cache_control": mark}] if mark else text
    return {"role": "tool", "tool_call_id": part.tool_call_id, "content": told}


def _assistant(message: Message, provider: str) -> Json:
    """Return what the model said; `None` where that is nothing a provider takes."""
    wire: dict[str, Json] = {"role": "assistant", "content": message.text or None}
    marked = [part for part in message.parts if cache_mark(part, provider)]
    if marked and message.text:
        wire["content"] = [
            _user_part(part, provider) for part in message.parts if isinstance(part, TextPart)
        ]
    wire.update(thoughts_to_send(message.parts, provider))
    calls = [call for call in message.tool_calls if not call.provider_executed]
    if calls:
        wire["tool_calls"] = [_call(call, provider) for call in calls]
    return wire if calls or message.text else None


def _call(call: ToolCallPart, provider: str) -> dict[str, Json]:
    # Gemini's signature of a thought, through its compatible API.
    signed = metadata_of(call, provider).get("extra_content")
    return {
        "id": call.tool_call_id,
        "type": "function",
        "function": {"name": call.tool_name, "arguments": arguments_of(call)},
        **({} if signed is None else {"extra_content": signed}),
    }


def arguments_of(call: ToolCallPart) -> str:
    """Return a call's arguments as JSON text."""
    return dump_wire(arguments_object(call)).decode()


def arguments_object(call: ToolCallPart) -> Mapping[str, Json]:
    """Return a call's arguments as an object, which is what providers take.

    What a model wrote that is none (cut off, or no JSON at all) is kept inside of one.
    """
    args: Any = call.args
    if isinstance(args, Mapping):
        return cast("Mapping[str, Json]", args)
    if isinstance(args, str):
        try:
            parsed: Any = load_json(args) if args.strip() else {}
        except ValueError:
            parsed = args
        if isinstance(parsed, Mapping):
            return cast("Mapping[str, Json]", parsed)
    return {} if args is None else {"arguments": args}


def data_url(part: ImagePart | FilePart) -> str:
    """Return where a part's bytes are: its address, or the bytes themselves in a `data:` URL."""
    return part.url or f"data:{part.media_type};base64,{part.data}"


def _bytes_of(part: FilePart) -> str | None:
    """Return a part's bytes in base64, where they are within it."""
    if part.data is not None or part.url is None:
        return part.data
    head, _, data = part.url.partition(";base64,")
    return data if head.startswith("data:") and data else None


def as_text(part: ToolResultPart) -> str:
    """Return a tool's result as the text that the model reads."""
    if isinstance(part.result, str):
        return part.result
    return dump_wire(part.result).decode()
