"""Sampling, limits and time-outs of a model call: plain typed data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast

from mastra.errors import ConfigError
from mastra.given import COUNT, FLAG, MAPPING, TEXT, TEXTS, Form, check_given, either
from mastra.names import camel, hint

__all__ = ["ModelSettings", "SettingsInput", "TimeoutInput", "Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds. `None` waits for ever."""

    total: float | None = None
    """For the whole run, all of its model calls and tools."""
    step: float | None = None
    """For one model call, from the request to its end."""
    first_chunk: float | None = None
    """For the first chunk of a model call."""


TimeoutInput: TypeAlias = "float | timedelta | Timeouts | Mapping[str, float | timedelta]"
"""Seconds for the whole run, or each kind by name."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model answers. What is `None` is left to the provider."""

    temperature: float | None = None
    """Randomness, from 0."""
    max_output_tokens: int | None = None
    """The longest answer."""
    top_p: float | None = None
    """Nucleus sampling."""
    top_k: int | None = None
    """Sampling among the k likeliest."""
    presence_penalty: float | None = None
    """Against repeating what was said at all."""
    frequency_penalty: float | None = None
    """Against repeating what was said often."""
    stop: str | tuple[str, ...] | None = None
    """Texts that end the answer."""
    seed: int | None = None
    """For answers that can be had again, where the provider can."""
    max_retries: int | None = None
    """Retries of a call that failed before its first chunk."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Further HTTP headers."""
    timeout: Timeouts | None = None
    """How long to wait."""
    reasoning: Any = None
    """How hard to think: `low`, `medium`, `high`, or a provider's own value."""
    parallel_tool_calls: bool | None = None
    """Whether the model may ask for several tools at once."""
    extra_body: Mapping[str, Any] | None = None
    """Further fields of the request, as the provider spells them."""

    @classmethod
    def of(cls, value: SettingsInput | None) -> ModelSettings:
        """Return settings for settings, a dict (snake_case or Mastra's camelCase) or nothing.

        Raises:
            ConfigError: A name in the dict is not a setting, or a value is of another kind.
        """
        if value is None:
            return NO_SETTINGS
        if isinstance(value, ModelSettings):
            return value
        known: dict[str, Any] = {}
        for key, item in value.items():
            name = _NAMES.get(key)
            if name is None:
                names = [field.name for field in fields(cls)]
                raise ConfigError(
                    f"{key!r} is not a model setting. There are: {', '.join(names)}."
                    f"{hint([key], names)}"
                )
            known[name] = item
        if known.get("timeout") is not None:
            known["timeout"] = _timeouts(known["timeout"])
        check_given("model_settings", known, _FORMS)
        if isinstance(known.get("stop"), list):
            known["stop"] = tuple(known["stop"])
        return cls(**known)

    def over(self, defaults: ModelSettings) -> ModelSettings:
        """Return these settings, with what they leave open taken from others."""
        if defaults is NO_SETTINGS:
            return self
        if self is NO_SETTINGS:
            return defaults
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) is not None
        }
        return replace(defaults, **given)


SettingsInput: TypeAlias = "ModelSettings | Mapping[str, Any]"
"""What a caller may pass as model settings."""

NO_SETTINGS = ModelSettings()
"""Everything is left to the provider."""


_NAMES: dict[str, str] = {
    **{field.name: field.name for field in fields(ModelSettings)},
    **{camel(field.name): field.name for field in fields(ModelSettings)},
    "max_tokens": "max_output_tokens",
    "maxTokens": "max_output_tokens",
    "stop_sequences": "stop",
    "stopSequences": "stop",
}

_NUMBER: Final = Form(
    "a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
)
_FORMS: Final = {
    "temperature": _NUMBER,
    "max_output_tokens": COUNT,
    "top_p": _NUMBER,
    "top_k": COUNT,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "stop": either(TEXT, TEXTS),
    "seed": Form("a whole number", lambda value: isinstance(value, int)),
    "max_retries": COUNT,
    "headers": MAPPING,
    "parallel_tool_calls": FLAG,
    "extra_body": MAPPING,
}

_TIMEOUTS = {
    "total": ("total", 1),
    "step": ("step", 1),
    "first_chunk": ("first_chunk", 1),
    "totalMs": ("total", 1000),
    "stepMs": ("step", 1000),
    "firstChunkMs": ("first_chunk", 1000),
}


def _timeouts(value: TimeoutInput) -> Timeouts:
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, Mapping):
        found: dict[str, float] = {}
        for key, item in value.items():
            if key not in _TIMEOUTS:
                raise ConfigError(
                    f"{key!r} is not a time-out. There are: total, step, first_chunk."
                )
            name, divisor = _TIMEOUTS[key]
            found[name] = _seconds(item) / divisor
        return Timeouts(**found)
    return Timeouts(total=_seconds(value))


def _seconds(value: object) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(cast("float", value))
