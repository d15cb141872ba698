"""JSON types, and the one codec for anything that is stored or sent.

Stored JSON keeps what Python can tell apart and JSON proper cannot say: integers beyond 64 bits,
`NaN` and the infinities (written as `NaN`, `Infinity`). What is sent to others is strict JSON,
where those become `null`.

What is written can be read: values nested deeper than `MAX_DEPTH`, integers of more than `MAX_DIGITS`
digits and text that is no Unicode are refused where they are written, whatever store there is.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import orjson

from mastra.errors import SerializationError
from mastra.late import LateModule

if TYPE_CHECKING:
    import pydantic
    import pydantic_core
else:
    pydantic, pydantic_core = LateModule("pydantic"), LateModule("pydantic_core")

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "UNWRITABLE",
    "Json",
    "check_plain",
    "check_written",
    "copy_json",
    "dump_json",
    "dump_wire",
    "is_deeper",
    "load_json",
    "to_jsonable",
    "to_kept",
]

Json: TypeAlias = Any
"""A value made of dict (with text keys), list, str, int, float, bool and None."""

MAX_DEPTH = 250
"""How deep lists and dicts of one value may be nested in each other."""

UNWRITABLE: Final = (TypeError, ValueError, RecursionError)
"""What orjson raises for what it cannot write."""

MAX_DIGITS = 4300
"""How many digits an integer may have: as many as Python reads."""

_ROW_DEPTH = 350
"""How deep a whole row may be: rows put values into a structure of their own."""

_FAST_DEPTH = 254
"""How deep the fast writers go."""

_SAFE_BITS = 14_280  # 2 to this power has fewer digits than MAX_DIGITS


def to_jsonable(value: object, *, what: str = "value") -> Json:
    """Turn any value into plain JSON data: models by alias, dates as ISO text, sets as lists.

    Raises:
        SerializationError: Part of the value cannot be JSON; the message has its path and type.
    """
    return _to_plain(value, what, by_alias=True)


def to_kept(value: object, *, what: str = "value") -> Json:
    """Turn any value into plain JSON data to be read back: models by their fields' own names.

    Raises:
        SerializationError: Part of the value cannot be JSON; the message has its path and type.
    """
    return _to_plain(value, what, by_alias=False)


def _to_plain(value: object, what: str, *, by_alias: bool) -> Json:
    kind = type(value)
    if kind is bool or value is None:
        return value
    if kind is str or kind is int:
        check_plain(value, what)
        return value
    try:
        plain = pydantic_core.to_jsonable_python(
            value,
            by_alias=by_alias,
            round_trip=not by_alias,
            inf_nan_mode="constants",
            bytes_mode="utf8",
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a serialiser or computed field of the user's raises anything
        raise unserializable(value, what, error) from error
    check_plain(plain, what)
    return plain


def encodable(plain: Json, what: str) -> Json:
    """Return JSON data as it is, where all of it can be written and read.

    Raises:
        SerializationError: It cannot; the message says what and where.
    """
    check_plain(plain, what)
    return plain


# -- limits ------------------------------------------------------------------------------------


def check_plain(value: Json, what: str, *, depth: int = MAX_DEPTH) -> None:
    """Refuse JSON data that could not be read back from where it is stored.

    Fast where there is nothing to refuse: orjson reads a value ten times as fast as it is written.

    Args:
        value: JSON data.
        what: Whose it is, for the error.
        depth: How deep it may be nested.

    Raises:
        SerializationError: It is nested too deep, or holds an integer of too many digits or text
            that is no Unicode; the message says where.
    """
    if value.__class__ is str and cast("str", value).isascii():
        return
    try:
        written = orjson.dumps(value)
    except UNWRITABLE:
        written = None
    if written is None or len(written) > depth:
        check_written(value, written, what, depth)


def check_written(value: Json, written: bytes | None, what: str, depth: int = MAX_DEPTH) -> None:
    """Do what `check_plain` does to a value that was written, or could not be."""
    if written is None or (
        written.count(b"[") + written.count(b"{") > depth and is_deeper(value, depth)
    ):
        _refuse_unreadable(value, what, depth)


def is_deeper(value: Json, depth: int) -> bool:
    """Return whether JSON data is nested deeper than that, by what orjson refuses to write."""
    for _ in range(_FAST_DEPTH - depth):
        value = [value]
    try:
        orjson.dumps(value)
    except UNWRITABLE:
        return True
    return False


def _refuse_unreadable(value: Json, what: str, depth: int) -> None:
    """Say which part of JSON data could not be read back, if any."""
    found = _find_unreadable(value, depth)
    if found is None:
        return  # an integer of more than 64 bits, which only orjson does not know
    path, reason = found
    shown = [str(part).encode(errors="replace").decode() for part in path]
    if len(shown) > 8:
        shown = [*shown[:4], "…", *shown[-3:]]
    raise SerializationError(
        f"{what} cannot be stored as JSON: {'.'.join(shown) or 'the value itself'} {reason}.",
        issues=[{"path": list(path[:8]), "message": reason}],
    )


def _find_unreadable(value: Json, depth: int) -> tuple[tuple[Any, ...], str] | None:
    waiting: list[tuple[Json, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        part, path = waiting.pop()
        if isinstance(part, str) and not _is_unicode(part):
            return path, "holds half of a surrogate pair, which is no text"
        if type(part) is int and part.bit_length() > _SAFE_BITS and abs(part) >= 10**MAX_DIGITS:
            return path, f"is an integer of more than {MAX_DIGITS} digits: pass it as text"
        if isinstance(part, (dict, list)):
            if len(path) >= depth:
                return path, f"is nested more than {depth} deep: pass a flat list with references"
            waiting += [(inner, (*path, key)) for key, inner in _inside(cast("Any", part))]
    return None


def _inside(part: dict[str, Json] | list[Json]) -> list[tuple[Any, Json]]:
    """Return the parts of a dict or a list, and the keys as parts of their own."""
    if isinstance(part, list):
        return list(enumerate(part))
    return [*part.items(), *((key, key) for key in part)]


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        written = pydantic_core.to_json(value, by_alias=True, inf_nan_mode="constants")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return _dump_slowly(value, what, error)
    if len(written) > MAX_DIGITS:
        _check_integers(value, what)
    return written


def _check_integers(value: object, what: str) -> None:
    try:
        orjson.dumps(value)
    except TypeError:  # objects among it, or an integer that orjson does not know
        plain = pydantic_core.to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
        check_plain(plain, what, depth=_FAST_DEPTH)


def _dump_slowly(value: object, what: str, error: BaseException) -> bytes:
    """Write what is only too deep for the fast writer: a row around a deep value.

    Raises:
        SerializationError: It is something else.
    """
    refused = unserializable(value, what, error)
    try:
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise refused from error
    _refuse_unreadable(value, what, _ROW_DEPTH)
    return written


def dump_wire(value: object) -> bytes:
    """Encode for others to read: strict JSON, where NaN and the infinities are `null`."""
    if type(value) is str:  # a piece of a text, most often
        try:
            return orjson.dumps(value)
        except TypeError:  # half a character, which escapes can say
            return json.dumps(value).encode()
    try:
        return pydantic_core.to_json(value, by_alias=True, inf_nan_mode="null")
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError):
        # Deeper than the fast writer goes; or text that is no Unicode, which escapes can say.
        plain = _finite(value)
        return json.dumps(plain, separators=(",", ":"), default=_finite).encode()


def _finite(value: Any) -> Json:
    """Return JSON data in which NaN and the infinities are `None`."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in cast("list[Any]", value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return _finite(pydantic_core.to_jsonable_python(value, by_alias=True, inf_nan_mode="constants"))


def load_json(data: str | bytes) -> Json:
    """Decode what `dump_json` wrote.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return pydantic_core.from_json(data, allow_inf_nan=True)
    except ValueError:
        # Deeper, or with escapes that are no text: written by an older version, or by others.
        try:
            found = json.loads(data)
        except RecursionError as error:
            raise ValueError("it is nested too deep to be read") from error
        if _is_nested_over(found, _ROW_DEPTH):
            # Nothing that walks over it, or sends it, could go so deep.
            raise ValueError("it is nested too deep to be read") from None
        return found


def _is_nested_over(value: Json, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for part in level
            if isinstance(part, (dict, list))
            for inner in (part.values() if isinstance(part, dict) else cast("list[Json]", part))
        ]
    return bool(level)


def unserializable(value: object, what: str, error: BaseException) -> SerializationError:
    """Return the error that says which part of a value JSON cannot hold.

    Args:
        value: The value.
        what: Whose it is.
        error: What was raised when it was written.
    """
    path, culprit = _find(value)
    where = ".".join(map(str, path)) or "the value itself"
    kind = type(culprit)
    if len(path) > MAX_DEPTH:
        reason = f"is nested more than {MAX_DEPTH} deep: pass a flat list with references"
        return SerializationError(
            f"{what} cannot be stored as JSON: {'.'.join(map(str, path[:4]))}… {reason}.",
            issues=[{"path": list(path[:8]), "message": reason}],
        )
    own = _raised_by_serializer(error)
    if own is not None:
        return SerializationError(
            f"{what} cannot be stored as JSON: what writes {where} ({_named(kind)}) raised {own}.",
            issues=[{"path": list(path), "message": f"not serialisable: it raised {own}"}],
        )
    if kind is str:
        return SerializationError(
            f"{what} cannot be stored as JSON: {where} is text with half of a character (a lone "
            "surrogate), such as a cut emoji or a file name that is no UTF-8. Encode it with "
            "errors='replace' first.",
            issues=[{"path": list(path), "message": "not serialisable: a lone surrogate"}],
        )
    return SerializationError(
        f"{what} cannot be stored as JSON: {where} is {_named(kind)}. "
        "Return plain data, or give it a schema that says how it is written.",
        issues=[{"path": list(path), "message": f"not serialisable: {_named(kind)}"}],
    )


def _raised_by_serializer(error: BaseException) -> str | None:
    """Return the name of what code of the user's raised while a value was written."""
    if isinstance(error, pydantic_core.PydanticSerializationError) and error.__cause__ is not None:
        error = error.__cause__
    elif isinstance(error, (ValueError, RecursionError)):  # pydantic's own errors are of these
        return None
    return _named(type(error)).rpartition(".")[2]


def _named(kind: type) -> str:
    try:
        return f"{kind.__module__}.{kind.__qualname__}"
    except BaseException:  # noqa: BLE001 - a metaclass may raise whatever it is asked
        return type.__dict__["__name__"].__get__(kind)


def _find(value: object) -> tuple[tuple[str | int, ...], object]:
    """Walk to the first part that cannot be encoded by itself, as deep as a value may be."""
    path: tuple[str | int, ...] = ()
    above: set[int] = set()
    while id(value) not in above and len(path) <= MAX_DEPTH:
        above.add(id(value))
        found = next(
            ((key, part) for key, part in _children(value) if not _is_encodable(part)), None
        )
        if found is None:
            break
        path, value = (*path, _place(found[0])), found[1]
    return path, value


def _place(key: object) -> str | int:
    """Return a key as it is shown in a path."""
    if type(key) is str or type(key) is int:
        return key
    try:
        return str.__str__(str(key))
    except BaseException:  # noqa: BLE001 - as for the values
        return f"a key of type {_named(type(key))}"


def _children(value: object) -> list[tuple[Any, object]]:
    """Return the parts of a value, which may raise whatever it is asked."""
    try:
        if isinstance(value, dict):
            return list(cast("dict[Any, object]", value).items())
        if isinstance(value, (list, tuple, set, frozenset)):
            return list(enumerate(cast("list[object]", value)))
        if isinstance(value, pydantic.BaseModel):
            return [(name, getattr(value, name)) for name in type(value).model_fields]
    except BaseException:  # noqa: BLE001 - it is itself what cannot be written
        return []
    return []


def _is_encodable(value: object) -> bool:
    try:
        pydantic_core.to_json(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as above
        return False
    return True
