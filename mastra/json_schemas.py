"""JSON Schemas that come from outside, and what of a value does not meet one.

Nothing in a schema is fetched, and nothing in it can take exponential time: patterns are matched by
pydantic's engine, which takes linear time, and what a value is held against is counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final, cast

from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator

from mastra.errors import InputValidationError

__all__ = ["JsonSchema", "short"]

_MOST_CHECKS: Final = 100_000
"""How many keywords of a schema one value is held against, by their size: references that are held
twice by each other double them with every step."""
_MOST_ISSUES: Final = 20

Fields = Mapping[str, Any]


class JsonSchema:
    """A JSON Schema to hold values against, in the dialect that it names, else in 2020-12.

    As in OpenAPI, `null` meets what is `nullable`. Formats say nothing.

    Args:
        schema: The schema.
        what: What it is, for errors, such as "inputSchema of the dataset".

    Raises:
        InputValidationError: It is none.
    """

    def __init__(self, schema: Any, what: str) -> None:
        from jsonschema import (  # noqa: PLC0415 - a twentieth of a second, where there is a schema
            Draft202012Validator,
            FormatChecker,
        )
        from jsonschema.exceptions import SchemaError  # noqa: PLC0415
        from jsonschema.validators import validator_for  # noqa: PLC0415
        from referencing import Registry  # noqa: PLC0415
        from referencing.jsonschema import SchemaRegistry  # noqa: PLC0415

        self._what = what
        kind = _kind(validator_for(schema, default=Draft202012Validator))
        formats = FormatChecker(formats=())
        formats.checks("regex", raises=PatternError)(_is_pattern)
        try:
            kind.check_schema(schema, format_checker=formats)
        except SchemaError as error:
            raise InputValidationError(
                f"{what} is no JSON Schema that can be checked: {short(error.message)}."
            ) from error
        # An empty registry: what a schema refers to is in itself, and nothing is fetched.
        empty: SchemaRegistry = Registry()
        self._validator = kind(schema, registry=empty)

    def issues(self, value: Any) -> list[dict[str, Any]]:
        """Return what of a value does not meet the schema, the gravest first, at most 20.

        Returns:
            Of each its `path`, a list of keys and places, and a `message`.

        Raises:
            InputValidationError: The schema refers to what is not in it, or to itself without an
                end, or asks for too much.
        """
        from jsonschema.exceptions import (  # noqa: PLC0415 - it is there where the validator is
            best_match,  # pyright: ignore[reportUnknownVariableType]
            relevance,
        )
        from referencing.exceptions import Unresolvable  # noqa: PLC0415

        left = _left.set([_MOST_CHECKS])
        try:
            found = [*islice(self._validator.iter_errors(value), _MOST_ISSUES)]
        except Unresolvable as error:
            raise InputValidationError(
                f"{self._what} refers to what is not in it: {error}."
            ) from error
        except RecursionError:
            raise InputValidationError(
                f"{self._what} refers to itself without an end, or what it is to check is nested "
                "too deeply."
            ) from None
        finally:
            _left.reset(left)
        found.sort(key=relevance, reverse=True)
        # Of alternatives that all fail, what the value was most likely meant to be.
        told: list[Any] = [cast("Any", best_match([error])) for error in found]
        return [{"path": [*one.absolute_path], "message": short(one.message)} for one in told]


def short(text: str) -> str:
    """Return what a message says before and after a long value."""
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"


@functools.lru_cache(maxsize=256)
def _pattern(pattern: str) -> SchemaValidator:
    return SchemaValidator(cast("Any", {"type": "str", "pattern": pattern, "strict": True}))


def _is_pattern(text: object) -> bool:
    return not isinstance(text, str) or bool(_pattern(text))


def _matches(pattern: str, text: object) -> bool:
    return _pattern(pattern).isinstance_python(text)


def _by_pattern(validator: Any, patterns: Fields, value: Any, _: Any) -> Iterator[Any]:
    for key, one in _fields(value).items():
        for wanted, schema in patterns.items():
            if _matches(wanted, key):
                yield from validator.descend(one, schema, path=key, schema_path=wanted)


def _others(validator: Any, allowed: Any, value: Any, schema: Fields) -> Iterator[Any]:
    patterns = schema.get("patternProperties", {})
    named = {key: True for key in _fields(value) if any(_matches(one, key) for one in patterns)}
    known = {"properties": named | schema.get("properties", {})}
    yield from validator.VALIDATORS[_STANDARD](validator, allowed, value, known)


def _unevaluated(*_: Any) -> Iterator[Any]:
    raise InputValidationError(
        "unevaluatedProperties of a JSON Schema is not supported: use additionalProperties."
    )


def _fields(value: Any) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


_left: ContextVar[list[int]] = ContextVar("mastra_schema_checks")


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    """Return what checks a keyword, for as long as a value may be checked."""

    def check(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        if value is None and _fields(schema).get("nullable") is True:
            return ()
        left = _left.get()
        left[0] -= 1 + _cost(wanted) + _cost(value)
        if left[0] < 0:
            raise InputValidationError(
                "A JSON Schema asks for too much of one value, with what it refers to written out."
            )
        return keyword(validator, wanted, value, schema)

    return check


def _cost(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return len(cast("Any", value)) // 10
    return len(value) // 1000 if isinstance(value, str) else 0


def _differing(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[Any]:
    from jsonschema.exceptions import (  # noqa: PLC0415 - it is there where `_kind` is
        ValidationError,
    )

    if wanted and isinstance(value, list):
        items = cast("list[Any]", value)
        if len(set(map(_hashable, items))) < len(items):
            yield ValidationError(f"{value!r} has non-unique elements")


def _hashable(value: Any) -> Any:
    """Return what is equal for values that JSON Schema calls equal: 1 is 1.0 and not `true`."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return frozenset((key, _hashable(part)) for key, part in items)
    if isinstance(value, list):
        return tuple(map(_hashable, cast("list[Any]", value)))
    return ("bool", value) if isinstance(value, bool) else value


_STANDARD: Final = "additionalProperties as the standard has it"


@functools.cache
def _kind(dialect: Any) -> Any:
    """Return the validator of a dialect with the keywords that search for patterns replaced."""
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415 - where there is a dialect
    from jsonschema.validators import (  # noqa: PLC0415
        extend,  # pyright: ignore[reportUnknownVariableType]
    )

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _matches(wanted, value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    standard: dict[str, Any] = dict(dialect.VALIDATORS)
    own = {
        "pattern": pattern,
        "uniqueItems": _differing,
        "patternProperties": _by_pattern,
        "additionalProperties": _others,
        "unevaluatedProperties": _unevaluated,
    }
    keywords = standard | {name: own[name] for name in own.keys() & standard.keys()}
    keywords[_STANDARD] = standard["additionalProperties"]
    counted = {name: _counted(keyword) for name, keyword in keywords.items()}
    return cast("Any", extend(dialect, counted))
