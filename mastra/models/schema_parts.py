"""Reading JSON Schemas: what they refer to, and what is left out of a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote

import orjson

from mastra.jsonable import Json, load_json

__all__ = [
    "COMBINED", "as_object", "branches_of", "input_schema", "is_moderate", "is_object", "kind_of",
    "kinds_of", "leaves_out", "resolved", "said", "takes_null", "with_words", "without_nulls",
    "without_text",
]  # fmt: skip

COMBINED: Final = ("anyOf", "oneOf", "allOf")
_MOST_REFS: Final = 16
"""References that lead to references, one after the other."""
_MOST_PARTS: Final = 20_000
_MOST_DEPTH: Final = 200
_MOST_LOOKS: Final = 100_000
"""How often one value is held against a part of its schema."""


def as_object(value: object) -> dict[str, Any]:
    """Return a schema's part as a dict of its own; an empty one for what is none."""
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema refers to, where that is in its root."""
    found = as_object(schema)
    for _ in range(_MOST_REFS):
        ref: Any = found.get("$ref")
        if not isinstance(ref, str) or not ref.startswith("#"):
            break
        target: Any = root
        for name in ref[1:].split("/")[1:]:
            key = unquote(name).replace("~1", "/").replace("~0", "~")
            target = as_object(target).get(key)
        found = as_object(target)
    return found


def branches_of(schema: Mapping[str, Any]) -> list[Any]:
    """Return the alternatives of a schema, if it has some."""
    found: Any = schema.get("anyOf") or schema.get("oneOf")
    return list(cast("list[Any]", found)) if isinstance(found, list) else []


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names."""
    kind: Any = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    return [str(item) for item in cast("list[Any]", kind)] if isinstance(kind, list) else []


def kind_of(value: object) -> str:
    """Return the type of a value, as schemas call it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"


def takes_null(schema: Any, root: Mapping[str, Any]) -> bool:
    """Return whether null is a value of a schema."""
    return _takes_null(schema, root, {})


def _takes_null(schema: Any, root: Mapping[str, Any], known: dict[str, bool]) -> bool:
    found = as_object(schema)
    ref = found.get("$ref")
    if not isinstance(ref, str):
        return _node_takes_null(found, root, known)
    if found.get("nullable") is True:
        return True
    if ref not in known:
        known[ref] = False  # while it is looked at: what leads back to itself says nothing
        known[ref] = _node_takes_null(resolved(schema, root), root, known)
    return known[ref]


def _node_takes_null(
    found: dict[str, Any], root: Mapping[str, Any], known: dict[str, bool]
) -> bool:
    if "const" in found:
        return found["const"] is None
    if isinstance(found.get("enum"), list):
        return None in found["enum"]
    if found.get("nullable") is True:
        return True
    if "type" in found:
        return "null" in kinds_of(found)
    several = branches_of(found)
    if several:
        return any(_takes_null(item, root, known) for item in several)
    parts: Any = found.get("allOf")
    if parts:
        return all(_takes_null(item, root, known) for item in parts)
    return "properties" not in found and "items" not in found


def said(value: Any) -> str:
    """Return a keyword's value in words."""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def with_words(description: str | None, told: Mapping[str, Any]) -> str | None:
    """Return a description that tells what keywords cannot."""
    if not told:
        return description
    words = "{" + ", ".join(f"{key}: {said(value)}" for key, value in told.items()) + "}"
    return "\n\n".join(filter(None, (description, words)))


# -- objects at the top ---------------------------------------------------------------------


def is_object(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema is plainly one of an object."""
    return schema.get("type") == "object"


def input_schema(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return the schema of a tool's input: of an object, with no alternatives at its top.

    Providers refuse `anyOf`, `oneOf` and `allOf` there. Alternatives become one object with all of
    their properties; what each of them demands is demanded.
    """
    found = dict(schema)
    for key in COMBINED:
        branches = found.pop(key, None)
        if branches:
            found = _merged(found, [resolved(item, schema) for item in branches], key)
    if "$ref" in found:
        found = {**resolved(found, schema), **{k: v for k, v in found.items() if k != "$ref"}}
    found["type"] = "object"
    found.setdefault("properties", {})
    return found


def _merged(base: dict[str, Any], branches: list[dict[str, Any]], key: str) -> dict[str, Any]:
    properties: dict[str, Any] = dict(base.get("properties") or {})
    demands: list[set[str]] = []
    for branch in branches:
        for name, schema in as_object(branch.get("properties")).items():
            known: Any = properties.get(name)
            if known is None or known == schema:
                properties[name] = schema
            else:
                known_all = known.get("anyOf") if set(known) == {"anyOf"} else [known]
                properties[name] = {"anyOf": [*known_all, schema]}
        demands.append(set(branch.get("required") or ()))
    own = set(base.get("required") or ())
    together = set[str].union(*demands) if key == "allOf" else set[str].intersection(*demands)
    required = [name for name in properties if name in own | together]
    merged = {**base, "properties": properties}
    if required:
        merged["required"] = required
    if key != "allOf" and len(branches) > 1:
        # Which properties go together is lost, so it is told.
        words = f"Exactly as one of: {orjson.dumps(branches).decode()}"
        merged["description"] = "\n\n".join(filter(None, (base.get("description"), words)))
    return merged


# -- what was left out -------------------------------------------------------------------------


def leaves_out(schema: Mapping[str, Any]) -> bool:
    """Return whether a value of a schema may leave out a field that cannot be null."""
    return any(True for _ in _optional(schema, schema, set()))


def _optional(schema: Any, root: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    ref = as_object(schema).get("$ref")
    if isinstance(ref, str):
        if ref in seen:
            return
        seen.add(ref)
    found = resolved(schema, root)
    required: Any = found.get("required")
    needed = cast("list[Any]", required if isinstance(required, list) else [])
    for name, field in as_object(found.get("properties")).items():
        if name not in needed and not takes_null(field, root):
            yield name
        yield from _optional(field, root, seen)
    for part in _parts(found):
        yield from _optional(part, root, seen)


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in (*COMBINED, "prefixItems"):
        yield from schema.get(key) or ()
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield schema[key]


def without_nulls(value: Any, schema: Any, root: Mapping[str, Any]) -> Json:
    """Return a value without the fields that are null and cannot be.

    A model that has to give every field gives null for what it leaves out, and the field's default
    holds, as if it had not been given.

    Args:
        value: What the model gave.
        schema: Of the value, as it was before every field was demanded.
        root: Where the definitions are.
    """
    try:
        return _Nulls(root).without(value, schema)
    except _TooLargeError:
        return value


def without_text(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """Return a value with the lists and objects in it that were given as JSON text.

    Models write `"[1, 2]"` where a schema asks for a list. What may be text stays text.

    Args:
        value: What the model gave.
        schema: Of the value.
        root: Where the definitions are.
    """
    found = resolved(schema, root)
    several = [resolved(item, root) for item in branches_of(found)] or [found]
    kinds = [kind for item in several for kind in kinds_of(item)]
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"} and "string" not in kinds:
        try:
            told: Any = load_json(value)
        except ValueError:
            return value
        if kind_of(told) not in kinds:
            return value
        value = told
    nothing: dict[str, Any] = {}
    fitting = next((item for item in several if kind_of(value) in kinds_of(item)), nothing)
    if isinstance(value, Mapping):
        properties = as_object(fitting.get("properties"))
        more = fitting.get("additionalProperties")
        return {
            key: without_text(item, properties.get(key, more), root)
            for key, item in cast("Mapping[str, Any]", value).items()
        }
    if isinstance(value, list):
        first: Sequence[Any] = fitting.get("prefixItems") or ()
        return [
            without_text(item, first[at] if at < len(first) else fitting.get("items"), root)
            for at, item in enumerate(cast("list[Any]", value))
        ]
    return value


class _TooLargeError(Exception):
    """A schema came to more parts than can be looked through."""


class _Nulls:
    """Takes the nulls out of one value."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST_LOOKS

    def _resolved(self, schema: Any) -> dict[str, Any]:
        # References that are held twice by each other double with every step.
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError
        return resolved(schema, self._root)

    def without(self, value: Any, schema: Any) -> Json:
        """Return a value without the fields that are null and cannot be."""
        found = self._resolved(schema)
        several = branches_of(found)
        if several:
            fitting = (item for item in several if self._fits(value, item))
            return self.without(value, next(fitting, None))
        for part in found.get("allOf") or ():
            value = self.without(value, part)
        if isinstance(value, Mapping):
            properties = as_object(found.get("properties"))
            required: Any = found.get("required") or ()
            more = found.get("additionalProperties")
            return {
                key: self.without(item, properties.get(key, more))
                for key, item in cast("Mapping[str, Any]", value).items()
                if item is not None
                or key not in properties
                or key in required
                or takes_null(properties[key], self._root)
            }
        if isinstance(value, list):
            first: Sequence[Any] = found.get("prefixItems") or ()
            rest = found.get("items")
            return [
                self.without(item, first[at] if at < len(first) else rest)
                for at, item in enumerate(cast("list[Any]", value))
            ]
        return value

    def _fits(self, value: Any, schema: Any) -> bool:
        """Return whether a value may be one of a schema, as far as its fields tell."""
        found = self._resolved(schema)
        several = branches_of(found)
        if several:
            return any(self._fits(value, item) for item in several)
        if "const" in found and found["const"] != value:
            return False
        if isinstance(found.get("enum"), list) and value not in found["enum"]:
            return False
        kinds = kinds_of(found)
        kind = kind_of(value)
        if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
            return False
        if kind == "object":
            properties = as_object(found.get("properties"))
            if any(name not in value for name in found.get("required") or ()):
                return False
            if "additionalProperties" not in found and set(value) - set(properties):
                return False
            return all(
                value[name] is None or self._fits(value[name], field)
                for name, field in properties.items()
                if name in value
            )
        if kind == "array" and isinstance(found.get("items"), Mapping):
            return all(self._fits(item, found["items"]) for item in value)
        return True


# -- how large a schema is -----------------------------------------------------------------------


def is_moderate(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema is small enough to be put into any provider's form.

    What counts is what it comes to with everything that it refers to written out, since a few lines
    of references to each other can come to more than there is memory for.
    """
    try:
        return _Size(schema).of(schema, 0) <= _MOST_PARTS
    except _TooLargeError:
        return False


class _Size:
    """Counts the parts of a schema and of what it refers to."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._left = _MOST_PARTS

    def of(self, node: Mapping[str, Any] | list[Any], depth: int) -> int:
        """Return how many parts there are.

        Raises:
            _TooLargeError: They are nested too deep, or too many as they are written.
        """
        if depth > _MOST_DEPTH:
            raise _TooLargeError
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError
        inner: list[Any] = []
        count = 1
        if isinstance(node, Mapping):
            ref = node.get("$ref")
            inner += node.values()
            if isinstance(ref, str):
                count += self._of_reference(ref, depth)
        else:
            inner += node
        for part in inner:
            if isinstance(part, (Mapping, list)):
                count += self.of(cast("Mapping[str, Any] | list[Any]", part), depth + 1)
        return count

    def _of_reference(self, ref: str, depth: int) -> int:
        if ref not in self._known:
            self._known[ref] = 0  # what leads back to itself is written out once
            self._known[ref] = self.of(resolved({"$ref": ref}, self._root), depth + 1)
        return self._known[ref]
