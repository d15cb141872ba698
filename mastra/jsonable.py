"""JSON types, and the one codec for anything that is stored or sent.

Stored JSON keeps what Python can tell apart and JSON proper cannot say: integers of any size,
`NaN` and the infinities (written as `NaN`, `Infinity`). What is sent to others is strict JSON,
where those become `null`.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import pydantic
import pydantic_core

from mastra.errors import SerializationError

__all__ = [
    "Json",
    "copy_json",
    "dump_json",
    "dump_wire",
    "load_json",
    "to_jsonable",
]

Json: TypeAlias = Any
"""A value made of dict (with text keys), list, str, int, float, bool and None."""


def to_jsonable(value: object, *, what: str = "value") -> Json:
    """Turn any value into plain JSON data: models by alias, dates as ISO text, sets as lists.

    Raises:
        SerializationError: Part of the value cannot be JSON; the message has its path and type.
    """
    kind = type(value)
    if value is None or kind is int or kind is bool or (kind is str and str.isascii(value)):  # pyright: ignore[reportArgumentType] - a str
        return value
    try:
        plain = pydantic_core.to_jsonable_python(
            value, by_alias=True, inf_nan_mode="constants", bytes_mode="utf8"
        )
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as error:
        raise unserializable(value, what) from error
    return encodable(plain, what)


def encodable(plain: Json, what: str) -> Json:
    """Return JSON data as it is, where all of it can be written.

    Raises:
        SerializationError: A text in it has half of a character (a lone surrogate).
    """
    try:
        pydantic_core.to_json(plain, inf_nan_mode="constants")
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as error:
        raise unserializable(plain, what) from error
    return plain


def copy_json(value: Json) -> Json:
    """Return JSON data that shares no dict and no list with what it is given."""
    if isinstance(value, dict):
        return {key: copy_json(part) for key, part in cast("dict[str, Json]", value).items()}
    if isinstance(value, list):
        return [copy_json(part) for part in cast("list[Json]", value)]
    return value


def dump_json(value: object, *, what: str = "value") -> bytes:
    """Encode for storage; what `load_json` reads back equals `to_jsonable(value)`.

    Raises:
        SerializationError: Part of the value cannot be JSON; the message has its path and type.
    """
    try:
        return pydantic_core.to_json(value, by_alias=True, inf_nan_mode="constants")
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as error:
        raise unserializable(value, what) from error


def dump_wire(value: object) -> bytes:
    """Encode for others to read: strict JSON, where NaN and the infinities are `null`."""
    return pydantic_core.to_json(value, by_alias=True, inf_nan_mode="null")


def load_json(data: str | bytes) -> Json:
    """Decode what `dump_json` wrote."""
    return pydantic_core.from_json(data, allow_inf_nan=True)


def unserializable(value: object, what: str) -> SerializationError:
    """Return the error that says which part of a value JSON cannot hold."""
    path, culprit = _find(value, (), set())
    where = ".".join(str(part) for part in path) or "the value itself"
    kind = type(culprit)
    if kind is str:
        return SerializationError(
            f"{what} cannot be stored as JSON: {where} is text with half of a character (a lone "
            "surrogate), such as a cut emoji or a file name that is no UTF-8. Encode it with "
            "errors='replace' first.",
            issues=[{"path": list(path), "message": "not serialisable: a lone surrogate"}],
        )
    return SerializationError(
        f"{what} cannot be stored as JSON: {where} is {kind.__module__}.{kind.__qualname__}. "
        "Return plain data, or give it a schema that says how it is written.",
        issues=[{"path": list(path), "message": f"not serialisable: {kind.__qualname__}"}],
    )


def _find(value: object, path: tuple[Any, ...], above: set[int]) -> tuple[tuple[Any, ...], object]:
    """Walk to the first part that cannot be encoded by itself."""
    if id(value) in above:
        return path, value
    above = above | {id(value)}
    children: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        children = list(cast("dict[Any, object]", value).items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        children = list(enumerate(cast("list[object]", value)))
    elif isinstance(value, pydantic.BaseModel):
        children = [(name, getattr(value, name)) for name in type(value).model_fields]
    for key, child in children:
        try:
            pydantic_core.to_json(child)
        except (pydantic_core.PydanticSerializationError, ValueError, RecursionError):
            return _find(child, (*path, key), above)
    return path, cast("object", value)
