"""Which values meet a JSON Schema: as the reference implementation has it, in the keywords that are checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mastra.models.schema_fit import misfits

NODE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
            "required": ["n"],
            "additionalProperties": False,
        }
    },
}
CASES: list[tuple[Any, Any, list[list[Any]]]] = [
    (
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"a": 3},
        [["a"]],
    ),
    ({"type": "object", "required": ["a", "b"]}, {"b": 1}, [["a"]]),
    ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1, "b": 1}, [["b"]]),
    ({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}, [["b"]]),
    ({"type": "array", "items": {"type": "integer"}}, [1, 2.0, "x", True], [[2], [3]]),
    ({"prefixItems": [{"type": "string"}], "items": False}, ["a", 1], [[1]]),
    ({"type": ["string", "null"]}, 1, [[]]),
    ({"enum": ["a", 1]}, True, [[]]),
    ({"const": {"a": [1]}}, {"a": [1.0]}, []),
    ({"type": "integer"}, 1.5, [[]]),
    ({"type": "number"}, 1, []),
    ({"type": "number", "minimum": 1, "exclusiveMaximum": 3}, 3, [[]]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, "é", [[]]),
    ({"minItems": 1}, [], [[]]),
    ({"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}, {}, [["a"]]),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, None, []),
    ({"allOf": [{"type": "object"}, {"required": ["a"]}]}, {}, [["a"]]),
    (NODE, {"n": 1, "next": {"n": 2, "next": {"n": "x"}}}, [["next", "next", "n"]]),
    (NODE, {"n": 1, "more": 1}, [["more"]]),
]


@pytest.mark.parametrize(("schema", "value", "paths"), CASES)
def test_what_does_not_fit_is_named(schema: Any, value: Any, paths: list[list[Any]]) -> None:
    assert [issue["path"] for issue in misfits(value, schema)] == paths
    assert Draft202012Validator(schema).is_valid(value) == (not paths)


@pytest.mark.parametrize(
    "schema",
    [
        {"required": [{}, 1, None], "allOf": "x", "items": 3, "$ref": {}},
        {"type": 5, "properties": [], "required": "a", "enum": "x", "minLength": "2"},
        {"$ref": "https://elsewhere/schema"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "string", "nullable": True},
        {"pattern": "(a+)+$", "format": "date", "not": {}},
    ],
)
def test_what_is_no_schema_says_nothing(schema: Any) -> None:
    assert misfits(None, schema) == misfits({}, {**schema, "type": "object"}) == []


JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.5, 1.0])
    | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
SCHEMAS: Any = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
            "enum": st.lists(JSON, min_size=1, max_size=3),
            "const": JSON,
            "minLength": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "minProperties": st.integers(0, 2),
            "maximum": st.integers(-1, 1),
            "exclusiveMinimum": st.integers(-1, 1),
            "required": st.lists(st.sampled_from("ab"), unique=True),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=6,
)


@given(SCHEMAS, JSON)
def test_it_agrees_with_the_reference(schema: Any, value: Any) -> None:
    whole = {"allOf": [schema]}
    assert (misfits(value, whole) == []) == Draft202012Validator(whole).is_valid(value)
