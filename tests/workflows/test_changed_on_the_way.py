"""What a run has passed is compared with a definition that was changed, in each kind of block."""

from __future__ import annotations

import asyncio
import sys
import typing
from collections.abc import AsyncIterator
from typing import Any, NotRequired

import pytest
import typing_extensions
from pydantic import BaseModel

from mastra import (
    DefinitionChangedError,
    InMemoryStorage,
    Mastra,
    Run,
    Step,
    StepContext,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls
from tests.support.waiting import Gate, asking, blocking, plus


class Place:
    """One storage, and one process after the other that has its runs."""

    def __init__(self) -> None:
        self.storage = InMemoryStorage()
        self.now: Mastra | None = None

    async def deploy(self, workflow: Any) -> Run[Any]:
        """Cut off what runs, and return the run by another definition."""
        await self.aclose()
        self.now = Mastra(workflows={"trip": workflow.commit()}, storage=self.storage)
        return await self.now.get_workflow("trip").create_run("r")

    async def begin(self, workflow: Any, value: Any = 1) -> Any:
        """Run until the run waits, or ends."""
        return await (await self.deploy(workflow)).start(value)

    async def cut_off(self, workflow: Any, gate: Gate, value: Any = 1) -> None:
        """Run until a step has come to a gate."""
        await (await self.deploy(workflow)).start_async(value)
        await gate.reached.wait()

    async def aclose(self) -> None:
        if self.now is not None:
            await self.now.engine.aclose()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Where a run is begun by one definition, and goes on by another."""
    place = Place()
    yield place
    await place.aclose()


@pytest.fixture
def calls() -> Calls:
    """Counts which steps ran."""
    return Calls()


def flow(id: str = "trip", takes: Any = int) -> Any:
    return create_workflow(id=id, input_schema=takes, output_schema=Any)


def first_value(ctx: StepContext[Any]) -> Any:
    return next(iter(ctx.input_data.values()))


def five(_: Any) -> int:
    return 5


def always(_: Any) -> bool:
    return True


def never(_: Any) -> bool:
    return False


def from_three(ctx: StepContext[int]) -> bool:
    return ctx.input_data >= 3


def below_three(ctx: StepContext[int]) -> bool:
    return ctx.input_data < 3


def same(ctx: StepContext[Any]) -> Any:
    return ctx.input_data


def amount_of(ctx: StepContext[Any]) -> int:
    return int(ctx.input_data.amount)


def from_two(ctx: StepContext[Any]) -> bool:
    return amount_of(ctx) >= 2


def as_amount(ctx: StepContext[int]) -> dict[str, int]:
    return {"amount": ctx.input_data}


async def told(going_on: Any) -> dict[str, list[str]]:
    """Return what a refusal names."""
    with pytest.raises(DefinitionChangedError) as caught:
        await going_on
    details = caught.value.details
    return {key: details[key] for key in ("added", "removed", "moved", "changed") if details[key]}


# -- where the run is ------------------------------------------------------------------------------


async def test_the_first_step_may_have_begun(place: Place, calls: Calls) -> None:
    gate = Gate()
    first, n = blocking(calls, "first", gate), plus(calls, "n")
    await place.cut_off(flow().then(first), gate)
    assert await told((await place.deploy(flow().then(n).then(first))).restart()) == {
        "added": ["n"]
    }
    gate.opened.set()
    result = await (await place.deploy(flow().then(first).then(n))).restart()
    assert result.unwrap() == 3
    assert calls.names == ["first", "first", "first:done", "n"]


@pytest.mark.parametrize("kind", ["dountil", "dowhile", "foreach", "parallel", "workflow"])
async def test_what_follows_a_block_that_has_ended_may_have_begun(
    place: Place, calls: Calls, kind: str
) -> None:
    gate, n, last = Gate(), plus(calls, "n", 10), plus(calls, "last")
    unit, waits = plus(calls, "unit"), blocking(calls, "wait", gate)
    block = {
        "dountil": lambda: flow().dountil(unit, from_three),
        "dowhile": lambda: flow().dowhile(unit, below_three),
        "foreach": lambda: flow(takes=list[int]).foreach(unit),
        "parallel": lambda: flow().parallel([unit]),
        "workflow": lambda: flow().then(flow("unit").then(unit).commit()),
    }[kind]

    async def execute(ctx: StepContext[Any]) -> int:
        calls.add("wait")
        await gate.pass_through()
        return 5

    waits = create_step(id="wait", execute=execute)
    await place.cut_off(block().then(waits).then(last), gate, [1, 2] if kind == "foreach" else 1)
    ran = list(calls.names)
    inserted = place.deploy(block().map(same, id="n").then(waits).then(last))
    assert await told((await inserted).restart()) == {"added": ["n"]}
    assert calls.names == ran
    gate.opened.set()
    run = await place.deploy(block().then(waits).then(n).then(last))
    assert (await run.restart()).unwrap() == 16
    assert calls["unit"] == ran.count("unit")


async def test_what_follows_a_loop_under_way_may_change(place: Place, calls: Calls) -> None:
    gate, n, last = Gate(), plus(calls, "n", 10), plus(calls, "last")

    def looped(*then: Any) -> Any:
        async def turn(ctx: StepContext[int]) -> int:
            calls.add("turn")
            if ctx.input_data == 2:
                await gate.pass_through()
            return ctx.input_data + 1

        step = create_step(id="turn", input_schema=int, output_schema=int, execute=turn)
        workflow = flow().dountil(step, from_three)
        for each in then:
            workflow = workflow.then(each)
        return workflow

    await place.cut_off(looped(last), gate)
    gate.opened.set()
    assert (await (await place.deploy(looped(n, last))).restart()).unwrap() == 14
    assert calls.names == ["turn", "turn", "turn", "n", "last"]


async def test_a_branch_behind_a_loop_under_way_may_change(place: Place, calls: Calls) -> None:
    n = plus(calls, "n", 10)
    arms = [(always, plus(calls, "arm"))]

    async def turn(ctx: StepContext[int]) -> int:
        calls.add("turn")
        if ctx.input_data == 2 and ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data + 1

    step = create_step(id="turn", input_schema=int, output_schema=int, execute=turn)

    def looped() -> Any:
        return flow().dountil(step, from_three)

    begun = await place.begin(looped().branch(arms).map(first_value))
    assert begun.status == "suspended"
    run = await place.deploy(looped().then(n).branch(arms).map(first_value))
    assert (await run.resume({}, step="turn")).unwrap() == 14


@pytest.mark.parametrize("first", [False, True], ids=["behind a step", "at the front"])
@pytest.mark.parametrize("both", [False, True], ids=["one arm", "two arms"])
async def test_what_follows_a_branch_under_way_may_change(
    place: Place, calls: Calls, first: bool, both: bool
) -> None:
    gate, n = Gate(), plus(calls, "n", 10)
    beside, waits = plus(calls, "beside"), blocking(calls, "wait", gate)
    arms: list[Any] = [(always if both else never, beside), (always, waits)]

    def total(ctx: StepContext[Any]) -> int:
        calls.add("total")
        return sum(ctx.input_data.values())

    def branched(before: str, taken: Any) -> Any:
        workflow = flow() if first else flow().then(plus(calls, "a", 0))
        workflow = workflow.branch(taken)
        if before:
            workflow = workflow.map(same, id=before)
        return workflow.map(total, id="total")

    await place.cut_off(branched("", arms), gate)
    ran = list(calls.names)
    gone = await place.deploy(branched("", [arms[0], (always, n)]))
    assert await told(gone.restart()) == {"removed": ["wait"]}
    assert calls.names == ran
    gate.opened.set()
    run = await place.deploy(branched("between", arms))
    assert (await run.restart()).unwrap() == (4 if both else 2)
    assert calls["beside"] == both
    assert calls["total"] == 1


# -- what the steps take and give --------------------------------------------------------------------


class Order(BaseModel):
    amount: int


class OrderInMoney(BaseModel):
    amount: int
    currency: str


class OrderWithNote(BaseModel):
    amount: int
    note: str = ""


async def test_the_input_of_the_run_as_stored(place: Place, calls: Calls) -> None:
    def amount(ctx: StepContext[Any]) -> int:
        return int(ctx.get_init_data().amount)

    waits = asking(calls, "wait")

    def ordered(takes: Any) -> Any:
        return flow(takes=takes).map(amount, id="amount").then(waits)

    await place.begin(ordered(Order), {"amount": 5})
    refused = await place.deploy(ordered(OrderInMoney))
    assert await told(refused.resume({"add": 1})) == {"changed": ["input"]}
    run = await place.deploy(ordered(OrderWithNote))
    assert (await run.resume({"add": 1})).unwrap() == 6


def taking(calls: Calls, id: str, kind: type[BaseModel], gate: Gate) -> Step[Any, Any]:
    async def execute(ctx: StepContext[Any]) -> int:
        calls.add(id)
        await gate.pass_through()
        return amount_of(ctx)

    return create_step(id=id, input_schema=kind, output_schema=int, execute=execute)


async def test_the_first_step_takes_another_schema(place: Place, calls: Calls) -> None:
    gate = Gate()

    def began(kind: Any) -> Any:
        return flow(takes=Any).then(taking(calls, "first", kind, gate))

    await place.cut_off(began(Order), gate, {"amount": 5})
    assert await told((await place.deploy(began(OrderInMoney))).restart()) == {"changed": ["first"]}
    gate.opened.set()
    assert (await (await place.deploy(began(OrderWithNote))).restart()).unwrap() == 5


async def test_the_step_that_comes_next_takes_another_schema(place: Place, calls: Calls) -> None:
    gate = Gate()

    def priced(kind: Any) -> Any:
        mapped = flow().map(as_amount, id="priced")
        return mapped.then(taking(calls, "next", kind, gate))

    await place.cut_off(priced(Order), gate, 5)
    assert await told((await place.deploy(priced(OrderInMoney))).restart()) == {"changed": ["next"]}
    gate.opened.set()
    assert (await (await place.deploy(priced(OrderWithNote))).restart()).unwrap() == 5


async def test_a_workflow_that_waits_takes_another_schema(place: Place, calls: Calls) -> None:
    waits = asking(calls, "wait")

    def nested(kind: Any) -> Any:
        inner = flow("inner", kind).map(amount_of, id="amount").then(waits)
        return flow(takes=Any).then(inner.commit())

    await place.begin(nested(Order), {"amount": 5})
    refused = await place.deploy(nested(OrderInMoney))
    assert await told(refused.resume({"add": 1})) == {"changed": ["inner"]}
    run = await place.deploy(nested(OrderWithNote))
    assert (await run.resume({"add": 1})).unwrap() == 6


async def test_a_step_beside_others_that_became_a_workflow(place: Place, calls: Calls) -> None:
    one, waits = plus(calls, "one"), asking(calls, "wait")
    await place.begin(flow().parallel([one, waits]))
    nested = flow("one").then(plus(calls, "inner")).commit()
    run = await place.deploy(flow().parallel([nested, waits]))
    with pytest.raises(DefinitionChangedError, match="from step to workflow") as caught:
        await run.resume({"add": 1}, step="wait")
    assert caught.value.details["changed"] == ["one"]
    assert calls["inner"] == 0


class Some(BaseModel):
    amount: int


class SomeWithNote(BaseModel):
    amount: int
    note: str = ""


def giving(calls: Calls, kind: Any, *, fails: int = 0, retries: int = 0, last: int = 0) -> Any:
    """Return a step that gives an amount, one more each time, once it has failed."""

    async def execute(ctx: StepContext[Any]) -> Any:
        if calls.add("give") < fails:
            raise ValueError("not yet")
        return {"amount": calls["give"]}

    return create_step(id="give", output_schema=kind, execute=execute, retries=retries)


@pytest.mark.parametrize("way", ["loop", "retries", "state"])
async def test_conditions_waits_and_states_are_no_outputs(
    place: Place, calls: Calls, way: str
) -> None:
    waits = asking(calls, "wait")

    def given(kind: Any) -> Any:
        workflow = create_workflow(
            id="trip", input_schema=int, output_schema=Any, retry_config={"delay": 0.001}
        )
        if way == "loop":
            step = giving(calls, kind)
            workflow = workflow.dountil(step, from_two)
        else:
            workflow = workflow.then(giving(calls, kind, fails=way == "retries", retries=1))
        return workflow.map(amount_of, id="amount").then(waits)

    begun = await place.begin(given(Some))
    if way == "state":
        run = await place.deploy(given(Some))
        begun = await run.time_travel(step="give", initial_state={"a": 1})
    assert begun.status == "suspended", begun
    run = await place.deploy(given(SomeWithNote))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 3
    assert calls["give"] == 2


async def test_a_step_that_is_tried_again_is_not_over(place: Place, calls: Calls) -> None:
    gate, n = Gate(), plus(calls, "n", 10)

    async def execute(ctx: StepContext[int]) -> int:
        if not calls.add("again"):
            raise ValueError("not yet")
        await gate.pass_through()
        return ctx.input_data + 1

    again = create_step(id="again", input_schema=int, output_schema=int, execute=execute, retries=1)

    def tried(*then: Any) -> Any:
        workflow = create_workflow(
            id="trip", input_schema=int, output_schema=Any, retry_config={"delay": 0.001}
        ).then(again)
        for each in then:
            workflow = workflow.then(each)
        return workflow

    await place.cut_off(tried(plus(calls, "last")), gate)
    gate.opened.set()
    run = await place.deploy(tried(n, plus(calls, "last")))
    assert (await run.restart()).unwrap() == 13
    assert (calls["n"], calls["last"]) == (1, 1)


@pytest.mark.parametrize("of", [typing, typing_extensions], ids=lambda of: of.__name__)
async def test_keys_of_a_dict_that_a_step_gives(place: Place, calls: Calls, of: Any) -> None:
    if of is typing and sys.version_info < (3, 12):
        pytest.skip("pydantic takes those of typing_extensions alone")

    def given(**keys: Any) -> Any:
        kind = of.TypedDict("Told", keys)  # of one name, as the class of a changed program
        one = flow().then(giving(calls, kind)).map(five, id="five")
        return one.then(asking(calls, "wait"))

    await place.begin(given(amount=int))
    refused = await place.deploy(given(amount=int, currency=str))
    assert await told(refused.resume({"add": 1})) == {"changed": ["give"]}
    run = await place.deploy(given(amount=int, note=NotRequired[str]))
    assert (await run.resume({"add": 1})).unwrap() == 6


# -- back in time ------------------------------------------------------------------------------------


async def test_back_to_a_step_that_was_added_at_the_end(place: Place, calls: Calls) -> None:
    a, n = plus(calls, "a"), plus(calls, "n", 10)
    await place.begin(flow().then(a))
    run = await place.deploy(flow().then(a).then(n))
    assert (await run.time_travel(step="n", input_data=2)).unwrap() == 12
    assert calls.names == ["a", "n"]


async def test_what_stands_beside_an_arm_that_a_run_goes_back_to(
    place: Place, calls: Calls
) -> None:
    two, new = plus(calls, "two", 10), plus(calls, "new", 20)

    def beside(*kept: Any) -> Any:
        inner = flow("inner")
        for each in kept:
            inner = inner.then(each)
        return flow().parallel([inner.commit(), two, *([new] if calls["two"] else [])])

    one = plus(calls, "one")
    await place.begin(beside(one))
    longer = (await place.deploy(beside(one, new))).time_travel(step="two", input_data=5)
    assert await told(longer) == {"added": ["inner.new"]}
    assert calls.names == ["one", "two"]
    run = await place.deploy(beside(one))
    result = await run.time_travel(step="two", input_data=5)
    assert result.unwrap() == {"inner": 2, "two": 15, "new": 21}
    assert calls["one"] == 1


async def test_back_into_a_workflow(place: Place, calls: Calls) -> None:
    a, b, n = plus(calls, "a"), plus(calls, "b"), plus(calls, "n", 10)

    def nested(*steps: Any) -> Any:
        inner = flow("inner")
        for each in steps:
            inner = inner.then(each)
        return flow().then(inner.commit())

    await place.begin(nested(a, b))
    refused = (await place.deploy(nested(n, a, b))).time_travel(step="inner.b")
    assert await told(refused) == {"added": ["inner.n"]}
    assert calls.names == ["a", "b"]
    run = await place.deploy(nested(a, b, n))
    assert (await run.time_travel(step="inner.b")).unwrap() == 13
    assert calls.names == ["a", "b", "b", "n"]


async def test_back_into_a_workflow_that_was_a_step(place: Place, calls: Calls) -> None:
    x, y = plus(calls, "x"), plus(calls, "y", 10)
    await place.begin(flow().then(plus(calls, "a")))
    run = await place.deploy(flow().then(flow("a").then(x).then(y).commit()))
    assert (await run.time_travel(step="a.y", input_data=5)).unwrap() == 15
    assert calls.names == ["a", "y"]


async def test_a_run_that_went_back_has_reached_the_step(place: Place, calls: Calls) -> None:
    gate = Gate()
    a, b, n = asking(calls, "a"), blocking(calls, "b", gate), plus(calls, "n", 10)
    await place.begin(flow().then(a).then(b))
    run = await place.deploy(flow().then(a).then(b))
    going = asyncio.create_task(run.time_travel(step="b", input_data=5))
    await gate.reached.wait()
    inserted = await place.deploy(flow().then(a).then(n).then(b))
    going.cancel()
    gate.opened.set()
    assert await told(inserted.restart()) == {"added": ["n"]}
    run = await place.deploy(flow().then(a).then(b).then(n))
    assert (await run.restart()).unwrap() == 16
    assert calls.names == ["a", "b", "b", "b:done", "n"]


async def test_a_run_that_went_back_and_waits_has_reached_the_step(
    place: Place, calls: Calls
) -> None:
    a, b, n = asking(calls, "a"), asking(calls, "b"), plus(calls, "n", 10)
    await place.begin(flow().then(a).then(b))
    run = await place.deploy(flow().then(a).then(b))
    assert (await run.time_travel(step="b", input_data=5)).status == "suspended"
    inserted = await place.deploy(flow().then(a).then(n).then(b))
    assert await told(inserted.resume({"add": 1}, step="b")) == {"added": ["n"]}
    run = await place.deploy(flow().then(a).then(b).then(n))
    assert (await run.resume({"add": 1}, step="b")).unwrap() == 16
    assert calls.names == ["a", "b", "b", "b:done", "n"]
