"""Whether what one step gives can be what the next one takes, told from their JSON schemas.

Only what is certain is told: a property that is required and never given, or kinds of JSON that
pydantic does not turn into each other. In doubt, a value is accepted and checked when it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from mastra.dataclass import dataclass
from mastra.late import LateModule
from mastra.schema import Schema
from mastra.type_facts import parts_of

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = LateModule("pydantic")

__all__ = ["Clash", "Flow", "Keyed", "Listed", "find_clash"]

Flow: TypeAlias = "Schema[Any] | Keyed | Listed | None"
"""What flows from node to node; `None` where nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """Outputs by step id, as a parallel block or a branch gives them."""

    parts: Mapping[str, Flow]
    is_complete: bool
    """Whether every key is there: a branch gives only what ran."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of what a step gives for each item."""

    item: Flow


@dataclass(frozen=True, slots=True)
class Clash:
    """Where a value cannot be what is wanted."""

    path: str
    """Such as `lines[].price`; empty for the whole value."""
    wanted: str
    """What is wanted there, in words."""
    given: str | None
    """What is given there, in words; `None` where nothing is."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A JSON schema with the definitions that its references are to."""

    schema: dict[str, Any]
    defs: dict[str, Any] = field(default_factory=dict[str, Any])
    parts: Mapping[str, _Shape] | None = None
    """Properties with definitions of their own."""
    item: _Shape | None = None

    def at(self, schema: Any) -> _Shape:
        known = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
        return _Shape(known, self.defs)

    def properties(self) -> dict[str, _Shape]:
        if self.parts is not None:
            return dict(self.parts)
        return {name: self.at(part) for name, part in self.schema.get("properties", {}).items()}


def find_clash(given: Flow, wanted: Schema[Any]) -> Clash | None:
    """Return why a value of one type can never be of another, or `None` where it may be."""
    if given is None or wanted.is_any or _is_same(given, wanted):
        return None
    clash: Clash | None = None
    # By the fields' own names, which is how values are kept; or else as the wire has them, which is
    # tried when a step runs.
    for by_alias in (False, True):
        try:
            target = _Shape(*_split(wanted.json_schema(by_alias=by_alias)))
            core = wanted.adapter.core_schema
            if _has_hooks(core):
                return None
            source = _shape_of(given, by_alias=by_alias)
        except Exception:  # noqa: BLE001 - a type without a JSON schema is checked when it is there
            return None
        found = None if source is None else _Comparison(core).compare(source, target, "")
        if found is None:
            return None
        clash = found
    return clash


def _is_same(given: Flow, wanted: Schema[Any]) -> bool:
    if isinstance(given, Listed):
        return isinstance(given.item, Schema) and bool(wanted.type == list[given.item.type])
    if not isinstance(given, Schema) or given.is_any:
        return isinstance(given, Schema)
    return bool(given.type == wanted.type) or _is_part(given.type, wanted.type)


def _is_part(given: Any, wanted: Any) -> bool:
    """Return whether a model has every field of another, with the same annotations.

    That is what most chains are made of, and told without making JSON schemas.
    """
    if not (isinstance(given, type) and isinstance(wanted, type)):
        return False
    if not (issubclass(given, pydantic.BaseModel) and issubclass(wanted, pydantic.BaseModel)):
        return False
    for name, about in wanted.model_fields.items():
        found = given.model_fields.get(name)
        if found is None or found.annotation != about.annotation:
            return False
    return True


def _split(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return schema, schema.get("$defs", {})


def _shape_of(flow: Flow, *, by_alias: bool) -> _Shape | None:
    match flow:
        case None:
            return None
        case Keyed():
            parts = {
                name: _shape_of(part, by_alias=by_alias) or _Shape({})
                for name, part in flow.parts.items()
            }
            required = list(parts) if flow.is_complete else []
            return _Shape({"type": "object", "required": required}, parts=parts)
        case Listed():
            return _Shape(
                {"type": "array"}, item=_shape_of(flow.item, by_alias=by_alias) or _Shape({})
            )
        case Schema():
            return _Shape(*_split(flow.json_schema("serialization", by_alias=by_alias)))


# -- what pydantic may do to a value before it looks at it -------------------------------------

_HOOKS = frozenset(
    {"function-before", "function-wrap", "function-plain", "call", "named-tuple", "lax-or-strict"}
)


def _parts_of(core: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema inside a core schema."""
    if isinstance(core, dict):
        schema = cast("dict[str, Any]", core)
        yield schema
        for part in parts_of(schema):
            yield from _parts_of(part)
    elif isinstance(core, (list, tuple)):
        for part in cast("Sequence[Any]", core):
            yield from _parts_of(part)


def _has_hooks(core: Any) -> bool:
    """Return whether a validator may turn something else into what the schema describes."""
    return any(part.get("type") in _HOOKS for part in _parts_of(core))


def _other_names(core: Any) -> dict[str, set[str]]:
    """Return under which other names a property is taken, by the name in the JSON schema."""
    names: dict[str, set[str]] = {}
    for part in _parts_of(core):
        fields = part.get("fields")
        if isinstance(fields, dict):
            for name, about in cast("dict[str, Any]", fields).items():
                aliases = _aliases_of(about.get("validation_alias"))
                for alias in aliases:
                    names.setdefault(alias, set()).update({name, *aliases})
    return names


def _aliases_of(alias: Any) -> list[str]:
    if isinstance(alias, str):
        return [alias]
    if isinstance(alias, list):
        paths = cast("list[Any]", alias)
        return [path if isinstance(path, str) else str(path[0]) for path in paths]
    return []


# -- comparing ---------------------------------------------------------------------------------

_NUMBERS = frozenset({"integer", "number"})
# What pydantic makes of JSON of another kind, unless it is strict: the text "3" is a number to it.
_TURNED = {
    "number": frozenset({"integer", "number", "string", "boolean"}),
    "integer": frozenset({"integer", "number", "string", "boolean"}),
    "boolean": frozenset({"boolean", "integer", "number", "string"}),
}


class _Comparison:
    def __init__(self, core: Any) -> None:
        self._core = core
        self._names: dict[str, set[str]] | None = None
        self._known: dict[tuple[int, int], Clash | None] = {}

    def compare(self, given: _Shape, wanted: _Shape, path: str) -> Clash | None:
        given, wanted = _resolved(given), _resolved(wanted)
        pair = (id(given.schema), id(wanted.schema))
        if pair not in self._known:
            # Met again on its own way down, as in a tree of nodes, a pair is no clash of its own.
            self._known[pair] = None
            self._known[pair] = self._compare(given, wanted, path)
        return self._known[pair]

    def _compare(self, given: _Shape, wanted: _Shape, path: str) -> Clash | None:
        choices = _choices(given)
        if len(choices) > 1:
            return self._compare_choices(given, choices, wanted, path)
        options = _choices(wanted)
        if len(options) > 1:
            clashes = [self.compare(given, option, path) for option in options]
            if any(clash is None for clash in clashes):
                return None
            return Clash(path, _words(wanted), _words(given))
        return self._compare_one(given, wanted, path)

    def _compare_choices(
        self, given: _Shape, choices: list[_Shape], wanted: _Shape, path: str
    ) -> Clash | None:
        # As long as one of them fits, a run may go well.
        clashes = [self.compare(choice, wanted, path) for choice in choices]
        if any(clash is None for clash in clashes):
            return None
        return Clash(path, _words(wanted), _words(given))

    def _compare_one(self, given: _Shape, wanted: _Shape, path: str) -> Clash | None:
        source, target = _kind(given), _kind(wanted)
        if source is None or target is None:
            return None
        if not self._may_become(source, target, wanted):
            return Clash(path, _words(wanted), _words(given))
        if source == target == "object":
            return self._compare_objects(given, wanted, path)
        if source == target == "array":
            return self._compare_items(given, wanted, path)
        return _compare_values(given, wanted, path)

    def _may_become(self, source: str, target: str, wanted: _Shape) -> bool:
        if source == target or source in _TURNED.get(target, ()):
            return True
        if source in _NUMBERS and target == "string":
            # Moments are taken as numbers, and a model may say that texts are.
            return "format" in wanted.schema or "coerce_numbers_to_str" in str(self._core)
        return False

    def _compare_objects(self, given: _Shape, wanted: _Shape, path: str) -> Clash | None:
        parts = given.properties()
        is_open, extra = _is_open(given), given.schema.get("additionalProperties")
        always = set(given.schema.get("required", ()))
        required = set(wanted.schema.get("required", ()))
        for name, target in wanted.properties().items():
            found = next((known for known in self._names_of(name) if known in parts), None)
            where = f"{path}.{name}" if path else name
            if found is None and name in required and not is_open:
                return Clash(where, _words(target), None)
            if name in required or found in always:
                source = given.at(extra) if found is None else parts[found]
                clash = self.compare(source, target, where)
                if clash is not None:
                    return clash
        return None

    def _names_of(self, name: str) -> list[str]:
        if self._names is None:
            self._names = _other_names(self._core)
        return [name, *self._names.get(name, ())]

    def _compare_items(self, given: _Shape, wanted: _Shape, path: str) -> Clash | None:
        source = given.item or given.at(given.schema.get("items"))
        return self.compare(source, wanted.at(wanted.schema.get("items")), f"{path}[]")


def _compare_values(given: _Shape, wanted: _Shape, path: str) -> Clash | None:
    possible, allowed = _values(given), _values(wanted)
    if possible is None or allowed is None:
        return None
    if {str(value) for value in possible} & {str(value) for value in allowed}:
        return None
    return Clash(path, _words(wanted), _words(given))


def _resolved(shape: _Shape) -> _Shape:
    schema = shape.schema
    while "$ref" in schema:
        schema = shape.defs.get(schema["$ref"].rpartition("/")[2], {})
    if schema is shape.schema:
        return shape
    return _Shape(schema, shape.defs)


def _choices(shape: _Shape) -> list[_Shape]:
    schema = shape.schema
    found = schema.get("anyOf") or schema.get("oneOf")
    return [shape.at(part) for part in found] if found else [shape]


def _values(shape: _Shape) -> list[Any] | None:
    if "const" in shape.schema:
        return [shape.schema["const"]]
    return shape.schema.get("enum")


def _kind(shape: _Shape) -> str | None:
    kind = shape.schema.get("type")
    return kind if isinstance(kind, str) else None


def _is_open(shape: _Shape) -> bool:
    """Return whether an object may have properties that its schema does not name."""
    schema = shape.schema
    if shape.parts is not None:
        return False
    return "properties" not in schema or bool(schema.get("additionalProperties"))


def _words(shape: _Shape) -> str:
    """Return a schema in a word or two."""
    shape = _resolved(shape)
    choices = _choices(shape)
    if len(choices) > 1:
        return " or ".join(dict.fromkeys(_words(choice) for choice in choices))
    values = _values(shape)
    if values is not None:
        return " or ".join(repr(value) for value in values)
    kind = _kind(shape) or "anything"
    if kind == "array":
        item = shape.item or shape.at(shape.schema.get("items"))
        return f"list of {_words(item)}" if item.schema else "list"
    return str(shape.schema.get("title") or kind) if kind == "object" else kind
