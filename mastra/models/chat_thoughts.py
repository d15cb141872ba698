"""A model's thinking in chat completions: what is shown, and what has to go back.

Each compatible API has a field of its own for it (`reasoning_content`, `reasoning`), and OpenRouter
a list of details with signatures. Whoever sent a field gets it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mastra.jsonable import Json
from mastra.models.chunks import BlockEnd, ModelChunk, ReasoningDelta, ReasoningSignature
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


class ThoughtKeeper:
    """Streams the thinking of one answer and keeps what has to go back with it.

    Args:
        provider: Who thinks.
    """

    __slots__ = ("_details", "_field", "_is_open", "_provider")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._field: str | None = None
        self._details: list[dict[str, Any]] = []
        self._is_open = False

    def absorb(self, delta: Mapping[str, Any], out: list[ModelChunk]) -> None:
        """Take in what a chunk says of thinking."""
        for field in _FIELDS:
            thought: Any = delta.get(field)
            if thought and isinstance(thought, str):
                self._field = field
                self._is_open = True
                out.append(ReasoningDelta(thought))
                break
        for detail in delta.get("reasoning_details") or ():
            self._absorb_detail(detail, out)

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


def _details(thoughts: Iterable[ReasoningPart], provider: str) -> Iterable[Json]:
    for part in thoughts:
        yield from metadata_of(part, provider).get("reasoning_details") or ()
