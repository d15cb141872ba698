"""Which settings of a model a caller may choose: plain ones, by a list.

Whatever reaches a provider's SDK as an argument could be an address, a key or a header, and the
SDKs have hundreds. So nothing passes that is not named here, and no value that is not plain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from mastra.models.calling import DEFAULT_RETRIES
from mastra.models.settings import ModelSettings, Timeouts
from mastra.names import snake
from mastra.server.errors import Refusal

__all__ = ["allowed_model", "number_within", "provider_options", "settings"]

_LARGEST: Final = 2**53
_LONGEST: Final = 1000
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Neither NaN nor the infinities are.
    return -_LARGEST <= value <= _LARGEST


def _whole(value: Any) -> bool:
    return _number(value) and value == int(value)


def _count(value: Any) -> bool:
    return _whole(value) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _stops(value: Any) -> bool:
    listed: list[Any] = [value] if isinstance(value, str) else value
    return isinstance(listed, list) and all(
        isinstance(item, str) and len(item) <= _LONGEST for item in listed
    )


def _word(*words: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in (words or _EFFORTS)


def _object(**fields: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        known = cast("dict[str, Any]", value)
        return all(snake(key) in fields and fields[snake(key)](item) for key, item in known.items())

    return check


def _timeout(value: Any) -> bool:
    limits = cast("dict[str, Any]", value).values() if isinstance(value, dict) else [value]
    return all(_number(limit) and limit > 0 for limit in limits)


_SETTINGS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": _number,
    "max_output_tokens": _count,
    "max_tokens": _count,
    "top_p": _number,
    "top_k": _number,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "stop": _stops,
    "stop_sequences": _stops,
    "seed": _whole,
    "max_retries": _count,
    "timeout": _timeout,
    "reasoning": _word(),
    "parallel_tool_calls": _flag,
}

_OPTIONS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "effort": _word(),
    "reasoning_effort": _word(),
    "reasoning_summary": _word("auto", "concise", "detailed", "none"),
    "text_verbosity": _word("low", "medium", "high"),
    "verbosity": _word("low", "medium", "high"),
    "thinking": _object(type=_word("enabled", "disabled", "adaptive"), budget_tokens=_count),
    "thinking_config": _object(
        thinking_budget=_whole, thinking_level=_word(), include_thoughts=_flag
    ),
}
"""How hard to think, and how much to say: all that is plain among providers' own options."""


def settings(
    given: Mapping[str, Any], author: ModelSettings, max_retries: int | None
) -> ModelSettings:
    """Return the settings that a caller chose, within the author's limits.

    How a model samples is the caller's to say. Limits hold together: the smaller of both.

    Args:
        given: The `modelSettings` of a body.
        author: Those of the agent's default options.
        max_retries: The agent's own.

    Raises:
        Refusal: One of them is not the caller's to set, or its value is not plain.
    """
    chosen = {key: value for key, value in given.items() if value is not None}
    for key, value in chosen.items():
        check = _SETTINGS.get(snake(key))
        if check is None:
            raise Refusal(
                400,
                f"modelSettings.{key[:60]} is not a caller's to set. A caller may set: "
                f"{', '.join(sorted(_SETTINGS))}.",
            )
        if not check(value):
            raise Refusal(400, f"modelSettings.{key} has a value that it cannot have.")
    timeout = chosen.get("timeout")
    if isinstance(timeout, dict) and not timeout.keys() <= {"totalMs", "stepMs", "firstChunkMs"}:
        raise Refusal(400, "modelSettings.timeout has totalMs, stepMs and firstChunkMs.")
    found = ModelSettings.of(chosen)
    retries = author.max_retries if max_retries is None else max_retries
    retries = DEFAULT_RETRIES if retries is None else retries
    return replace(
        found,
        max_output_tokens=number_within(found.max_output_tokens, author.max_output_tokens),
        max_retries=number_within(found.max_retries, retries),
        timeout=_timeouts_within(found.timeout, author.timeout),
        reasoning=found.reasoning if author.reasoning is None else author.reasoning,
        parallel_tool_calls=False
        if author.parallel_tool_calls is False
        else found.parallel_tool_calls,
    )


def allowed_model(name: Any, allowed: Collection[str], what: str) -> str:
    """Return the name of a model that a caller asks for.

    Raises:
        Refusal: The author does not let callers choose it.
    """
    if isinstance(name, str) and name in allowed:
        return name
    raise Refusal(
        400,
        f"{what} is not among the models that a caller may choose: "
        f"{', '.join(sorted(allowed)) or 'there are none'}. "
        "The author allows more by ServerConfig(allowed_models=[...]).",
    )


def number_within(given: Any, limit: Any) -> Any:
    """Return the smaller of what a caller asks for and the author's limit, where there is one."""
    if given is None or limit is None:
        return given
    return min(given, limit)


def _timeouts_within(given: Timeouts | None, limits: Timeouts | None) -> Timeouts | None:
    if given is None or limits is None:
        return given

    def smaller(one: float | None, other: float | None) -> float | None:
        return other if one is None else number_within(one, other)

    return Timeouts(
        smaller(given.total, limits.total),
        smaller(given.step, limits.step),
        smaller(given.first_chunk, limits.first_chunk),
    )


def provider_options(
    given: Mapping[str, Any], author: Mapping[str, Any], allowed: Collection[str]
) -> dict[str, Any]:
    """Return options for providers: the caller's plain ones, under the author's own.

    Args:
        given: The `providerOptions` of a body.
        author: Those of the agent's default options.
        allowed: Names of further options that the author lets callers set, to any value.

    Raises:
        Refusal: One of them is not the caller's to set, or its value is not plain.
    """
    further = {snake(name) for name in allowed}
    merged: dict[str, Any] = {key: dict(value) for key, value in author.items()}
    for provider, options in given.items():
        if options is None:
            continue
        if not isinstance(options, dict):
            raise Refusal(400, f"providerOptions.{provider[:60]} must be an object.")
        own = merged.setdefault(provider, {})
        decided = {snake(key) for key in own}
        for key, value in cast("dict[str, Any]", options).items():
            name = snake(key)
            check = _OPTIONS.get(name)
            if name not in further and (check is None or not check(value)):
                raise Refusal(
                    400,
                    f"providerOptions.{provider[:60]}.{key[:60]} is not a caller's to set. A caller "
                    f"may set: {', '.join(sorted({*_OPTIONS, *further}))}; the author lets "
                    "it set more by ServerConfig(allowed_provider_options=[...]).",
                )
            if name not in decided:
                own[key] = value
    return merged
