"""Which values meet a JSON Schema, and which schemas can be checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mastra.errors import InputValidationError
from mastra.json_schemas import JsonSchema

DRAFTS = "http://json-schema.org/draft"
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
    ({"type": "object", "required": ["a", "b"]}, {"b": 1}, [[]]),
    ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1, "b": 1}, [[]]),
    ({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}, [["b"]]),
    ({"type": "array", "items": {"type": "integer"}}, [1, 2.0, "x", True], [[2], [3]]),
    ({"prefixItems": [{"type": "string"}], "items": False}, ["a", 1], [[]]),
    ({"type": ["string", "null"]}, 1, [[]]),
    ({"enum": ["a", 1]}, True, [[]]),
    ({"const": {"a": [1]}}, {"a": [1.0]}, []),
    ({"type": "integer"}, 1.5, [[]]),
    ({"type": "number"}, 1, []),
    ({"type": "number", "minimum": 1, "exclusiveMaximum": 3}, 3, [[]]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, "é", [[]]),
    ({"minItems": 1}, [], [[]]),
    ({"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}, {}, [[]]),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, None, []),
    ({"allOf": [{"type": "object"}, {"required": ["a"]}]}, {}, [[]]),
    (NODE, {"n": 1, "next": {"n": 2, "next": {"n": "x"}}}, [["next", "next", "n"]]),
    (NODE, {"n": 1, "more": 1}, [[]]),
    ({"type": "string", "nullable": True}, None, []),
    ({"type": "string", "nullable": False}, None, [[]]),
    ({"$schema": f"{DRAFTS}-07/schema#", "items": [{"type": "string"}]}, [1], [[0]]),
    ({"$schema": f"{DRAFTS}-04/schema#", "minimum": 1, "exclusiveMinimum": True}, 1, [[]]),
    ({"pattern": "^a"}, "b", [[]]),
    ({"format": "date"}, "no date", []),
    ({"required": ["a"], "properties": {"b": {"type": "null"}}}, {"b": 1}, [[], ["b"]]),
]


def misfits(value: Any, schema: Any) -> list[dict[str, Any]]:
    return JsonSchema(schema, "The schema").issues(value)


@pytest.mark.parametrize(("schema", "value", "paths"), CASES)
def test_what_does_not_fit_is_named(schema: Any, value: Any, paths: list[list[Any]]) -> None:
    assert sorted(issue["path"] for issue in misfits(value, schema)) == paths


@pytest.mark.parametrize(
    "schema",
    [
        {"required": [{}, 1, None]},
        {"type": 5},
        {"type": "STRING"},
        {"properties": []},
        {"pattern": "("},
        "text",
    ],
)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InputValidationError, match="The schema is no JSON Schema"):
        JsonSchema(schema, "The schema")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "https://example.org/schema"}, "refers to what is not in it"),
        ({"$ref": "#/nowhere"}, "refers to what is not in it"),
        ({"$ref": "#"}, "without an end|too much"),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, "without an end|too much"),
    ],
)
def test_what_cannot_be_checked_is_said(schema: Any, says: str) -> None:
    with pytest.raises(InputValidationError, match=says):
        misfits({}, schema)


def test_a_pattern_takes_linear_time() -> None:
    assert misfits("a" * 100_000 + "!", {"pattern": "^(a+)+$"})


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
def test_what_is_replaced_of_the_library_says_what_it_does(schema: Any, value: Any) -> None:
    whole = {"allOf": [schema]}
    assert (misfits(value, whole) == []) == Draft202012Validator(whole).is_valid(value)
