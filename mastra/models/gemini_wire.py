"""Gemini's `streamGenerateContent` on the wire: streamed answers in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from mastra.errors import ModelError
from mastra.ids import new_id
from mastra.models.chunks import (
    BlockEnd,
    FileChunk,
    FinishChunk,
    FinishReason,
    ModelChunk,
    ProviderItem,
    ProviderToolResult,
    ReasoningDelta,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.foreign_json import counts_of, object_of, objects_in
from mastra.models.sse_decoder import SseDecoder

__all__ = ["OWN", "GeminiDecoder"]

OWN: Final = "google"
"""Under which name parts keep what is Gemini's own, as the AI SDK does."""

_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "BLOCKLIST": "content-filter",
    "IMAGE_PROHIBITED_CONTENT": "content-filter",
    "IMAGE_SAFETY": "content-filter",
    "PROHIBITED_CONTENT": "content-filter",
    "RECITATION": "content-filter",
    "SAFETY": "content-filter",
    "SPII": "content-filter",
}
_FAILED: Final = frozenset(
    (
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    )
)
"""Why it stopped where there is no answer: another try often has one."""
_EXACT: Final = 2.0**63
"""Whole numbers from here on have lost digits on the way through a float."""
_KEPT: Final = (
    "groundingMetadata", "urlContextMetadata", "safetyRatings", "citationMetadata",
)  # fmt: skip


class GeminiDecoder(SseDecoder):
    """Pieces of a `GenerateContentResponse` to model chunks."""

    __slots__ = (
        "_begun", "_cited", "_has_calls", "_kept", "_last_ran", "_reason", "_taken", "_usage",
    )  # fmt: skip

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._begun = False
        self._has_calls = False
        self._last_ran: tuple[str, str] | None = None
        """Id and name of the last tool that the provider ran."""
        self._cited: set[str] = set()
        self._taken: set[str] = set()
        self._kept: dict[str, Any] = {}
        self._reason: str | None = None
        self._usage: Mapping[str, Any] = {}

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one piece of the answer in.

        Raises:
            ModelError: It is an error.
        """
        if event.get("error"):
            raise self.fail(event)
        if not self._begun:
            self._begun = True
            out.append(ResponseMetadata(event.get("responseId"), event.get("modelVersion") or None))
        candidates = event.get("candidates")
        if candidates:
            self._candidate(object_of(candidates[0]), out)
        elif _is_blocked(event):
            self._reason = "SAFETY"
            self._kept["promptFeedback"] = event["promptFeedback"]
        usage = event.get("usageMetadata")
        if usage:
            self._usage = usage

    def _candidate(self, candidate: dict[str, Any], out: list[ModelChunk]) -> None:
        content = candidate.get("content")
        if content:
            for part in objects_in(content.get("parts")):
                self._part(part, out)
        if candidate.get("finishReason"):
            self._reason = candidate["finishReason"]
            if self._reason in _FAILED:
                raise self._failed(candidate)
        if len(candidate) > 2:
            if candidate.get("groundingMetadata"):
                self._sources(candidate["groundingMetadata"], out)
            self._kept.update({key: candidate[key] for key in _KEPT if candidate.get(key)})

    def _failed(self, candidate: dict[str, Any]) -> ModelError:
        said = candidate.get("finishMessage")
        return ModelError(
            f"{self.model_id} ended with {self._reason}" + (f": {said}" if said else "."),
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_RESPONSE_INVALID",
            details={"type": self._reason},
        )

    def _part(self, part: dict[str, Any], out: list[ModelChunk]) -> None:
        text = part.get("text")
        if text is None:
            self._rare(part, out)
            return
        signature = part.get("thoughtSignature")
        if part.get("thought"):
            if text:
                out.append(ReasoningDelta(text))
            if signature:
                out.append(BlockEnd("reasoning", {OWN: {"thoughtSignature": signature}}))
            return
        if text:
            out.append(TextDelta(text))
        if signature:
            out.append(BlockEnd("text", {OWN: {"thoughtSignature": signature}}))

    def _rare(self, part: dict[str, Any], out: list[ModelChunk]) -> None:
        # Some say of each field that a part may have that it is not there.
        part = {key: value for key, value in part.items() if value is not None}
        if "functionCall" in part:
            self._call(part, part["functionCall"], out)
        elif "executableCode" in part:
            code = part["executableCode"]
            asked = {key: value for key, value in code.items() if key != "id"}
            self._ran(part, code.get("id"), "code_execution", asked, out)
        elif "codeExecutionResult" in part:
            given = part["codeExecutionResult"]
            is_error = given.get("outcome") not in {None, "OUTCOME_OK"}
            self._gave(part, given.get("id"), "code_execution", given, out, is_error=is_error)
        elif "toolCall" in part:
            call = part["toolCall"]
            name = str(call.get("toolType") or "tool").lower()
            self._ran(part, call.get("id"), name, call.get("args") or {}, out)
        elif "toolResponse" in part:
            given = part["toolResponse"]
            name = str(given.get("toolType") or "tool").lower()
            self._gave(part, given.get("id"), name, given.get("response"), out)
        elif "inlineData" in part and not part.get("thought"):
            data = part["inlineData"]
            signature = part.get("thoughtSignature")
            own = {OWN: {"thoughtSignature": signature}} if signature else None
            media_type = data.get("mimeType") or "application/octet-stream"
            out.append(FileChunk(data["data"], media_type, own))
        elif part and not part.get("thought"):
            out.append(ProviderItem(OWN, part))

    def _call(self, part: dict[str, Any], call: dict[str, Any], out: list[ModelChunk]) -> None:
        self._has_calls = True
        own: dict[str, Any] = {}
        if part.get("thoughtSignature"):
            own["thoughtSignature"] = part["thoughtSignature"]
        given: str = call.get("id") or ""
        if not given or given in self._taken:
            call_id = f"call_{new_id()}"
        else:
            own["id"] = call_id = given
        self._taken.add(call_id)
        name: str = call.get("name") or ""
        if not name:
            raise self.nameless()
        text = self._args(call.get("args"), name)
        out += (
            ToolCallStart(call_id, name),
            ToolCallDelta(call_id, text),
            ToolCallEnd(call_id, name, text, provider_metadata={OWN: own} if own else None),
        )

    def _args(self, args: Any, name: str) -> str:
        """Return a call's arguments as JSON text, integers of any size among them."""
        if args and _lost_digits(args):
            whole = json.loads(self.raw_event.decode("utf-8", "replace"))
            parts = whole["candidates"][0]["content"]["parts"]
            calls: list[dict[str, Any]] = [part.get("functionCall") or {} for part in parts]
            given = [call["args"] for call in calls if call.get("name") == name]
            # One of them is this call's, as it was written.
            same = (own for own in given if _rounded(own) == _rounded(args))
            return json.dumps(next(same), ensure_ascii=False)
        return orjson.dumps(args or {}).decode()

    def _ran(
        self, part: dict[str, Any], given: str | None, name: str, args: Any, out: list[ModelChunk]
    ) -> None:
        call_id = given or f"call_{new_id()}"
        self._last_ran = call_id, name
        own: dict[str, Any] = {OWN: {"part": part}}
        out += (
            ToolCallStart(call_id, name, provider_executed=True),
            ToolCallEnd(
                call_id,
                name,
                orjson.dumps(args).decode(),
                provider_executed=True,
                provider_metadata=own,
            ),
        )

    def _gave(
        self,
        part: dict[str, Any],
        given: str | None,
        name: str,
        result: Any,
        out: list[ModelChunk],
        *,
        is_error: bool = False,
    ) -> None:
        call_id = given
        if call_id is None and self._last_ran is not None and self._last_ran[1] == name:
            call_id = self._last_ran[0]
        own: dict[str, Any] = {OWN: {"part": part}}
        out.append(
            ProviderToolResult(
                call_id or new_id(), name, result, is_error=is_error, provider_metadata=own
            )
        )

    def _sources(self, grounding: dict[str, Any], out: list[ModelChunk]) -> None:
        for chunk in objects_in(object_of(grounding).get("groundingChunks")):
            found: dict[str, Any] = chunk.get("web") or chunk.get("retrievedContext") or {}
            found = found or chunk.get("maps") or {}
            url, title = found.get("uri"), found.get("title")
            kept = found.get("fileSearchStore") or title or found.get("text")
            key = str(url or kept)
            if key in self._cited or not (url or kept):
                continue
            self._cited.add(key)
            own: dict[str, Any] = {OWN: chunk}
            if url:
                out.append(SourceChunk(url, url, title, provider_metadata=own))
            else:
                name = found.get("title")
                out.append(
                    SourceChunk(
                        new_id(),
                        title=str(kept),
                        source_type="document",
                        filename=name,
                        provider_metadata=own,
                    )
                )

    def is_complete(self) -> bool:
        """Return whether a finish reason was sent."""
        return self._reason is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in."""
        self.done = True
        reason: FinishReason = _REASONS.get(self._reason or "", "other")
        if self._has_calls and reason in ("stop", "other"):
            reason = "tool-calls"
        own = {OWN: self._kept} if self._kept else None
        out.append(FinishChunk(reason, self._reason, _usage(self._usage), own))


def _usage(said: object) -> Usage:
    usage = counts_of(said)
    prompt, of_tools = usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")
    written, thought = usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount")
    if prompt is not None and of_tools:
        prompt += of_tools
    output = None if written is None and thought is None else (written or 0) + (thought or 0)
    return Usage(
        prompt,
        output,
        usage.get("totalTokenCount"),
        thought,
        usage.get("cachedContentTokenCount"),
        raw=dict(object_of(said)),
    )


def _lost_digits(value: Any) -> bool:
    if isinstance(value, float):
        return abs(value) >= _EXACT and value.is_integer()
    if isinstance(value, dict):
        return any(map(_lost_digits, cast("dict[str, Any]", value).values()))
    return isinstance(value, list) and any(map(_lost_digits, cast("list[Any]", value)))


def _rounded(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):
        return {k: _rounded(item) for k, item in cast("dict[str, Any]", value).items()}
    return (
        [_rounded(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
    )


def _is_blocked(event: Mapping[str, Any]) -> bool:
    """Return whether the question was refused before the model saw it."""
    feedback: Mapping[str, Any] = event.get("promptFeedback") or {}
    return bool(feedback.get("blockReason"))
