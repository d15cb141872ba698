"""Models: what they are asked, what they stream, and how one is found by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.models.anthropic import AnthropicModel
    from mastra.models.base import Model, ModelRequest, ProviderTool
    from mastra.models.chunks import (
        FinishChunk,
        ReasoningDelta,
        ResponseMetadata,
        TextDelta,
        ToolCallDelta,
        ToolCallEnd,
        ToolCallStart,
        Usage,
    )
    from mastra.models.embedding import Embedder, FunctionEmbedder
    from mastra.models.messages import (
        DataPart,
        FilePart,
        ImagePart,
        Message,
        ProviderPart,
        ReasoningPart,
        SourcePart,
        TextPart,
        ToolCallPart,
        ToolResultPart,
    )
    from mastra.models.openai import OpenAIModel
    from mastra.models.prices import cost_usd
    from mastra.models.resolve import Fallback, ModelConfig
    from mastra.models.settings import ModelSettings, Timeouts

__all__ = [
    "AnthropicModel",
    "DataPart",
    "Embedder",
    "Fallback",
    "FilePart",
    "FinishChunk",
    "FunctionEmbedder",
    "ImagePart",
    "Message",
    "Model",
    "ModelConfig",
    "ModelRequest",
    "ModelSettings",
    "OpenAIModel",
    "ProviderPart",
    "ProviderTool",
    "ReasoningDelta",
    "ReasoningPart",
    "ResponseMetadata",
    "SourcePart",
    "TextDelta",
    "TextPart",
    "Timeouts",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallPart",
    "ToolCallStart",
    "ToolResultPart",
    "Usage",
    "cost_usd",
]

_HOMES = {
    "AnthropicModel": "mastra.models.anthropic",
    "Embedder": "mastra.models.embedding",
    "Fallback": "mastra.models.resolve",
    "FilePart": "mastra.models.messages",
    "FinishChunk": "mastra.models.chunks",
    "FunctionEmbedder": "mastra.models.embedding",
    "ImagePart": "mastra.models.messages",
    "Message": "mastra.models.messages",
    "Model": "mastra.models.base",
    "ModelConfig": "mastra.models.resolve",
    "ModelRequest": "mastra.models.base",
    "ModelSettings": "mastra.models.settings",
    "OpenAIModel": "mastra.models.openai",
    "ProviderPart": "mastra.models.messages",
    "ProviderTool": "mastra.models.base",
    "ReasoningDelta": "mastra.models.chunks",
    "ReasoningPart": "mastra.models.messages",
    "ResponseMetadata": "mastra.models.chunks",
    "DataPart": "mastra.models.messages",
    "SourcePart": "mastra.models.messages",
    "TextDelta": "mastra.models.chunks",
    "TextPart": "mastra.models.messages",
    "Timeouts": "mastra.models.settings",
    "ToolCallDelta": "mastra.models.chunks",
    "ToolCallEnd": "mastra.models.chunks",
    "ToolCallPart": "mastra.models.messages",
    "ToolCallStart": "mastra.models.chunks",
    "ToolResultPart": "mastra.models.messages",
    "Usage": "mastra.models.chunks",
    "cost_usd": "mastra.models.prices",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
