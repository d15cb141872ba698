"""What is written as JSON for others and for storage, and what is told of what cannot be."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_serializer

from mastra.errors import SerializationError
from mastra.jsonable import MAX_DEPTH, copy_json, dump_json, dump_wire, load_json, to_jsonable


def nested(depth: int, inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


class Level(enum.IntEnum):
    LOW = 1


class Named(BaseModel):
    size: float = Field(alias="theSize")


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": [math.nan, math.inf, -math.inf, 1.5]}, {"a": [None, None, None, 1.5]}),
        ((1, "ü", None, True), [1, "ü", None, True]),
        ([Level.LOW, 10**30], [1, 10**30]),
        (Named(theSize=math.nan), {"theSize": None}),
        ({"a": {1}}, {"a": [1]}),
        (OrderedDict(b=1), {"b": 1}),
        ({"a": b"x"}, {"a": "x"}),
    ],
)
def test_what_others_read_is_strict_json_however_deep(value: Any, read: Any, deep: bool) -> None:
    written = dump_wire(nested(300, value) if deep else value)
    found = json.loads(written, parse_constant=pytest.fail)
    for _ in range(300 if deep else 0):
        (found,) = found
    assert found == read


@pytest.mark.parametrize("text", ["a", 'ü "\n', "\ud800", "a\udc80b"])
def test_a_text_is_written_whatever_is_in_it(text: str) -> None:
    assert json.loads(dump_wire(text)) == text
    assert json.loads(dump_wire([text])) == [text]


class Cuts(BaseModel):
    a: int

    @field_serializer("a")
    def cut(self, _: int) -> str:
        raise LookupError("a secret")


class Key:
    def __str__(self) -> str:
        raise ValueError("no")


class Odd:
    __module__ = "odd"
    __qualname__ = "Odd"


def circle() -> Any:
    found: list[Any] = []
    found.append(found)
    return {"a": found}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [1, Odd()]}, "a.1 is odd.Odd. Return plain data"),
        (Odd(), "the value itself is odd.Odd. Return plain data"),
        ({"a": {2: Odd()}}, "a.2 is odd.Odd."),
        ({"a": ({"b": Odd()},)}, "a.0.b is odd.Odd."),
        ({"a": {"b": "\ud800"}}, "a.b holds half of a surrogate pair"),
        ({"a": 10**5000}, "a is an integer of more than 4300 digits"),
        ({"a": nested(MAX_DEPTH)}, f"is nested more than {MAX_DEPTH} deep"),
        ({"a": circle()}, "cannot be stored as JSON: a.a"),
        ({"a": Cuts(a=1)}, f"what writes a ({__name__}.Cuts) raised LookupError"),
        ({"a": {Key(): Odd()}}, f"a.a key of type {__name__}.Key"),
    ],
)
def test_what_cannot_be_kept_is_told_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(SerializationError) as raised:
        dump_json(to_jsonable(value, what="The value"), what="The value")
    assert told in raised.value.message
    assert "secret" not in raised.value.message
    assert raised.value.message.startswith("The value cannot be stored as JSON: ")


@pytest.mark.parametrize(("depth", "fits"), [(254, True), (340, True), (400, False), (5000, False)])
def test_what_is_too_deep_for_anybody_is_not_read(depth: int, fits: bool) -> None:
    text = "[" * depth + "1" + "]" * depth
    if fits:
        assert load_json(text) == nested(depth)
        return
    with pytest.raises(ValueError, match="nested too deep to be read"):
        load_json(text)
    with pytest.raises(ValueError, match=r"nested too deep|Expecting"):
        load_json(text[:-1])


def test_a_copy_shares_nothing() -> None:
    value = {"a": [1, {"b": [2]}], "c": "d"}
    copied = copy_json(value)
    assert copied == value
    copied["a"][1]["b"].append(3)
    assert value["a"][1] == {"b": [2]}
