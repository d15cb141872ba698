"""Models: what they are asked, what they stream, and how one is found by its name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES: dict[str, str] = {
    "Fallback": "mastra.models.resolve",
    "FilePart": "mastra.models.messages",
    "FinishChunk": "mastra.models.chunks",
    "ImagePart": "mastra.models.messages",
    "Message": "mastra.models.messages",
    "Model": "mastra.models.base",
    "ModelConfig": "mastra.models.resolve",
    "ModelRequest": "mastra.models.base",
    "ModelSettings": "mastra.models.settings",
    "OpenAIModel": "mastra.models.openai",
    "ReasoningDelta": "mastra.models.chunks",
    "ReasoningPart": "mastra.models.messages",
    "ResponseMetadata": "mastra.models.chunks",
    "TextDelta": "mastra.models.chunks",
    "TextPart": "mastra.models.messages",
    "Timeouts": "mastra.models.settings",
    "ToolCallDelta": "mastra.models.chunks",
    "ToolCallEnd": "mastra.models.chunks",
    "ToolCallPart": "mastra.models.messages",
    "ToolCallStart": "mastra.models.chunks",
    "ToolResultPart": "mastra.models.messages",
    "Usage": "mastra.models.chunks",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'mastra.models' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
