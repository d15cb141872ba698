"""OpenAI's chat completions on the wire: requests out, streamed bytes in. Pure functions.

A network read is decoded as one batch, with `orjson` and slotted chunks: building the SDK's own
objects for each token costs more than everything else together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from mastra.errors import ModelError
from mastra.jsonable import Json
from mastra.models.chunks import (
    FinishChunk,
    FinishReason,
    ModelChunk,
    RawChunk,
    ReasoningDelta,
    ResponseMetadata,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

__all__ = ["ChatDecoder", "SseDecoder", "finish_reason_of", "usage_from"]

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "error": "error",
}


def finish_reason_of(raw: str | None) -> FinishReason:
    """Return Mastra's word for OpenAI's."""
    return "unknown" if raw is None else _REASONS.get(raw, "other")


def usage_from(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens that a chat completion says it took."""
    prompt: int | None = usage.get("prompt_tokens")
    completion: int | None = usage.get("completion_tokens")
    total: int | None = usage.get("total_tokens")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    read: Mapping[str, Any] = usage.get("prompt_tokens_details") or {}
    written: Mapping[str, Any] = usage.get("completion_tokens_details") or {}
    cached, reasoning = read.get("cached_tokens") or 0, written.get("reasoning_tokens") or 0
    return usage_of(prompt, completion, total, cached, reasoning, dict(usage))


def usage_of(
    prompt: int | None, completion: int | None, total: int | None, cached: int, reasoning: int,
    raw: Json,
) -> Usage:  # fmt: skip
    """Return usage with its parts spelt out as Mastra spells them."""
    return Usage(
        prompt,
        completion,
        total,
        reasoning,
        cached,
        raw={
            "inputTokens": {
                "total": prompt,
                "noCache": None if prompt is None else prompt - cached,
                "cacheRead": cached,
            },
            "outputTokens": {
                "total": completion,
                "text": None if completion is None else completion - reasoning,
                "reasoning": reasoning,
            },
            "raw": raw,
        },
    )


class SseDecoder(ABC):
    """Splits a body of server-sent events and hands each event's JSON to `event`.

    Subclasses say what an event means. `done` is true once the answer is complete.
    """

    __slots__ = ("_rest", "done", "include_raw", "model_id")

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        self.model_id = model_id
        self.include_raw = include_raw
        self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> list[ModelChunk]:
        """Return the chunks of one network read.

        Raises:
            ModelError: The provider sent something that cannot be read, or an error.
        """
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        out: list[ModelChunk] = []
        event = self.event
        for line in lines:
            # Everything else (blank lines, comments, names and ids) says nothing here.
            if line[:5] != b"data:":
                continue
            body = line[5:]
            if body[:7].strip() == b"[DONE]":
                self.finish(out)
                break
            try:
                parsed: Any = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise ModelError(
                    f"{self.model_id} sent a chunk that is not JSON: {_cut(body)}",
                    model_id=self.model_id,
                    code="MODEL_RESPONSE_INVALID",
                ) from error
            if self.include_raw:
                out.append(RawChunk(parsed))
            event(parsed, out)
        return out

    def end(self) -> list[ModelChunk]:
        """Return what is left when the body ends.

        Raises:
            ModelError: The body ended in the middle of the answer.
        """
        out = self.feed(b"\n") if self._rest else []
        if not self.done:
            if not self.is_complete():
                raise self.cut()
            self.finish(out)
        return out

    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether the model said that it had finished."""
        ...

    @abstractmethod
    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one event in."""
        ...

    @abstractmethod
    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in."""
        ...

    def fail(self, error: Any) -> ModelError:
        """Return the error for one that the provider sent inside the stream."""
        known: dict[str, Any] = {"message": str(error)}
        if isinstance(error, dict):
            known = cast("dict[str, Any]", error)
        return ModelError(
            f"{self.model_id} failed while it answered: {known.get('message') or known}",
            model_id=self.model_id,
            details={"code": known.get("code"), "type": known.get("type")},
        )

    def cut(self) -> ModelError:
        """Return the error for a body that ends in the middle of the answer."""
        return ModelError(
            f"The answer of {self.model_id} was cut off: the connection ended before the model "
            "said that it had finished.",
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_STREAM_CUT",
        )


def _cut(body: bytes) -> str:
    text = body.strip().decode("utf-8", "replace")
    return text if len(text) <= 200 else text[:200] + "…"


class _Call:
    """A tool call whose arguments are still arriving."""

    __slots__ = ("args", "ended", "id", "name")

    def __init__(self, call_id: str, name: str) -> None:
        self.id = call_id
        self.name = name
        self.args = ""
        self.ended = False


class ChatDecoder(SseDecoder):
    """Chat completion chunks to model chunks."""

    __slots__ = ("_begun", "_calls", "_raw_reason", "_usage")

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._begun = False
        self._calls: dict[int, _Call] = {}
        self._raw_reason: str | None = None
        self._usage: Usage | None = None

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one completion chunk in."""
        if not self._begun and "error" not in event:
            self._begin(event, out)
        choices = event.get("choices")
        if choices:
            choice = choices[0]
            delta = choice.get("delta")
            if delta:
                text = delta.get("content")
                if text:
                    if text.__class__ is str:
                        out.append(TextDelta(text))
                    else:
                        self._parts(text, out)
                if len(delta) > 1 or text is None:
                    self._rest_of(delta, out)
            if choice.get("finish_reason"):
                self._raw_reason = choice["finish_reason"]
        elif "error" in event:
            raise self.fail(event["error"])
        if "usage" in event or "timings" in event:
            self._count(event)

    def _count(self, event: dict[str, Any]) -> None:
        if event.get("usage"):
            self._usage = usage_from(event["usage"])
        elif event.get("timings") and self._usage is None:
            self._usage = _from_timings(event["timings"])

    def _begin(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        self._begun = True
        created = event.get("created")
        out.append(
            ResponseMetadata(
                event.get("id") or None,
                event.get("model") or None,
                int(created * 1000) if isinstance(created, (int, float)) else None,
            )
        )

    def _rest_of(self, delta: dict[str, Any], out: list[ModelChunk]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and isinstance(thought, str):
            out.append(ReasoningDelta(thought))
        if delta.get("refusal"):
            out.append(TextDelta(delta["refusal"]))
        for call in delta.get("tool_calls") or ():
            self._call(call, out)

    def _parts(self, parts: list[dict[str, Any]], out: list[ModelChunk]) -> None:
        """Take content in parts, as Mistral sends it."""
        for part in parts:
            if part.get("type") == "thinking":
                thought = "".join(str(item.get("text", "")) for item in part["thinking"])
                out.append(ReasoningDelta(thought))
            elif part.get("text"):
                out.append(TextDelta(part["text"]))

    def _call(self, piece: dict[str, Any], out: list[ModelChunk]) -> None:
        index = piece.get("index") or 0
        function: dict[str, Any] = piece.get("function") or {}
        call = self._calls.get(index)
        if call is None or (piece.get("id") and call.ended and piece["id"] != call.id):
            if not function.get("name"):
                raise ModelError(
                    f"{self.model_id} asked for a tool without saying which.",
                    model_id=self.model_id,
                    code="MODEL_RESPONSE_INVALID",
                )
            for other in self._calls.values():
                self._end(other, out)
            call = _Call(piece.get("id") or f"call_{index}", function["name"])
            self._calls[index] = call
            out.append(ToolCallStart(call.id, call.name))
        args = function.get("arguments")
        if args and not call.ended:
            call.args += args
            out.append(ToolCallDelta(call.id, args))
            # A whole object cannot go on, so the tool may start while the model goes on.
            if args[-1] in "}\n" and _is_json(call.args):
                self._end(call, out)

    def _end(self, call: _Call, out: list[ModelChunk]) -> None:
        if not call.ended:
            call.ended = True
            out.append(ToolCallEnd(call.id, call.name, call.args))

    def is_complete(self) -> bool:
        """Return whether a finish reason was sent."""
        return self._raw_reason is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in."""
        if self.done:
            return
        for call in self._calls.values():
            self._end(call, out)
        self.done = True
        reason = finish_reason_of(self._raw_reason)
        if self._calls and reason in ("stop", "other", "unknown"):
            # Some compatible servers say "stop" after a tool call.
            reason = "tool-calls"
        out.append(FinishChunk(reason, self._raw_reason, self._usage or Usage()))


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _from_timings(timings: Mapping[str, Any]) -> Usage | None:
    prompt, completion = timings.get("prompt_n"), timings.get("predicted_n")
    if prompt is None or completion is None:
        return None
    return usage_of(prompt, completion, prompt + completion, 0, 0, dict(timings))
