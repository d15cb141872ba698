"""Our `dataclass` is the standard one, but for when its methods are made."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field
from typing import Any

import pytest

from mastra.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list[str])
    hidden: int = field(default=0, repr=False, compare=False)


@dataclass(slots=True)
class Changing:
    value: Any = None


@dataclass(frozen=True)
class Base:
    first: int


@dataclass(eq=False)
class Itself:
    value: int


@dataclass(frozen=True)
class Derived(Base):
    second: int = 0

    def __post_init__(self) -> None:
        if self.second < 0:
            raise ValueError


def test_objects_are_made_by_position_name_and_default() -> None:
    """Each object gets a default of its own."""
    one, other = Point(1), Point(x=1, y=3, names=["a"], hidden=4)
    assert (one.x, one.y, one.names, one.hidden) == (1, 2, [], 0)
    assert (other.y, other.names, other.hidden) == (3, ["a"], 4)
    assert Point(1).names is not one.names


def test_wrong_arguments_name_the_class() -> None:
    """The first call says it as any later one does."""

    @dataclass()
    class Fresh:
        value: int

    for _ in range(2):
        with pytest.raises(TypeError, match=r"Fresh\.__init__\(\) missing 1 required"):
            Fresh()  # pyright: ignore[reportCallIssue]


def test_equality_and_hash_are_by_compared_fields() -> None:
    """A class without `eq` keeps the identity of its objects."""
    assert Point(1, hidden=1) == Point(1, hidden=2) != Point(2)
    assert Point(1) != (1, 2, [])
    assert Changing(1) == Changing(1)
    assert hash(Base(1)) == hash(Base(1))
    assert Itself(1) != Itself(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing())


def test_a_frozen_object_stays_as_it_is() -> None:
    """Others change."""
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'x'"):
        point.x = 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'x'"):
        del point.x  # pyright: ignore[reportAttributeAccessIssue]
    changing = Changing()
    changing.value = 3
    assert changing.value == 3


def test_repr_shows_the_fields_once() -> None:
    """An object that holds itself has an end."""
    assert repr(Point(1)) == "Point(x=1, y=2, names=[])"
    changing = Changing()
    changing.value = changing
    assert repr(changing) == "Changing(value=...)"


def test_a_class_builds_on_another() -> None:
    """Fields of the base come first, and `__post_init__` is called."""
    assert Derived(1, 2).first == 1
    with pytest.raises(ValueError, match=r"^$"):
        Derived(1, -1)


def test_what_the_standard_library_does_with_dataclasses() -> None:
    """Fields, replace, match, copy and pickle."""
    assert [item.name for item in dataclasses.fields(Derived)] == ["first", "second"]
    assert dataclasses.replace(Point(1), y=5).y == 5
    match Point(7):
        case Point(x, y):
            assert (x, y) == (7, 2)
    assert copy.deepcopy(Point(1, names=["a"])) == Point(1, names=["a"])
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
