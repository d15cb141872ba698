"""OpenAI's chat completions on the wire: requests out, streamed bytes in. Pure functions.

A network read is decoded as one batch, with `orjson` and slotted chunks: building the SDK's own
objects for each token costs more than everything else together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.models.chat_audio import SpeechKeeper
from mastra.models.chat_calls import CallAssembly
from mastra.models.chat_thoughts import ThoughtKeeper
from mastra.models.chunks import (
    FileChunk,
    FinishChunk,
    FinishReason,
    ModelChunk,
    ProviderToolResult,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.foreign_json import counts_of, object_of, objects_in
from mastra.models.sse_decoder import SseDecoder

__all__ = ["ChatDecoder", "finish_reason_of", "moment_of", "usage_from", "usage_of"]

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "error": "error",
}


_REFUSING: Final = frozenset(("detail", "errors", "message"))
"""Fields of an error that says so nowhere else."""
_THINKING: Final = frozenset(
    ("reasoning", "reasoning_content", "reasoning_details", "thinking_blocks")
)


def finish_reason_of(raw: str | None) -> FinishReason:
    """Return Mastra's word for OpenAI's."""
    return "unknown" if raw is None else _REASONS.get(raw, "other")


def usage_from(said: object) -> Usage:
    """Return the tokens that a chat completion says it took."""
    usage = counts_of(said)
    prompt: int | None = usage.get("prompt_tokens")
    completion: int | None = usage.get("completion_tokens")
    total: int | None = usage.get("total_tokens")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    read = object_of(usage.get("prompt_tokens_details"))
    written = object_of(usage.get("completion_tokens_details"))
    reasoning = written.get("reasoning_tokens") or 0
    if reasoning and completion is not None and total == (prompt or 0) + completion + reasoning:
        completion += reasoning  # some count thinking beside the answer, as their total tells
    cached = _first(read, "cached_tokens") or _first(usage, *_CACHED) or 0
    kept = _first(read, "cache_write_tokens", "cache_creation_tokens")
    kept = kept or _first(usage, "cache_creation_input_tokens")
    return usage_of(prompt, completion, total, cached, reasoning, dict(object_of(said)), kept)


_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
"""Where servers that speak this format say what was cached, when not in OpenAI's own place."""


def _first(counts: Mapping[str, Any], *names: str) -> int | None:
    return next((counts[name] for name in names if counts.get(name)), None)


def usage_of(
    prompt: int | None, completion: int | None, total: int | None, cached: int, reasoning: int,
    raw: Json, written: int | None = None,
) -> Usage:  # fmt: skip
    """Return usage with its parts spelt out as Mastra spells them."""
    return Usage(
        prompt,
        completion,
        total,
        reasoning,
        cached,
        written,
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


class ChatDecoder(SseDecoder):
    """Chat completion chunks to model chunks."""

    __slots__ = (
        "_begun", "_calls", "_has_choice", "_index", "_ran", "_raw_reason", "_speech", "_thoughts",
        "_usage",
    )  # fmt: skip

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._begun = False
        self._has_choice = False
        self._index: Any = None
        self._calls: CallAssembly | None = None
        self._thoughts: ThoughtKeeper | None = None
        self._speech: SpeechKeeper | None = None
        self._ran: dict[int, str] | None = None
        self._raw_reason: str | None = None
        self._usage: Usage | None = None

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one completion chunk in.

        Raises:
            ModelError: It is an error, in one of its many forms.
        """
        error = event.get("error")
        if error or event.get("object") == "error":
            raise self.fail(error or event)
        if not self._begun and "choices" in event:
            self._begin(event, out)
        choices = event.get("choices")
        if choices:
            choice = choices[0]
            self._has_choice = True
            index = choice.get("index")
            if self._index is None:
                self._index = index
            if index is None or index == self._index:  # of several answers the first
                self._choice(choice, out)
        elif "choices" not in event and not _REFUSING.isdisjoint(event):
            raise self.fail(event)
        if "usage" in event or "timings" in event:
            self._count(event)
        if "citations" in event or "search_results" in event:
            self._cited(event, out)

    def _choice(self, choice: dict[str, Any], out: list[ModelChunk]) -> None:
        # Some say the whole answer at once, in the form that is no stream.
        delta = choice.get("delta") or choice.get("message")
        if delta:
            text = delta.get("content")
            if text:
                if text.__class__ is str:  # as `_say`, without a call for every token
                    if self._thoughts is not None:
                        self._thoughts.end(out)
                    out.append(TextDelta(text))
                else:
                    self._parts(text, out)
            if len(delta) > 1 or text is None:
                self._rest_of(delta, out)
        reason = choice.get("finish_reason")
        if reason:
            self._raw_reason = str(reason)
            if reason == "error":
                raise self.fail(choice.get("error") or "it ended with an error")

    def _say(self, text: str, out: list[ModelChunk]) -> None:
        if self._thoughts is not None:
            self._thoughts.end(out)
        out.append(TextDelta(text))

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
                moment_of(created),
            )
        )

    def _rest_of(self, delta: dict[str, Any], out: list[ModelChunk]) -> None:
        if not _THINKING.isdisjoint(delta):
            keeper = self._thoughts or ThoughtKeeper(self.provider)
            self._thoughts = keeper
            keeper.absorb(delta, out)
        if delta.get("refusal"):
            self._say(delta["refusal"], out)
        for call in objects_in(delta.get("tool_calls")):
            self._call(call, out)
        if delta.get("function_call"):
            # The form before there were several calls.
            self._call({"index": 0, "function": delta["function_call"]}, out)
        for note in objects_in(delta.get("annotations")):
            self._annotated(note, out)
        if isinstance(delta.get("audio"), dict):
            self._spoken(delta["audio"], out)
        for image in delta.get("images") or ():
            self._image(image, out)
        for tool in objects_in(delta.get("executed_tools")):
            self._executed(tool, out)

    def _parts(self, parts: Any, out: list[ModelChunk]) -> None:
        """Take content in parts, as Mistral sends it."""
        if isinstance(parts, list):
            for item in cast("list[Any]", parts):
                if isinstance(item, str) and item:
                    self._say(item, out)
        elif not isinstance(parts, dict):
            self._say(str(parts), out)
        for part in objects_in(cast("object", parts)):
            if part.get("type") == "thinking":
                keeper = self._thoughts or ThoughtKeeper(self.provider)
                self._thoughts = keeper
                thought: Any = part.get("thinking")
                if not isinstance(thought, str):
                    thought = "".join(str(item.get("text") or "") for item in objects_in(thought))
                keeper.absorb({"thinking": thought}, out)
            elif part.get("text"):
                self._say(part["text"], out)

    def _call(self, piece: dict[str, Any], out: list[ModelChunk]) -> None:
        if self._thoughts is not None:
            self._thoughts.end(out)
        calls = self._calls = self._calls or CallAssembly(self.provider)
        calls.absorb(piece, out)

    def _annotated(self, note: dict[str, Any], out: list[ModelChunk]) -> None:
        cited = object_of(note.get("url_citation")) or note
        if cited.get("url"):
            own: dict[str, Any] = {self.provider: note}
            title = cited.get("title")
            out.append(SourceChunk(cited["url"], cited["url"], title, provider_metadata=own))

    def _cited(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in what Perplexity says, with every chunk, of what it draws on."""
        known = self._ran = self._ran or {}
        found: list[Any] = event.get("search_results") or event.get("citations") or []
        for place, item in enumerate(found):
            told = object_of(item)
            url = item if isinstance(item, str) else told.get("url")
            if url and known.get(-1 - place) != url:
                known[-1 - place] = url
                out.append(SourceChunk(url, url, told.get("title")))

    def _image(self, image: Any, out: list[ModelChunk]) -> None:
        held: Any = object_of(image).get("image_url") or image
        url = str(object_of(held).get("url") or held or "")
        head, _, data = url.partition(";base64,")
        if data:
            out.append(FileChunk(data, head.removeprefix("data:")))

    def _spoken(self, piece: dict[str, Any], out: list[ModelChunk]) -> None:
        speech = self._speech = self._speech or SpeechKeeper(self.provider)
        try:
            speech.absorb(piece, lambda text: self._say(text, out))
        except ValueError as error:
            raise self.fail(str(error)) from error

    def _executed(self, tool: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in a tool that Groq ran: it begins in one chunk and ends in another."""
        known = self._ran = self._ran or {}
        index, name = tool.get("index") or 0, str(tool.get("type") or "tool")
        call_id = known.get(index)
        if call_id is None:
            call_id = known[index] = new_id()
            out.append(ToolCallStart(call_id, name, provider_executed=True))
            args = tool.get("arguments") or ""
            out.append(ToolCallEnd(call_id, name, args, provider_executed=True))
        if "output" not in tool:
            return
        found = object_of(tool.get("search_results"))
        own: dict[str, Any] = {self.provider: tool}
        out.append(ProviderToolResult(call_id, name, tool["output"], provider_metadata=own))
        out += [
            SourceChunk(item["url"], item["url"], item.get("title"))
            for item in objects_in(found.get("results"))
            if item.get("url")
        ]

    def is_complete(self) -> bool:
        """Return whether a finish reason was sent."""
        return self._raw_reason is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in."""
        if not self._has_choice:
            raise self.empty()
        if self._thoughts is not None:
            self._thoughts.end(out, is_last=True)
        if self._calls is not None and self._calls.lacks_name:
            raise self.nameless()
        if self._speech is not None:
            self._speech.finish(out)
        has_calls = self._calls is not None and self._calls.finish(out)
        self.done = True
        reason = finish_reason_of(self._raw_reason)
        if has_calls and reason in ("stop", "other", "unknown"):
            # Some compatible servers say "stop" after a tool call.
            reason = "tool-calls"
        out.append(FinishChunk(reason, self._raw_reason, self._usage or Usage()))


_LAST_MOMENT_S: Final = 253_402_300_799
"""The end of the year 9999."""


def moment_of(seconds: object) -> int | None:
    """Return a time that a provider gives in seconds since 1970, in milliseconds.

    `None` where it is none that a calendar has.
    """
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= _LAST_MOMENT_S:
        return None
    return int(seconds * 1000)


def _from_timings(timings: Any) -> Usage | None:
    counts = counts_of(timings)
    prompt, completion = counts.get("prompt_n"), counts.get("predicted_n")
    if prompt is None or completion is None:
        return None
    return usage_of(prompt, completion, prompt + completion, 0, 0, dict(object_of(timings)))
