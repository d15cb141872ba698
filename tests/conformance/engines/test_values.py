"""What travels between steps arrives as it was given, whatever a model's names are on the wire."""

from __future__ import annotations

import datetime as dt
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    computed_field,
    field_serializer,
)
from pydantic.alias_generators import to_camel

from mastra import (
    SerializationError,
    StepContext,
    WorkflowFailed,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from mastra.jsonable import MAX_DEPTH
from tests.support.engines import Env


class Row(BaseModel):
    amount: int = Field(default=0, serialization_alias="amountInCents")


class Order(BaseModel):
    number: int = Field(validation_alias="orderNumber")
    note: str = Field(default="", validation_alias=AliasChoices("remark", AliasPath("extra", 0)))


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    first_name: str = "nobody"
    inner_rows: list[Row] = []

    @computed_field
    @property
    def shout(self) -> str:
        return self.first_name.upper()


@dataclass
class Kept:
    width: Annotated[int, Field(alias="w")] = 0


def flow(*steps: Any, takes: Any = None, gives: Any = None, id: str = "w") -> Any:
    made: Any = create_workflow(id=id, input_schema=takes, output_schema=gives)
    for one in steps:
        made = made.then(one)
    return made.commit()


def giving(value: Any, type_: Any = None, id: str = "give") -> Any:
    async def give() -> Any:
        return value() if callable(value) else value

    return create_step(id=id, execute=give, output_schema=type_)


def taking(seen: list[Any], type_: Any, id: str = "take") -> Any:
    async def take(value: Any) -> str:
        seen.append(value)
        return repr(value)

    return create_step(id=id, execute=take, input_schema=type_)


VALUES = {
    "serialization alias": (Row, Row(amount=995)),
    "validation alias": (Order, Order.model_validate({"orderNumber": 7, "extra": ["hi"]})),
    "alias generator": (Camel, Camel(firstName="ann", innerRows=[Row(amount=3)])),
    "nested": (dict[str, list[Camel]], {"a": [Camel(firstName="bob")]}),
    "dataclass": (Kept, Kept(4)),
    "bytes": (dict[str, bytes], {"a": b"\xff\x00", "b": b"text"}),
    "times": (
        tuple[dt.datetime, dt.timedelta],
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.timedelta.max),
    ),
    "keys": (dict[int, set[str]], {1: {"a"}, -2: set[str]()}),
    "large": (list[int], [2**64, -(2**70), 10**4299]),
}


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_arrives_as_it_was_given(env: Env, name: str) -> None:
    type_, value = VALUES[name]
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(value, type_), taking(seen, type_), id="w"))
    (await (await workflow.create_run()).start()).unwrap()
    assert seen[-1] == value


@pytest.mark.parametrize("name", ["serialization alias", "validation alias", "alias generator"])
async def test_an_undeclared_output_arrives_as_well(env: Env, name: str) -> None:
    type_, value = VALUES[name]
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(value), taking(seen, type_)))
    (await (await workflow.create_run()).start()).unwrap()
    assert seen[-1] == value


async def test_an_input_by_alias_reaches_every_place_that_reads_it(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Order]) -> Order:
        seen.extend([ctx.input_data.number, ctx.get_init_data().number])
        return ctx.input_data

    async def after(ctx: StepContext[Order]) -> int:
        seen.append(ctx.get_step_result("look").number)
        return ctx.input_data.number

    inner = flow(create_step(execute=look), takes=Order, gives=Order, id="inner")
    outer = create_workflow(id="w", input_schema=Order, output_schema=int)
    first = create_step(execute=look)
    workflow = env.workflow(
        outer.then(first)
        .then(inner)
        .branch([(lambda ctx: ctx.input_data.number == 7, create_step(execute=after))])
        .map(lambda ctx: ctx.input_data["after"])
        .commit()
    )
    result = await (await workflow.create_run()).start({"orderNumber": 7})
    assert result.unwrap() == 7
    assert set(seen) == {7}


async def test_blocks_pass_values_on(env: Env) -> None:
    async def more(row: Row) -> Row:
        return Row(amount=row.amount + 1)

    step = create_step(execute=more)
    workflow = env.workflow(
        create_workflow(id="w", input_schema=list[Row], output_schema=list[Row])
        .foreach(step)
        .map(lambda ctx: ctx.input_data[0])
        .dountil(step, lambda ctx: ctx.input_data.amount > 5)
        .parallel([step])
        .map(lambda ctx: [ctx.input_data["more"]])
        .commit()
    )
    run = await workflow.create_run()
    assert (await run.start([Row(amount=1)])).unwrap() == [Row(amount=7)]


async def test_clients_see_aliases_and_what_is_computed(env: Env) -> None:
    seen: list[Any] = []
    workflow = env.workflow(
        flow(giving(Camel(firstName="ann"), Camel), taking(seen, Camel), takes=Camel, gives=str)
    )
    run = await workflow.create_run()
    told = {"firstName": "ann", "innerRows": [], "shout": "ANN"}
    result: Any = None
    events: list[Any] = []
    async with run.stream({"firstName": "eve"}) as stream:
        events = [event.to_wire() async for event in stream]
        result = await stream.result()
    given = {"firstName": "eve", "innerRows": [], "shout": "EVE"}
    ended = [e["payload"] for e in events if e["type"] == "workflow-step-result"]
    assert ended[0]["output"] == told
    assert ended[0]["payload"] == given
    assert ended[1]["payload"] == told
    wire = result.to_wire()
    assert wire["input"] == given == result.input
    assert wire["steps"]["give"]["output"] == told == result.steps["give"].output
    info = await workflow.get_run(run.run_id)
    assert info.input == given
    assert info.steps["give"].output == told
    assert info.to_wire()["steps"]["take"]["payload"] == told
    assert (await (await env.again(run)).result()).to_wire()["steps"]["give"]["output"] == told


class Average(BaseModel):
    total: float = 0
    count: int = 0

    @computed_field(repr=False)
    @property
    def average(self) -> float:
        return self.total / self.count


class Leaving(BaseModel):
    number: int = 1

    @computed_field(repr=False)
    @property
    def text(self) -> str:
        raise SystemExit(2)


@pytest.mark.parametrize("value", [Average(total=3), Leaving()], ids=["divides", "leaves"])
async def test_what_cannot_be_computed_is_left_out_of_what_clients_see(
    env: Env, value: BaseModel
) -> None:
    kind = type(value)
    seen: list[Any] = []
    definition = flow(giving(value, kind), taking(seen, kind), gives=str)
    workflow = env.workflow(definition)
    run = await workflow.create_run()
    async with run.stream(None) as stream:
        events = [event.to_wire() async for event in stream]
        result: Any = await stream.result()
    assert (result.status, seen) == ("success", [value])
    given = [e["payload"]["output"] for e in events if e["type"] == "workflow-step-result"]
    told = {name: getattr(value, name) for name in kind.model_fields}
    assert given[0] == told == result.to_wire()["steps"]["give"]["output"]
    info = await workflow.get_run(run.run_id)
    assert info is not None
    assert info.steps["give"].output == told
    assert (await workflow.list_runs()).total == 1


async def test_an_output_whose_serializer_raises_fails_its_step(env: Env) -> None:
    class Odd(BaseModel):
        number: int = 1

        @field_serializer("number")
        def write(self, number: int) -> int:
            raise SystemExit(number)

    result = await env.start(flow(giving({"rows": [Odd()]}), gives=Any))
    assert isinstance(result, WorkflowFailed)
    assert "rows.0" in str(result.error)


async def test_a_result_has_both_forms(env: Env) -> None:
    workflow = env.workflow(flow(giving(Row(amount=3)), gives=Row))
    run = await workflow.create_run()
    result: Any = await run.start()
    assert result.unwrap() == Row(amount=3)
    assert result.to_wire()["result"] == {"amountInCents": 3} == result.raw
    info = await workflow.get_run(run.run_id)
    assert info.result == Row(amount=3)
    assert info.to_wire()["result"] == {"amountInCents": 3}
    assert (await (await env.again(run)).result()).unwrap() == Row(amount=3)


class Question(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    asked_for: int


class Answer(BaseModel):
    approved: bool = Field(default=False, validation_alias="isApproved")


@pytest.mark.parametrize("answer", [{"isApproved": True}, Answer(isApproved=True)])
async def test_an_answer_by_alias_is_not_turned_round(env: Env, answer: Any) -> None:
    async def ask(ctx: StepContext[int]) -> bool:
        if ctx.resume_data is None:
            await ctx.suspend(Question(askedFor=3))
        assert ctx.suspend_data == Question(askedFor=3)
        return ctx.resume_data.approved

    step = create_step(execute=ask, resume_schema=Answer, suspend_schema=Question)
    workflow = env.workflow(flow(step, gives=bool))
    run = await workflow.create_run()
    result = await run.start(1)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload == {"ask": {"askedFor": 3}}
    assert result.steps["ask"].suspend_payload == {"askedFor": 3}
    elsewhere = await env.again(run)
    assert (await elsewhere.resume(answer)).unwrap() is True


async def test_state_is_kept_by_name(env: Env) -> None:
    class Count(BaseModel):
        so_far: int = Field(0, alias="soFar")
        last_rows: list[Row] = Field(default=[], alias="lastRows")

    async def first(ctx: StepContext[Any]) -> None:
        assert ctx.state.so_far == 2
        await ctx.set_state({"soFar": ctx.state.so_far + 1})
        await ctx.set_state({"last_rows": [Row(amount=9)]})

    async def second(ctx: StepContext[Any]) -> int:
        assert ctx.state.last_rows == [Row(amount=9)]
        await ctx.set_state(Count(soFar=ctx.state.so_far + 1))
        return ctx.state.so_far

    workflow = create_workflow(id="w", input_schema=None, output_schema=int, state_schema=Count)
    built = workflow.then(create_step(execute=first)).then(create_step(execute=second)).commit()
    run = await env.workflow(built).create_run()
    result = await run.start(initial_state={"soFar": 2})
    assert result.unwrap() == 3
    assert result.state == {"soFar": 4, "lastRows": [{"amountInCents": 9}]}


async def test_going_back_takes_values_by_alias(env: Env) -> None:
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(Row(amount=1)), taking(seen, Order)))
    run = await workflow.create_run()
    await run.start()
    await run.time_travel(step="take", input_data={"orderNumber": 8})
    assert seen[-1].number == 8


async def test_a_step_of_another_type_may_know_the_names_of_the_wire(env: Env) -> None:
    class Cents(BaseModel):
        amountInCents: int  # noqa: N815 - a name of the wire

    seen: list[Any] = []
    workflow = env.workflow(flow(giving(Row(amount=4), Row), taking(seen, Cents)))
    (await (await workflow.create_run()).start()).unwrap()
    assert seen[-1] == Cents(amountInCents=4)


# -- what does not read back ---------------------------------------------------------------------


class Login(BaseModel):
    user: str = "ann"
    password: SecretStr | None = None


class LeftOut(BaseModel):
    shown: int = 1
    hidden: int = Field(default=0, exclude=True)


class Private(BaseModel):
    shown: int = 1
    _notes: list[str] = PrivateAttr(default_factory=list)


class Rounded(BaseModel):
    price: float

    @field_serializer("price")
    def rounded(self, price: float) -> float:
        return round(price, 1)


class Base(BaseModel):
    a: int = 1


class Sub(Base):
    b: int = 2


class Holder(BaseModel):
    one: Base = Base()


@dataclass
class Made:
    a: int = 1
    made: int = field(init=False, default=0)


@dataclass
class Needs:
    a: int
    key: InitVar[int]


def noted() -> Private:
    value = Private()
    value._notes.append("x")
    return value


def remade() -> Made:
    value = Made()
    value.made = 5
    return value


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "secret": (Login, Login(password=SecretStr("horse")), "password"),
    "left out": (list[LeftOut], [LeftOut(hidden=3)], "0.hidden"),
    "private": (Private, noted, "_notes"),
    "serializer": (Rounded, Rounded(price=1.26), "price"),
    "subclass": (Holder, Holder(one=Sub()), "one"),
    "dataclass field": (Made, remade, "made"),
    "dataclass argument": (Needs, Needs(1, 2), "key"),
    "validator": (Annotated[int, AfterValidator(lambda n: n * 2)], 3, "the value itself"),
    "union": (dict[str, dt.date | str], {"day": dt.date(2026, 1, 2)}, "day"),
    "surrogate": (Any, {"text": ["\ud800"]}, "text.0"),
    "digits": (Any, {"n": 10**4300}, "n is an integer"),
    "keys": (Any, {1: "a", "1": "b"}, "keys that JSON cannot tell apart"),
    "undeclared secret": (Any, {"login": Login(password=SecretStr("horse"))}, "login.password"),
    "undeclared left out": (Any, [LeftOut(hidden=3)], "0.hidden"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_does_not_read_back_is_refused_where_it_is_given(env: Env, name: str) -> None:
    type_, value, where = REFUSED[name]
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(value, type_), taking(seen, type_)))
    result = await (await workflow.create_run()).start()
    assert isinstance(result, WorkflowFailed)
    assert where in str(result.error)
    assert "'give'" in str(result.error)
    assert "horse" not in str(result.error)
    assert seen == []


SAME: dict[str, tuple[Any, Any]] = {
    "no secret": (Login, Login()),
    "nothing left out": (LeftOut, LeftOut()),
    "nothing private": (Private, Private()),
    "nothing rounded": (Rounded, Rounded(price=1.5)),
    "restored": (Made, Made()),
    "idempotent": (Annotated[str, AfterValidator(str.strip)], "a"),
    "text of a union": (dict[str, dt.date | str], {"day": "x"}),
    "discriminated": (
        Annotated[Row | Order, Field(union_mode="left_to_right")],
        Row(amount=1),
    ),
    "any": (Any, {"a": [1, None, 1.5, float("inf"), 2**90], "b": {}}),
}


@pytest.mark.parametrize("name", SAME)
async def test_a_doubtful_type_passes_where_its_value_does(env: Env, name: str) -> None:
    type_, value = SAME[name]
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(value, type_), taking(seen, type_)))
    (await (await workflow.create_run()).start()).unwrap()
    assert seen[-1] == value


async def test_inputs_answers_and_states_are_refused_alike(env: Env) -> None:
    async def ask(ctx: StepContext[Any]) -> Any:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return "ended"

    step = create_step(execute=ask, resume_schema=Login)
    secret = Login(password=SecretStr("horse"))
    workflow = env.workflow(flow(step))
    run = await workflow.create_run()
    with pytest.raises(SerializationError, match="password"):
        await run.start(secret)
    with pytest.raises(SerializationError, match="login"):
        await run.start(initial_state={"login": secret})
    await run.start(1)
    with pytest.raises(SerializationError, match="password"):
        await run.resume(secret)
    assert (await run.resume(Login())).unwrap() == "ended"


# -- depth ---------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = "end"
    for place in range(depth):
        value = {"in": value} if place % 2 else [value]
    return value


@pytest.mark.parametrize("depth", [199, 230, MAX_DEPTH - 1])
async def test_what_is_deep_is_read_again(env: Env, depth: int) -> None:
    async def ask(ctx: StepContext[Any]) -> Any:
        if ctx.resume_data is None:
            await ctx.suspend({"about": ctx.input_data})
        return ctx.resume_data

    workflow = env.workflow(flow(giving(nested(depth)), create_step(execute=ask)))
    run = await workflow.create_run()
    result = await run.start()
    assert result.status == "suspended", result
    assert (await workflow.list_runs()).total == 1
    assert (await workflow.get_run(run.run_id)).steps["give"].output == nested(depth)
    elsewhere = await env.again(run)
    assert (await elsewhere.resume(nested(depth))).unwrap() == nested(depth)


async def test_what_is_too_deep_is_refused_and_the_run_can_be_read(env: Env) -> None:
    workflow = env.workflow(flow(giving(nested(MAX_DEPTH + 1))))
    run = await workflow.create_run()
    result: Any = await run.start()
    assert result.status == "failed"
    assert f"more than {MAX_DEPTH} deep" in str(result.error)
    assert (await workflow.list_runs()).runs[0].status == "failed"


# -- sharing -------------------------------------------------------------------------------------


@pytest.mark.every_engine
@pytest.mark.parametrize("place", ["context", "output", "state", "written"])
async def test_what_is_deeper_than_python_goes_costs_no_run(env: Env, place: str) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    async def step(ctx: StepContext[Any]) -> Any:
        match place:
            case "context":
                ctx.request_context.set("deep", deep)
            case "state":
                await ctx.set_state({"deep": deep})
            case "written":
                await ctx.writer.write(deep)
            case _:
                return deep
        return 1

    workflow = env.workflow(flow(create_step(id="step", execute=step)))
    run = await workflow.create_run()
    result = await run.start()
    assert result.status == ("success" if place == "context" else "failed")
    if result.status == "failed":
        assert f"more than {MAX_DEPTH} deep" in str(result.error)
    stored = await workflow.get_run(run.run_id)
    assert stored is not None
    assert stored.status == result.status
    with pytest.raises(SerializationError, match=f"more than {MAX_DEPTH} deep"):
        await (await workflow.create_run()).start(deep)


async def test_steps_share_no_object(env: Env) -> None:
    class Holding(BaseModel):
        items: dict[str, Any] = {}

    held = Holding(items={"a": [1]})

    async def give() -> Holding:
        return held

    async def spoil(value: Holding) -> Holding:
        value.items["a"].append(2)
        return value

    async def look(ctx: StepContext[Holding]) -> list[Any]:
        return [ctx.input_data.items, ctx.get_step_result("give").items]

    workflow = env.workflow(
        flow(create_step(execute=give), create_step(execute=spoil), create_step(execute=look))
    )
    result = await (await workflow.create_run()).start()
    assert result.unwrap() == [{"a": [1, 2]}, {"a": [1]}]
    assert held.items == {"a": [1]}


async def test_kinds_by_discriminator(env: Env) -> None:
    class Cat(BaseModel):
        kind: Literal["cat"] = Field(alias="petKind")
        lives: int = Field(9, alias="livesLeft")

    class Dog(BaseModel):
        kind: Literal["dog"] = Field(alias="petKind")

    pets = list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    given = [Dog(petKind="dog"), Cat(petKind="cat", livesLeft=3)]
    seen: list[Any] = []
    workflow = env.workflow(flow(giving(given, pets), taking(seen, pets)))
    (await (await workflow.create_run()).start()).unwrap()
    assert seen[-1] == given
