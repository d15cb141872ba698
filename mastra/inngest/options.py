"""Flow control as the SDK takes it, from what `create_workflow` was given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import inngest
from pydantic import BaseModel

from mastra.cron import check_zone, plain_fields
from mastra.errors import ConfigError
from mastra.failures import text_of
from mastra.workflows.flow_control import FlowControl, duration_s

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
PERIODS: Final = {
    "debounce": (timedelta(days=7), "7 days"),
    "rate_limit": (timedelta(days=1), "1 day"),
}
"""How long they may be. A function that the server does not take costs the app all its functions."""

_DURATIONS = ("period", "timeout", "start", "finish")


def _build(kind: type[T], value: Any, what: str) -> T:
    built = _built(kind, value, what)
    exact: dict[str, timedelta] = {}
    for name in _DURATIONS:
        given: Any = getattr(built, name, None)
        if given is None:
            continue
        duration = given if isinstance(given, timedelta) else timedelta(milliseconds=given)
        if name == "period":
            _check_period(what, duration)
        if duration < timedelta(seconds=1) or duration.microseconds:
            raise ConfigError(
                f"{what}.{name} must be of whole seconds, 1 or more, on Inngest, not "
                f"{duration.total_seconds():g}."
            )
        exact[name] = duration
    return built.model_copy(update=exact)


def _check_period(what: str, period: timedelta) -> None:
    longest, words = PERIODS.get(what, (timedelta.max, ""))
    if words and not timedelta(seconds=1) <= period <= longest:
        raise ConfigError(
            f"Inngest takes a `{what}` of 1 second to {words}, not "
            f"{period.total_seconds():,.1f} seconds."
        )


def _built(kind: type[T], value: Any, what: str) -> T:
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

_LEG: Final = "event.data.mastra.leg"
_KEYS: Final = {"rate_limit": "false", "debounce": _LEG, "singleton": _LEG}
"""The key of such an event, of what drops and merges events."""


def starts_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's options with what drops and merges events kept to those that start runs.

    A key that is `false` sets an event free of a rate limit, and so of idempotency, which is one;
    of a debounce and of being the only one each event that goes on with a run has a key of its own.
    """
    found = dict(options)
    for name, otherwise in _KEYS.items():
        given = found.get(name)
        if given is not None:
            key = _starts(given.key or '"all"', otherwise)
            found[name] = given.model_copy(update={"key": key})
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
    if options.get("concurrency") is not None:
        found["concurrency"] = _concurrency(options["concurrency"])
    for name, kind in _KINDS.items():
        if options.get(name) is not None:
            found[name] = _build(kind, options[name], name)
    retries = options.get("retries", 0)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        raise ConfigError(f"Inngest takes `retries` of 0 to {MAX_RETRIES}, not {retries!r}.")
    if options.get("idempotency") is not None:
        found["idempotency"] = _idempotency(options["idempotency"])
    if options.get("cron") is not None:
        found["cron"] = _cron(options["cron"])
    flow = FlowControl.of(options)  # what no engine takes
    if flow is not None:
        flow.check_names()
    return found


_KINDS: Final[dict[str, type[Any]]] = {
    "throttle": inngest.Throttle,
    "rate_limit": inngest.RateLimit,
    "debounce": inngest.Debounce,
    "priority": inngest.Priority,
    "timeouts": inngest.Timeouts,
    "singleton": inngest.Singleton,
}


def _concurrency(given: Any) -> list[inngest.Concurrency]:
    several = cast("list[Any]", given if isinstance(given, list) else [given])
    if len(several) > MAX_CONCURRENCIES:
        raise ConfigError(
            f"Inngest takes at most {MAX_CONCURRENCIES} limits of `concurrency` for a workflow, "
            f"not {len(several)}."
        )
    limits = [_build(inngest.Concurrency, one, "concurrency") for one in several]
    for one in limits:
        if one.scope in ("env", "account") and not one.key:
            raise ConfigError(
                f"A limit of `concurrency` of scope {one.scope!r} needs a `key`, by which it is "
                "shared with other workflows, such as key='\"name\"'."
            )
    return limits


def _idempotency(given: Any) -> str:
    if isinstance(given, str) and given.strip():
        return given
    raise ConfigError(
        f"idempotency must be an expression such as 'event.data.inputData.id', not {given!r}."
    )


# -- schedules ---------------------------------------------------------------------------------

_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    (range(60), ()),
    (range(24), ()),
    (range(1, 32), ()),
    (range(1, 13), _MONTHS),
    (range(7), _DAYS),
)
"""The numbers of each field and the names of them, of a server that knows no seconds."""

_LENGTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The days of each month in a leap year."""

_PART: Final = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/0*[1-9]\d*)?", re.ASCII)


def _cron(expression: Any) -> str:
    """Return an expression as the server reads it.

    Raises:
        ConfigError: The server would refuse it, and with it all functions of the app.
    """
    zone, text = plain_fields(expression)
    fields = text.split()
    if len(fields) != len(_FIELDS) or not all(map(_is_field, fields, *zip(*_FIELDS, strict=True))):
        raise ConfigError(
            f"{expression!r} is no cron expression that Inngest takes. Use five fields (minute, "
            "hour, day of month, month, day of week from 0 for Sunday to 6), such as "
            "'0 9 * * MON-FRI', or a name such as '@daily'."
        )
    if _never_comes(*fields[2:]):
        raise ConfigError(f"The cron expression {expression!r} never comes.")
    if zone is None:
        return " ".join(fields)
    check_zone(zone)
    # The server knows it by that name alone.
    return " ".join((f"TZ={'UTC' if zone.upper() == 'UTC' else zone}", *fields))


def _never_comes(days: str, months: str, weekdays: str) -> bool:
    """Return whether each day that a month is to have lies behind its end, as 31 February does."""
    if not any(part.startswith(("*", "?")) for part in weekdays.split(",")):
        return False  # one of the two is enough
    longest = max(_LENGTHS[month - 1] for month in range(1, 13) if _holds(months, 3, month))
    return not any(_holds(days, 2, day) for day in range(1, longest + 1))


def _holds(field: str, place: int, number: int) -> bool:
    """Return whether a field, of those at that place, has a number."""
    numbers, names = _FIELDS[place]
    for part in field.split(","):
        ends, _, step = part.partition("/")
        low, _, high = ends.partition("-")
        is_any = low in ("*", "?")
        first = numbers[0] if is_any else _number(low, numbers, names)
        is_open = is_any or (step and not high)
        last = numbers[-1] if is_open else _number(high or low, numbers, names)
        if number in range(first, last + 1, int(step or 1)):
            return True
    return False


def _is_field(field: str, numbers: range, names: Sequence[str]) -> bool:
    """Return whether each part of a field is one of its numbers, or reaches from one to another."""
    for part in field.split(","):
        form = _PART.fullmatch(part)
        if form is None:
            return False
        ends = [_number(end, numbers, names) for end in form.groups() if end is not None]
        if any(end not in numbers for end in ends) or ends != sorted(ends):
            return False
    return True


def _number(text: str, numbers: range, names: Sequence[str]) -> int:
    if text.lower() in names:
        return numbers[names.index(text.lower())]
    return int(text) if text.isdigit() else -1
