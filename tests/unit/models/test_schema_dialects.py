"""JSON Schemas in the words of Google, OpenAPI and older drafts, as libraries dump them, for each provider."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mastra import StructuredOutput, Tool, create_tool
from mastra.models.anthropic_schema import strict_schema
from mastra.models.gemini_schema import function_schema
from mastra.models.openai_request import parameters_of
from mastra.models.schema_parts import input_schema


class Type(str, Enum):  # noqa: UP042 - its text is not its value, as it is there
    """As in the SDK of Google, whose models hold members of it."""

    OBJECT = "OBJECT"
    ARRAY = "ARRAY"
    STRING = "STRING"


GOOGLE: dict[str, Any] = {
    "type": Type.OBJECT,
    "properties": {
        "place": {"type": Type.STRING, "nullable": True, "any_of": None, "default": None},
        "unit": {"type": "STRING", "format": "enum", "enum": ["c", "f"]},
        "days": {"type": Type.ARRAY, "items": {"type": "INTEGER"}, "min_items": 1, "max_items": 5},
        "type": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
    },
    "items": None,
    "required": ["place"],
    "property_ordering": ["place", "unit", "days", "type"],
}
"""A `types.Schema` of google-genai, dumped by the names of its fields."""

OPENAPI: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9},
        "price": {"type": "number", "minimum": 1, "exclusiveMinimum": False},
        "owner": {"nullable": True, "allOf": [{"$ref": "#/definitions/Owner"}]},
        "nullable": {"type": "string", "enum": ["a"], "nullable": True},
    },
    "required": ["count", "nullable"],
    "definitions": {"Owner": {"type": "object", "properties": {"name": {"type": "string"}}}},
}

DRAFT_7: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "pair": {
            "type": "array",
            "items": [{"type": "string"}, {"type": "number"}],
            "additionalItems": False,
        }
    },
}
"""A tuple of zod's."""


def given_back(given: Any) -> Any:
    return given


def made(schema: dict[str, Any]) -> Tool[Any, Any]:
    return create_tool("t", "d", schema, execute=given_back)


@pytest.mark.parametrize("schema", [GOOGLE, OPENAPI, DRAFT_7])
def test_every_provider_is_sent_what_it_takes(schema: dict[str, Any]) -> None:
    spec = made(schema).spec("t")
    for sent in (
        parameters_of(spec)[0],
        input_schema(spec.parameters),
        strict_schema(spec.parameters),
        function_schema(spec.parameters),
    ):
        Draft202012Validator.check_schema(sent)
        assert sent["type"] == "object"


def test_a_schema_of_google_s() -> None:
    assert made(GOOGLE).input_json_schema == {
        "type": "object",
        "properties": {
            "place": {"type": ["string", "null"], "default": None},
            "unit": {"type": "string", "format": "enum", "enum": ["c", "f"]},
            "days": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 5},
            "type": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        },
        "required": ["place"],
        "propertyOrdering": ["place", "unit", "days", "type"],
    }


async def test_what_models_write_is_read_by_a_schema_of_google_s() -> None:
    assert await made(GOOGLE).execute({"place": "x", "days": "[1, 2]"}) == {
        "place": "x",
        "days": [1, 2],
    }


def test_a_schema_of_openapi_s() -> None:
    assert made(OPENAPI).input_json_schema["properties"] == {
        "count": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9},
        "price": {"type": "number", "minimum": 1},
        "owner": {"anyOf": [{"allOf": [{"$ref": "#/definitions/Owner"}]}, {"type": "null"}]},
        "nullable": {"type": ["string", "null"], "enum": ["a", None]},
    }


def test_a_tuple_of_older_drafts() -> None:
    assert made(DRAFT_7).input_json_schema == {
        "type": "object",
        "properties": {
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "number"}],
                "items": False,
            }
        },
    }


def test_a_schema_as_the_ai_sdk_s_json_schema_is_sent() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"jsonSchema": {"type": "object"}}}
    assert made({"jsonSchema": schema}).input_json_schema == schema
    assert made(schema).input_json_schema == schema
    wanted: StructuredOutput[Any] = StructuredOutput({"jsonSchema": schema})
    assert wanted.json_schema == schema


def test_names_and_values_are_no_keywords() -> None:
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "any_of": {"type": "string"},
            "nullable": {"const": {"nullable": True, "type": "STRING"}},
            "items": {"enum": ["STRING", None], "default": None},
        },
        "$defs": {"min_items": True},
        "x-any_of": {"any_of": []},
    }
    assert made(schema).input_json_schema == schema


def test_an_answer_s_schema_of_google_s_is_held_to() -> None:
    wanted: StructuredOutput[Any] = StructuredOutput(
        {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}
    )
    assert wanted.response_format().schema["properties"].keys() == {"n"}
    with pytest.raises(Exception, match="not of type 'integer'"):
        wanted.checked({"n": "two"})
