"""Schemas of other programs: older pydantic's, OpenAPI's, servers of tools'; in every provider's form.

What a form lets through is compared with what the schema itself does, by a validator of JSON Schema.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest

from mastra import StructuredOutput
from mastra.models.anthropic_schema import can_be_strict, strict_schema
from mastra.models.base import ModelRequest, ResponseFormat
from mastra.models.gemini_request import gemini_body
from mastra.models.gemini_schema import answer_schema, function_schema
from mastra.models.messages import Message
from mastra.models.openai_schema import strict_form
from mastra.models.schema_parts import leaves_out, without_nulls

INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


def object_of(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def takes(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def older(**node: Any) -> dict[str, Any]:
    """A type that holds itself, as pydantic 1 writes it and as many servers of tools send it."""
    field = {"title": "Next", "description": "The next", "allOf": [{"$ref": "#/definitions/Node"}]}
    made = {"type": "object", "properties": {"name": TEXT, "next": field}, **node}
    return {"$ref": "#/definitions/Node", "definitions": {"Node": made}}


CHAIN = {"name": "a", "next": {"name": "b", "next": {"name": "c"}}}


@pytest.mark.parametrize("form", [function_schema, answer_schema, strict_form, strict_schema])
def test_a_described_reference_of_older_pydantic_may_lead_back(form: Any) -> None:
    given = older()
    before = copy.deepcopy(given)
    made = form(given)
    said = CHAIN if form is not strict_form else {**CHAIN, "next": None}
    assert takes(made, said)
    assert not takes(made, {**said, "name": 1})
    assert "The next" in str(made)
    assert given == before


def test_references_in_brackets_that_double_are_looked_at_once() -> None:
    definitions: dict[str, Any] = {"d40": object_of(x=TEXT)}
    for at in range(40):
        inner = {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}]}
        definitions[f"d{at}"] = object_of(a=inner, b=inner)
    made: Any = function_schema({**object_of(a={"$ref": "#/$defs/d0"}), "$defs": definitions})
    assert made["$defs"]["d0"]["properties"]["a"] == {"$ref": "#/$defs/d1"}


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        # As OpenAPI 3.0 writes what may be null.
        (object_of(a={"type": "string", "nullable": True, "enum": ["x", None]}), ["x", None]),
        (object_of(a={"enum": [True, 1.5, 2, "x"]}), [True, 1.5, 2, "x"]),
        (object_of(a={"prefixItems": [INTEGER], "items": INTEGER}), [[1], [1, 2, 3]]),
        (object_of(a={"prefixItems": [INTEGER, INTEGER], "items": False}), [[1, 2]]),
        (object_of(a={"type": "string", "default": "x"}), ["y"]),
        ({"anyOf": [object_of(a=INTEGER)], "description": "Alone"}, [3]),
        ({"description": "Of older pydantic", "allOf": [object_of(a=INTEGER)]}, [3]),
    ],
)
def test_what_is_allowed_can_be_said(schema: Any, values: list[Any]) -> None:
    made = strict_form(schema)
    assert made is not None
    for value in values:
        assert takes(schema, {"a": value}) or value is None
        assert takes(made, {"a": value})
    assert not takes(made, {"a": {"x": 1}})
    assert not takes(made, {})


def test_a_reference_that_is_demanded_may_have_a_default() -> None:
    field = {"$ref": "#/$defs/Colour", "default": "red"}
    schema = {**object_of(a=field), "$defs": {"Colour": {"enum": ["red", "blue"]}}}
    made: Any = strict_form(schema)
    assert made["properties"]["a"] == {
        "anyOf": [{"$ref": "#/$defs/Colour"}],
        "description": "{default: red}",
    }
    assert takes(made, {"a": "blue"})
    assert not takes(made, {"a": "green"})


@pytest.mark.parametrize("more", [{}, {"nullable": True}])
def test_a_described_reference_leads_back_to_what_it_is_in(more: dict[str, Any]) -> None:
    inner = {"$ref": "#", "description": "The next", **more}
    schema = {"type": "object", "properties": {"name": TEXT, "next": inner}, "required": ["name"]}
    if more:
        schema["required"] = ["name", "next"]
    made: Any = strict_form(schema)
    end = {"name": "c", "next": None}
    assert takes(made, {"name": "a", "next": {"name": "b", "next": end}})
    assert made["properties"]["next"]["description"] == "The next"


def test_definitions_of_one_name_stay_apart() -> None:
    schema = {
        **object_of(a={"$ref": "#/$defs/a b"}, b={"$ref": "#/$defs/a+b"}),
        "$defs": {"a b": {"enum": ["one"]}, "a+b": {"enum": ["two"]}},
    }
    made = strict_form(schema)
    assert takes(made, {"a": "one", "b": "two"})
    assert not takes(made, {"a": "two", "b": "two"})


@pytest.mark.parametrize(
    "schema",
    [
        {**object_of(a=INTEGER, b=INTEGER), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"allOf": [object_of(a=INTEGER), object_of(a=TEXT)]},
        object_of(a={"enum": []}),
        object_of(a={"enum": [{"x": 1}]}),
        object_of(a={"prefixItems": [INTEGER, INTEGER]}),  # open behind its two
        object_of(a={"enum": [f"{at:0100}" for at in range(251)]}),
    ],
)
def test_what_openai_holds_no_model_to(schema: dict[str, Any]) -> None:
    assert strict_form(schema) is None
    assert StructuredOutput(schema).response_format().strict is False


def test_a_schema_that_is_only_a_reference_to_itself() -> None:
    assert strict_form({"$ref": "#"}) is None


@pytest.mark.parametrize(
    ("schema", "value", "other"),
    [
        ({"type": "array", "items": {"$ref": "#"}}, [[], [[]]], [1]),
        ({"type": "array", "items": {"$ref": "#/$defs/In"}, "$defs": {"In": {"$ref": "#"}}}, [[]], [1]),
        ({"prefixItems": [INTEGER, {"$ref": "#/prefixItems/0"}], "items": False}, [1, 2], [1, "x"]),
    ],
)  # fmt: skip
def test_what_refers_to_the_whole_does_so_in_its_wrapping(
    schema: dict[str, Any], value: Any, other: Any
) -> None:
    sent: Any = StructuredOutput(schema).response_format()
    for made in (sent.schema, sent.given or sent.schema):
        assert takes(made, {"value": value})
        assert not takes(made, {"value": other})


def test_null_stands_for_what_is_left_out_in_alternatives_only_the_values_tell_apart() -> None:
    cat = {**object_of(kind={"const": "cat"}), "additionalProperties": False}
    cat["properties"]["size"] = INTEGER
    dog = {**object_of(kind={"enum": ["dog", "hound"]}), "additionalProperties": False}
    dog["properties"]["size"] = {"type": ["integer", "null"]}
    bird = {**object_of(kind={"const": "bird"}, size=INTEGER), "required": ["kind"]}
    lists = {"anyOf": [{"type": "array", "items": INTEGER}, {"type": "array", "items": cat}]}
    schema = object_of(pets={"type": "array", "items": {"anyOf": [cat, dog, bird]}}, lists=lists)
    read = without_nulls(
        {
            "pets": [{"kind": kind, "size": None} for kind in ("hound", "cat", "bird")],
            "lists": [{"kind": "cat", "size": None}],
        },
        schema,
        schema,
    )
    assert read == {
        "pets": [{"kind": "hound", "size": None}, {"kind": "cat"}, {"kind": "bird"}],
        "lists": [{"kind": "cat"}],
    }


def test_null_that_a_reference_allows_beside_itself_stays() -> None:
    field = {"$ref": "#/$defs/A", "nullable": True}
    schema = {
        "type": "object",
        "properties": {"a": field, "b": {"$ref": "#/$defs/A"}},
        "$defs": {"A": TEXT},
    }
    assert without_nulls({"a": None, "b": None}, schema, schema) == {"a": None}
    made = strict_form(schema)
    assert takes(made, {"a": None, "b": None})


def test_whether_fields_may_be_left_out_of_what_holds_itself() -> None:
    tree = object_of(leaves={"type": "array", "items": {"$ref": "#/$defs/Tree"}})
    schema: dict[str, Any] = {"$defs": {"Tree": tree}, "$ref": "#/$defs/Tree"}
    assert leaves_out(schema) is False
    tree["properties"]["size"] = INTEGER
    assert leaves_out(schema) is True


# -- Anthropic -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (object_of(a={"type": ["string", "null"], "enum": ["x", None]}), ["x", None]),
        (object_of(a={"type": ["string", "null"], "const": "x"}), ["x"]),
        ({"properties": {"a": INTEGER}, "required": ["a"]}, [3]),
        (object_of(a={"items": TEXT, "minItems": 1}), [["x"]]),
        (object_of(a={"type": "array", "items": INTEGER, "enum": [[1], [2]]}), [[1], [2]]),
        (object_of(a={"type": ["array", "null"], "items": INTEGER, "enum": [[1], None]}), [[1], None]),
    ],
)  # fmt: skip
def test_anthropic_holds_a_model_to_what_needs_no_type(schema: Any, values: list[Any]) -> None:
    assert can_be_strict(schema)
    made = strict_schema(schema)
    for value in values:
        assert takes(schema, {"a": value})
        assert takes(made, {"a": value})
    assert not takes(made, {"a": {"b": 1}})
    assert not takes(made, {"a": values[0], "b": 1})


@pytest.mark.parametrize(
    "field", [{"enum": [{"x": 1}]}, {"enum": []}, {"const": [1]}, True, {"not": TEXT}]
)
def test_anthropic_s_sdk_makes_nothing_of_what_cannot_be_strict(field: Any) -> None:
    transform = pytest.importorskip("anthropic").transform_schema
    assert not can_be_strict(object_of(a=field))
    with pytest.raises((ValueError, TypeError)):
        transform(object_of(a=field))


def test_what_it_is_asked_to_hold_to_nevertheless() -> None:
    made: Any = strict_schema(object_of(a={"type": "array", "maxItems": 2}, b={"enum": [[1]]}))
    assert made["properties"] == {
        "a": {"type": "array", "description": "{maxItems: 2}"},
        "b": {"description": "{enum: [[1]]}"},
    }


# -- Gemini --------------------------------------------------------------------------------------


def test_gemini_demands_only_what_is_listed() -> None:
    """It refuses the whole request for a demanded field that stands nowhere: servers send such."""
    given = {
        "type": "object",
        "properties": {
            "a": TEXT,
            "list": {"type": "array", "items": {"type": "object", "required": ["ghost"]}},
        },
        "required": ["a", "ghost"],
        "anyOf": [{"required": ["a"]}, {"required": ["list"]}],
    }
    made: Any = answer_schema(given)
    assert made["required"] == ["a"]
    assert made["description"] == '{required: ["ghost"]}'
    assert made["properties"]["list"]["items"] == {
        "type": "object",
        "description": '{required: ["ghost"]}',
    }
    assert made["anyOf"] == [
        {"description": '{required: ["a"]}'},
        {"description": '{required: ["list"]}'},
    ]
    called: Any = function_schema(given)
    assert (called["required"], set(called["properties"])) == (["a"], {"a", "list"})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ({"enum": [True]}, [True]),
        ({"enum": [True, None]}, [True, None]),
        ({"enum": ["x", True]}, ["x", True]),
        ({"enum": ["x", True, None]}, ["x", True, None]),
        ({"enum": ["x", 1, None]}, ["x", 1, None]),
        ({"enum": ["x", None], "type": ["string", "null"]}, ["x", None]),
        ({"const": None}, [None]),
        ({"prefixItems": [INTEGER, TEXT]}, [[1, "x"]]),
        ({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 4}, [3]),
    ],
)
def test_gemini_can_say_every_value_that_is_listed(field: Any, values: list[Any]) -> None:
    made: Any = function_schema(object_of(a=field))
    for value in values:
        assert takes(field, value)
        assert takes(made, {"a": value})
    sent = made["properties"]["a"]
    assert all(isinstance(item, (str, int)) and item is not True for item in sent.get("enum", ()))
    if len(values) > 1 and any(value is True for value in values):
        assert "true" in sent["description"], "what cannot be listed is told"


def test_gemini_is_told_that_a_list_may_hold_anything() -> None:
    """It refuses the whole request for a list that does not say what it holds: servers send such."""
    pair = {"type": "array", "prefixItems": [INTEGER, INTEGER]}
    given = object_of(
        a={"type": "array"},
        b={"type": ["array", "null"]},
        c=pair,
        d={"type": "array", "items": TEXT},
    )
    fields: Any = function_schema(given)["properties"]
    assert (fields["a"], fields["b"]["items"]) == ({"type": "array", "items": {}}, {})
    assert (fields["c"], fields["d"]) == (pair, {"type": "array", "items": TEXT})


def test_gemini_is_held_to_a_type_that_is_only_referred_to() -> None:
    node = object_of(name=TEXT, next={"$ref": "#/$defs/Node"})
    schema = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    request = ModelRequest([Message("user", "go")], response_format=ResponseFormat(schema))
    sent: Any = gemini_body(request, "gemini-3-pro", "gemini")
    made = sent["generationConfig"]["responseJsonSchema"]
    assert (made["type"], made["required"]) == ("object", ["name"])
    assert made["$defs"]["Node"]["required"] == ["name"]


def test_gemini_is_not_made_to_go_round_from_the_top_either() -> None:
    schema = {**object_of(name=TEXT, next={"$ref": "#"}), "$defs": {"unused": {"$ref": "#"}}}
    made: Any = answer_schema(schema)
    assert made["required"] == ["name"]
