"""What a compiled pydantic type says about being kept: whether a value of it reads back as it was.

Found out once a type, by walking its core schema: only a type with something doubtful in it is
looked at again for each value.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any, cast

from mastra.dataclass import dataclass

__all__ = ["TypeFacts", "allows_extra", "exact_form", "facts_of", "parts_of"]

_LEFT_ALONE = frozenset(
    {
        "cls",
        "cls_name",
        "config",
        "default",
        "expected",
        "members",
        "metadata",
        "ref",
        "schema_ref",
    }
)
_BY_NAME = frozenset({"fields", "choices"})
_SAFE_KEYS = frozenset(
    {"str", "int", "float", "bool", "decimal", "date", "datetime", "time", "timedelta", "uuid"}
)
_SCALARS = (str, int, bool, type(None))
_DOUBTFUL = frozenset({"callable", "generator", "is-instance", "is-subclass", "custom-error"})
_BYTES = "\x00base64:"
"""What begins the text of bytes that are no UTF-8, or that begin so themselves."""


@dataclass(slots=True)
class TypeFacts:
    """What is in a type, for whoever keeps its values."""

    has_names: bool = False
    """Some field is called otherwise on the wire."""
    is_ambiguous: bool = False
    """A field's name is what another is called on the wire."""
    has_wire: bool = False
    """The wire sees more than is kept, or sees it otherwise."""
    has_any: bool = False
    """Part of it takes anything, and is kept by each value's own type."""
    is_doubtful: bool = False
    """A value may read back otherwise: functions of the author's, unions, what is left out."""
    is_inexact: bool = False
    """Holds bytes or times, whose JSON by default cannot say all of them."""
    names: dict[str, str] | None = None
    """The names of fields by what the wire calls them: of the outermost model alone."""
    classes: list[type] = field(default_factory=list[type])
    """Models and dataclasses, of which a value may hold a subclass."""


def facts_of(core: Any) -> TypeFacts:
    """Return the facts of a core schema."""
    facts = TypeFacts()
    _walk(core, facts)
    return facts


def _walk(core: Any, facts: TypeFacts) -> None:
    if isinstance(core, (list, tuple)):
        for part in cast("list[Any]", core):
            _walk(part, facts)
        return
    if not isinstance(core, Mapping):
        return
    node = cast("Mapping[str, Any]", core)
    kind: str = node.get("type", "")
    look = _LOOK.get(kind)
    if look is not None:
        look(node, facts)
    elif kind.startswith("function-") or kind in _DOUBTFUL:
        facts.is_doubtful = True
    if node.get("serialization") is not None:
        facts.is_doubtful = True
    for part in parts_of(node):
        _walk(part, facts)


def parts_of(node: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what may hold the schemas in a node of a core schema, and none of its other facts."""
    for key, part in node.items():
        if key == "serialization" or key in _LEFT_ALONE:
            continue
        if key in _BY_NAME and isinstance(part, Mapping):
            # By names of the author's, which may be those of a node's own facts: `type`, `config`.
            yield from cast("Mapping[Any, Any]", part).values()
        else:
            yield part


def allows_extra(node: Mapping[str, Any]) -> bool:
    """Return whether a node of a core schema takes fields that it does not know."""
    config: Mapping[str, Any] = node.get("config") or {}
    return "allow" in (
        node.get("extra_behavior"),
        node.get("extra_fields_behavior"),
        config.get("extra_fields_behavior"),
    )


def _any(_: Mapping[str, Any], facts: TypeFacts) -> None:
    facts.has_any = True


def _inexact(_: Mapping[str, Any], facts: TypeFacts) -> None:
    facts.is_inexact = True


def _listed(node: Mapping[str, Any], facts: TypeFacts) -> None:
    if "items_schema" not in node:
        facts.has_any = True


def _dict(node: Mapping[str, Any], facts: TypeFacts) -> None:
    if "values_schema" not in node:
        facts.has_any = True
    keys: Any = node.get("keys_schema")
    if keys is None:
        facts.has_any = True
    elif keys.get("type") not in _SAFE_KEYS:
        facts.is_doubtful = True


def _enum(node: Mapping[str, Any], facts: TypeFacts) -> None:
    members = cast("list[enum.Enum]", node.get("members") or [])
    if not all(isinstance(member.value, _SCALARS) for member in members):
        facts.is_doubtful = True


def _literal(node: Mapping[str, Any], facts: TypeFacts) -> None:
    for value in node.get("expected") or ():
        if isinstance(value, enum.Enum) or not isinstance(value, _SCALARS):
            facts.is_doubtful = True  # a member among texts is not found by its value


def _union(node: Mapping[str, Any], facts: TypeFacts) -> None:
    seen: set[str] = set()
    for choice in node.get("choices") or ():
        kind = _json_kind(choice[0] if isinstance(choice, tuple) else choice)
        if kind is None or kind in seen:
            facts.is_doubtful = True
            return
        seen.add(kind)


_JSON_KINDS = {
    "none": "null",
    "bool": "boolean",
    "int": "number",
    "float": "float",  # 1 and 1.0 are equal
    "str": "text",
    "model": "object",
    "typed-dict": "object",
    "dataclass": "object",
    "dict": "object",
    "list": "array",
}


def _json_kind(core: Any) -> str | None:
    node = cast("Mapping[str, Any]", core)
    while node.get("type") == "default":
        node = node["schema"]
    return _JSON_KINDS.get(node.get("type", ""))


def _model(node: Mapping[str, Any], facts: TypeFacts) -> None:
    cls: Any = node["cls"]
    facts.classes.append(cls)
    if getattr(cls, "__private_attributes__", None) or node.get("custom_init"):
        facts.is_doubtful = True
    if node.get("post_init"):
        facts.is_doubtful = True
    _extra(node, facts)


def _dataclass(node: Mapping[str, Any], facts: TypeFacts) -> None:
    facts.classes.append(node["cls"])
    if node.get("post_init"):
        facts.is_doubtful = True
    _extra(node, facts)


def _extra(node: Mapping[str, Any], facts: TypeFacts) -> None:
    config: Mapping[str, Any] = node.get("config") or {}
    if allows_extra(node):
        facts.has_any = True
        facts.is_ambiguous = True
    if config.get("ser_json_timedelta") or config.get("ser_json_bytes"):
        facts.is_inexact = True


def _fields(node: Mapping[str, Any], facts: TypeFacts) -> None:
    _extra(node, facts)
    if node.get("computed_fields"):
        facts.has_wire = True
    given: Any = node.get("fields") or {}
    if isinstance(given, Mapping):
        named = list(cast("Mapping[str, Any]", given).items())
    else:
        named = [(one["name"], one) for one in cast("list[Any]", given)]
    names = {name for name, _ in named}
    aliases: dict[str, str] = {}
    doubtful: set[str] = set()
    for name, one in named:
        if one.get("serialization_exclude") or one.get("serialization_exclude_if"):
            facts.is_doubtful = True
        if one.get("init") is False or one.get("init_only"):
            facts.is_doubtful = True
        told = [one.get("validation_alias"), one.get("serialization_alias")]
        own = {key: name for key in told if isinstance(key, str) and key not in names}
        doubtful |= own.keys() & aliases.keys()
        aliases |= own
        facts.has_names |= told != [None, None]
        facts.is_ambiguous |= bool((_starts_of(told[0]) - {name}) & names)
    facts.has_wire |= facts.has_names
    if facts.names is None:
        facts.names = {key: name for key, name in aliases.items() if key not in doubtful}


def _starts_of(alias: Any) -> set[Any]:
    """Return the keys with which the ways of an alias begin."""
    if alias is None:
        return set()
    if isinstance(alias, str):
        return {alias}
    ways = cast("list[Any]", alias)
    return {way[0] if isinstance(way, (list, tuple)) else ways[0] for way in ways}


def _json(_: Mapping[str, Any], facts: TypeFacts) -> None:
    facts.has_wire = True  # kept as the text that it is read from


_LOOK: dict[str, Callable[[Mapping[str, Any], TypeFacts], None]] = {
    "any": _any,
    "bytes": _inexact,
    "datetime": _inexact,
    "time": _inexact,
    "list": _listed,
    "set": _listed,
    "frozenset": _listed,
    "dict": _dict,
    "enum": _enum,
    "literal": _literal,
    "union": _union,
    "model": _model,
    "dataclass": _dataclass,
    "model-fields": _fields,
    "typed-dict": _fields,
    "dataclass-args": _fields,
    "arguments": _fields,
    "json": _json,
}


# -- a form that says all of a value -----------------------------------------------------------


def exact_form(core: Any) -> Any:
    """Return a core schema whose JSON says all of bytes, times and durations.

    By default bytes must be UTF-8 and zones must be whole minutes; a model may ask for durations as
    seconds, which loses some.
    """
    if isinstance(core, list):
        return [exact_form(part) for part in cast("list[Any]", core)]
    if isinstance(core, tuple):
        return tuple(exact_form(part) for part in cast("tuple[Any, ...]", core))
    if not isinstance(core, Mapping):
        return core
    node = cast("Mapping[str, Any]", core)
    made: dict[str, Any] = {}
    for key, part in node.items():
        if key == "config" and isinstance(part, Mapping):
            kept = ("ser_json_timedelta", "ser_json_bytes", "val_json_bytes")
            config = cast("Mapping[str, Any]", part)
            made[key] = {name: value for name, value in config.items() if name not in kept}
        elif key in _BY_NAME and isinstance(part, Mapping):
            named = cast("Mapping[Any, Any]", part)
            made[key] = {name: exact_form(value) for name, value in named.items()}
        else:
            made[key] = part if key in _LEFT_ALONE else exact_form(part)
    functions = _EXACT.get(made.get("type", ""))
    if functions is None or "serialization" in made:
        return made
    read, write = functions
    reference = made.pop("ref", None)
    wrapped: dict[str, Any] = {
        "type": "function-before",
        "function": {"type": "no-info", "function": read},
        "schema": made,
        "serialization": {
            "type": "function-plain",
            "function": write,
            "when_used": "json-unless-none",
        },
    }
    if reference is not None:
        wrapped["ref"] = reference
    return wrapped


def _read_bytes(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_BYTES):
        return base64.b64decode(value[len(_BYTES) :])
    return value


def _write_bytes(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = _BYTES
        if not text.startswith(_BYTES):
            return text
        return _BYTES + base64.b64encode(value).decode()
    return value


def _write_time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (dt.datetime, dt.time)) else value


def _read_datetime(value: Any) -> Any:
    if isinstance(value, str) and value.count(":") > 3:  # a zone with seconds in it
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def _read_time(value: Any) -> Any:
    if isinstance(value, str) and value.count(":") > 3:
        try:
            return dt.time.fromisoformat(value)
        except ValueError:
            return value
    return value


_EXACT: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bytes": (_read_bytes, _write_bytes),
    "datetime": (_read_datetime, _write_time),
    "time": (_read_time, _write_time),
}
