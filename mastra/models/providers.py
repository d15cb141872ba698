"""The providers known by name: where each is, and which environment variables it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ALIASES", "COMPATIBLE", "KEYS", "NATIVE", "Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API like OpenAI's that is spoken to as OpenAI's own is."""

    url: str
    """Its base URL."""
    key_names: tuple[str, ...]
    """Environment variables with a key; the first one set is taken."""
    url_names: tuple[str, ...]
    """Environment variables with another base URL."""


NATIVE: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("mastra.models.anthropic", "AnthropicModel"),
    "gemini": ("mastra.models.gemini", "GeminiModel"),
}
"""Providers whose own API is spoken, with the module and the class that does."""

COMPATIBLE: Final[Mapping[str, Endpoint]] = {
    "groq": Endpoint(
        "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), ("GROQ_BASE_URL", "GROQ_API_BASE")
    ),
    "openrouter": Endpoint(
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY", "OR_API_KEY"),
        ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
    ),
}
"""Those of which litellm loses something that they send: signatures of thinking, sources, tools that
they ran, the words of an error in the middle of a stream."""

ALIASES: Final[Mapping[str, str]] = {
    "google": "gemini",
    "vertex": "vertex_ai",
    "amazon-bedrock": "bedrock",
    "togetherai": "together_ai",
    "fireworks": "fireworks_ai",
    "fireworks-ai": "fireworks_ai",
}
"""Mastra's names of providers whose name at litellm differs."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_API_KEY", "AZURE_AD_TOKEN"),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_TOKEN"),
    "xai": ("XAI_API_KEY",),
    # These find their keys elsewhere, or need none.
    "bedrock": (),
    "ollama": (),
    "vertex_ai": (),
}
"""Providers known by name, and the environment variables of which one must be set."""
