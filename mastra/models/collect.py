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

__all__ = ["ModelResponse", "collect", "fold"]


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


def fold(response: ModelResponse, chunks: Sequence[ModelChunk]) -> None:
    """Add chunks to a response."""
    for chunk in chunks:
        match chunk:
            case TextDelta():
                response.text += chunk.text
            case ReasoningDelta():
                response.reasoning += chunk.text
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
    try:
        while batch:
            fold(response, batch)
            batch = await answer.source.read()
    finally:
        await answer.source.aclose()
    return response
