"""Tools' names on the way to a provider and back.

Providers take letters, digits, `_` and `-`, 64 at most; an MCP server's `admin.files.list`, or a name in
another alphabet, is as good a name for people. What does not fit goes by another name on the wire and
by its own everywhere else: in chunks, results, messages, approvals and what is stored. The other name
is made of the name alone, so that a conversation that goes on tomorrow, in another process, has it still.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from mastra.models.base import ModelRequest, ToolChoice
from mastra.models.history import Conversation, tool_names
from mastra.models.messages import Message, MessagePart, ToolCallPart, ToolResultPart

__all__ = ["TOOL_NAME", "sent_request", "wire_name"]

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every provider takes. A model that takes less says so in an attribute `tool_name_rule`."""

_OTHERS: Final = re.compile(r"[^A-Za-z0-9_-]")
_STEM: Final = 54
"""Characters of the name itself: two more of `_`, and eight that tell it from all others, make 64."""


def wire_name(name: str, rule: re.Pattern[str] = TOOL_NAME, taken: Collection[str] = ()) -> str:
    """Return the name that a tool goes by on the wire: its own, where that is taken there.

    Args:
        name: The tool's.
        rule: What the provider takes, whole.
        taken: Names that other tools have for their own.
    """
    if rule.fullmatch(name):
        return name
    stem = _OTHERS.sub("_", name)[:_STEM]
    if not stem[:1].isalpha():
        stem = f"_{stem}"  # some want a letter or this at the beginning
    seed = name
    while True:
        mark = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        found = f"{stem}_{mark}"
        if found not in taken:
            return found
        seed += " "


def sent_request(
    request: ModelRequest, rule: re.Pattern[str] = TOOL_NAME
) -> tuple[ModelRequest, dict[str, str]]:
    """Return a request with names that a provider takes, and the tools' own names by those.

    Where every name will do, it is the request itself, and nothing.
    """
    others = [name for name in _names(request) if not rule.fullmatch(name)]
    if not others:
        return request, {}
    taken = {tool.name for tool in request.tools}
    sent = {name: wire_name(name, rule, taken) for name in others}
    made = replace(
        request,
        tools=[
            replace(tool, name=sent[tool.name]) if tool.name in sent else tool
            for tool in request.tools
        ],
        messages=[_message(message, sent) for message in request.messages],
        tool_choice=_choice(request.tool_choice, sent),
    )
    return made, {wire: name for name, wire in sent.items()}


def _names(request: ModelRequest) -> Iterable[str]:
    for tool in request.tools:
        yield tool.name
    messages = request.messages
    if isinstance(messages, Conversation):
        yield from messages.tool_names
        return
    for message in messages:
        yield from tool_names(message)


def _message(message: Message, sent: Mapping[str, str]) -> Message:
    content = message.content
    if isinstance(content, str):
        return message
    made = tuple(_part(part, sent) for part in content)
    return message if made == content else replace(message, content=made)


def _part(part: MessagePart, sent: Mapping[str, str]) -> MessagePart:
    # What the provider ran has the provider's name, which means something to it.
    if isinstance(part, (ToolCallPart, ToolResultPart)) and not part.provider_executed:
        name = sent.get(part.tool_name)
        if name is not None:
            return replace(part, tool_name=name)
    return part


def _choice(choice: ToolChoice, sent: Mapping[str, str]) -> ToolChoice:
    if isinstance(choice, str):
        return choice
    named = ("tool_name", "toolName")
    return {key: sent.get(name, name) if key in named else name for key, name in choice.items()}
