"""JSON Schemas in the dialect that Gemini takes, for functions and for answers.

It knows a part of the keywords (Google lists them for `responseJsonSchema`); the others are told in
words. A reference stands alone, and one that leads back to where it is must not be demanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from mastra.jsonable import Json
from mastra.models.schema_parts import (
    as_object,
    branches_of,
    input_schema,
    kind_of,
    kinds_of,
    resolved,
    with_words,
)

__all__ = ["answer_schema", "function_schema"]

_KEPT: Final = frozenset((
    "$anchor", "$id", "maxItems", "maximum", "minItems", "minimum", "propertyOrdering", "title", "type",
))  # fmt: skip
_FORMATS: Final = frozenset(("date", "date-time", "time"))
_DROPPED: Final = frozenset((
    "$comment", "$schema", "deprecated", "discriminator", "example", "examples", "readOnly",
    "writeOnly",
))  # fmt: skip
_BESIDE: Final = frozenset(("$defs", "$ref", "definitions", "description", "nullable", "title"))
"""What needs no words beside a reference."""
_LISTED: Final = frozenset(("integer", "null", "number", "string"))
"""Types whose values can be listed."""
_LOWEST: Final = (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1))


def function_schema(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return the schema of a function's input: of an object, with no alternatives at its top."""
    return _Dialect(schema).whole(input_schema(schema))


def answer_schema(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return the schema of an answer."""
    return _Dialect(schema).whole(dict(schema))


class _Dialect:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._reach: dict[str, set[str]] = {}

    def whole(self, top: dict[str, Any]) -> dict[str, Json]:
        inside = self._root.get("$ref", "#")
        own = {key: part for key, part in top.items() if key != "$ref"}
        if "$ref" in top:
            own = {**resolved(top, self._root), **own}
        made = self._node(own, inside)
        definitions = {
            name: self._node(part, f"#/{key}/{name}")
            for key in ("$defs", "definitions")
            for name, part in as_object(self._root.get(key)).items()
        }
        if definitions:
            made["$defs"] = definitions
        return made

    def _node(self, schema: Any, inside: str) -> Any:
        """Return a schema in the dialect.

        Args:
            schema: It.
            inside: The reference by which what it is a part of is found.
        """
        if isinstance(schema, bool):
            return {} if schema else {"enum": []}
        found = as_object(schema)
        parts: Any = found.get("allOf")
        if parts and len(parts) == 1:
            # How a reference gets words of its own in older schemas. It stays a reference: written
            # out, one that leads back to where it is would have no end.
            del found["allOf"]
            return self._node({**as_object(parts[0]), **found}, inside)
        return _reference(found) if "$ref" in found else self._plain(found, inside)

    def _plain(self, found: dict[str, Any], inside: str) -> dict[str, Any]:
        for key in (*_DROPPED, "$defs", "definitions"):
            found.pop(key, None)
        made: dict[str, Any] = {key: found.pop(key) for key in _KEPT if key in found}
        description = found.pop("description", None)
        if found.pop("nullable", None) is True and isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
        several = branches_of(found)
        if several:
            made["anyOf"] = [self._node(item, inside) for item in several]
            found.pop("anyOf", None)
            found.pop("oneOf", None)
        if "const" in found or isinstance(found.get("enum"), list):
            _list_values(found, made)
        if found.get("format") in _FORMATS:
            made["format"] = found.pop("format")
        self._members(found, made, inside)
        if kinds_of(made) == ["integer"]:
            for key, kept, step in _LOWEST:
                if isinstance(found.get(key), int) and kept not in made:
                    made[kept] = found.pop(key) + step
        told = {key: part for key, part in found.items() if not key.startswith("x-")}
        words = with_words(description, told)
        if words:
            made["description"] = words
        return made

    def _members(self, found: dict[str, Any], made: dict[str, Any], inside: str) -> None:
        fields = as_object(found.get("properties"))
        if "properties" in found:
            del found["properties"]
            made["properties"] = {name: self._node(part, inside) for name, part in fields.items()}
        if isinstance(found.get("required"), list):
            demanded: list[Any] = found.pop("required")
            known = [name for name in demanded if name in fields]
            required = [name for name in known if not self._leads_back(fields[name], inside)]
            if required:
                made["required"] = required
            if len(known) < len(demanded):
                # A demanded field that stands nowhere fails the whole request: it is told.
                found["required"] = [name for name in demanded if name not in fields]
        for key in ("items", "additionalProperties"):
            if key in found:
                part = found.pop(key)
                made[key] = part if isinstance(part, bool) else self._node(part, inside)
        if "prefixItems" in found:
            made["prefixItems"] = [self._node(part, inside) for part in found.pop("prefixItems")]
        if "array" in kinds_of(made) and not {"items", "prefixItems"} & set(made):
            made["items"] = {}  # what a list holds has to be said, though it is anything

    def _leads_back(self, schema: Any, inside: str) -> bool:
        return any(inside in self._reached(ref) for ref in _references(schema))

    def _reached(self, ref: str) -> set[str]:
        """Return all that a reference leads to."""
        found = self._reach.get(ref)
        if found is None:
            found, waiting = {ref}, [ref]
            while waiting:
                for further in _references(resolved({"$ref": waiting.pop()}, self._root)):
                    if further not in found:
                        found.add(further)
                        waiting.append(further)
            self._reach[ref] = found
        return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, part in cast("Mapping[str, Any]", schema).items():
            if key == "$ref" and isinstance(part, str):
                yield part
            elif key not in ("$defs", "definitions"):
                yield from _references(part)
    elif isinstance(schema, list):
        for part in cast("list[Any]", schema):
            yield from _references(part)


def _reference(found: dict[str, Any]) -> dict[str, Any]:
    """Return a reference, which stands alone; what stands beside it is told."""
    made: dict[str, Any] = {"$ref": str(found["$ref"]).replace("#/definitions/", "#/$defs/")}
    told = {
        key: part
        for key, part in found.items()
        if key not in _BESIDE and key not in _DROPPED and not key.startswith("x-")
    }
    words = with_words(found.get("description"), told)
    may_be_null = found.get("nullable") is True
    if words is None and not may_be_null:
        return made
    several = [made, {"type": "null"}] if may_be_null else [made]
    return {"anyOf": several} if words is None else {"anyOf": several, "description": words}


def _list_values(found: dict[str, Any], made: dict[str, Any]) -> None:
    """Put in the values that a schema lists: only text and numbers can be, and null beside them."""
    values: list[Any] = [found["const"]] if "const" in found else found["enum"]
    kinds = {kind_of(item) for item in values}
    if not kinds <= _LISTED:
        if len(kinds) == 1:
            made["type"] = kinds.pop()
        return
    found.pop("const", None)
    found.pop("enum", None)
    plain = [item for item in values if item is not None]
    if plain and "null" in kinds:
        made.pop("type", None)
        listed: dict[str, Any] = {"enum": plain}
        if len(kinds) == 2:
            listed["type"] = kind_of(plain[0])
        made["anyOf"] = [listed, {"type": "null"}]
    elif plain:
        made["enum"] = plain
        if len(kinds) == 1:
            made.setdefault("type", kind_of(plain[0]))
    else:
        made["type"] = "null"
