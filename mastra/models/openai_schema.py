"""JSON Schemas in the form that OpenAI holds a model to (`strict`).

It demands every field, allows no others, and takes few keywords: the others are told in words, and
the agent checks the answer against the whole schema. What may be left out becomes what may be null.
A schema that lets through more than a list of fields (`dict[str, int]`, `Any`) has no such form, and
the model is shown it as it is, without being held to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import orjson

from mastra.jsonable import Json
from mastra.models.schema_parts import (
    as_object,
    branches_of,
    kind_of,
    kinds_of,
    resolved,
    takes_null,
    with_words,
)

__all__ = ["strict_form"]

_FORMATS: Final = frozenset((
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid",
))  # fmt: skip
_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "string": (),
    "integer": ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"),
    "number": ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"),
    "boolean": (),
    "null": (),
}
"""What OpenAI takes for a type that has no parts."""
_TOLD: Final = (
    "contentEncoding", "contentMediaType", "format", "maxLength", "minLength", "pattern",
    "uniqueItems",
)  # fmt: skip
"""What it takes nowhere or not always, and words can say."""
_SHAPING: Final = frozenset((
    "$dynamicRef", "contains", "dependencies", "dependentRequired", "dependentSchemas", "else", "if",
    "maxProperties", "minProperties", "not", "patternProperties", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
))  # fmt: skip
"""What words cannot say."""
_PARTS: Final = frozenset(("const", "enum", "items", "prefixItems", "properties"))
"""What cannot stand beside alternatives."""
_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LOOKS_AROUND: Final = re.compile(r"\(\?<?[=!]")
_MOST_NODES: Final = 20_000
_MOST_FIELDS: Final = 5000
_MOST_VALUES: Final = 1000
_MOST_LEVELS: Final = 10
_LONGEST: Final = 120_000
"""Characters of all names and values."""
_MANY_VALUES: Final = 250
_LONGEST_MANY: Final = 15_000
"""Characters of the values of one enumeration that has many."""


class _NoFormError(Exception):
    """A schema has no strict form."""


def strict_form(schema: Mapping[str, Any]) -> dict[str, Json] | None:
    """Return the form of a schema that a model can be held to; `None` where there is none.

    The result is shared: it is not to be changed.
    """
    try:
        return _made(orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError):
        return None  # not JSON: the request will say so


@lru_cache(maxsize=256)
def _made(schema: bytes) -> dict[str, Json] | None:
    try:
        return _StrictForm(orjson.loads(schema)).whole()
    except _NoFormError:
        return None


class _StrictForm:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._nodes = 0
        self._fields = 0
        self._values = 0
        self._characters = 0

    def whole(self) -> dict[str, Json]:
        made = self._node(_unwrapped(self._root, self._root), ())
        if made.get("type") != "object":
            raise _NoFormError
        if self._definitions:
            made["$defs"] = self._definitions
        self._check_size(made)
        return made

    def _check_size(self, made: dict[str, Any]) -> None:
        if (
            self._fields > _MOST_FIELDS
            or self._values > _MOST_VALUES
            or self._characters > _LONGEST
            or _levels(made, made, {}) > _MOST_LEVELS
        ):
            raise _NoFormError

    def _node(self, schema: Any, above: tuple[str, ...]) -> dict[str, Any]:
        """Return the form of a schema.

        Args:
            schema: It.
            above: The references inside of which it is.
        """
        found = as_object(schema)
        self._nodes += 1  # references with words of their own are written out, each time
        if not found or _SHAPING & set(found) or self._nodes > _MOST_NODES:
            raise _NoFormError
        if found.pop("nullable", None) is True:
            return _or_null(self._node(found, above))
        if "$ref" in found:
            return self._reference(found, above)
        parts: Any = found.pop("allOf", None)
        if parts:
            return self._node(_together(found, parts, self._root), above)
        return self._plain(found, above)

    def _plain(self, found: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        told = {key: found[key] for key in _TOLD if key in found}
        several = branches_of(found)
        kinds = kinds_of(found)
        if several:
            if _PARTS & set(found):
                raise _NoFormError
            made["anyOf"] = [self._node(item, above) for item in several]
        elif "enum" in found or "const" in found:
            made.update(self._listed(found))
        elif len(kinds) > 1:
            rest = {key: part for key, part in found.items() if key not in ("title", "description")}
            made["anyOf"] = [self._node({**rest, "type": kind}, above) for kind in kinds]
            told = {}
        else:
            kind = kinds[0] if kinds else _guessed(found)
            made["type"] = kind
            self._of_kind(kind, found, made, told, above)
        for key in ("title", "description"):
            if isinstance(found.get(key), str):
                made[key] = found[key]
        description = with_words(made.get("description"), told)
        if description is not None:
            made["description"] = description
        return made

    def _of_kind(
        self,
        kind: str,
        found: dict[str, Any],
        made: dict[str, Any],
        told: dict[str, Any],
        above: tuple[str, ...],
    ) -> None:
        match kind:
            case "object":
                told.clear()
                self._object(found, made, above)
            case "array":
                self._array(found, made, above)
            case "string":
                if told.get("format") in _FORMATS:
                    made["format"] = told.pop("format")
                pattern = told.get("pattern")
                if isinstance(pattern, str) and not _LOOKS_AROUND.search(pattern):
                    made["pattern"] = told.pop("pattern")
            case _ if kind in _LIMITS:
                told.clear()
                made.update(
                    {key: found[key] for key in _LIMITS[kind] if _is_number(found.get(key))}
                )
            case _:
                raise _NoFormError

    def _object(self, found: dict[str, Any], made: dict[str, Any], above: tuple[str, ...]) -> None:
        properties = found.get("properties")
        more = found.get("additionalProperties", False)
        if more is not False or (properties is None and "additionalProperties" not in found):
            raise _NoFormError
        fields = as_object(properties)
        required: list[str] = found.get("required") or []
        if set(required) - set(fields):
            raise _NoFormError
        made["properties"] = {
            name: self._field(part, above, is_optional=name not in required)
            for name, part in fields.items()
        }
        made["required"] = list(fields)
        made["additionalProperties"] = False
        self._fields += len(fields)
        self._characters += sum(map(len, fields))

    def _field(self, schema: Any, above: tuple[str, ...], *, is_optional: bool) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            raise _NoFormError
        found = dict(cast("Mapping[str, Any]", schema))
        default = found.pop("default", None)
        made = self._node(found, above)
        if is_optional and not takes_null(found, self._root):
            made = _or_null(made)
        if default is not None:
            if "$ref" in made:
                made = {"anyOf": [made]}
            words: Any = with_words(cast("Any", made.get("description")), {"default": default})
            made["description"] = words
        return made

    def _array(self, found: dict[str, Any], made: dict[str, Any], above: tuple[str, ...]) -> None:
        first = [_untitled(item) for item in found.get("prefixItems") or ()]
        items: Any = found.get("items")
        if first:
            # A tuple has a form where all of its items are alike.
            if any(item != first[0] for item in first) or items not in (None, False, first[0]):
                raise _NoFormError
            if items != first[0]:
                if found.get("maxItems") != len(first) and items is not False:
                    raise _NoFormError
                found.setdefault("maxItems", len(first))
            items = first[0]
            found.setdefault("minItems", len(first))
        made["items"] = self._node(items, above)
        for key in ("minItems", "maxItems"):
            if _is_number(found.get(key)):
                made[key] = found[key]

    def _listed(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the form of a schema that lists its values."""
        values: list[Any] = [found["const"]] if "const" in found else list(found["enum"])
        if not values or any(isinstance(item, (list, dict)) for item in values):
            raise _NoFormError
        strings = [item for item in values if isinstance(item, str)]
        self._values += len(values)
        self._characters += sum(map(len, strings))
        if len(values) > _MANY_VALUES and sum(map(len, strings)) > _LONGEST_MANY:
            raise _NoFormError
        groups: dict[str, list[Any]] = {}
        for item in values:
            groups.setdefault(kind_of(item), []).append(item)
        made: list[dict[str, Any]] = []
        for kind, items in groups.items():
            if kind == "null":
                made.append({"type": "null"})
            elif "const" in found:
                made.append({"type": kind, "const": items[0]})
            else:
                made.append({"type": kind, "enum": items})
        return made[0] if len(made) == 1 else {"anyOf": made}

    def _reference(self, found: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
        """Return a reference, which stands alone; with words of its own, what it refers to."""
        ref: Any = found["$ref"]
        target = resolved(found, self._root)
        if not isinstance(ref, str) or not ref.startswith("#") or not target:
            raise _NoFormError
        own = {key: part for key, part in found.items() if key not in ("$ref", "title", "default")}
        if own and ref not in above:
            return self._node({**target, **own}, (*above, ref))
        made = {"$ref": self._defined(ref, target)}
        if isinstance(own.get("description"), str):
            return {"anyOf": [made], "description": own["description"]}
        return made

    def _defined(self, ref: str, target: dict[str, Any]) -> str:
        """Return where a definition is, which is made on its first use."""
        name = self._names.get(ref)
        if name is None:
            stem = _NAMES.sub("_", ref.rpartition("/")[2].strip("#")) or "Root"
            name = stem
            while name in self._definitions:
                name += "_"
            self._names[ref] = name
            self._characters += len(name)
            self._definitions[name] = {}
            inner = {key: part for key, part in target.items() if key != "$defs"}
            self._definitions[name] = self._node(inner, (ref,))
        return f"#/$defs/{name}"


def _unwrapped(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the top of a schema comes to, where it only leads to something else."""
    found = dict(schema)
    for _ in range(8):
        if "$ref" in found:
            own = {key: part for key, part in found.items() if key != "$ref"}
            found = {**resolved(found, root), **own}
            continue
        several = branches_of(found)
        if len(several) != 1:
            break
        rest = {key: part for key, part in found.items() if key not in ("anyOf", "oneOf")}
        found = {**as_object(several[0]), **rest}
    return found


def _together(own: dict[str, Any], parts: list[Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return one schema for several that hold together: of objects, with fields of their own."""
    if len(parts) == 1 and not set(own) - {"title", "description", "default"}:
        return {**as_object(parts[0]), **own}
    merged = dict(own)
    for part in parts:
        found = _unwrapped(as_object(part), root)
        fields, known = as_object(found.get("properties")), as_object(merged.get("properties"))
        if any(name in known and known[name] != field for name, field in fields.items()):
            raise _NoFormError
        if set(found) - {"type", "properties", "required", "title", "description"}:
            raise _NoFormError
        merged["properties"] = {**known, **fields}
        merged["required"] = [*merged.get("required", ()), *found.get("required", ())]
        merged.setdefault("type", "object")
    return merged


def _untitled(schema: Any) -> dict[str, Any]:
    # The fields of a named tuple have titles, by which like ones differ.
    return {key: part for key, part in as_object(schema).items() if key != "title"}


def _guessed(found: Mapping[str, Any]) -> str:
    if "properties" in found:
        return "object"
    if "items" in found or "prefixItems" in found:
        return "array"
    raise _NoFormError


def _or_null(made: dict[str, Any]) -> dict[str, Any]:
    words = {key: made.pop(key) for key in ("title", "description") if key in made}
    several = made["anyOf"] if set(made) == {"anyOf"} else [made]
    if {"type": "null"} not in several:
        several = [*several, {"type": "null"}]
    return {"anyOf": several, **words}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _levels(node: Any, root: Mapping[str, Any], known: dict[str, int]) -> int:
    """Return how many objects and lists are inside of each other."""
    if not isinstance(node, Mapping):
        return 0
    found = cast("Mapping[str, Any]", node)
    ref = found.get("$ref")
    if isinstance(ref, str):
        if ref not in known:
            known[ref] = 0  # while it is looked at: what leads back to itself has no end
            known[ref] = _levels(resolved(found, root), root, known)
        return known[ref]
    parts = [*as_object(found.get("properties")).values(), found.get("items")]
    inner = max((_levels(part, root, known) for part in parts), default=0)
    several = max((_levels(part, root, known) for part in branches_of(found)), default=0)
    return max(several, inner + (found.get("type") in ("object", "array")))
