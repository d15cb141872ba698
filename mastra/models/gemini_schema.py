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
        if "$ref" in found:
            ref = str(found["$ref"]).replace("#/definitions/", "#/$defs/")
            description = found.get("description")
            if "default" in found:
                description = with_words(description, {"default": found["default"]})
            if description is None:
                return {"$ref": ref}
            return {"anyOf": [{"$ref": ref}], "description": description}
        parts: Any = found.pop("allOf", None)
        if parts and len(parts) == 1:
            return self._node({**resolved(parts[0], self._root), **found}, inside)
        if parts:
            found["allOf"] = parts
        return self._plain(found, inside)

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
        if "properties" in found:
            fields = as_object(found.pop("properties"))
            made["properties"] = {name: self._node(part, inside) for name, part in fields.items()}
            required = [
                name
                for name in found.pop("required", ())
                if not self._leads_back(fields.get(name), inside)
            ]
            if required:
                made["required"] = required
        elif "required" in found:
            made["required"] = found.pop("required")
        for key in ("items", "additionalProperties"):
            if key in found:
                part = found.pop(key)
                made[key] = part if isinstance(part, bool) else self._node(part, inside)
        if "prefixItems" in found:
            made["prefixItems"] = [self._node(part, inside) for part in found.pop("prefixItems")]

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


def _list_values(found: dict[str, Any], made: dict[str, Any]) -> None:
    """Put in the values that a schema lists: only text and numbers can be."""
    values: list[Any] = [found["const"]] if "const" in found else found["enum"]
    kinds = {kind_of(item) for item in values}
    plain = [item for item in values if kind_of(item) in ("string", "integer", "number")]
    if kinds <= {"string", "integer", "number", "null"}:
        found.pop("const", None)
        found.pop("enum", None)
    if plain and "null" in kinds:
        made.pop("type", None)
        listed: dict[str, Any] = {"enum": plain}
        if len(kinds) == 2:
            listed["type"] = kind_of(plain[0])
        made["anyOf"] = [listed, {"type": "null"}]
    elif plain and len(plain) == len(values):
        made["enum"] = plain
        if len(kinds) == 1:
            made.setdefault("type", kind_of(plain[0]))
    elif len(kinds) == 1:
        made["type"] = kinds.pop()
