"""The providers known by name, in one table: whoever lists, finds or charges them looks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["PROVIDERS", "Endpoint", "Provider", "provider_name"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API like OpenAI's that is spoken to as OpenAI's own is."""

    url: str
    """Its base URL."""
    key_names: tuple[str, ...]
    """Environment variables with a key; the first one set is taken."""
    url_names: tuple[str, ...]
    """Environment variables with another base URL."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. Where neither `native` nor `endpoint` says otherwise, litellm reaches it."""

    key_names: tuple[str, ...] = ()
    """Environment variables of which one must be set; none where keys are found elsewhere."""
    title: str | None = None
    """What people call it, where clients are shown it in lists."""
    docs_url: str | None = None
    """Where its models are described."""
    aliases: tuple[str, ...] = ()
    """Mastra's names of it, where litellm has another one."""
    price_name: str | None = None
    """What the list of prices calls it, where that differs."""
    native: tuple[str, str] | None = None
    """The module and the class that speak its own API."""
    endpoint: Endpoint | None = None
    """Set where litellm loses something that it sends: signatures of thinking, sources, tools that it
    ran, the words of an error in the middle of a stream."""


def _compatible(
    url: str, *key_names: str, urls: tuple[str, ...], title: str, docs_url: str
) -> Provider:
    return Provider(key_names, title, docs_url, endpoint=Endpoint(url, key_names, urls))


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider(
        ("OPENAI_API_KEY",), "OpenAI", "https://platform.openai.com/docs/models"
    ),  # spoken by `mastra.models.openai`, as is whatever has an endpoint
    "anthropic": Provider(
        ("ANTHROPIC_API_KEY",),
        "Anthropic",
        "https://docs.anthropic.com",
        native=("mastra.models.anthropic", "AnthropicModel"),
    ),
    "gemini": Provider(
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "Google",
        "https://ai.google.dev/gemini-api/docs",
        aliases=("google",),
        price_name="google",
        native=("mastra.models.gemini", "GeminiModel"),
    ),
    "mistral": Provider(("MISTRAL_API_KEY",), "Mistral", "https://docs.mistral.ai"),
    "groq": _compatible(
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        urls=("GROQ_BASE_URL", "GROQ_API_BASE"),
        title="Groq",
        docs_url="https://console.groq.com/docs/models",
    ),
    "openrouter": _compatible(
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "OR_API_KEY",
        urls=("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
        title="OpenRouter",
        docs_url="https://openrouter.ai/models",
    ),
    "azure": Provider(("AZURE_API_KEY", "AZURE_AD_TOKEN")),
    "bedrock": Provider(aliases=("amazon-bedrock",), price_name="aws"),
    "cerebras": Provider(("CEREBRAS_API_KEY",)),
    "cohere": Provider(("COHERE_API_KEY", "CO_API_KEY")),
    "deepseek": Provider(("DEEPSEEK_API_KEY",)),
    "fireworks_ai": Provider(
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        aliases=("fireworks", "fireworks-ai"),
        price_name="fireworks",
    ),
    "moonshot": Provider(("MOONSHOT_API_KEY",), price_name="moonshotai"),
    "ollama": Provider(),
    "perplexity": Provider(("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY")),
    "together_ai": Provider(
        ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_TOKEN"),
        aliases=("togetherai",),
        price_name="together",
    ),
    "vertex_ai": Provider(aliases=("vertex",), price_name="google"),
    "xai": Provider(("XAI_API_KEY",), price_name="x-ai"),
}

_ALIASES: Final = {alias: name for name, one in PROVIDERS.items() for alias in one.aliases}


def provider_name(given: str) -> str:
    """Return what the table, and litellm, call a provider."""
    return _ALIASES.get(given, given)
