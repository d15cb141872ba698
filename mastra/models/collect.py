"""Folds a model's chunks into one response, for calls that nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mastra.models.base import ModelRequest
from mastra.models.calling import ModelEntry, open_answer
from mastra.models.chunks import (
    FinishChunk,
    ModelChunk,
    ReasoningDelta,
    ResponseMetadata,
    TextDelta,
    ToolCallEnd,
)

__all__ = ["ModelResponse", "collect"]


@dataclass(slots=True)
class ModelResponse:
    """A whole answer."""

    text: str = ""
    """What the model said."""
    reasoning: str = ""
    """What it thought."""
    tool_calls: list[ToolCallEnd] = field(default_factory=list[ToolCallEnd])
    """What it wants to run."""
    finish: FinishChunk = field(default_factory=FinishChunk)
    """Why it stopped and what it took."""
    metadata: ResponseMetadata = field(default_factory=ResponseMetadata)
    """Who answered."""
    model: str = ""
    """`provider/model` of the model that answered."""


def _add(
    response: ModelResponse,
    chunks: Sequence[ModelChunk],
    texts: list[str],
    thoughts: list[str],
) -> None:
    for chunk in chunks:
        match chunk:
            case TextDelta():
                texts.append(chunk.text)
            case ReasoningDelta():
                thoughts.append(chunk.text)
            case ToolCallEnd():
                response.tool_calls.append(chunk)
            case FinishChunk():
                response.finish = chunk
            case ResponseMetadata():
                response.metadata = chunk
            case _:
                pass


async def collect(
    entries: Sequence[ModelEntry],
    request: ModelRequest,
    *,
    default_retries: int | None = None,
    before: Callable[[], None] | None = None,
) -> ModelResponse:
    """Ask and return the whole answer; see `open_answer` for `default_retries` and `before`.

    Raises:
        ModelError: No model answered, or the answer broke off.
    """
    answer = await open_answer(entries, request, default_retries=default_retries, before=before)
    response = ModelResponse(model=answer.entry.name)
    batch: Sequence[ModelChunk] = answer.first
    # Joined once: to add a piece to a text takes as long as the text is.
    texts, thoughts = list[str](), list[str]()
    try:
        while batch:
            _add(response, batch, texts, thoughts)
            batch = await answer.source.read()
    finally:
        await answer.source.aclose()
    response.text, response.reasoning = "".join(texts), "".join(thoughts)
    return response
