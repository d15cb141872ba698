"""`unpack(pack(value)) == value` over a zoo of types, through the bytes that are stored."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import ipaddress
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SerializeAsAny,
    computed_field,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from mastra.errors import SerializationError
from mastra.jsonable import dump_json, load_json
from mastra.likeness import difference
from mastra.schema import Schema
from tests.support.lanes import first_ones

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: float
    name: str = ""


class Named(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    first_name: str = "nobody"
    birth_day: dt.date | None = None

    @computed_field
    @property
    def shout(self) -> str:
        return self.first_name.upper()


class Aliased(BaseModel):
    a: int = Field(default=1, validation_alias=AliasChoices("x", AliasPath("b", 0)))
    b: list[int] = Field(default=[], serialization_alias="a")
    c: bytes = Field(default=b"", alias="C")


class Swapped(BaseModel):
    left: int = Field(1, alias="right")
    right: int = Field(2, alias="left")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    a: int = Field(1, alias="one")


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_timedelta="float", ser_json_bytes="base64")

    wait: dt.timedelta
    key: bytes


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: dt.date
    ids: tuple[uuid.UUID, ...]


class Box(BaseModel, Generic[T]):
    held: T


class Tree(BaseModel):
    value: int
    children: list[Tree] = Field(default=[], alias="kids")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, alias="livesLeft")


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Names(RootModel[dict[str, list[Named]]]):
    pass


class Typed(TypedDict, total=False):
    when: Annotated[dt.datetime, Field(alias="at")]
    rows: list[tuple[int, str]]


@dataclasses.dataclass
class Data:
    width: int
    named: Named
    made: int = dataclasses.field(init=False, default=3)


times = st.datetimes(timezones=st.none() | st.timezones())
names = st.builds(Named, firstName=st.text(), birthDay=st.none() | st.dates())
trees = st.recursive(
    st.builds(Tree, value=st.integers()),
    lambda inner: st.builds(Tree, value=st.integers(), kids=st.lists(inner, max_size=3)),
    max_leaves=8,
)
large = st.integers(-(10**40), 10**40)
plain = st.recursive(
    st.none() | st.booleans() | large | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)

ZOO: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, large),
    "float": (float, st.floats()),
    "text": (str, st.text()),
    "bytes": (bytes, st.binary() | st.just(b"\x00base64:x")),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "fraction": (Fraction, st.fractions()),
    "complex": (complex, st.complex_numbers(allow_nan=False)),
    "datetime": (dt.datetime, times),
    "date": (dt.date, st.dates()),
    "time": (dt.time, st.times()),
    "timedelta": (dt.timedelta, st.timedeltas()),
    "uuid": (uuid.UUID, st.uuids()),
    "address": (ipaddress.IPv6Address, st.ip_addresses(v=6)),
    "path": (PurePosixPath, st.just(PurePosixPath("a/b"))),
    "enum": (Colour, st.sampled_from(Colour)),
    "flag": (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    "literal": (Literal[1, "a"], st.sampled_from([1, "a"])),
    "optional": (int | None, st.none() | large),
    "set": (set[dt.date], st.sets(st.dates())),
    "frozen set": (frozenset[bytes], st.frozensets(st.binary())),
    "tuple": (tuple[int, str, dt.datetime], st.tuples(large, st.text(), times)),
    "tuples": (tuple[Decimal, ...], st.lists(st.decimals(-9, 9)).map(tuple)),
    "named tuple": (Point, st.builds(Point, st.floats(), st.text())),
    "keys": (dict[int, list[bytes]], st.dictionaries(large, st.lists(st.binary()))),
    "dated": (dict[dt.date, float], st.dictionaries(st.dates(), st.floats())),
    "flagged": (dict[bool, uuid.UUID], st.dictionaries(st.booleans(), st.uuids())),
    "alias generator": (Named, names),
    "aliases": (Aliased, st.builds(Aliased, x=large, b=st.lists(large), C=st.binary())),
    "swapped": (Swapped, st.builds(Swapped, left=large, right=large)),
    "open": (Open, st.builds(Open, one=large, other=plain)),
    "frozen": (Frozen, st.builds(Frozen, wait=st.timedeltas(), key=st.binary())),
    "strict": (
        Strict,
        st.builds(Strict, day=st.dates(), ids=st.lists(st.uuids()).map(tuple)),
    ),
    "generic": (Box[Named], st.builds(Box[Named], held=names)),
    "generic time": (list[Box[dt.datetime]], st.lists(st.builds(Box[dt.datetime], held=times))),
    "tree": (Tree, trees),
    "discriminated": (
        list[Annotated[Cat | Dog, Field(discriminator="kind")]],
        st.lists(st.builds(Cat, livesLeft=large) | st.builds(Dog)),
    ),
    "root": (Names, st.dictionaries(st.text(), st.lists(names)).map(Names)),
    "typed dict": (
        Typed,
        st.fixed_dictionaries(
            {}, optional={"when": times, "rows": st.lists(st.tuples(large, st.text()))}
        ),
    ),
    "dataclass": (Data, st.builds(Data, large, names)),
    "as any": (SerializeAsAny[Named], names),
    "anything": (Any, plain),
    "a field of anything": (Box[Any], st.builds(Box[Any], held=plain)),
    "a dict of anything": (dict[str, Any], st.dictionaries(st.text(), plain)),
    "a union": (
        dict[str, int | str | list[Named] | None],
        st.dictionaries(st.text(), large | st.text() | st.lists(names) | st.none()),
    ),
}


@pytest.mark.parametrize("name", first_ones(16, ZOO))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_packed_reads_back(name: str, data: st.DataObject) -> None:
    type_, values = ZOO[name]
    schema: Schema[Any] = Schema(type_)
    value = data.draw(values)
    read = schema.unpack(load_json(dump_json(schema.pack(value))))
    assert difference(value, read) is None


doubtful: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text() | st.dates() | st.binary() | st.uuids() | names,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=doubtful)
def test_what_is_declared_anything_is_json_or_refused(value: Any) -> None:
    schema: Schema[Any] = Schema(Any)
    try:
        packed = schema.pack(value)
    except SerializationError:
        return
    assert load_json(dump_json(packed)) == packed


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=st.dates() | st.text() | st.uuids() | st.decimals() | st.datetimes())
def test_a_union_is_read_back_or_refused(value: Any) -> None:
    schema: Schema[Any] = Schema(dt.date | str | uuid.UUID | Decimal | dt.datetime)
    try:
        packed = schema.pack(value)
    except SerializationError:
        return
    assert difference(value, schema.unpack(load_json(dump_json(packed)))) is None


class Tree(BaseModel):
    n: int
    child: Tree | None = None


class Grafted(Tree):
    extra: int = 1


@pytest.mark.parametrize("value", [Grafted(n=1), Tree(n=1, child=Grafted(n=2))])
def test_a_value_of_a_subclass_is_refused_wherever_it_stands(value: Tree) -> None:
    schema = Schema(Tree)
    assert schema.unpack(schema.pack(Tree(n=1, child=Tree(n=2)))) == Tree(n=1, child=Tree(n=2))
    with pytest.raises(SerializationError, match="Grafted as Tree"):
        schema.pack(value)
