"""When runs of a workflow may begin, and how many at once: the same words on every engine.

They are those of Inngest. Keys and priorities are texts in the Common Expression Language, which see
the event that begins a leg: `event.data.inputData`, `resourceId`, `requestContext`, `runId`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypedDict, cast

from mastra.dataclass import dataclass
from mastra.errors import ConfigError
from mastra.extras import needs
from mastra.given import SECONDS, shown
from mastra.jsonable import Json, dump_json

__all__ = [
    "OPTIONS",
    "Debounce",
    "FlowControl",
    "FlowOptions",
    "Limit",
    "Rate",
    "duration_s",
    "key_of",
]

OPTIONS: Final = (
    "concurrency",
    "throttle",
    "rate_limit",
    "debounce",
    "priority",
    "singleton",
    "idempotency",
)
"""What a workflow may say, whichever engine it runs on."""

_MAX_CONCURRENCIES: Final = 2
_FURTHEST_S: Final = 600
_REMEMBERED_S: Final = 86_400.0
"""For how long an idempotency key is remembered."""
_DURATION: Final = re.compile(r"([0-9]{1,12})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class FlowOptions(TypedDict, total=False):
    """When runs of a workflow begin, and how many at once. Durations are in seconds, or as "10s"."""

    cron: str | None
    """When runs begin by themselves; on Inngest its server begins them."""
    input_data: Any
    """The input of those."""
    initial_state: Any
    """The state that they begin with."""
    concurrency: Any
    """How many legs may be under way at once: a number, `{"limit", "key", "scope"}`, or two."""
    throttle: Any
    """How many begin within a time, further ones later: `{"limit", "period", "burst", "key"}`."""
    rate_limit: Any
    """How many begin within a time, further ones not at all: `{"limit", "period", "key"}`."""
    debounce: Any
    """Several begin as one, the last, once none came for a time: `{"period", "timeout", "key"}`."""
    priority: Any
    """An expression: by how many seconds a run goes before others, up to 600."""
    singleton: Any
    """One at a time, where the next is skipped or cancels it: `{"mode", "key"}`."""
    idempotency: str | None
    """An expression: of those with one value only the first begins, for a day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many legs may be under way at once."""

    limit: int
    key: str | None = None
    """Each value of it has a limit of its own."""
    scope: str | None = None
    """`fn`, or `env` and `account`, which share the limit with other workflows of the same key."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many may begin within a time."""

    limit: int
    period_s: float
    burst: int = 0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Debounce:
    """How long after the last call the one run for all of them begins."""

    period_s: float
    timeout_s: float | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class FlowControl:
    """All that a workflow says of when its runs begin."""

    concurrency: tuple[Limit, ...] = ()
    throttle: Rate | None = None
    rate_limits: tuple[tuple[str, Rate], ...] = ()
    """By what they are called: the rate limit, and idempotency, which is one."""
    debounce: Debounce | None = None
    priority: str | None = None
    singleton: tuple[str, str | None] | None = None
    """Its mode, `skip` or `cancel`, and its key."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> FlowControl | None:
        """Return what options say, or `None` where they say nothing of it.

        Raises:
            ConfigError: An option is not of its form.
        """
        given = {name: options[name] for name in OPTIONS if options.get(name) is not None}
        if not given:
            return None
        concurrency = given.get("concurrency", ())
        several: list[Any] = (
            [*concurrency] if isinstance(concurrency, list | tuple) else [concurrency]
        )
        if len(several) > _MAX_CONCURRENCIES:
            raise ConfigError(
                f"A workflow takes at most {_MAX_CONCURRENCIES} limits of `concurrency`, not "
                f"{len(several)}."
            )
        rates = (
            [("rate_limit", _rate("rate_limit", given["rate_limit"]))]
            if "rate_limit" in given
            else []
        )
        if "idempotency" in given:
            key = _text("idempotency", given["idempotency"])
            rates.append(("idempotency", Rate(1, _REMEMBERED_S, 0, key)))
        return cls(
            tuple(map(_limit, several)),
            _rate("throttle", given["throttle"]) if "throttle" in given else None,
            tuple(rates),
            _debounce(given["debounce"]) if "debounce" in given else None,
            _fields("priority", given["priority"], ("run",), text="run")["run"]
            if "priority" in given
            else None,
            _singleton(given["singleton"]) if "singleton" in given else None,
        )

    def check_expressions(self) -> None:
        """Look whether its keys can be evaluated here.

        Raises:
            ConfigError: One is no expression, or names what there is not.
            MissingDependencyError: The extra `schedules` is not installed.
        """
        for what, expression in self._expressions():
            _check_names(what, expression)
            unknown = sorted(
                name
                for name in _program(expression, what).functions()
                if name.isidentifier() and name not in _FUNCTIONS
            )
            if unknown:
                raise ConfigError(
                    f"{what}: {expression!r} calls {', '.join(map(repr, unknown))}, which there is "
                    f"not in process. Use {', '.join(sorted(_FUNCTIONS))}."
                )

    def check_names(self) -> None:
        """Look whether its keys are expressions about the event, where that can be told here.

        Raises:
            ConfigError: One is none.
        """
        if find_spec("cel") is not None:
            for what, expression in self._expressions():
                _check_names(what, expression)

    def _expressions(self) -> list[tuple[str, str]]:
        """Return its keys by what they are called."""
        parts: list[tuple[str, Any]] = [
            *(("concurrency.key", one.key) for one in self.concurrency),
            ("throttle.key", self.throttle and self.throttle.key),
            ("debounce.key", self.debounce and self.debounce.key),
            *(
                (name if name == "idempotency" else f"{name}.key", rate.key)
                for name, rate in self.rate_limits
            ),
            ("priority.run", self.priority),
            ("singleton.key", self.singleton and self.singleton[1]),
        ]
        return [(what, expression) for what, expression in parts if expression is not None]

    def offset_ms(self, event: Mapping[str, Json]) -> int:
        """Return by how much a leg goes before others: it is as if it had come so much earlier."""
        if self.priority is None:
            return 0
        value = _value(self.priority, event)
        seconds = float(value) if isinstance(value, int | float) else 0.0
        return int(max(-_FURTHEST_S, min(_FURTHEST_S, seconds)) * 1000)


def key_of(expression: str | None, event: Mapping[str, Json]) -> str | None:
    """Return the value of a key as text: `""` without one, `None` where it sets the event free.

    What is not in the event is `null`.
    """
    if expression is None:
        return ""
    value = _value(expression, event)
    return (
        None if value is False else value if isinstance(value, str) else dump_json(value).decode()
    )


def _value(expression: str, event: Mapping[str, Json]) -> Any:
    try:
        return _program(expression).execute({"event": event})
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None  # what the event does not have


_FUNCTIONS: Final = frozenset(
    (
        *("bytes", "contains", "double", "duration", "dyn", "endsWith", "int", "matches", "size"),
        *("startsWith", "string", "timestamp", "type", "uint"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"),
        *("getMilliseconds", "getMinutes", "getMonth", "getSeconds"),
    )
)
"""What expressions may call in process."""
_TYPES: Final = frozenset(
    ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint")
)
_BOUND: Final = re.compile(r"(\w+)\s*,")
"""A name that a macro such as `map(x, …)` may have given to each item."""


def _check_names(what: str, expression: str) -> None:
    """Refuse an expression that is about anything but the event."""
    program = _program(expression, what)
    bound = _BOUND.findall(expression)
    unknown = sorted({*program.variables()} - {"event", *_TYPES, *bound})
    if unknown:
        raise ConfigError(
            f"{what}: {expression!r} is about {', '.join(map(repr, unknown))}. All that there is is "
            "`event`, such as in 'event.data.inputData.user'; text stands in quotes: '\"all\"'."
        )


@functools.lru_cache(maxsize=256)
def _program(expression: str, what: str = "A key") -> Any:
    with needs("schedules", f"The key {expression!r}"):
        cel: Any = import_module("cel")
    try:
        return cel.compile(expression)
    except ValueError as error:
        raise ConfigError(
            f"{what}: {expression!r} is no expression. Use the Common Expression Language, such as "
            "'event.data.inputData.user'."
        ) from error


def duration_s(value: Any, what: str) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: It is no number of seconds, `timedelta` or text such as "10s".
    """
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(value, str) and (told := _DURATION.fullmatch(value)) is not None:
        seconds = int(told[1]) * _UNITS[told[2]]
    # More is no time that anybody waits for, and none that a calendar has.
    if not SECONDS.holds(seconds) or seconds > timedelta.max.total_seconds():
        raise ConfigError(
            f"{what} must be seconds (0 or more), a timedelta or a text such as '10s', not "
            f"{shown(value)}."
        )
    return float(seconds)


def _fields(
    what: str, given: Any, known: Sequence[str], *, number: str = "", text: str = ""
) -> dict[str, Any]:
    if isinstance(given, int) and not isinstance(given, bool) and number:
        given = {number: given}
    if isinstance(given, str) and text:
        given = {text: given}
    if not isinstance(given, Mapping):  # the Inngest SDK's own class
        given = {name: getattr(given, name) for name in known if hasattr(given, name)} or given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} must be a mapping with {', '.join(known)}, not {given!r}.")
    found = {str(name): value for name, value in cast("Mapping[Any, Any]", given).items()}
    if unknown := sorted(set(found) - set(known)):
        raise ConfigError(f"{what} has no {', '.join(unknown)}. Known: {', '.join(known)}.")
    for name in known:
        if name in _EXPRESSIONS:
            _text(f"{what}.{name}", found.get(name))
    return {name: found.get(name) for name in known}


_EXPRESSIONS: Final = ("key", "run")


def _text(what: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ConfigError(
            f"{what} must be an expression, such as 'event.data.inputData.user', not {shown(value)}."
        )
    return value


def _count(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{what} must be a whole number of 1 or more, not {value!r}.")
    return value


def _limit(given: Any) -> Limit:
    found = _fields("concurrency", given, ("limit", "key", "scope"), number="limit")
    if found["scope"] not in (None, "fn", "env", "account"):
        raise ConfigError(f"concurrency.scope is {found['scope']!r}. Use 'fn', 'env' or 'account'.")
    return Limit(_count("concurrency.limit", found["limit"]), found["key"], found["scope"])


def _rate(what: str, given: Any) -> Rate:
    known = ("limit", "period", "key", *(("burst",) if what == "throttle" else ()))
    found = _fields(what, given, known)
    period = duration_s(found["period"], f"{what}.period")
    if period <= 0:
        raise ConfigError(f"{what}.period must be above 0.")
    burst = found.get("burst")
    # As on Inngest: where it is left out, one more than the limit may begin at once.
    at_once = 1 if burst is None and what == "throttle" else burst or 0
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 0:
        raise ConfigError(f"{what}.burst must be a whole number of 0 or more, not {burst!r}.")
    return Rate(_count(f"{what}.limit", found["limit"]), period, at_once, found["key"])


def _debounce(given: Any) -> Debounce:
    found = _fields("debounce", given, ("period", "key", "timeout"))
    timeout = found["timeout"]
    return Debounce(
        duration_s(found["period"], "debounce.period"),
        None if timeout is None else duration_s(timeout, "debounce.timeout"),
        found["key"],
    )


def _singleton(given: Any) -> tuple[str, str | None]:
    found = _fields("singleton", given, ("mode", "key"), text="mode")
    if found["mode"] not in ("skip", "cancel"):
        raise ConfigError(f"singleton.mode is {found['mode']!r}. Use 'skip' or 'cancel'.")
    return found["mode"], found["key"]
