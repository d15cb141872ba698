"""From what a user writes as a model to the models to call.

A string `provider/model`, a `ModelConfig`, a `Model`, a function of the request context, or a
list of those, tried in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias, cast

from mastra.errors import ConfigError
from mastra.failures import call_user
from mastra.given import (
    ADDRESS,
    COUNT,
    FLAG,
    MAPPING,
    TEXT,
    Form,
    check_given,
    either,
    having,
    one_of,
)
from mastra.models.base import Model
from mastra.models.calling import ModelEntry
from mastra.models.providers import PROVIDERS, provider_name
from mastra.models.settings import NO_SETTINGS, ModelSettings, SettingsInput
from mastra.names import hint, python_names, python_options

__all__ = ["MODEL", "Fallback", "ModelConfig", "ModelInput", "resolve_model", "resolve_models"]


def _is_model(value: Any) -> bool:
    if isinstance(value, (str, list, tuple)):
        return bool(cast("Any", value))
    return callable(value) or any(hasattr(value, name) for name in ("stream", "id", "model"))


MODEL: Final = Form(
    "a model: 'provider/model', a ModelConfig, a model object, a function, or a list of those that is not empty",
    _is_model,
)
"""What is taken as a model."""

_OF_CONFIG: Final = {
    "id": TEXT,
    "url": ADDRESS,
    "api_key": TEXT,
    "headers": MAPPING,
    "api": one_of("chat", "responses", "native"),
}
_OF_FALLBACK: Final = {
    "model": MODEL,
    "settings": either(MAPPING, having("a ModelSettings", "temperature")),
    "max_retries": COUNT,
    "provider_options": MAPPING,
    "headers": MAPPING,
    "enabled": FLAG,
    "id": TEXT,
}


@python_names
@python_options
@dataclass(frozen=True)
class ModelConfig:
    """A model and where to reach it.

    Args:
        id: `provider/model`.
    """

    id: str
    """`provider/model`."""
    url: str | None = None
    """The base URL of an OpenAI-compatible API, with its `/v1`; with `api="native"`, of one like the
    provider's own."""
    api_key: str | None = field(default=None, repr=False)
    """Default: the provider's environment variable, where no `url` is given."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Further HTTP headers."""
    api: Literal["chat", "responses", "native"] | None = None
    """What to speak: one of OpenAI's two APIs, or the provider's own where that is known here
    (Anthropic's and Gemini's). Default: the provider's own, and chat completions with a `url`."""

    def __post_init__(self) -> None:
        check_given("ModelConfig", vars(self), _OF_CONFIG, needed=["id"])


OneModel: TypeAlias = "str | ModelConfig | Model | Fallback"
"""One model: its name, where it is, an object, or either with settings of its own."""

ModelInput: TypeAlias = "OneModel | Sequence[OneModel] | Callable[..., Any]"
"""What a user may write as a model."""


@python_names
@python_options
@dataclass(frozen=True)
class Fallback:
    """A model in a list of models, with settings of its own.

    Args:
        model: What to call; a string, a config, a model or a function.
    """

    model: ModelInput
    """What to call."""
    max_retries: int | None = None
    """Retries of a call that failed before its first chunk. Default: the agent's, or 2."""
    settings: SettingsInput | None = None
    """Model settings for this model; those of the call go first."""
    provider_options: Mapping[str, Any] | None = None
    """Further fields of the request, keyed by provider."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Further HTTP headers."""
    enabled: bool = True
    """Whether to use it at all."""
    id: str | None = None
    """A name, to change the list by."""

    def __post_init__(self) -> None:
        check_given("Fallback", vars(self), _OF_FALLBACK)


_LOCAL_MODELS: Final = ("smollm2-135m",)

_resolved: dict[str, Model] = {}


def resolve_model(value: str | ModelConfig | Model, *, check: bool = True) -> Model:
    """Return the model that a string or a config names.

    Args:
        value: What the user wrote.
        check: Whether it must be possible to call it at once.

    Raises:
        ConfigError: The string is not `provider/model`, or a key is missing.
    """
    if isinstance(value, str):
        found = _resolved.get(value)
        if found is None:
            found = _resolved[value] = _from_config(ModelConfig(value))
    elif isinstance(value, ModelConfig):
        found = _from_config(value)
    else:
        found = None
    if found is not None:
        if check:
            _check(found)
        return found
    value = cast("Model", value)
    if callable(getattr(value, "stream", None)):
        return value
    raise ConfigError(
        f"{value!r} is not a model. Give 'provider/model', a ModelConfig, an object with "
        "stream(request), or a list of those."
    )


def _check(model: Model) -> None:
    """Ask a model whether it could be called at all; the environment may have changed."""
    check = getattr(model, "check", None)
    if check is not None:
        check()


def _from_config(config: ModelConfig) -> Model:
    provider, _, name = config.id.partition("/")
    if not name:
        raise ConfigError(
            f"{config.id!r} is not a model id: write 'provider/model', such as "
            f"{_example(provider)!r}. {_known()}",
            code="MODEL_ID_INVALID",
        )
    known = PROVIDERS.get(provider_name(provider))
    native = None if known is None else known.native
    api = config.api
    if api == "native" and native is None and provider != "openai":
        raise ConfigError(
            f"{config.id!r} has api='native', and of {provider!r} no API is known here. Natively "
            f"spoken are: {', '.join(name for name, one in PROVIDERS.items() if one.native)}."
        )
    if native is not None and (api == "native" or (api is None and config.url is None)):
        make = getattr(import_module(native[0]), native[1])
        return make(
            name,
            base_url=config.url,
            api_key=config.api_key,
            headers=config.headers,
            provider=provider,
        )
    endpoint = None if known is None else known.endpoint
    if provider == "openai" or config.url is not None or endpoint is not None:
        from mastra.models.openai import OpenAIModel  # noqa: PLC0415 - only what is used

        return OpenAIModel(
            name,
            base_url=config.url,
            api_key=config.api_key,
            headers=config.headers,
            provider=provider,
            api="responses" if api == "responses" else "chat",
            endpoint=endpoint,
        )
    if provider == "local":
        return _local(name)
    from mastra.models.litellm import LiteLLMModel  # noqa: PLC0415 - only what is used

    return LiteLLMModel(
        name,
        provider=provider_name(provider),
        key_names=None if known is None else known.key_names,
        known=_known(),
        meant=hint([provider.strip().lower()], _ALL) or _same(provider) if known is None else "",
        api_key=config.api_key,
        headers=config.headers,
    )


def _local(name: str) -> Model:
    if name not in _LOCAL_MODELS:
        listed = ", ".join(f"local/{known}" for known in _LOCAL_MODELS)
        raise ConfigError(f"There is no embedded model {name!r}. There are: {listed}.")
    return cast("Model", import_module("mastra.models.local").LocalModel())


def _same(provider: str) -> str:
    """Return what to say of a provider whose name is right but for how it is written."""
    name = provider.strip().lower()
    return f" Did you mean {name!r}?" if name in _ALL else ""


_ALL: Final = frozenset(("local", *PROVIDERS))
_MAKERS: Final = {
    "claude": "anthropic",
    "codestral": "mistral",
    "command": "cohere",
    "deepseek": "deepseek",
    "gemini": "gemini",
    "gemma": "ollama",
    "grok": "xai",
    "kimi": "moonshot",
    "llama": "ollama",
    "mistral": "mistral",
    "phi": "ollama",
    "qwen": "ollama",
    "smollm": "local",
    "sonar": "perplexity",
}
"""Who serves a model, by how its name begins."""


def _example(given: str) -> str:
    if given == "local":
        return f"local/{_LOCAL_MODELS[0]}"
    if given in PROVIDERS:
        return f"{given}/…"
    before, colon, after = given.partition(":")
    if colon and after and before.strip().lower() in _ALL:  # as other libraries write it
        return f"{before.strip().lower()}/{after}"
    maker = next((_MAKERS[begin] for begin in _MAKERS if given.lower().startswith(begin)), "openai")
    return f"{maker}/{given or 'gpt-4o'}"


def _known() -> str:
    listed = ", ".join(sorted({"local", *PROVIDERS}))
    return f"Known providers: {listed}, and whatever else litellm reaches."


async def resolve_models(value: ModelInput, *arguments: object) -> list[ModelEntry]:
    """Return the models to try, in order.

    Args:
        value: What the user wrote.
        arguments: Given to functions: the agent's context.

    Raises:
        ConfigError: Something in it is not a model, or a key is missing.
    """
    if isinstance(value, (str, ModelConfig)):
        return [ModelEntry(resolve_model(value))]
    if isinstance(value, Sequence):
        return await _from_list(cast("Sequence[OneModel]", value), arguments)
    if isinstance(value, Fallback):
        return await _from_list([value], arguments)
    if callable(getattr(value, "stream", None)):
        return [ModelEntry(cast("Model", value))]
    if callable(value):
        return await resolve_models(await call_user(value, *arguments), *arguments)
    return [ModelEntry(resolve_model(value))]


async def _from_list(value: Sequence[OneModel], arguments: tuple[object, ...]) -> list[ModelEntry]:
    if not value:
        raise ConfigError("The list of models is empty.")
    entries: list[ModelEntry] = []
    for item in value:
        if not isinstance(item, Fallback):
            entries += await resolve_models(item, *arguments)
        elif item.enabled:
            entries += await _from_fallback(item, arguments)
    if not entries:
        raise ConfigError("None of the models in the list is enabled.")
    return entries


async def _from_fallback(value: Fallback, arguments: tuple[object, ...]) -> list[ModelEntry]:
    settings = ModelSettings.of(value.settings)
    if value.headers:
        settings = ModelSettings(headers=value.headers).over(settings)
    retries = settings.max_retries if value.max_retries is None else value.max_retries
    return [
        ModelEntry(
            entry.model,
            entry.max_retries if retries is None else retries,
            settings.over(entry.settings) if settings is not NO_SETTINGS else entry.settings,
            value.provider_options or {},
        )
        for entry in await resolve_models(value.model, *arguments)
    ]
