"""Flow control as the SDK takes it, from what `create_workflow` was given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import inngest
from pydantic import BaseModel

from mastra.errors import ConfigError
from mastra.failures import text_of
from mastra.workflows.flow_control import duration_s

__all__ = ["OPTIONS", "function_options", "starts_only"]

T = TypeVar("T", bound=BaseModel)

OPTIONS: Final = (
    "concurrency",
    "throttle",
    "rate_limit",
    "debounce",
    "priority",
    "cron",
    "input_data",
    "initial_state",
    "retries",
    "idempotency",
    "timeouts",
    "singleton",
)
"""What may be given."""

MAX_CONCURRENCIES: Final = 2
MAX_RETRIES: Final = 20
DEBOUNCE: Final = (timedelta(seconds=1), timedelta(days=7))
"""What the server takes; where more is asked for it would refuse all functions of the app at once."""

_DURATIONS = ("period", "timeout", "start", "finish")


def _is_within(value: timedelta, bounds: tuple[timedelta, timedelta]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _build(kind: type[T], value: Any, what: str) -> T:
    if isinstance(value, kind):
        return value
    if isinstance(value, int) and kind is inngest.Concurrency:
        value = {"limit": value}
    if isinstance(value, str) and kind is inngest.Priority:
        value = {"run": value}
    if isinstance(value, str) and kind is inngest.Singleton:
        value = {"mode": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} must be a mapping or {kind.__name__}, not {value!r}.")
    given = cast("Mapping[str, Any]", value)
    # The SDK passes over a name that it does not know, such as one that is misspelt.
    known = sorted(kind.model_fields)
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(f"{what} has no {', '.join(unknown)}. Known: {', '.join(known)}.")
    fields: dict[str, Any] = {
        name: timedelta(seconds=duration_s(part, f"{what}.{name}")) if name in _DURATIONS else part
        for name, part in given.items()
        if part is not None
    }
    try:
        return kind(**fields)
    except Exception as error:  # the SDK does not export its errors
        raise ConfigError(f"{what} is not of its form: {text_of(error)}") from error


_GOES_ON: Final = 'event.data.mastra.kind in ["resume", "restart", "travel"]'
"""True of an event that goes on with a run, which one trigger serves as it does those that start."""


def starts_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's options with what drops and merges events kept to those that start runs.

    A key that is `false` sets an event free of a rate limit, and so of idempotency, which is one;
    of a debounce and of being the only one each event that goes on with a run has a key of its own.
    """
    found = dict(options)
    limit = found.get("rate_limit")
    if limit is not None:
        key = _starts(limit.key or '"all"', "false")
        found["rate_limit"] = limit.model_copy(update={"key": key})
    debounce = found.get("debounce")
    if debounce is not None:
        key = _starts(debounce.key or '"all"', "event.data.mastra.leg")
        found["debounce"] = debounce.model_copy(update={"key": key})
    singleton = found.get("singleton")
    if singleton is not None:
        key = _starts(singleton.key or '"all"', "event.data.mastra.leg")
        found["singleton"] = singleton.model_copy(update={"key": key})
    if "idempotency" in found:
        found["idempotency"] = _starts(found["idempotency"], "false")
    return found


def _starts(key: str, otherwise: str) -> str:
    return f"({_GOES_ON}) ? dyn({otherwise}) : dyn({key})"


def function_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return flow control as `create_function` takes it.

    Raises:
        ConfigError: An option is unknown or not of its form.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ConfigError(
            f"Unknown option of an Inngest workflow: {', '.join(unknown)}. Known: "
            f"{', '.join(OPTIONS)}."
        )
    found: dict[str, Any] = {}
    concurrency = options.get("concurrency")
    if concurrency is not None:
        several = cast("list[Any]", concurrency if isinstance(concurrency, list) else [concurrency])
        found["concurrency"] = [_build(inngest.Concurrency, one, "concurrency") for one in several]
        if len(several) > MAX_CONCURRENCIES:
            raise ConfigError(
                f"Inngest takes at most {MAX_CONCURRENCIES} limits of `concurrency` for a workflow, "
                f"not {len(several)}."
            )
    kinds: dict[str, type[Any]] = {
        "throttle": inngest.Throttle,
        "rate_limit": inngest.RateLimit,
        "debounce": inngest.Debounce,
        "priority": inngest.Priority,
        "timeouts": inngest.Timeouts,
        "singleton": inngest.Singleton,
    }
    for name, kind in kinds.items():
        if options.get(name) is not None:
            found[name] = _build(kind, options[name], name)
    if options.get("debounce") is not None and not _is_within(found["debounce"].period, DEBOUNCE):
        raise ConfigError(
            "Inngest takes a `debounce` of 1 second to 7 days, not "
            f"{found['debounce'].period.total_seconds():,.1f} seconds."
        )
    retries = options.get("retries", 0)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        raise ConfigError(f"Inngest takes `retries` of 0 to {MAX_RETRIES}, not {retries!r}.")
    if options.get("idempotency") is not None:
        found["idempotency"] = str(options["idempotency"])
    return found
