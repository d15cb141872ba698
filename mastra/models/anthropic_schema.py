"""JSON Schemas in the dialects that Anthropic takes, for tools and for answers.

A tool's input takes nearly any schema of an object. Held strictly to a schema, a model takes few
keywords: the others are told in words, and the agent checks the answer against the whole schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.jsonable import Json
from mastra.models.schema_parts import COMBINED, as_object, resolved, with_words

__all__ = ["can_be_strict", "strict_schema"]

_FORMATS: Final = frozenset(
    (
        "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
    )
)  # fmt: skip
_PLAIN: Final = (str, int, float, bool, type(None))


def can_be_strict(schema: Mapping[str, Any]) -> bool:
    """Return whether a model that is held to a schema can still say all that the schema allows.

    It cannot where names are open, where anything is allowed, and where a schema holds itself.
    """
    return _is_closed(schema, schema, (), set())


def _is_closed(
    schema: Any, root: Mapping[str, Any], above: tuple[str, ...], closed: set[str]
) -> bool:
    if not isinstance(schema, Mapping):
        return False
    known = cast("Mapping[str, Any]", schema)
    if isinstance(known.get("$ref"), str):
        return _is_closed_reference(known, root, above, closed)
    parts = [item for key in COMBINED for item in known.get(key) or ()]
    if not parts and not {"type", "properties", "items"} & set(known) and not _lists(known):
        return False
    kind = known.get("type")
    kinds: list[Any] = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
    if "object" in kinds or "properties" in known:
        properties: Mapping[str, Any] = known.get("properties") or {}
        open_to: Any = known.get("additionalProperties")
        if isinstance(open_to, Mapping) or (not properties and open_to is not False):
            return False
        parts += properties.values()
    if "array" in kinds or "items" in known:
        if "items" not in known or "prefixItems" in known:
            return False
        parts.append(known["items"])
    return all(_is_closed(part, root, above, closed) for part in parts)


def _is_closed_reference(
    schema: Mapping[str, Any], root: Mapping[str, Any], above: tuple[str, ...], closed: set[str]
) -> bool:
    ref: str = schema["$ref"]
    if ref not in closed:
        if not ref.startswith("#/") or ref in above:
            return False
        if not _is_closed(resolved(schema, root), root, (*above, ref), closed):
            return False
        closed.add(ref)
    return True


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return a schema that a model can be held to; what it cannot be held to is told in words."""
    left: dict[str, Any] = {key: value for key, value in schema.items() if key != "$schema"}
    found: dict[str, Any] = {}
    _definitions(found, left)
    if "$ref" in left:
        return {**found, "$ref": left["$ref"]}
    kind = left.pop("type", None)
    for key in _lists(left):
        found[key] = left.pop(key)  # values say their types themselves
    has_values = "enum" in found or "const" in found
    if isinstance(kind, list) and not has_values:
        return _several(found, left, cast("list[str]", kind))
    _alternatives(found, left)
    if not has_values:
        kind = cast("str | None", kind or _guessed(left))
        if kind is not None:
            found["type"] = kind
        _kept(found, left, kind)
    for key in ("title", "description"):
        if key in left:
            found[key] = left.pop(key)
    told = {key: value for key, value in left.items() if key not in ("discriminator", "examples")}
    if told:
        found["description"] = cast("str", with_words(found.get("description"), told))
    return found


def _part(schema: object) -> Json:
    # `true` and `false` are schemas too.
    return schema if isinstance(schema, bool) else strict_schema(as_object(schema))


def _several(found: dict[str, Any], left: dict[str, Any], kinds: list[str]) -> dict[str, Json]:
    """Return alternatives for a schema with a list of types."""
    shared = {key: left.pop(key) for key in ("title", "description") if key in left}
    return {**found, **shared, "anyOf": [strict_schema({**left, "type": kind}) for kind in kinds]}


def _definitions(found: dict[str, Any], left: dict[str, Any]) -> None:
    for key in ("$defs", "definitions"):
        if key in left:
            found[key] = {name: _part(item) for name, item in left.pop(key).items()}


def _alternatives(found: dict[str, Any], left: dict[str, Any]) -> None:
    for key in COMBINED:
        branches = left.pop(key, None)
        if branches and "anyOf" not in found:
            found["allOf" if key == "allOf" else "anyOf"] = [_part(item) for item in branches]


def _lists(schema: Mapping[str, Any]) -> list[str]:
    """Return under which keywords a schema lists values that a model can be held to."""
    values: Any = schema.get("enum")
    found: list[str] = []
    if isinstance(values, list) and values:
        items = cast("list[Any]", values)
        if all(isinstance(item, _PLAIN) for item in items):
            found.append("enum")
    if "const" in schema and isinstance(schema["const"], _PLAIN):
        found.append("const")
    return found


def _guessed(left: Mapping[str, Any]) -> str | None:
    """Return the type of a schema that names none."""
    if "properties" in left:
        return "object"
    if "items" in left or "prefixItems" in left:
        return "array"
    return None


def _kept(found: dict[str, Any], left: dict[str, Any], kind: str | None) -> None:
    """Move over what holds for a type."""
    match kind:
        case "object":
            properties: dict[str, Any] = left.pop("properties", None) or {}
            found["properties"] = {name: _part(item) for name, item in properties.items()}
            left.pop("additionalProperties", None)
            found["additionalProperties"] = False
            if "required" in left:
                found["required"] = left.pop("required")
        case "array":
            if "items" in left:
                found["items"] = _part(left.pop("items"))
            if left.get("minItems") in (0, 1):
                found["minItems"] = left.pop("minItems")
        case "string":
            if left.get("format") in _FORMATS:
                found["format"] = left.pop("format")
        case _:
            pass
