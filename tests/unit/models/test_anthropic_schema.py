"""Schemas in Anthropic's dialects, beside what its SDK makes of the same."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any, Literal

import pydantic
import pytest

from mastra.models.anthropic_schema import can_be_strict, strict_schema
from mastra.models.schema_parts import input_schema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(pydantic.BaseModel):
    """A part."""

    size: int = pydantic.Field(gt=0, le=10, description="How big.")
    tags: list[str] = pydantic.Field(min_length=1, max_length=3)


class Outer(pydantic.BaseModel):
    name: str = pydantic.Field(pattern="^a", max_length=5)
    kind: Literal["one", "two"] = "one"
    colour: Colour
    day: date
    inner: Inner
    maybe: Inner | None = None
    either: int | str


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


class Owner(pydantic.BaseModel):
    pet: Cat | Dog = pydantic.Field(discriminator="kind")


class Tree(pydantic.BaseModel):
    leaves: list[Tree]


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for item in schema.values() for found in objects(item)]


def without_words(schema: Any) -> Any:
    """A schema without its descriptions, whose wording is a client's own."""
    if isinstance(schema, list):
        return [without_words(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_words(item) for key, item in schema.items() if key != "description"}


@pytest.mark.parametrize("kind", [Inner, Outer, Owner])
def test_a_strict_schema_is_what_the_sdk_makes(kind: type[pydantic.BaseModel]) -> None:
    pytest.importorskip("anthropic")
    from anthropic import transform_schema

    schema = kind.model_json_schema()
    assert can_be_strict(schema)
    assert without_words(strict_schema(schema)) == without_words(transform_schema(schema))


def test_what_a_model_cannot_be_held_to_is_told() -> None:
    made = strict_schema(Outer.model_json_schema())
    size = made["$defs"]["Inner"]["properties"]["size"]
    assert size["type"] == "integer"
    assert size["description"] == "How big.\n\n{exclusiveMinimum: 0, maximum: 10}"
    assert made["$defs"]["Inner"]["properties"]["tags"]["minItems"] == 1
    assert "pattern" in made["properties"]["name"]["description"]
    assert made["properties"]["day"]["format"] == "date"
    assert all(item["additionalProperties"] is False for item in objects(made))


def test_a_list_of_types_becomes_alternatives() -> None:
    made = strict_schema({"type": ["string", "null"], "title": "T", "maxLength": 3})
    assert made["title"] == "T"
    assert [item["type"] for item in made["anyOf"]] == ["string", "null"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {"type": "object", "properties": {"any": {}}},
        {"type": "array"},
        Tree.model_json_schema(),
    ],
)
def test_what_cannot_be_held_to_at_all(schema: dict[str, Any]) -> None:
    assert not can_be_strict(schema)


def test_input_is_an_object_without_alternatives_at_its_top() -> None:
    schema = pydantic.TypeAdapter(Cat | Dog).json_schema()
    made = input_schema(schema)
    assert made["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & set(made)
    assert set(made["properties"]) == {"kind", "lives"}
    assert made["required"] == ["kind"]
    assert made["properties"]["kind"]["anyOf"][1]["const"] == "dog"
    assert input_schema({}) == {"type": "object", "properties": {}}
    tree = input_schema(Tree.model_json_schema())
    assert tree["properties"]["leaves"]["items"] == {"$ref": "#/$defs/Tree"}
