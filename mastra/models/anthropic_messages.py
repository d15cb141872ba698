"""A conversation in Anthropic's form: turns of blocks, as the API demands them.

Turns alternate, results come first in theirs and answer a call of the turn before, no text is
empty, and what the provider signed, ran or cited goes back exactly as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mastra.clock import now_ms
from mastra.errors import ModelError
from mastra.jsonable import Json, load_json
from mastra.models.anthropic_citations import Document
from mastra.models.anthropic_files import block_of
from mastra.models.anthropic_tools import cache_control
from mastra.models.anthropic_turns import THOUGHTS, CallIds, mended
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
from mastra.models.openai_request import as_text
from mastra.models.tool_content import content_of
from mastra.models.tool_names import wire_name

__all__ = ["CONTAINER", "Conversation", "converse"]

CONTAINER: Final = "container"
"""The type of the item that remembers where code ran, which is none of the API's blocks."""

_UNMARKED: Final = THOUGHTS | {"mcp_tool_listing", "compaction"}
"""Blocks that a prefix to be kept may not end with."""


@dataclass(slots=True)
class Conversation:
    """What of a request is said in turns."""

    system: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Blocks of text."""
    turns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Of the user and the assistant, one after the other."""
    documents: list[Document] = field(default_factory=list[Document])
    """In the order in which citations count them."""
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Tools that the provider ran, by the ids of their calls."""
    container: str | None = None
    """Where code ran last, if it is still there."""
    has_files: bool = False
    """Whether a file is named by its id."""


def converse(messages: Iterable[Message], provider: str, *, thinks: bool = True) -> Conversation:
    """Return a conversation in Anthropic's form.

    Args:
        messages: What was said.
        provider: What the provider is called here; what another one signed is left out.
        thinks: Whether thoughts go back.
    """
    writer = _Writer(provider, thinks=thinks)
    for message in messages:
        writer.add(message)
    return writer.finish()


class _Writer:
    """Writes turn after turn."""

    def __init__(self, provider: str, *, thinks: bool) -> None:
        self.found = Conversation()
        self._providers = tuple(dict.fromkeys((provider, "anthropic")))
        self._thinks = thinks
        self._ids = CallIds()
        self._toolsets: dict[str, str] = {}
        """Sets of tools, by the ids of calls of their tools."""

    def add(self, message: Message) -> None:
        match message.role:
            case "system":
                self.found.system += self._texts(message)
            case "assistant":
                self._said(message)
            case _:  # the user, and results of tools
                self._turn("user", self._given(message))

    def _turn(self, role: str, blocks: list[dict[str, Any]]) -> None:
        turns = self.found.turns
        if not blocks:
            return
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})

    def finish(self) -> Conversation:
        self.found.turns = mended(self.found.turns)
        return self.found

    def _texts(self, message: Message) -> list[dict[str, Any]]:
        return [
            block
            for part in message.parts
            if isinstance(part, TextPart) and (block := self._text(part)) is not None
        ]

    def _text(self, part: TextPart) -> dict[str, Any] | None:
        if not part.text.strip():
            return None
        return self._marked({"type": "text", "text": part.text}, part)

    def _marked(self, block: dict[str, Any], part: MessagePart) -> dict[str, Any]:
        mark = cache_control(
            metadata_of(part, *self._providers), cache=bool(getattr(part, "cache", False))
        )
        if mark is not None and block["type"] not in _UNMARKED:
            block["cache_control"] = mark
        return block

    def _given(self, message: Message) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        for part in message.parts:
            match part:
                case TextPart():
                    block = self._text(part)
                    if block is not None:
                        blocks.append(block)
                case ImagePart() | FilePart():
                    blocks.append(self._marked(self._file(part), part))
                case ToolResultPart():
                    blocks.append(self._result(part))
                case _:
                    pass
        return blocks

    def _file(self, part: ImagePart | FilePart) -> dict[str, Any]:
        block = block_of(part, metadata_of(part, *self._providers))
        if "file_id" in block.get("source", block):
            self.found.has_files = True
        if block["type"] == "document":
            name = part.filename if isinstance(part, FilePart) else None
            self.found.documents.append(Document(block.get("title"), part.media_type, name))
        return block

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": self._ids.of_result(part.tool_call_id),
        }
        toolset = self._toolsets.get(block["tool_use_id"])
        if toolset is not None:
            block["toolset_name"] = toolset
        content = self._shown(part)
        if content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return self._marked(block, part)

    def _shown(self, part: ToolResultPart) -> Json:
        content = content_of(part)
        if content is None:
            return as_text(part)
        blocks: list[dict[str, Any]] = []
        for item in content:
            if isinstance(item, TextPart):
                block = self._text(item)
                if block is not None:
                    blocks.append(block)
            elif not part.is_error:
                # An error may say nothing but text.
                blocks.append(self._seen(item))
        return blocks

    def _seen(self, item: ImagePart | FilePart) -> dict[str, Any]:
        try:
            return self._marked(self._file(item), item)
        except ModelError:
            # The tool has run, and no caller can give its file in another form.
            kind = item.media_type
            return {"type": "text", "text": f"(A file of the kind {kind}, which is not shown.)"}

    def _said(self, message: Message) -> None:
        blocks: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ToolResultPart) and not part.provider_executed:
                # Kept in one message with its call; what follows was said after it.
                results.append(self._result(part))
                continue
            if results and not isinstance(part, ToolCallPart):
                self._turn("assistant", blocks)
                self._turn("user", results)
                blocks, results = [], []
            block = self._said_part(part)
            if block is not None:
                blocks.append(block)
        self._turn("assistant", blocks)
        self._turn("user", results)

    def _said_part(self, part: MessagePart) -> dict[str, Any] | None:
        match part:
            case TextPart():
                block = self._text(part)
                cited = metadata_of(part, *self._providers).get("citations")
                if block is not None and isinstance(cited, list):
                    block["citations"] = cited
                return block
            case ReasoningPart():
                return self._thought(part) if self._thinks else None
            case ToolCallPart():
                return self._call(part)
            case ToolResultPart():
                return self._ran(part)
            case ProviderPart():
                return self._item(part)
            case _:
                return None

    def _thought(self, part: ReasoningPart) -> dict[str, Any] | None:
        if part.provider is not None and part.provider not in self._providers:
            return None
        own = metadata_of(part, *self._providers)
        hidden = own.get("redactedData")
        if hidden is not None:
            return {"type": "redacted_thinking", "data": hidden}
        signature = part.signature or own.get("signature")
        if signature is None:
            return None
        return {"type": "thinking", "thinking": part.text, "signature": signature}

    def _call(self, part: ToolCallPart) -> dict[str, Any] | None:
        own = metadata_of(part, *self._providers)
        kind = str(own.get("type") or "").replace("-", "_")
        if part.provider_executed and not kind.endswith("_tool_use"):
            return None  # another provider's
        call_id = self._ids.of_call(part.tool_call_id)
        block: dict[str, Any] = {
            "type": "tool_use",
            "id": call_id,
            "name": wire_name(part.tool_name),
            "input": _arguments(part.args),
        }
        if part.provider_executed:
            block["type"] = kind
            self.found.names[call_id] = part.tool_name
            if "serverName" in own:
                block["server_name"] = own["serverName"]
        if isinstance(own.get("caller"), Mapping):
            block["caller"] = _caller(own["caller"])
        if "toolsetName" in own:
            block["toolset_name"] = self._toolsets[call_id] = own["toolsetName"]
        return self._marked(block, part)

    def _ran(self, part: ToolResultPart) -> dict[str, Any] | None:
        """Return the result of a tool that the provider ran, as it came."""
        own = metadata_of(part, *self._providers)
        kind = str(own.get("type") or "").replace("-", "_")
        if not kind.endswith("_tool_result"):
            return None  # another provider's
        block: dict[str, Any] = {
            "type": kind,
            "tool_use_id": self._ids.of_result(part.tool_call_id),
            "content": part.result,
        }
        if kind == "mcp_tool_result":
            block["is_error"] = part.is_error
        if isinstance(own.get("caller"), Mapping):
            block["caller"] = _caller(own["caller"])
        return self._marked(block, part)

    def _item(self, part: ProviderPart) -> dict[str, Any] | None:
        data = part.data
        if part.provider not in self._providers or not isinstance(data, Mapping):
            return None
        item = dict(cast("Mapping[str, Any]", data))
        if item.get("type") != CONTAINER:
            return item
        ends = item.get("expires_ms")
        if ends is None or ends > now_ms():
            self.found.container = item.get("id")
        return None


def _arguments(args: Json) -> dict[str, Json]:
    """Return a call's arguments as an object: nothing else is taken, even of a call that failed."""
    if isinstance(args, str):
        with suppress(ValueError):
            args = load_json(args)
    if isinstance(args, dict):
        return cast("dict[str, Json]", args)
    return {} if args is None or args == "" else {"arguments": args}


def _caller(caller: Mapping[str, Any]) -> dict[str, Any]:
    wire = dict(caller)
    if "toolId" in wire:
        wire["tool_id"] = wire.pop("toolId")
    return wire
