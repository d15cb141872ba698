"""Schemas in the dialects of OpenAI and Gemini, against the rules that they publish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from typing_extensions import TypedDict

from mastra.agents.output import OutputReader, StructuredOutput
from mastra.models.gemini_schema import answer_schema, function_schema
from mastra.models.openai_schema import strict_form
from mastra.models.schema_parts import without_nulls

# What https://platform.openai.com/docs/guides/structured-outputs says of `strict`.
OPENAI_KEYWORDS = {
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"),
    *("enum", "const", "title", "description", "pattern", "format", "multipleOf", "maximum"),
    *("exclusiveMaximum", "minimum", "exclusiveMinimum", "minItems", "maxItems"),
}
OPENAI_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
}
# What https://ai.google.dev/api/generate-content says of `responseJsonSchema`.
GEMINI_KEYWORDS = {
    *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"),
    *("prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"),
    *("additionalProperties", "required", "propertyOrdering"),
}


def parts(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("properties", "$defs"):
        yield from (schema.get(key) or {}).items()
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield key, schema[key]
    for key in ("anyOf", "oneOf", "prefixItems"):
        yield from ((f"{key}[{at}]", part) for at, part in enumerate(schema.get(key) or ()))


def refused_by_openai(root: dict[str, Any]) -> list[str]:
    is_object = root.get("type") == "object" and "anyOf" not in root
    return _refused(root, root, "root") if is_object else ["root: no object"]


def _refused(schema: dict[str, Any], root: dict[str, Any], where: str) -> list[str]:
    why: list[str] = []
    unknown = set(schema) - OPENAI_KEYWORDS
    if unknown:
        why.append(f"{where}: {sorted(unknown)}")
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        if len(schema) > 1 or name not in root.get("$defs", {}):
            why.append(f"{where}: {schema}")
    elif not {"type", "anyOf"} & set(schema):
        why.append(f"{where}: no type")
    if schema.get("type") == "object":
        if set(schema["required"]) != set(schema["properties"]):
            why.append(f"{where}: not all required")
        if schema["additionalProperties"] is not False:
            why.append(f"{where}: open")
    if schema.get("type") == "array" and "items" not in schema:
        why.append(f"{where}: no items")
    if schema.get("format", "date") not in OPENAI_FORMATS:
        why.append(f"{where}: format {schema['format']}")
    if re.search(r"\(\?<?[=!]", schema.get("pattern", "")):
        why.append(f"{where}: looks around")
    for name, part in parts(schema):
        why += _refused(part, root, f"{where}.{name}")
    return why


def refused_by_gemini(schema: Any, where: str = "root") -> list[str]:
    if isinstance(schema, bool):
        return []
    why: list[str] = []
    unknown = set(schema) - GEMINI_KEYWORDS
    if unknown:
        why.append(f"{where}: {sorted(unknown)}")
    if "$ref" in schema and any(not key.startswith("$") for key in schema):
        why.append(f"{where}: {schema}")
    if any(not isinstance(item, (str, int, float)) for item in schema.get("enum", ())):
        why.append(f"{where}: {schema['enum']}")
    for name, part in parts(schema):
        why += refused_by_gemini(part, f"{where}.{name}")
    return why


class Home(BaseModel):
    city: str = Field(pattern="^[A-Z]", max_length=30)


class Person(BaseModel):
    home: Home = Field(description="Where")
    other: Home


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, ge=1, lt=10)


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Tree(BaseModel):
    """A tree."""

    name: str
    leaves: list[Tree] = []
    best: Optional[Tree] = Field(None, description="The best")  # noqa: UP045 - people write it


class First(BaseModel):
    second: Second


class Second(BaseModel):
    first: First | None = None


class Colour(Enum):
    RED = "red"
    ONE = 1


class Level(IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


class Place(TypedDict, total=False):
    name: str
    at: Point


@dataclass
class Item:
    price: Decimal
    count: int = 1


class Many(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": 1, "x-mine": 2})

    day: date
    when: datetime | None = None
    long: timedelta
    link: AnyUrl
    key: UUID
    colour: Colour = Colour.RED
    level: Level
    either: int | str = 3
    mixed: Literal["a", 1, None] = "a"
    tags: set[str] = Field(default_factory=set, max_length=3)
    many: tuple[int, ...]
    data: bytes = b""
    renamed: int = Field(5, alias="otherName")
    old: str = Field("x", deprecated=True, examples=["y"])


class Numbers(RootModel[list[int]]):
    pass


class Empty(BaseModel):
    pass


class Pair(BaseModel):
    pair: tuple[int, int]


STRICT: list[Any] = [
    *(
        Home,
        Person,
        Owner,
        Tree,
        First,
        Place,
        Item,
        Many,
        Numbers,
        Empty,
        Pair,
        Cat,
        Colour,
        Level,
    ),
    *(Cat | Dog, Cat | None, list[Home], int, str, bool, Literal["a", "b"], list[Cat | Dog]),
    *(Tree | None, Optional[int], date, tuple[str, str], list[list[int]], Literal["a", None]),  # noqa: UP045
]


class Free(BaseModel):
    anything: Any


class Prices(BaseModel):
    prices: dict[str, int]


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Mixed(BaseModel):
    mixed: tuple[int, str]


OPEN: list[Any] = [Free, Prices, Loose, Mixed, dict, dict[str, Any], list, list[Any], Any]
BY_HAND: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": ["string", "null"], "minLength": 1}}},
    {"type": "object", "properties": {"a": {"enum": ["x", 1]}}, "required": ["a"]},
    {"properties": {"a": {"items": {"type": "string"}}}},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "definitions": {"a/b": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/definitions/a~1b", "description": "A"}},
    },
    {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "string", "format": "uri"}}},
        ]
    },
    {"type": "object", "properties": {"a": {"type": "integer", "nullable": True}}},
]
BY_HAND_OPEN: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {}}},
    {"type": "object", "properties": {"a": True}},
    {"type": "object", "properties": {"a": {"type": "array"}}},
    {"type": "object", "properties": {}, "patternProperties": {"^a": {"type": "string"}}},
    {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/nothing"}}},
    {"type": "object", "properties": {"a": {"$ref": "https://example.org/schema"}}},
    {"type": "object", "properties": {"a": {"type": "file"}}},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
    {"type": "object", "properties": {f"f{at}": {"type": "string"} for at in range(5001)}},
    {"type": "object", "properties": {"a": {"enum": [str(at) for at in range(1001)]}}},
]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("kind", STRICT, ids=str)
def test_types_that_a_model_can_be_held_to(kind: Any) -> None:
    wanted = StructuredOutput(kind).response_format()
    assert wanted.strict
    assert refused_by_openai(wanted.schema) == []
    assert strict_form(wanted.schema) == wanted.schema, "made once, it stays as it is"


@pytest.mark.parametrize("kind", OPEN, ids=str)
def test_types_that_it_cannot(kind: Any) -> None:
    wanted = StructuredOutput(kind).response_format()
    assert not wanted.strict
    assert wanted.schema["type"] == "object"


@pytest.mark.parametrize("schema", [*BY_HAND, nested(10)])
def test_schemas_that_a_model_can_be_held_to(schema: dict[str, Any]) -> None:
    before = str(schema)
    made = strict_form(schema)
    assert made is not None
    assert refused_by_openai(made) == []
    assert str(schema) == before


@pytest.mark.parametrize("schema", [*BY_HAND_OPEN, nested(11)])
def test_schemas_that_it_cannot(schema: dict[str, Any]) -> None:
    assert strict_form(schema) is None
    wanted = StructuredOutput(schema).response_format()
    assert (wanted.strict, wanted.schema) == (False, schema)


def test_what_keywords_cannot_say_is_said_in_words() -> None:
    made: Any = strict_form(Many.model_json_schema())
    assert made["properties"]["otherName"]["description"] == "{default: 5}"
    assert "maxItems" in made["properties"]["tags"]["anyOf"][0]
    assert made["properties"]["tags"]["description"] == "{uniqueItems: true}"
    assert made["properties"]["link"]["description"] == "{format: uri, minLength: 1}"


@pytest.mark.parametrize("kind", [*STRICT, *OPEN], ids=str)
def test_gemini(kind: Any) -> None:
    wanted = StructuredOutput(kind).response_format()
    assert refused_by_gemini(answer_schema(wanted.given or wanted.schema)) == []
    schema = TypeAdapter(kind).json_schema()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        assert refused_by_gemini(function_schema(schema)) == []


@pytest.mark.parametrize("schema", [*BY_HAND, *BY_HAND_OPEN[:5]])
def test_gemini_schemas(schema: dict[str, Any]) -> None:
    assert refused_by_gemini(function_schema(schema)) == []


def test_gemini_is_not_made_to_go_round() -> None:
    class Round(BaseModel):
        name: str
        inner: list[Round]

    made: Any = function_schema(Round.model_json_schema())
    assert made["required"] == ["name"]
    assert all(part["required"] == ["name"] for part in made["$defs"].values())

    class Outside(BaseModel):
        tree: Round

    made = function_schema(Outside.model_json_schema())
    assert made["required"] == ["tree"], "from outside of the circle it may be demanded"


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Cat, {"kind": "cat", "lives": None}, {"kind": "cat", "lives": 9}),
        (Owner, {"pet": {"kind": "dog", "good": None}}, {"pet": {"kind": "dog", "good": True}}),
        (Tree, {"name": "a", "leaves": [{"name": "b", "leaves": None, "best": None}], "best": None},
         {"name": "a", "leaves": [{"name": "b", "leaves": [], "best": None}], "best": None}),
        (list[Cat | Dog], {"value": [{"kind": "cat", "lives": None}]}, [{"kind": "cat", "lives": 9}]),
        (Cat | Dog, {"value": {"kind": "cat", "lives": None}}, {"kind": "cat", "lives": 9}),
        (Cat | Dog, {"kind": "cat", "lives": 3}, {"kind": "cat", "lives": 3}),
        (Item, {"price": "1.5", "count": None}, {"price": "1.5", "count": 1}),
        (Place, {"name": None, "at": [1, 2]}, {"at": [1, 2]}),
        (Pair, {"pair": [1, 2]}, {"pair": [1, 2]}),
    ],
)  # fmt: skip
def test_what_is_left_out_is_read_back(kind: Any, given: Any, value: Any) -> None:
    reader = OutputReader(StructuredOutput(kind))
    found = reader.final(TypeAdapter(Any).dump_json(given).decode())
    assert TypeAdapter(kind).dump_python(found, mode="json") == value


def test_null_that_is_a_value_stays() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5},
            "b": {"type": "string"},
            "c": {"type": "array", "items": {"type": "object", "properties": {"d": {"const": 1}}}},
            "e": {},
        },
    }
    given = {"a": None, "b": None, "c": [{"d": None, "x": None}], "e": None, "f": None}
    read = {"a": None, "c": [{"x": None}], "e": None, "f": None}
    assert without_nulls(given, schema, schema) == read
