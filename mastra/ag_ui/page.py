"""What a page of AG-UI sends: a conversation as it shows it, its own tools, and answers.

The page may be any program. Of an answer to something that waits only which interrupt and the
answer itself are taken; what is run is what is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, cast

from ag_ui.core import (
    AssistantMessage,
    ContentPart,
    DataSource,
    DeveloperMessage,
    FileSource,
    Message,
    RunAgentInput,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from pydantic import model_validator

from mastra.server.caller_messages import plain_messages
from mastra.server.context import load_strict
from mastra.server.payloads import AgentBody, Identifier

__all__ = ["RunInput", "agent_body", "model_messages", "page_results"]

_CONTEXT: Final = "ag-ui"
"""Where tools and processors find what the page tells beside its messages."""


class RunInput(RunAgentInput):
    """What starts a run, or answers one that waits."""

    thread_id: Identifier
    run_id: Identifier

    @model_validator(mode="before")
    @classmethod
    def _read_older_files(cls, given: Any) -> Any:
        """Read the files of clients before 1.0, whose form the protocol gave up."""
        if not isinstance(given, dict):
            return given
        fields = cast("dict[str, Any]", given)
        messages: Any = fields.get("messages")
        if not isinstance(messages, list):
            return fields
        return {
            **fields,
            "messages": [_with_newer_files(one) for one in cast("list[Any]", messages)],
        }

    @property
    def knows_outcomes(self) -> bool:
        """Whether the page knows runs that were stopped, and calls that wait for it."""
        major = (self.protocol_version or "").partition(".")[0]
        return major.isascii() and major.isdigit() and int(major) >= 1

    @property
    def props(self) -> dict[str, Any]:
        """What the application sends along."""
        given: Any = self.forwarded_props
        return cast("dict[str, Any]", given) if isinstance(given, dict) else {}

    @property
    def resource_id(self) -> str | None:
        """Whose thread it is, as the application says."""
        given: Any = self.props.get("resourceId")
        return given if isinstance(given, str) and given else None


def _with_newer_files(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    fields = cast("dict[str, Any]", message)
    content: Any = fields.get("content")
    if not isinstance(content, list):
        return fields
    return {**fields, "content": [_newer_file(part) for part in cast("list[Any]", content)]}


def _newer_file(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    old = cast("dict[str, Any]", part)
    if old.get("type") != "binary":
        return old
    kind: Any = old.get("mimeType")
    for name, source in (("data", "data"), ("url", "url"), ("id", "file")):
        if isinstance(kind, str) and old.get(name):
            family = kind.partition("/")[0]
            return {
                "type": family if family in {"image", "audio", "video"} else "document",
                "source": {"type": source, "value": old[name], "mimeType": kind},
            }
    return old


def agent_body(given: RunInput) -> AgentBody:
    """Return what a page sends as the body of a call."""
    tools: dict[str, Any] = {
        tool.name: {
            "description": tool.description,
            "parameters": tool.parameters or {"type": "object", "properties": {}},
        }
        for tool in given.tools or ()
    }
    told = {
        "context": [item.model_dump(by_alias=True) for item in given.context or ()],
        "state": given.state,
        "forwardedProps": given.forwarded_props,
    }
    return AgentBody(
        messages=model_messages(given.messages),
        thread_id=given.thread_id,
        resource_id=given.resource_id,
        client_tools=tools or None,
        request_context={_CONTEXT: {key: item for key, item in told.items() if item}},
    )


# -- what the model is told --------------------------------------------------------------------


def model_messages(messages: list[Message]) -> list[Any]:
    """Return a page's messages as they go to an agent.

    What a sub-agent said is not the agent's own; thoughts and activities are for people.
    """
    names = _call_names(messages)
    return plain_messages([made for message in messages for made in _read(message, names)])


def page_results(messages: list[Message], own: Collection[str]) -> list[dict[str, Any]]:
    """Return what came of the calls at a conversation's end that the page has run.

    Args:
        messages: The conversation.
        own: The tools that run here: of those no page can tell.
    """
    names = _call_names(messages)
    found: list[dict[str, Any]] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        if names.get(message.tool_call_id, "") not in {"", *own}:
            found.insert(0, _result(message, names[message.tool_call_id]))
    return found


def _call_names(messages: list[Message]) -> dict[str, str]:
    return {
        call.id: call.function.name
        for message in messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls or ()
    }


def _read(message: Message, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    if message.subagent_run_id is not None:
        return
    match message:
        case SystemMessage() | DeveloperMessage():
            yield {"role": "system", "content": message.content}
        case UserMessage():
            yield {"id": message.id, "role": "user", "content": _content(message.content)}
        case AssistantMessage():
            parts: list[dict[str, Any]] = []
            if message.content:
                parts.append({"type": "text", "text": message.content})
            parts += [
                {
                    "type": "tool-call",
                    "toolCallId": call.id,
                    "toolName": call.function.name,
                    "input": _loaded(call.function.arguments or "{}"),
                }
                for call in message.tool_calls or ()
            ]
            yield {"id": message.id, "role": "assistant", "content": parts}
        case ToolMessage():
            if message.tool_call_id in names:
                result = _result(message, names[message.tool_call_id])
                yield {"id": message.id, "role": "tool", "content": [result]}
        case _:
            pass


def _content(given: str | list[ContentPart]) -> str | list[dict[str, Any]]:
    if isinstance(given, str):
        return given
    return [made for part in given if (made := _part(part)) is not None]


def _part(part: ContentPart) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    source = part.source
    if isinstance(source, FileSource):
        return None  # only the provider that issued it could read it
    url = source.value
    if isinstance(source, DataSource):
        url = f"data:{source.mime_type};base64,{source.value}"
    kind = source.mime_type or ("image/png" if part.type == "image" else "application/octet-stream")
    return {"type": "file", "mediaType": kind, "url": url}


def _result(message: ToolMessage, name: str) -> dict[str, Any]:
    content: Any = message.content
    if not isinstance(content, str):
        content = [part.model_dump(by_alias=True) for part in content]
    if message.error is not None:
        content = message.error if not content else f"{message.error}\n{content}"
    return {
        "type": "tool-result",
        "toolCallId": message.tool_call_id,
        "toolName": name,
        "output": {
            "type": "json",
            "value": _loaded(content) if isinstance(content, str) else content,
        },
        "isError": message.error is not None,
    }


def _loaded(text: str) -> Any:
    """Return the JSON that a text holds, or the text."""
    try:
        return load_strict(text)
    except ValueError:
        return text
