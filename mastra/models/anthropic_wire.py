"""Anthropic's answers on the wire: streamed events in, chunks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from mastra.errors import ModelError
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.models.anthropic_citations import Document, source_of
from mastra.models.anthropic_messages import CONTAINER
from mastra.models.chunks import (
    BlockEnd,
    FinishChunk,
    FinishReason,
    ModelChunk,
    ProviderItem,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningSignature,
    RedactedReasoning,
    ResponseMetadata,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.foreign_json import counts_of, object_of, objects_in, read_json
from mastra.models.sse_decoder import SseDecoder, may_pass

__all__ = ["AnthropicDecoder", "anthropic_usage"]

_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool-calls",
    "refusal": "content-filter",
}

_STATUS: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What each error would have been, had it come before the answer began."""

_CALLS: Final = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))


class _Block:
    """A block under way."""

    __slots__ = ("cited", "data", "id", "kind", "name", "pieces")

    def __init__(self, data: dict[str, Any], renamed: Mapping[str, str]) -> None:
        self.data = data
        self.kind = str(data.get("type") or "")
        self.id: str = data.get("id") or ""
        """Of a call: no other of the answer has it."""
        name: str = data.get("name") or ""
        self.name = renamed.get(name, name)
        self.pieces: list[str] = []
        """Arguments as far as they have come, or the signature. Joined once, at the end: to add to a
        text takes as long as it is."""
        self.cited: list[Json] = []

    @property
    def text(self) -> str:
        """The pieces together."""
        return "".join(self.pieces)


class AnthropicDecoder(SseDecoder):
    """Events of the messages API to model chunks.

    Args:
        model_id: Who answers, for messages.
        include_raw: Whether to stream the provider's own events as well.
        answer_tool: The tool whose input is the answer's text.
        renamed: Tools that go by another name here, by that name.
        names: Tools that the provider ran before, by the ids of their calls.
        documents: What citations count.
    """

    __slots__ = (
        "_answer_tool", "_blocks", "_cited", "_container", "_documents", "_edits", "_has_calls",
        "_names", "_raw_reason", "_renamed", "_stop", "_taken", "_usage",
    )  # fmt: skip

    def __init__(
        self,
        model_id: str,
        *,
        include_raw: bool = False,
        answer_tool: str | None = None,
        names: Mapping[str, str] | None = None,
        renamed: Mapping[str, str] | None = None,
        documents: Sequence[Document] = (),
    ) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._answer_tool = answer_tool
        self._names = dict(names or {})
        self._renamed = renamed or {}
        self._documents = documents
        self._blocks: dict[int, _Block] = {}
        self._taken: set[str] = set()
        self._cited: set[str] = set()
        self._has_calls = False
        self._usage: dict[str, Any] = {}
        self._raw_reason: str | None = None
        self._stop: dict[str, Any] = {}
        self._container: dict[str, Any] | None = None
        self._edits: Json = None

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one event in.

        Raises:
            ModelError: It is an error, or means nothing.
        """
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                if delta["text"]:
                    out.append(TextDelta(delta["text"]))
            else:
                self._delta(self._block_of(event["index"], delta), delta, out)
        elif kind == "content_block_start":
            self._start(event["index"], object_of(event.get("content_block")), out)
        elif kind == "content_block_stop":
            block = self._blocks.pop(event["index"], None)
            if block is not None:
                self._end(block, out)
        else:
            self._whole(kind, event, out)

    def _block_of(self, index: int, delta: dict[str, Any]) -> _Block:
        block = self._blocks.get(index)
        if block is None and delta["type"] == "thinking_delta":
            # Servers that are compatible begin some blocks with what is in them.
            block = self._blocks[index] = _Block({"type": "thinking"}, self._renamed)
        return self._blocks[index] if block is None else block

    def _whole(self, kind: str | None, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in what is said of the whole message."""
        match kind:
            case "message_start":
                message = object_of(event.get("message"))
                self._count(message.get("usage"))
                out.append(ResponseMetadata(message.get("id"), message.get("model")))
            case "message":
                self._at_once(event, out)
            case "message_delta":
                self._count(event.get("usage"))
                delta = object_of(event.get("delta"))
                self._raw_reason = delta.get("stop_reason") or self._raw_reason
                self._stop.update({key: value for key, value in delta.items() if value is not None})
                self._container = delta.get("container") or self._container
                self._edits = event.get("context_management") or self._edits
            case "message_stop":
                self.finish(out)
            case "error":
                raise self.fail(event)
            case _:
                # Events that are not known may be added at any time; an error has many forms.
                if event.get("error"):
                    raise self.fail(event)

    def _at_once(self, message: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in a message of a server that does not stream."""
        self._whole("message_start", {"message": message}, out)
        for index, block in enumerate(objects_in(message.get("content"))):
            self._start(index, block, out)
            self._end(self._blocks.pop(index), out)
        self._whole("message_delta", {"delta": message}, out)
        for key in self._stop.keys() - {"stop_sequence", "stop_details"}:
            del self._stop[key]

    def _count(self, usage: object) -> None:
        # Later figures are of the whole message so far, not of what was added.
        for key, value in object_of(usage).items():
            if value is not None:
                self._usage[key] = value

    def _start(self, index: int, data: dict[str, Any], out: list[ModelChunk]) -> None:
        block = self._blocks[index] = _Block(data, self._renamed)
        match block.kind:
            case "text":
                if data.get("text"):
                    out.append(TextDelta(data["text"]))
                for note in objects_in(data.get("citations")):
                    self._cite(block, note, out)
            case "thinking":
                if data.get("thinking"):
                    out.append(ReasoningDelta(data["thinking"]))
                block.pieces.append(data.get("signature") or "")
            case "redacted_thinking" if data.get("data"):
                out.append(RedactedReasoning(data["data"]))
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                if block.name != self._answer_tool or block.kind != "tool_use":
                    self._called_first(block, out)
            case _:
                pass

    def _called_first(self, block: _Block, out: list[ModelChunk]) -> None:
        ran_there = block.kind != "tool_use"
        if not block.name:
            raise self.nameless()
        if ran_there:
            self._names[block.id] = block.name
        elif not block.id or block.id in self._taken:
            block.id = f"toolu_{new_id()}"
        self._taken.add(block.id)
        out.append(ToolCallStart(block.id, block.name, ran_there))

    def _delta(self, block: _Block, delta: dict[str, Any], out: list[ModelChunk]) -> None:
        match delta["type"]:
            case "input_json_delta":
                if delta.get("partial_json"):
                    self._arguments(block, delta["partial_json"], out)
            case "thinking_delta":
                if delta.get("thinking"):
                    out.append(ReasoningDelta(delta["thinking"]))
            case "signature_delta":
                block.pieces.append(delta.get("signature") or "")
            case "citations_delta":
                if object_of(delta.get("citation")):
                    self._cite(block, delta["citation"], out)
            case "compaction_delta":
                more = delta.get("content") or ""
                block.data["content"] = (block.data.get("content") or "") + more
            case _:
                pass

    def _arguments(self, block: _Block, piece: str, out: list[ModelChunk]) -> None:
        block.pieces.append(piece)
        if block.name == self._answer_tool and block.kind == "tool_use":
            out.append(TextDelta(piece))
        elif block.kind in _CALLS:
            out.append(ToolCallDelta(block.id, piece))

    def _end(self, block: _Block, out: list[ModelChunk]) -> None:
        kind = block.kind
        if kind == "text":
            own = {"anthropic": {"citations": block.cited}} if block.cited else None
            out.append(BlockEnd("text", own))
        elif kind == "thinking":
            signature = block.text
            if signature:
                out.append(ReasoningSignature(signature))
            out.append(BlockEnd("reasoning"))
        elif kind in _CALLS:
            self._called(block, out)
        elif kind.endswith("_tool_result"):
            self._ran(block, out)
        elif kind and kind != "redacted_thinking":
            args = block.text
            if args and "input" in block.data:
                # A call of a kind that is not known here, whose arguments came in pieces.
                with suppress(ValueError):  # cut off, as the answer is
                    block.data["input"] = read_json(args.encode())
            out.append(ProviderItem("anthropic", block.data))

    def _called(self, block: _Block, out: list[ModelChunk]) -> None:
        data = block.data
        args = written = block.text
        if not args and data.get("input"):
            args = orjson.dumps(data["input"]).decode()
        if block.kind == "tool_use" and block.name == self._answer_tool:
            if not written:
                out.append(TextDelta(args or "{}"))
            out.append(BlockEnd("text"))
            return
        own: dict[str, Any] = {}
        ran_there = block.kind != "tool_use"
        if ran_there:
            own["type"] = block.kind.replace("_", "-")
            if "server_name" in data:
                own["serverName"] = data["server_name"]
        else:
            self._has_calls = True
        if _is_indirect(data.get("caller")):
            own["caller"] = data["caller"]
        if data.get("toolset_name"):
            own["toolsetName"] = data["toolset_name"]
        metadata = {"anthropic": own} if own else None
        out.append(ToolCallEnd(block.id, block.name, args, ran_there, metadata))

    def _ran(self, block: _Block, out: list[ModelChunk]) -> None:
        data = block.data
        content = data.get("content")
        inner: Any = object_of(content).get("type")
        own: dict[str, Any] = {"type": block.kind.replace("_", "-")}
        if _is_indirect(data.get("caller")):
            own["caller"] = data["caller"]
        call_id = data["tool_use_id"]
        out.append(
            ProviderToolResult(
                call_id,
                self._names.get(call_id) or block.kind.removesuffix("_tool_result"),
                content,
                bool(data.get("is_error")) or str(inner).endswith("_error"),
                {"anthropic": own},
            )
        )

    def _cite(self, block: _Block, note: dict[str, Any], out: list[ModelChunk]) -> None:
        block.cited.append(note)
        source = source_of(note, self._documents)
        mark = source.url or f"{note.get('type')} {note.get('document_index')} {source.title}"
        if mark not in self._cited:
            self._cited.add(mark)
            out.append(source)

    def is_complete(self) -> bool:
        """Return whether the message said why it stopped."""
        return self._raw_reason is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in.

        Raises:
            ModelError: The message stopped without saying why.
        """
        raw = self._raw_reason
        if raw is None:
            raise self.cut()
        for index in sorted(self._blocks):
            self._end(self._blocks[index], out)
        self._blocks.clear()
        self.done = True
        reason: FinishReason = _REASONS.get(raw, "other")
        if reason == "tool-calls" and not self._has_calls:
            # The answer came as a call.
            reason = "stop"
        if self._container is not None:
            out.append(ProviderItem("anthropic", _kept_container(self._container)))
        out.append(
            FinishChunk(
                reason,
                raw,
                anthropic_usage(self._usage),
                {"anthropic": self._facts()},
                continues=raw == "pause_turn",
            )
        )

    def _facts(self) -> dict[str, Json]:
        """Return what else is known of the answer, spelt as the AI SDK spells it."""
        facts: dict[str, Json] = {"usage": dict(self._usage)}
        names = {"stop_sequence": "stopSequence", "stop_details": "stopDetails"}
        facts.update({names[key]: self._stop[key] for key in names if key in self._stop})
        if self._container is not None:
            facts["container"] = {
                "id": self._container.get("id"),
                "expiresAt": self._container.get("expires_at"),
            }
        if self._edits is not None:
            facts["contextManagement"] = self._edits
        return facts

    def fail(self, error: Any) -> ModelError:
        """Return the error for one that the provider sent in place of an answer."""
        whole = object_of(error)
        told: Any = whole.get("error", error)
        known = object_of(told) or {"message": str(told)}
        kind = str(known.get("type"))
        status = _STATUS.get(kind)
        return ModelError(
            f"{self.model_id} failed while it answered: {known.get('message') or known}",
            model_id=self.model_id,
            status_code=status,
            is_retryable=may_pass(status),
            details={"type": kind, "request_id": whole.get("request_id")},
        )


def _is_indirect(caller: object) -> bool:
    return bool(caller) and object_of(caller).get("type") != "direct"


def _kept_container(container: Mapping[str, Any]) -> dict[str, Json]:
    from datetime import datetime  # noqa: PLC0415 - only where code ran

    kept: dict[str, Json] = {"type": CONTAINER, "id": container.get("id")}
    ends = container.get("expires_at")
    if isinstance(ends, str):
        with suppress(ValueError):  # a container without an end is asked for while it may be there
            kept["expires_ms"] = int(datetime.fromisoformat(ends).timestamp() * 1000)
    return kept


def anthropic_usage(said: Mapping[str, Any]) -> Usage:
    """Return the tokens that a message says it took; those kept before count as input.

    Where several model calls went into one message, those are added up.
    """
    usage = counts_of(said)
    parts = [counts_of(item) for item in objects_in(usage.get("iterations"))]
    counted: list[Mapping[str, Any]] = [*parts] if len(parts) > 1 else [usage]

    def total(key: str) -> int | None:
        found: list[int] = [item[key] for item in counted if isinstance(item.get(key), int)]
        return sum(found) if found else None

    fresh, written, output = (
        total("input_tokens"),
        total("cache_creation_input_tokens"),
        total("output_tokens"),
    )
    read = total("cache_read_input_tokens")
    prompt = None if fresh is None else fresh + (written or 0) + (read or 0)
    details = object_of(usage.get("output_tokens_details"))
    reasoning: int | None = details.get("thinking_tokens")
    text = None if output is None or reasoning is None else output - reasoning
    return Usage(
        prompt,
        output,
        None if prompt is None or output is None else prompt + output,
        reasoning,
        read,
        written,
        raw={
            "inputTokens": {
                "total": prompt,
                "noCache": fresh,
                "cacheRead": read,
                "cacheWrite": written,
            },
            "outputTokens": {"total": output, "text": text, "reasoning": reasoning},
            "raw": dict(said),
        },
    )
