"""A model's thinking in chat completions: what is shown, and what has to go back.

Each compatible API has a field of its own for it (`reasoning_content`, `reasoning`), and OpenRouter
a list of details with signatures. Whoever sent a field gets it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mastra.jsonable import Json
from mastra.models.chunks import (
    BlockEnd,
    ModelChunk,
    ReasoningDelta,
    ReasoningSignature,
    RedactedReasoning,
)
from mastra.models.foreign_json import objects_in
from mastra.models.messages import MessagePart, ReasoningPart, metadata_of

__all__ = ["ThoughtKeeper", "thoughts_to_send"]

_FIELDS: Final = ("reasoning_content", "reasoning", "thinking")
_FIELD_OF: Final[Mapping[str, str]] = {
    "cerebras": "reasoning",
    "deepseek": "reasoning_content",
    "groq": "reasoning",
    "huggingface": "reasoning",
    "moonshot": "reasoning_content",
    "ollama": "reasoning",
    "openrouter": "reasoning",
    "zai": "reasoning_content",
}
"""Where a provider takes a thought of which is not known who thought it."""


SIGNING: Final = frozenset(("bedrock", "databricks", "vertex_ai"))
"""Providers of which litellm hands on, and takes back, thinking as Anthropic signs it."""


class ThoughtKeeper:
    """Streams the thinking of one answer and keeps what has to go back with it."""

    __slots__ = ("_details", "_field", "_is_open", "_provider", "_tells_in_details")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._field: str | None = None
        self._details: list[dict[str, Any]] = []
        self._is_open = False
        self._tells_in_details = False

    def absorb(self, delta: Mapping[str, Any], out: list[ModelChunk]) -> None:
        """Take in what a chunk says of thinking."""
        field = next((field for field in _FIELDS if isinstance(delta.get(field), str)), None)
        thought: str = (delta[field] if field is not None else "") or ""
        if thought and not self._tells_in_details:
            self._field = field
            self._think(thought, out)
        if self._field is None:
            # Some say what they think in the details alone.
            for detail in objects_in(delta.get("reasoning_details")):
                told = detail.get("text") or detail.get("summary")
                if told:
                    self._tells_in_details = True
                    self._think(str(told), out)
        for detail in objects_in(delta.get("reasoning_details")):
            self._absorb_detail(detail, out)

        for block in objects_in(delta.get("thinking_blocks")):
            if block.get("data"):
                out.append(RedactedReasoning(str(block["data"])))
            elif block.get("signature"):
                self._is_open = True
                out.append(ReasoningSignature(str(block["signature"])))

    def _think(self, thought: str, out: list[ModelChunk]) -> None:
        self._is_open = True
        out.append(ReasoningDelta(thought))

    def _absorb_detail(self, detail: dict[str, Any], out: list[ModelChunk]) -> None:
        sealed = detail.get("signature") or detail.get("data")
        if sealed:
            self._is_open = True
            out.append(ReasoningSignature(str(sealed)))
        same = ("type", "index", "id", "format")
        last = self._details[-1] if self._details else None
        if last is None or any(last.get(key) != detail.get(key) for key in same):
            self._details.append(dict(detail))
            return
        for key, value in detail.items():
            if key in {"text", "summary"} and isinstance(value, str):
                last[key] = (last.get(key) or "") + value
            elif value:
                last[key] = value

    def end(self, out: list[ModelChunk], *, is_last: bool = False) -> None:
        """End the thought under way: the model begins to answer, or has answered."""
        has_details = is_last and bool(self._details)
        if not self._is_open and not has_details:
            return
        self._is_open = False
        own: dict[str, Any] = {}
        if self._field is not None:
            own["field"] = self._field
        if self._details:
            own["reasoning_details"], self._details = self._details, []
        out.append(BlockEnd("reasoning", {self._provider: own} if own else None))


def thoughts_to_send(parts: Sequence[MessagePart], provider: str) -> dict[str, Json]:
    """Return the fields of an assistant's message that hold what it thought.

    Args:
        parts: The message's.
        provider: Who is asked: what another provider thought stays away.
    """
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    fields: dict[str, Json] = {}
    if provider in SIGNING:
        blocks = [block for part in thoughts if (block := _signed(part, provider)) is not None]
        return {"thinking_blocks": blocks} if blocks else {}
    details = [*_details(thoughts, provider)]
    if details:
        fields["reasoning_details"] = details
    for part in thoughts:
        if part.provider not in {None, provider}:
            continue
        known = metadata_of(part, provider).get("field")
        field = known or (_FIELD_OF.get(provider) if part.provider is None else None)
        if field in {"reasoning_content", "reasoning"} and part.text:
            fields[field] = str(fields.get(field) or "") + part.text
    return fields


def _signed(part: ReasoningPart, provider: str) -> Json:
    """Return a thought as Anthropic signs it; what it has not signed, it does not take."""
    hidden = metadata_of(part, provider, "anthropic").get("redactedData")
    if hidden:
        return {"type": "redacted_thinking", "data": hidden}
    if part.signature is None or part.provider not in {None, provider}:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _details(thoughts: Iterable[ReasoningPart], provider: str) -> Iterable[Json]:
    for part in thoughts:
        yield from metadata_of(part, provider).get("reasoning_details") or ()
