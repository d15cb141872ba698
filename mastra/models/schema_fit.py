"""Whether a value meets a JSON Schema, in the keywords that schemas of answers are written with.

Checked are types, `enum`, `const`, what objects and lists hold and how much of it, lengths of text and
limits of numbers, `$ref` within the schema and the combinations `allOf`, `anyOf` and `oneOf`. Whatever
else a schema says (`pattern`, `format`, `not`, `if`) is the provider's to keep to: a schema may be a
caller's, and no caller's pattern is run here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from mastra.models.schema_parts import as_object, kind_of, kinds_of, resolved

__all__ = ["misfits"]

_MOST_DEPTH: Final = 200
_MOST_LOOKS: Final = 100_000
_MOST_ISSUES: Final = 20
Issues = list[dict[str, Any]]


def misfits(value: Any, schema: Mapping[str, Any]) -> Issues:
    """Return what of a value does not meet a JSON Schema, each with its `path` and a `message`.

    Args:
        value: JSON data.
        schema: The schema. What is no schema in it says nothing.
    """
    return _Check(schema).of(value, schema, (), 0)[:_MOST_ISSUES]


class _Check:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._looks = 0

    def of(self, value: Any, schema: Any, path: tuple[Any, ...], depth: int) -> Issues:
        self._looks += 1
        if schema is False:
            return [_issue(path, "Nothing is allowed here")]
        if depth > _MOST_DEPTH or self._looks > _MOST_LOOKS:
            return []  # a schema that leads back to itself, or one that is looked through for ever
        found = as_object(schema)
        issues: Issues = []
        if "$ref" in found:
            issues += self.of(value, _target(found, self._root), path, depth + 1)
        if value is None and found.get("nullable") is True:
            return issues
        issues += [_issue(path, words) for words in _itself(value, found)]
        match value:
            case dict():
                issues += self._members(cast("dict[str, Any]", value), found, path, depth + 1)
            case list():
                issues += self._items(cast("list[Any]", value), found, path, depth + 1)
            case _:
                pass
        for part in _list(found, "allOf"):
            issues += self.of(value, part, path, depth + 1)
        # One of `oneOf` is enough: what tells the others apart may be what is not checked.
        for several in (_list(found, "anyOf"), _list(found, "oneOf")):
            tries = [self.of(value, part, path, depth + 1) for part in several]
            if tries and all(tries):
                issues += min(tries, key=_distance)
        return issues

    def _members(
        self, value: dict[str, Any], found: dict[str, Any], path: tuple[Any, ...], depth: int
    ) -> Issues:
        issues = [
            _issue((*path, name), "Field required")
            for name in _list(found, "required")
            if isinstance(name, str) and name not in value
        ]
        known, others = as_object(found.get("properties")), found.get("additionalProperties")
        for name, part in value.items():
            if name in known:
                issues += self.of(part, known[name], (*path, name), depth)
            elif others is False and "patternProperties" not in found:
                issues.append(_issue((*path, name), "Extra inputs are not permitted"))
            elif isinstance(others, Mapping) and "patternProperties" not in found:
                issues += self.of(part, others, (*path, name), depth)
        return issues

    def _items(
        self, value: list[Any], found: dict[str, Any], path: tuple[Any, ...], depth: int
    ) -> Issues:
        items: Any = found.get("items")
        first = _list(found, "prefixItems") or _list(found, "items")
        rest: Any = found.get("additionalItems", True) if isinstance(items, list) else items
        issues: Issues = []
        for at, part in enumerate(value):
            of_it: Any = first[at] if at < len(first) else rest
            if of_it is not None and of_it is not True:
                issues += self.of(part, of_it, (*path, at), depth)
        return issues


def _target(found: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return what a reference leads to; what is not in the schema itself says nothing."""
    ref = found["$ref"]
    return resolved({"$ref": ref}, root) if isinstance(ref, str) and ref[:1] == "#" else True


def _itself(value: Any, found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a value is not by itself, without what it holds."""
    kinds, kind = kinds_of(found), kind_of(value)
    if kinds and not _is_of(value, kind, kinds):
        yield f"Input should be {' or '.join(map(_with_article, kinds))}, not {_with_article(kind)}"
    if isinstance(found.get("enum"), list) and not any(
        _is_equal(value, one) for one in found["enum"]
    ):
        yield f"Input should be one of {found['enum']!r:.200}"
    if "const" in found and not _is_equal(value, found["const"]):
        yield f"Input should be {found['const']!r:.200}"
    least, most = _SIZES.get(kind, ("", ""))
    size = value if kind in _NUMBERS else len(value) if kind in _SIZES else 0
    if size < _number(found, least, size):
        yield f"Input should have {least} {found[least]}"
    if size > _number(found, most, size):
        yield f"Input should have {most} {found[most]}"
    if kind in _NUMBERS:
        if value <= _number(found, "exclusiveMinimum", value - 1):
            yield f"Input should be greater than {found['exclusiveMinimum']}"
        if value >= _number(found, "exclusiveMaximum", value + 1):
            yield f"Input should be less than {found['exclusiveMaximum']}"


_NUMBERS: Final = ("integer", "number")
_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}


def _is_of(value: Any, kind: str, kinds: list[str]) -> bool:
    if kind in kinds or (kind == "integer" and "number" in kinds):
        return True
    return kind == "number" and "integer" in kinds and float(value).is_integer()


def _is_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal in JSON, where `true` is not 1 and 1 is 1.0."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case dict(), dict():
            mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
            return mine.keys() == theirs.keys() and all(
                _is_equal(mine[key], theirs[key]) for key in mine
            )
        case list(), list():
            first, second = cast("list[Any]", one), cast("list[Any]", other)
            return len(first) == len(second) and all(map(_is_equal, first, second))
        case _:
            return one == other


def _number(found: Mapping[str, Any], name: str, default: float) -> float:
    value: Any = found.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value: Any = found.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []


def _distance(issues: Issues) -> tuple[int, int]:
    """Order alternatives by how nearly they fit: one that fails deep inside was the one meant."""
    return -max(len(issue["path"]) for issue in issues), len(issues)


def _issue(path: tuple[Any, ...], message: str) -> dict[str, Any]:
    return {"path": [*path], "message": message}


def _with_article(kind: str) -> str:
    return kind if kind == "null" else f"{'an' if kind[:1] in 'aio' else 'a'} {kind}"
