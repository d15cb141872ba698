"""Schemas of datasets: what the inputs and ground truths of their items have to look like.

A schema comes from a client, too, so nothing in it is fetched and no pattern in it can take
exponential time: patterns are matched by pydantic's engine, which takes linear time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, cast

from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator

from mastra.errors import InputValidationError
from mastra.extras import needs
from mastra.jsonable import Json
from mastra.schema import schema_of

__all__ = ["DatasetSchemas", "as_json_schema", "turns_of"]

_FIELDS: Final = {"input": "inputSchema", "groundTruth": "groundTruthSchema"}
"""By what an item has, where its dataset says how that looks."""
_MOST_CHECKS: Final = 100_000
"""How many keywords of a schema one value is held against, by their size: references that are held
twice by each other double them with every step."""
_TOLD: Final = 5
"""How many items an error tells of."""

Fields = Mapping[str, Any]


def as_json_schema(given: Any) -> dict[str, Json] | None:
    """Return a JSON Schema for itself, or for a type that pydantic can validate."""
    if given is None or isinstance(given, dict):
        return cast("dict[str, Json] | None", given)
    return schema_of(given).json_schema()


class DatasetSchemas:
    """What a dataset says of its items.

    Args:
        about: The fields of the dataset, as the wire has them.

    Raises:
        InputValidationError: One of them is no JSON Schema.
        MissingDependencyError: There is a schema, and what checks it is not installed.
    """

    def __init__(self, about: Fields) -> None:
        self._of = {
            field: _validator(about[name], name)
            for field, name in _FIELDS.items()
            if about.get(name) is not None
        }

    def check(self, items: Iterable[tuple[str, Fields]]) -> None:
        """Check items, given as ids with the fields that the wire has.

        Raises:
            InputValidationError: Some do not fit.
        """
        if not self._of:
            return
        found = [issue for name, item in items for issue in self._issues(name, item)]
        if found:
            told = "; ".join(issue["message"] for issue in found[:_TOLD])
            more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
            raise InputValidationError(
                f"What does not fit the schema of the dataset: {told}{more}.", issues=found
            )

    def _issues(self, name: str, item: Fields) -> Iterator[dict[str, Any]]:
        for field, validator in self._of.items():
            if field != "input" and item.get(field) is None:
                continue
            error = _mismatch(validator, item.get(field))
            if error is not None:
                path = [field, *error.absolute_path]
                where = ".".join(map(str, path))
                yield {"path": path, "message": f"item {name!r}, {where}: {_short(error.message)}"}


def _mismatch(validator: Any, value: Any) -> Any:
    """Return what is wrong with a value, if anything; a conversation fits where each turn does."""
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - only where there is a schema

    left = _left.set([_MOST_CHECKS])
    try:
        found = _worst(validator, value)
        turns = turns_of(value)
        if found is not None and turns is not None:
            found = next((one for turn in turns if (one := _worst(validator, turn))), None)
    except Unresolvable as error:
        raise InputValidationError(
            f"A schema of the dataset refers to what is not in it: {error}."
        ) from error
    except RecursionError:
        raise InputValidationError(
            "A schema of the dataset refers to itself without an end, or what it is to check is "
            "nested too deeply."
        ) from None
    finally:
        _left.reset(left)
    return found


def _worst(validator: Any, value: Any) -> Any:
    from jsonschema.exceptions import (  # noqa: PLC0415 - only where there is a schema
        best_match,  # pyright: ignore[reportUnknownVariableType]
    )

    return cast("Any", best_match(validator.iter_errors(value)))


def _short(text: str) -> str:
    """Return what a message says before and after a long value."""
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"


def turns_of(value: Any) -> list[Any] | None:
    """Return the turns of an item's input that is a conversation, as it is stored."""
    fields: Fields = cast("Fields", value) if isinstance(value, dict) else {}
    turns = fields.get("inputs")
    return cast("list[Any]", turns) if len(fields) == 1 and isinstance(turns, list) else None


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
        "unevaluatedProperties is not supported in a schema of a dataset: use additionalProperties."
    )


def _fields(value: Any) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


_left: ContextVar[list[int]] = ContextVar("mastra_schema_checks")


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    """Return what checks a keyword, for as long as a value may be checked."""

    def check(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        left = _left.get()
        left[0] -= 1 + _cost(wanted) + _cost(value)
        if left[0] < 0:
            raise InputValidationError(
                "A schema of the dataset asks for too much of one value, with what it refers to "
                "written out."
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
def _kind() -> Any:
    """Return the validator of JSON Schema with the keywords that search for patterns replaced."""
    with needs("evals", "A dataset with a schema"):
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - only where there is a schema
        from jsonschema.exceptions import ValidationError  # noqa: PLC0415
        from jsonschema.validators import (  # noqa: PLC0415
            extend,  # pyright: ignore[reportUnknownVariableType]
        )

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _matches(wanted, value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    own = {
        **Draft202012Validator.VALIDATORS,
        "pattern": pattern,
        "uniqueItems": _differing,
        "patternProperties": _by_pattern,
        "additionalProperties": _others,
        "unevaluatedProperties": _unevaluated,
        _STANDARD: Draft202012Validator.VALIDATORS["additionalProperties"],
    }
    counted = {name: _counted(keyword) for name, keyword in own.items()}
    return cast("Any", extend(Draft202012Validator, counted))


def _validator(schema: Any, name: str) -> Any:
    kind = _kind()
    from jsonschema import FormatChecker  # noqa: PLC0415 - it is there where `_kind` is
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.jsonschema import SchemaRegistry  # noqa: PLC0415

    formats = FormatChecker(formats=())
    formats.checks("regex", raises=PatternError)(_is_pattern)
    try:
        kind.check_schema(schema, format_checker=formats)
    except SchemaError as error:
        raise InputValidationError(
            f"{name} of the dataset is no JSON Schema that can be checked: {_short(error.message)}."
        ) from error
    # An empty registry: what a schema refers to is in itself, and nothing is fetched.
    empty: SchemaRegistry = Registry()
    return kind(schema, registry=empty)
