"""JSON Schemas of other dialects, in the words of draft 2020-12, which every provider takes.

Google writes types in capitals and, in Python, keywords with underscores. OpenAPI 3.0 says `nullable`, and
older drafts have other words for tuples and open limits. A provider refuses the whole request for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.jsonable import Json
from mastra.models.schema_parts import COMBINED, branches_of, kinds_of

__all__ = ["standard"]

_TYPES: Final = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_KEYWORDS: Final = {
    "additional_properties": "additionalProperties",
    "any_of": "anyOf",
    "max_items": "maxItems",
    "max_length": "maxLength",
    "max_properties": "maxProperties",
    "min_items": "minItems",
    "min_length": "minLength",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
}
"""As the SDK of Google dumps its schemas."""
_NAMED: Final = (
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies",
)  # fmt: skip
_PARTS: Final = frozenset((
    *COMBINED, "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not",
    "prefixItems", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
))  # fmt: skip
_MAY_BE_NULL: Final = frozenset(("const", "default", "example", "examples"))
_NARROWING: Final = frozenset((*COMBINED, "$ref", "const"))
"""What null would have to meet, beside a type that it meets."""
_BESIDE: Final = frozenset(("anyOf", "default", "description", "title"))
_LIMITS: Final = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))


def standard(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return a schema in the words of draft 2020-12; as it is, where it has no others.

    The AI SDK's `jsonSchema()` is JSON in which the schema is under that name.
    """
    if isinstance(schema.get("jsonSchema"), Mapping):
        schema = cast("Mapping[str, Any]", schema["jsonSchema"])
    found = cast("dict[str, Json]", _standard(schema))
    if found == schema:
        return dict(schema)
    found.pop("$schema", None)  # it names the dialect that it was in
    return found


def _standard(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return [_standard(item) for item in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    found: dict[str, Any] = {}
    for given, part in cast("Mapping[str, Any]", node).items():
        key = _KEYWORDS.get(given, given)
        if part is None and key not in _MAY_BE_NULL:
            continue  # of a model that was dumped with what it leaves open
        if key in _NAMED and isinstance(part, Mapping):
            fields = cast("Mapping[str, Any]", part).items()
            found[key] = {name: _standard(field) for name, field in fields}
        else:
            found[key] = _standard(part) if key in _PARTS else part
    _write_types(found)
    _write_older(found)
    return _or_null(found) if found.get("nullable") is True else found


def _write_types(found: dict[str, Any]) -> None:
    kinds = kinds_of(found)
    # `lower` of the text itself: that of an enumeration's member is not its name's.
    lower = [kind.lower() if kind.lower() in _TYPES else kind for kind in kinds]
    if kinds:
        found["type"] = lower if isinstance(found["type"], list) else lower[0]


def _write_older(found: dict[str, Any]) -> None:
    """Write what drafts up to 4 say of limits, and up to 2019-09 of tuples."""
    for exclusive, limit in _LIMITS:
        if isinstance(found.get(exclusive), bool):
            is_open = found.pop(exclusive)
            if is_open and limit in found:
                found[exclusive] = found.pop(limit)
    if isinstance(found.get("items"), list):
        first = found.pop("items")
        if first:
            found["prefixItems"] = first
        if "additionalItems" in found:
            found["items"] = found.pop("additionalItems")


def _or_null(found: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that null meets as well, as `nullable` says."""
    del found["nullable"]
    null = {"type": "null"}
    kinds = kinds_of(found)
    if kinds and not set(found) & _NARROWING:
        found["type"] = kinds if "null" in kinds else [*kinds, "null"]
        if isinstance(found.get("enum"), list) and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]
        return found
    if "anyOf" in found and set(found) <= _BESIDE:
        several = branches_of(found)
        return {**found, "anyOf": several if null in several else [*several, null]}
    return {"anyOf": [found, null]}
