"""Reads messages in the forms that callers write.

Understood: text, `Message`, and dicts as the AI SDK, its user interface, the OpenAI API and
Mastra's storage write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, cast, get_args

from mastra.clock import now_ms
from mastra.errors import InputValidationError
from mastra.ids import new_id
from mastra.jsonable import load_json
from mastra.models.message_media import attachment, audio, detail_of, file, image
from mastra.models.message_wire import ANSWERED, PROVIDER_ITEM
from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessageInput,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    Role,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    is_message_like,
)
from mastra.models.tool_content import content_in

__all__ = ["message_from", "messages_from"]

_FAILED: Final = "The tool failed."
_DENIED: Final = "Tool call was not approved by the user"

_OWN: Final = (
    "experimental_providerMetadata", "providerMetadata", "providerOptions", "provider_metadata",
    "provider_options",
)  # fmt: skip

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def messages_from(value: MessageInput) -> list[Message]:
    """Return messages for anything a caller may pass.

    Raises:
        InputValidationError: It is in none of the known forms.
    """
    if is_message_like(value):
        return [message_from(value)]
    if isinstance(value, Sequence):
        return [message_from(item) for item in cast("Sequence[Any]", value)]
    raise _unknown("messages", value)


def message_from(value: object) -> Message:
    """Return one message; text is the user's.

    Raises:
        InputValidationError: It is in none of the known forms.
    """
    if isinstance(value, Message):
        return value
    if isinstance(value, str):
        return Message("user", value)
    if not isinstance(value, Mapping):
        raise _unknown("A message", value)
    data = cast("Mapping[str, Any]", value)
    role = _ROLES.get(str(data.get("role")))
    if role is None:
        raise InputValidationError(
            f"A message has role {data.get('role')!r}; known are {', '.join(_ROLES)}.",
            issues=[{"path": ["messages"], "message": "unknown role"}],
        )
    try:
        content = _content(data, role)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputValidationError(
            f"A message of role {role!r} has a part that cannot be read: {_missing(error)}.",
            issues=[{"path": ["messages"], "message": "a part that cannot be read"}],
        ) from error
    return Message(
        role,
        content,
        id=str(data.get("id") or new_id()),
        created_at=data["createdAt"] if isinstance(data.get("createdAt"), int) else now_ms(),
        metadata=data.get("metadata"),
    )


def _missing(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return "a value is of another type than it should be"


def _held(data: Mapping[str, Any]) -> Any:
    content = data.get("content")
    return data.get("refusal") if content is None else content  # the OpenAI API's form


def _content(data: Mapping[str, Any], role: Role) -> str | tuple[MessagePart, ...]:
    content: Any = _held(data)
    if role == "tool" and "tool_call_id" in data:  # the OpenAI API's form
        shown = {"type": "content", "value": content}
        given = content if content_in(shown) is None else shown
        return (ToolResultPart(str(data["tool_call_id"]), str(data.get("name") or ""), given),)
    holder = data
    if isinstance(content, Mapping) and "parts" in cast("Mapping[str, Any]", content):
        holder = cast("Mapping[str, Any]", content)  # Mastra's stored form
        content = holder["parts"] or holder.get("content") or ()
    elif data.get("parts") is not None:  # the user interface's form
        content = data["parts"]
    parts: list[MessagePart] = []
    own = _own(data)
    attached: Any = holder.get("experimental_attachments") or ()
    if isinstance(content, str):
        if "tool_calls" not in data and not own and not attached:
            return content
        parts += [TextPart(content)] if content else []
    elif isinstance(content, Sequence):
        for item in cast("Sequence[Any]", content):
            # A page knows kinds of parts that came after this version: what was answered is told
            # without them. What a person says is never left out.
            parts += _parts(item, skips_unknown=role == "assistant")
    elif content is not None or ("tool_calls" not in data and role != "assistant"):
        raise _unknown("A message's content", cast("object", content))
    parts += [attachment(item) for item in attached]
    parts += [_openai_call(call) for call in data.get("tool_calls") or ()]
    # What is said of a message holds from its last part on that a provider sees.
    seen = [at for at, part in enumerate(parts) if not isinstance(part, DataPart)]
    if own and seen and not isinstance(parts[seen[-1]], ProviderPart):
        parts[seen[-1]] = replace(parts[seen[-1]], **own)
    return tuple(parts)


def _own(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message or a part says to its provider, as arguments of a part."""
    own: dict[str, Any] = {}
    for key in _OWN:
        if isinstance(data.get(key), Mapping):
            own["provider_metadata"] = {**own.get("provider_metadata", {}), **data[key]}
    detail = detail_of(data)
    if detail is not None:
        own.setdefault("provider_metadata", {"openai": {"imageDetail": detail}})
    if data.get("cache") is True:
        own["cache"] = True
    return own


def _openai_call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call["function"]
    arguments: Any = function["arguments"] or {}
    if isinstance(arguments, str):
        # What was cut off, or is no JSON for another reason, stays what the model said.
        with suppress(ValueError):
            arguments = load_json(arguments)
    return ToolCallPart(str(call["id"]), str(function["name"]), arguments)


def _parts(item: object, *, skips_unknown: bool = False) -> list[MessagePart]:
    if isinstance(item, str):
        return [TextPart(item)]
    if isinstance(item, Mapping):
        data = cast("Mapping[str, Any]", item)
        kind = str(data.get("type"))
        if kind not in _READERS:
            found = _of_page(kind, data)
            if found is not None:
                return found
        reader = _READERS.get(kind)
        if reader is not None:
            part = reader(data)
            if part is None or isinstance(part, ProviderPart):
                return [] if part is None else [part]
            own = _own(data)
            if not hasattr(part, "cache"):
                own.pop("cache", None)
            return [replace(part, **own) if own else part]
        if "type" in data and skips_unknown:
            return []
    elif isinstance(item, get_args(MessagePart)):
        return [cast("MessagePart", item)]
    raise _unknown("A message's part", cast("object", item))


def _of_page(kind: str, data: Mapping[str, Any]) -> list[MessagePart] | None:
    """Read a part that is told by the beginning of its type; `None` where it is none."""
    if kind == "tool-invocation":
        return _invocation(data, data["toolInvocation"])
    if kind in {"tool-approval-request", "tool-approval-response"}:
        return []  # who approves a call here answers its run
    if kind == "dynamic-tool":
        return _interface_tool(data, str(data["toolName"]))
    if kind.startswith("tool-"):
        return _interface_tool(data, kind.removeprefix("tool-"))
    if kind.startswith("data-"):
        return [DataPart(kind, data.get("data"))]
    return None


def _invocation(data: Mapping[str, Any], call: Mapping[str, Any]) -> list[MessagePart]:
    call_id, name, args = str(call["toolCallId"]), str(call["toolName"]), call.get("args")
    ran_there = bool(call.get("providerExecuted"))
    own = _own(data).get("provider_metadata")
    found: list[MessagePart] = [
        ToolCallPart(call_id, name, args, provider_executed=ran_there, provider_metadata=own)
    ]
    if call.get("state") in ANSWERED:
        given, is_error = _outcome(call)
        result = ToolResultPart(
            call_id,
            name,
            given,
            is_error,
            args,
            content=_shown(call.get("resultContent")),
            provider_executed=ran_there,
            provider_metadata=call.get("resultProviderMetadata"),
        )
        found.append(result)
    return found


def _outcome(call: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return what a stored call gave, and whether that is a failure."""
    match call["state"]:
        case "output-error":
            return call.get("result", call.get("errorText") or _FAILED), True
        case "output-denied":
            return _refusal(call), False
        case _:
            return call.get("result"), bool(call.get("isError"))


def _refusal(call: Mapping[str, Any]) -> str:
    approval: Mapping[str, Any] = call.get("approval") or {}
    return approval.get("reason") or _DENIED


def _shown(content: Any) -> tuple[TextPart | ImagePart | FilePart, ...] | None:
    """Return the parts that a model is shown of a tool's result."""
    if content is None:
        return None
    parts = [part for item in content for part in _parts(item)]
    return tuple(part for part in parts if isinstance(part, (TextPart, ImagePart, FilePart)))


def _interface_tool(data: Mapping[str, Any], name: str) -> list[MessagePart]:
    """Read a call as a page shows it, in whichever state it is."""
    call_id, state = str(data["toolCallId"]), data.get("state")
    if state == "input-streaming":
        return []  # its arguments had not come yet
    args = data.get("input", data.get("rawInput"))
    ran_there = bool(data.get("providerExecuted"))
    own = data.get("callProviderMetadata")
    found: list[MessagePart] = [
        ToolCallPart(call_id, name, args, provider_executed=ran_there, provider_metadata=own)
    ]
    has_output = data.get("output") is not None or state == "output-available"
    if data.get("errorText") is not None or state == "output-error":
        given, is_error = data.get("errorText") or _FAILED, True
    elif state == "output-denied":
        given, is_error = _refusal(data), False
    elif has_output and not data.get("preliminary"):
        given, is_error = data.get("output"), False
    else:
        return found
    result = ToolResultPart(
        call_id,
        name,
        given,
        is_error,
        args,
        provider_executed=ran_there,
        provider_metadata=data.get("resultProviderMetadata"),
    )
    return [*found, result]


def _text(data: Mapping[str, Any]) -> MessagePart:
    return TextPart(str(data["text"]))


def _reasoning(data: Mapping[str, Any]) -> MessagePart:
    """Read a thought: its text, or as the original stores it, in `details` with the signatures."""
    details: list[Mapping[str, Any]] = data.get("details") or []
    told = "".join(str(one.get("text") or "") for one in details)
    signatures = [one["signature"] for one in details if one.get("signature")]
    hidden = [str(one["data"]) for one in details if one.get("type") == "redacted"]
    if hidden and not told:
        return _redacted(hidden[0])
    return ReasoningPart(
        str(data.get("text") or told or data.get("reasoning") or ""),
        data.get("signature") or (signatures[-1] if signatures else None),
        provider=data.get("provider"),
    )


def _redacted(hidden: str) -> ReasoningPart:
    """Return a thought that only Anthropic, whose it is, can read."""
    own = {"anthropic": {"redactedData": hidden}}
    return ReasoningPart("", provider="anthropic", provider_metadata=own)


def _source(data: Mapping[str, Any]) -> MessagePart:
    return SourcePart(
        str(data.get("sourceId") or data.get("id") or new_id()),
        data.get("url"),
        data.get("title"),
        source_type="document" if data.get("type") == "source-document" else "url",
        media_type=data.get("mediaType"),
        filename=data.get("filename"),
    )


def _item(data: Mapping[str, Any]) -> MessagePart:
    inner = data["data"]
    return ProviderPart(str(inner["provider"]), inner["item"])


def _call(data: Mapping[str, Any]) -> MessagePart:
    args = data.get("input", data.get("args"))
    return ToolCallPart(
        str(data["toolCallId"]),
        str(data["toolName"]),
        args,
        provider_executed=bool(data.get("providerExecuted")),
    )


_OUTPUTS: Final = ("text", "json", "error-text", "error-json", "execution-denied")
"""Kinds of output in the AI SDK's results that are unwrapped; `content` is read as it is."""


def _result(data: Mapping[str, Any]) -> MessagePart:
    output: Any = data.get("output", data.get("result"))
    is_error = bool(data.get("isError"))
    if isinstance(output, Mapping) and cast("Any", output).get("type") in _OUTPUTS:
        wrapped = cast("Mapping[str, Any]", output)
        is_error = is_error or str(wrapped["type"]).startswith("error")
        if wrapped["type"] == "execution-denied":
            output = wrapped.get("reason") or _DENIED
        elif "value" in wrapped and wrapped.keys() <= {"type", "value", "providerOptions"}:
            output = wrapped["value"]
    return ToolResultPart(
        str(data["toolCallId"]),
        str(data["toolName"]),
        output,
        is_error,
        data.get("input"),
        content=_shown(data.get("content")),
        provider_executed=bool(data.get("providerExecuted")),
    )


def _skip(_data: Mapping[str, Any]) -> None:
    return None


_READERS: dict[str, Callable[[Mapping[str, Any]], MessagePart | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": lambda data: TextPart(str(data["refusal"])),
    "reasoning": _reasoning,
    "redacted-reasoning": lambda data: _redacted(str(data["data"])),
    "image": image,
    "image_url": image,
    "input_image": image,
    "file": file,
    "input_file": file,
    "input_audio": audio,
    "tool-call": _call,
    "tool-result": _result,
    "step-start": _skip,
    "source": _source,
    "source-url": _source,
    "source-document": _source,
    PROVIDER_ITEM: _item,
}


def _unknown(what: str, value: object) -> InputValidationError:
    found = type(value).__name__
    kind: Any = cast("dict[str, Any]", value).get("type") if isinstance(value, dict) else None
    if kind is not None:
        return InputValidationError(
            f"{what} of type {kind!r} is not known; known are {', '.join(_READERS)}, and a page's "
            "tool-… and data-….",
            issues=[{"path": ["messages"], "message": f"unknown type of part: {kind}"}],
        )
    return InputValidationError(
        f"{what} cannot be read from {found}: give text, a Message, a dict with "
        "'role' and 'content', or a list of those.",
        issues=[{"path": ["messages"], "message": f"not a message: {found}"}],
    )
