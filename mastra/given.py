"""Whether what a caller gives can be meant, where it is given: nothing is read as something else.

What is of another kind than an option takes is one `ConfigError` that names the option, not an
error of something far inside a run, and not a value that is silently taken for another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast, get_origin

from mastra.errors import ConfigError
from mastra.names import hint

__all__ = [
    "ADDRESS",
    "AGE",
    "CLOCK",
    "COUNT",
    "COUNT_FROM_1",
    "DURATION",
    "FLAG",
    "FUNCTION",
    "ID",
    "IDS",
    "ID_PATTERN",
    "JSON_SCHEMA",
    "LIST",
    "LIST_OR_FUNCTION",
    "MAPPING",
    "MAPPING_OR_FUNCTION",
    "MAX_ID",
    "MOMENT",
    "SCHEMA",
    "SECONDS",
    "TEXT",
    "TEXTS",
    "TIME",
    "Form",
    "called_with",
    "check_given",
    "check_listing",
    "check_names",
    "either",
    "having",
    "one_of",
    "shown",
]


MAX_ID: Final = 255
"""How many characters an id has at most."""
ID_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
"""What an id that a caller chooses looks like, in a schema too: no database takes more everywhere."""


class Form:
    """What an option takes: in words, and as a question."""

    __slots__ = ("holds", "words")

    def __init__(self, words: str, holds: Callable[[Any], bool]) -> None:
        self.words = words
        self.holds = holds


def check_given(
    owner: str,
    given: Mapping[str, Any],
    forms: Mapping[str, Form],
    error: type[ConfigError] = ConfigError,
    *,
    needed: Collection[str] = (),
) -> None:
    """Check the options that are there; `None` is what is left out.

    Args:
        owner: Whose options they are, such as `Memory` or `Agent 'planner'`.
        given: The values by name.
        forms: What each takes; a name that is not there is not checked.
        error: What is raised.
        needed: What nothing works without. It is often `None` because it was read from the
            environment, where it is not set.

    Raises:
        ConfigError: One of them is of another kind.
    """
    for name, value in given.items():
        if value is None and name in needed:
            raise error(
                f"{owner}: {name} is None. It takes {forms[name].words}. Where it is read from the "
                "environment, the variable is not set."
            )
        form = None if value is None else forms.get(name)
        if form is not None and not form.holds(value):
            raise error(f"{owner}: {name} is {shown(value)}. It takes {form.words}.")


def check_listing(
    owner: str, given: Mapping[str, Any], forms: Mapping[str, Form] | None = None
) -> None:
    """Check the options of which of many things are listed; `forms` are what there is beside them.

    Raises:
        ConfigError: One of them is of another kind, or a page is asked for that has no size.
    """
    check_given(owner, given, _LISTING if forms is None else {**_LISTING, **forms})
    if given.get("page") and given.get("per_page") is None:
        raise ConfigError(
            f"{owner}: page is {given['page']}, and per_page is not given, so all are on page 0. "
            "Give per_page, such as per_page=100."
        )


def check_names(told: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse names of options that there are not.

    Args:
        told: How the error begins, such as `Memory has no option`.
        given: The names.
        known: Those there are, in the order in which the error lists them.

    Raises:
        ConfigError: One of them is not known.
    """
    if unknown := {name for name in given if name not in known}:
        raise ConfigError(
            f"{told} {', '.join(map(repr, sorted(unknown)))}. There are: {', '.join(known)}."
            f"{hint(unknown, known)}"
        )


def shown(value: Any) -> str:
    """Return a value as it is told of in an error: short, whatever it is."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    if not isinstance(value, (str, int, float, list, tuple, dict, timedelta)):
        return f"an object of class {kind}"
    try:
        text = repr(cast("object", value))
    except Exception:  # noqa: BLE001 - what is in it may raise whatever it is asked
        return f"a {kind}"
    return text if len(text) <= 60 else f"{text[:60]}…"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_AN_ID: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+\Z")


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID and _AN_ID.match(value) is not None


def _is_seconds(value: Any) -> bool:
    try:
        return _is_number(value) and not math.isnan(value) and value >= 0
    except OverflowError:  # an integer that is no number of seconds by any clock
        return False


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


_OF_TYPES: Final = frozenset(("typing", "types", "typing_extensions", "mastra.schema"))


def _is_schema(value: Any) -> bool:
    kind = cast("type[object]", type(value))
    return (
        isinstance(value, type)
        or get_origin(value) is not None
        or kind.__module__ in _OF_TYPES
        or (hasattr(value, "__get_pydantic_core_schema__") and not hasattr(kind, "model_fields"))
        or hasattr(value, "__supertype__")  # a NewType
    )


def _is_plain(value: Any) -> bool:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, Mapping):
            left += cast("Mapping[str, Any]", item).values()
        elif isinstance(item, (list, tuple)):
            left += cast("Sequence[Any]", item)
        elif item is not None and not isinstance(item, (str, int, float)):
            return False
    return True


def either(first: Form, second: Form) -> Form:
    """Return the form of what one of two takes."""
    return Form(
        f"{first.words}, or {second.words}", lambda value: first.holds(value) or second.holds(value)
    )


def one_of(*names: Any) -> Form:
    """Return the form of one of a few words."""
    return Form(
        f"one of {', '.join(map(repr, names))}",
        lambda value: any(type(value) is type(name) and value == name for name in names),
    )


def called_with(words: str, count: int) -> Form:
    """Return the form of a function that can be called with so many arguments.

    What tells no signature (some functions written in C) is taken for one.
    """
    return Form(
        words,
        lambda value: callable(value) and not isinstance(value, type) and _takes(value, count),
    )


def _takes(function: Any, count: int) -> bool:
    import inspect  # noqa: PLC0415 - most programs give no such function

    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def having(words: str, *members: str) -> Form:
    """Return the form of an object, known by what it has."""
    return Form(
        words,
        lambda value: (
            not isinstance(value, type) and all(hasattr(value, member) for member in members)
        ),
    )


TEXT: Final = Form("text", lambda value: isinstance(value, str))
ID: Final = Form(
    f"text that is not empty, of at most {MAX_ID} characters, without control characters", _is_id
)
"""An id that a caller chooses: what the server and every database take, whoever is there today."""
ADDRESS: Final = Form(
    "an address that begins with http:// or https://",
    lambda value: isinstance(value, str) and value.lower().startswith(("http://", "https://")),
)
FLAG: Final = Form("True or False", lambda value: isinstance(value, bool))
COUNT: Final = Form("a whole number from 0", lambda value: _is_whole(value) and value >= 0)
COUNT_FROM_1: Final = Form(
    "a whole number, 1 or more", lambda value: _is_whole(value) and value > 0
)
SECONDS: Final = Form("a number of seconds from 0", _is_seconds)
DURATION: Final = Form(
    "a number of seconds from 0, or a timedelta",
    lambda value: value >= timedelta(0) if isinstance(value, timedelta) else _is_seconds(value),
)
MOMENT: Final = Form("a datetime", lambda value: isinstance(value, datetime))
AGE: Final = Form("a timedelta", lambda value: isinstance(value, timedelta))
"""How long ago something was, where seconds are not taken."""
MAPPING: Final = Form("a dict", lambda value: isinstance(value, Mapping))
FUNCTION: Final = Form("a function", callable)
MAPPING_OR_FUNCTION: Final = either(MAPPING, FUNCTION)
LIST: Final = Form("a list", _is_list)
LIST_OR_FUNCTION: Final = either(LIST, FUNCTION)
TEXTS: Final = Form(
    "a list of texts",
    lambda value: _is_list(value) and all(isinstance(item, str) for item in value),
)
SCHEMA: Final = Form("a type that pydantic can validate, such as a model's class", _is_schema)
JSON_SCHEMA: Final = Form(
    "a JSON Schema, in which are texts, numbers, lists and dicts and no types of Python",
    lambda value: isinstance(value, Mapping) and _is_plain(value),
)
CLOCK: Final = having("a clock, such as mastra.testing.FakeClock()", "now", "sleep")
TIME: Final = having("a clock, such as mastra.testing.FakeClock()", "now")
"""For whoever reads the time and waits for nothing."""
_LISTING: Final = {
    "thread_id": ID,
    "resource_id": ID,
    "from_date": MOMENT,
    "to_date": MOMENT,
    "page": COUNT,
    "per_page": COUNT,
    "limit": COUNT,
}
"""Which of many things are listed."""
IDS: Final = having("a source of ids, such as mastra.testing.fake_ids()", "new_id")
