"""Types that are kept: what their schemas say, and that a step's input is its own."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PydanticUserError,
    SkipValidation,
    Tag,
    WrapValidator,
    create_model,
    field_validator,
)
from pydantic_core import core_schema
from typing_extensions import TypeAliasType, TypedDict

from mastra import Agent, create_step, create_workflow
from mastra.errors import ConfigError, SerializationError
from mastra.jsonable import dump_json, load_json
from mastra.likeness import difference
from mastra.schema import Schema, SchemaMismatch
from mastra.testing import ScriptedModel, ToolCall


def bare(schema: Any) -> Any:
    """Return a class with a core schema of its author's own."""

    class Own:
        @classmethod
        def __get_pydantic_core_schema__(cls, _: Any, __: Any) -> Any:
            return schema

    return Own


class Letter(str, enum.Enum):  # noqa: UP042 - as authors write it
    A = "a"


class Pair(enum.Enum):
    ONE = (1, 2)


@dataclasses.dataclass
class Doubled:
    half: int
    whole: int = 0

    def __post_init__(self) -> None:
        self.whole = self.half * 2


@dataclasses.dataclass
class Counted:
    times: int

    def __post_init__(self) -> None:
        self.times += 1


class Open(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    a: int


class Later(BaseModel):
    model_config = ConfigDict(defer_build=True)

    raw: bytes = b""


Raw = TypeAliasType("Raw", bytes)
ODD = dt.timezone(dt.timedelta(hours=1, minutes=2, seconds=3))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (bare(core_schema.list_schema()), [1, {"a": [2.5]}]),
        (bare(core_schema.set_schema()), {1, 2}),
        (bare(core_schema.dict_schema()), {"a": [1]}),
        (list[Raw], [b"\xff", b"a"]),
        (tuple[Raw, Raw], (b"\xff", b"a")),
        (Annotated[bytes, Tag("raw")] | int, b"\xff"),
        (Annotated[bytes, Tag("raw")] | int, 5),
        (dt.datetime | bytes, b"\xff"),
        (Annotated[int, Field(default=1)] | Annotated[str, Field(default="a")], "b"),
        (dt.time, dt.time(1, 2, 3, tzinfo=ODD)),
        (dict[dt.time, int], {dt.time(1, 2, tzinfo=ODD): 1}),
        (Literal[Letter.A, "b"], Letter.A),
        (Literal[Letter.A, "b"], "b"),
        (Doubled, Doubled(2)),
        (Open, {"a": 1, "more": [1, "x"]}),
        (Later, Later(raw=b"\xff")),
    ],
)
def test_a_value_reads_back_as_it_was(type_: Any, value: Any) -> None:
    schema: Schema[Any] = Schema(type_)
    read = schema.unpack(load_json(dump_json(schema.pack(value))))
    assert difference(value, read) is None
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("type_", "value", "told"),
    [
        (Pair, Pair.ONE, "cannot be read back"),
        (Counted, Counted(1), "times reads back as another value"),
        (bytes | dt.datetime, dt.datetime(2020, 1, 1, tzinfo=ODD), "datetime as bytes"),
    ],
)
def test_a_value_that_would_read_back_otherwise_is_refused(
    type_: Any, value: Any, told: str
) -> None:
    with pytest.raises(SerializationError, match=told):
        Schema(type_).pack(value)


INNER: list[int] = [1]


def passes(value: Any, _: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (bare(core_schema.dict_schema()), {"a": INNER}),
        (bare(core_schema.list_schema()), [INNER]),
        (Annotated[list[int], WrapValidator(passes)], INNER),
        (dict[str, Annotated[list[int], WrapValidator(passes)]], {"a": INNER}),
        (Annotated[list[int], SkipValidation], INNER),
        (InstanceOf[list], INNER),
        (tuple, (INNER,)),
        (Open, {"a": 1, "more": INNER}),
        (deque[list[int]], [INNER]),
        (Iterable[list[int]], [INNER]),
        (dict[str, list[int]], {"a": INNER}),
    ],
)
def test_it_is_known_whether_a_type_hands_on_what_it_was_given(type_: Any, value: Any) -> None:
    def holds(part: Any) -> bool:
        if isinstance(part, dict):
            return any(map(holds, part.values()))
        return part is INNER or (isinstance(part, (list, tuple, deque)) and any(map(holds, part)))

    schema: Schema[Any] = Schema(type_)
    read = schema.load(value)
    assert holds(read) <= schema.may_alias


@pytest.mark.anyio
@pytest.mark.parametrize(
    "type_",
    [
        Annotated[list[int], WrapValidator(passes)],
        bare(core_schema.dict_schema()),
        Any,
    ],
)
async def test_branches_do_not_see_what_others_do_to_their_input(type_: Any) -> None:
    value: Any = {"a": [1]} if type_ is not Any and type_.__class__ is type else [1]
    seen: list[Any] = []

    def branch(name: str) -> Any:
        async def change(ctx: Any) -> int:
            part = ctx.input_data["a"] if isinstance(ctx.input_data, dict) else ctx.input_data
            part.append(2)
            await asyncio.sleep(0)
            seen.append(list(part))
            return 1

        return create_step(id=name, input_schema=type_, output_schema=int, execute=change)

    workflow = create_workflow(id="w", input_schema=type_, output_schema=dict)
    workflow.parallel([branch("a"), branch("b")]).commit()
    for _ in range(2):  # what a type is like is known once it has been used
        result = await (await workflow.create_run()).start(value)
        assert result.status == "success", result
        assert result.input == value
    assert seen == [[1, 2]] * 4
    assert value in ({"a": [1]}, [1])


def test_what_is_anything_is_dumped_by_its_own_type() -> None:
    assert Schema(Any).dump({"day": dt.date(2020, 1, 2)}) == {"day": "2020-01-02"}
    with pytest.raises(SerializationError, match="The value cannot be stored as JSON: a is"):
        Schema(Any).dump({"a": object()}, what="The value")


# What nodes of pydantic's own schemas are called by, which is what authors call fields too.
NODE_NAMES = (
    "type",
    "cls",
    "config",
    "choices",
    "default",
    "fields",
    "metadata",
    "ref",
    "serialization",
)


@pytest.mark.parametrize("form", ["model", "typed dict"])
@pytest.mark.parametrize("name", NODE_NAMES)
def test_a_field_may_be_called_as_pydantic_calls_its_own(form: str, name: str) -> None:
    def schema(kind: Any) -> Schema[Any]:
        if form == "model":
            return Schema(create_model("Made", **{name: (kind, ...)}))
        return Schema(TypedDict("Made", {name: kind}))  # type: ignore[operator]

    plain, anything, raw = schema(str), schema(Any), schema(bytes)
    for one in (plain, anything, raw):
        one.compile()
    assert plain.load({name: "x"}) == plain.unpack(plain.pack(plain.load({name: "x"})))
    assert (plain.may_alias, plain.facts.has_any, plain.facts.is_doubtful) == (False, False, False)
    assert (anything.may_alias, anything.facts.has_any) == (True, True)
    value = raw.load({name: b"\xff"})
    assert raw.unpack(load_json(dump_json(raw.pack(value)))) == value


def halved(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", NODE_NAMES)
def test_a_chain_is_checked_whatever_its_fields_are_called(name: str) -> None:
    def chain(given: Any, wanted: Any) -> Any:
        made, taken = (create_model("Made", **{name: (kind, ...)}) for kind in (given, wanted))
        workflow = create_workflow(id="w", input_schema=int, output_schema=int)
        first = create_step(id="a", input_schema=int, output_schema=made, execute=lambda _: None)
        then = create_step(id="b", input_schema=taken, output_schema=int, execute=lambda _: None)
        return workflow.then(first).then(then).commit()

    chain(int, float)
    chain(list[int], Annotated[int, BeforeValidator(halved)])  # which only it can tell
    with pytest.raises(ConfigError, match=name):
        chain(list[int], int)


@pytest.mark.anyio
async def test_steps_tools_and_agents_take_fields_that_are_called_type() -> None:
    class Event(BaseModel):
        type: str
        config: dict[str, Any] = {}

    async def count(event: Event) -> Event:
        return Event(type=event.type * 2, config=event.config)

    def note(type: str, default: int = 3) -> str:  # noqa: A002
        """Note."""
        return f"{type}{default}"

    workflow = create_workflow(id="w", input_schema=Event, output_schema=Event)
    workflow.then(create_step(id="count", execute=count)).commit()
    result = await (await workflow.create_run()).start({"type": "a", "config": {"b": [1]}})
    assert result.unwrap() == Event(type="aa", config={"b": [1]})
    model = ScriptedModel(ToolCall("note", {"type": "a"}), '{"type": "b"}')
    agent = Agent(id="a", model=model, tools=[note])
    answer = await agent.generate("?", structured_output={"schema": Event})
    assert answer.object == Event(type="b")
    assert [one.payload.result for one in answer.tool_results] == ["a3"]


class Picky(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def check(cls, value: int) -> int:
        if value == 1:
            raise ConfigError("one is not set up")
        if value == 2:
            raise PydanticUserError("two is not declared", code=None)
        if value == 3:
            raise KeyError("a secret")
        return value


def test_what_a_validator_raises_on_purpose_stays() -> None:
    schema = Schema(Picky)
    with pytest.raises(ConfigError, match="one is not set up"):
        schema.load({"a": 1})
    with pytest.raises(PydanticUserError, match="two is not declared"):
        schema.load({"a": 2})
    with pytest.raises(
        SchemaMismatch, match=r"validator Picky\.check of Picky raised KeyError"
    ) as told:
        schema.load({"a": 3})
    assert "secret" not in str(told.value)
    assert told.value.issues[0]["path"] == ["a"]
    assert schema.load({"a": 4}).a == 4


def test_an_after_validator_may_give_what_it_likes() -> None:
    schema: Schema[list[int]] = Schema(Annotated[list[int], AfterValidator(sorted)])
    assert schema.load([3, 1]) == [1, 3]
    assert not schema.may_alias


def gives(value: Any) -> Any:
    """Return a type of anything that is written as some value."""
    return Annotated[Any, PlainSerializer(lambda _: value)]


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


class Held(BaseModel):
    x: Any


@pytest.mark.parametrize(
    ("type_", "value", "packed"),
    [
        (Any, {"a": Colour.RED, 2: (1, {3})}, {"a": "red", "2": [1, [3]]}),
        (Any, deque([Colour.RED]), ["red"]),
        (Held, Held(x={1: {2: b"a"}}), {"x": {"1": {"2": "a"}}}),
        (Held, Held(x=OrderedDict(a=Counter("aab"))), {"x": {"a": {"a": 2, "b": 1}}}),
        (Held, Held(x=[dt.date(2020, 1, 2), Later(raw=b"b")]), {"x": ["2020-01-02", {"raw": "b"}]}),
        (gives(1), 1.0, 1),
    ],
)
def test_what_is_of_no_declared_type_is_kept_by_its_own(
    type_: Any, value: Any, packed: Any
) -> None:
    assert Schema(type_).pack(value) == packed


@pytest.mark.parametrize(
    ("type_", "value", "told"),
    [
        (Any, {1: 2, "1": 3}, "has keys that JSON cannot tell apart"),
        (Held, Held(x=Counter([1, "1"])), "x has keys that JSON cannot tell apart"),
        (gives("text"), [1, 2], r"reads back as another value \(list as str\)"),
        (gives({"a": 1}), [1], r"reads back as another value \(list as dict\)"),
        (gives([1]), {"a": 2}, "cannot be read back"),
        (gives([1, 2]), (1,), "has 1 items and reads back with 2"),
        (gives({"a": 1, "b": 2}), {"a": 1}, "has more in it when it is read"),
        (gives({"b": 2}), {"a": 1}, "a is not there when it is read"),
        (gives({"a": 2}), {"a": 1}, "a reads back as another value"),
        (Annotated[dict, AfterValidator(lambda v: {**v, "b": 1})], {"a": 2}, "has more in it"),
        (Annotated[dict, AfterValidator(lambda _: {"b": 1})], {"a": 2}, "a is not there"),
    ],
)
def test_what_reads_back_otherwise_is_told_with_its_place(
    type_: Any, value: Any, told: str
) -> None:
    with pytest.raises(SerializationError, match=told):
        Schema(type_).pack(value)


class Plain:
    """A class without a comparison of its own, made by what its attributes are."""

    def __init__(self, x: int) -> None:
        self.x = x


def of_plain(read: Any) -> Any:
    return bare(
        core_schema.no_info_plain_validator_function(
            lambda given: given if isinstance(given, Plain) else read(given),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda one: one.x),
        )
    )


def test_objects_without_a_comparison_are_told_apart_by_their_attributes() -> None:
    schema = Schema(of_plain(Plain))
    assert schema.unpack(schema.pack(Plain(3))).x == 3
    with pytest.raises(SerializationError, match="reads back as another value"):
        Schema(of_plain(lambda x: Plain(x + 1))).pack(Plain(3))
