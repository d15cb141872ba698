"""Arms, units and schemas that a deploy changes while a run waits: suspended, asleep, cut off."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Step, StepContext, create_step, create_workflow
from tests.conformance.engines.test_definition_changed import Nodes, Waiting, nap, trip
from tests.support.engines import Calls, Env
from tests.support.lanes import first_ones
from tests.support.waiting import plus

Arm = tuple[Any, Any]


@pytest.fixture(params=["suspended", "sleeping", "crashed"])
def waiting(request: pytest.FixtureRequest, env: Env, calls: Calls) -> Waiting:
    """A run that is to wait in one of the ways."""
    return Waiting(env, calls, request.param)


def high(ctx: StepContext[int]) -> bool:
    return ctx.input_data >= 2


def low(ctx: StepContext[int]) -> bool:
    return ctx.input_data < 2


def always(_: Any) -> bool:
    return True


def a_unit(waiting: Waiting) -> Any:
    """Return what waits as a step, or as a workflow: a sleep is no step."""
    if waiting.way != "sleeping":
        return waiting.wait
    inner = create_workflow(id="wait", input_schema=int, output_schema=Any)
    return nap(inner).commit()


def branched(*arms: Arm) -> Any:
    return lambda workflow: workflow.branch(list(arms)).map(
        lambda ctx: next(iter(ctx.input_data.values())), id="taken"
    )


def side_by_side(*units: Any) -> Any:
    return lambda workflow: workflow.parallel(list(units)).map(
        lambda ctx: sum(ctx.input_data.values()), id="sum"
    )


@pytest.mark.every_engine
@pytest.mark.parametrize("change", ["in another order", "one more", "one less"])
async def test_arms_while_a_run_waits_in_one(waiting: Waiting, calls: Calls, change: str) -> None:
    a, last = plus(calls, "a"), plus(calls, "last")
    cheap, dear = (low, plus(calls, "cheap")), (high, a_unit(waiting))
    more = (always, plus(calls, "new"))
    await waiting.begin(trip([a, branched(cheap, dear), last]))
    arms = {
        "in another order": [dear, cheap],
        "one more": [more, cheap, dear],
        "one less": [dear],
    }[change]
    run = await waiting.deploy(trip([a, branched(*arms), last]))
    result = await waiting.go_on(run)
    assert result.status == "success", result
    assert (calls["a"], calls["last"], calls["cheap"], calls["new"]) == (1, 1, 0, 0)


async def test_arms_of_a_branch_that_was_passed(waiting: Waiting, calls: Calls) -> None:
    a = plus(calls, "a")
    cheap, dear = (low, plus(calls, "cheap")), (high, plus(calls, "dear"))
    await waiting.begin(trip([a, branched(cheap, dear), waiting.wait]))
    more = (always, plus(calls, "new"))
    run = await waiting.deploy(trip([a, branched(more, dear, cheap), waiting.wait]))
    result = await waiting.go_on(run)
    assert result.status == "success", result
    assert (calls["a"], calls["dear"], calls["cheap"], calls["new"]) == (1, 1, 0, 0)


@pytest.mark.every_engine
async def test_the_arm_that_was_taken_and_is_gone(waiting: Waiting, calls: Calls) -> None:
    a = plus(calls, "a")
    cheap, dear = (low, plus(calls, "cheap")), (high, plus(calls, "dear"))
    original = trip([a, branched(cheap, dear), waiting.wait])
    await waiting.begin(original)
    other = trip([a, branched(cheap, (high, plus(calls, "costly"))), waiting.wait])
    error = await waiting.refused(await waiting.deploy(other))
    assert error.details["removed"] == ["dear"]
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.status == "success", result
    assert (calls["a"], calls["dear"], calls["costly"]) == (1, 1, 0)


@pytest.mark.every_engine
async def test_units_of_a_parallel_in_another_order(waiting: Waiting, calls: Calls) -> None:
    a, beside, unit = plus(calls, "a"), plus(calls, "beside", 10), a_unit(waiting)
    await waiting.begin(trip([a, side_by_side(beside, unit)]), "beside")
    run = await waiting.deploy(trip([a, side_by_side(unit, beside)]))
    result = await waiting.go_on(run)
    assert result.status == "success", result
    assert (calls["a"], calls["beside"]) == (1, 1)


class Price(BaseModel):
    amount: int


class PriceWithNote(BaseModel):
    amount: int
    note: str = ""


class PriceInMoney(BaseModel):
    amount: int
    currency: str


def priced(calls: Calls, kind: type[BaseModel], waits: Any) -> Nodes:
    """Return steps of which the first gives a price, which is looked at behind the wait."""

    async def price(ctx: StepContext[int]) -> Any:
        calls.add("price")
        return {"amount": ctx.input_data, "currency": "EUR"}

    async def pay(ctx: StepContext[Any]) -> int:
        calls.add("pay")
        return int(ctx.get_step_result("price").amount)

    return [
        create_step(id="price", input_schema=int, output_schema=kind, execute=price),
        lambda workflow: workflow.map(lambda ctx: ctx.input_data.amount, id="amount"),
        waits,
        create_step(id="pay", output_schema=int, execute=pay),
    ]


@pytest.mark.every_engine
async def test_a_schema_that_takes_more(waiting: Waiting, calls: Calls) -> None:
    await waiting.begin(trip(priced(calls, Price, waiting.wait)))
    run = await waiting.deploy(trip(priced(calls, PriceWithNote, waiting.wait)))
    result = await waiting.go_on(run)
    assert result.unwrap() == 1
    assert (calls["price"], calls["pay"]) == (1, 1)


@pytest.mark.every_engine
async def test_a_schema_that_what_is_stored_does_not_meet(waiting: Waiting, calls: Calls) -> None:
    original = trip(priced(calls, Price, waiting.wait))
    await waiting.begin(original)
    error = await waiting.refused(
        await waiting.deploy(trip(priced(calls, PriceInMoney, waiting.wait)))
    )
    assert error.details["changed"] == ["price"]
    assert "currency" in str(error)
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.unwrap() == 1
    assert (calls["price"], calls["pay"]) == (1, 1)


class Basket(BaseModel):
    count: int = 0
    note: str | None = None


class BasketOfNames(BaseModel):
    count: str


class BasketWithOwner(BaseModel):
    count: int = 0
    owner: str


class BasketWithTotal(BaseModel):
    count: float
    total: float = 0.0


def counted(
    calls: Calls,
    kind: type[BaseModel],
    waits: Any,
    *,
    sets: bool = True,
    inner: str | None = None,
    version: str | None = None,
) -> Any:
    """Return a workflow with a state, which is set before the wait and looked at behind it.

    With an `inner` id, it is a nested workflow that has the state.
    """

    async def count(ctx: StepContext[int]) -> int:
        calls.add("count")
        if sets:
            await ctx.set_state({"count": 3})
        return ctx.input_data

    async def look(ctx: StepContext[Any]) -> Any:
        calls.add("look")
        if not sets:
            await ctx.set_state({"count": 3, "owner": "ann"})
            return 3
        return ctx.state.count

    steps = [create_step(execute=count), waits, create_step(execute=look)]
    if inner is None:
        return trip(steps, state_schema=kind)
    nested = create_workflow(
        id=inner, input_schema=int, output_schema=Any, state_schema=kind, version=version
    )
    for node in steps:
        nested = nested.then(node) if isinstance(node, Step) else node(nested)
    nested.commit()
    return trip([lambda workflow: workflow.then(nested)])


@pytest.mark.parametrize("kind", first_ones(1, [BasketOfNames, BasketWithOwner]))
async def test_a_state_schema_that_the_state_does_not_meet(
    waiting: Waiting, calls: Calls, kind: type[BaseModel]
) -> None:
    """The answer was taken, and the next step that looked at the state failed."""
    original = counted(calls, Basket, waiting.wait)
    await waiting.begin(original)
    error = await waiting.refused(await waiting.deploy(counted(calls, kind, waiting.wait)))
    assert error.details["changed"] == ["state"]
    assert "its state as stored does not fit" in str(error)
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.unwrap() == 3
    assert (calls["count"], calls["look"]) == (1, 1)


async def test_a_state_schema_that_the_state_meets(waiting: Waiting, calls: Calls) -> None:
    await waiting.begin(counted(calls, Basket, waiting.wait))
    run = await waiting.deploy(counted(calls, BasketWithTotal, waiting.wait))
    assert (await waiting.go_on(run)).unwrap() == 3


async def test_a_state_that_nothing_has_set_yet_meets_any_schema(
    waiting: Waiting, calls: Calls
) -> None:
    await waiting.begin(counted(calls, BasketOfNames, waiting.wait, sets=False))
    run = await waiting.deploy(counted(calls, BasketWithOwner, waiting.wait, sets=False))
    assert (await waiting.go_on(run)).unwrap() == 3


@pytest.mark.parametrize("version", first_ones(1, [None, "2"]))
async def test_a_nested_state_schema_that_the_state_does_not_meet(
    waiting: Waiting, calls: Calls, version: str | None
) -> None:
    """Nobody had noted it: the answer was taken, and the next step that looked at it failed."""
    waiting.step = "inner.wait"

    def flow(kind: type[BaseModel]) -> Any:
        return counted(calls, kind, waiting.wait, inner="inner", version=version)

    original = flow(Basket)
    await waiting.begin(original)
    error = await waiting.refused(await waiting.deploy(flow(BasketOfNames)))
    assert error.details["changed"] == ["inner"]
    assert "its state as stored does not fit" in str(error)
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.unwrap() == 3
    assert (calls["count"], calls["look"]) == (1, 1)


async def test_a_nested_state_schema_that_the_state_meets(waiting: Waiting, calls: Calls) -> None:
    waiting.step = "inner.wait"
    await waiting.begin(counted(calls, Basket, waiting.wait, inner="inner"))
    run = await waiting.deploy(counted(calls, BasketWithTotal, waiting.wait, inner="inner"))
    assert (await waiting.go_on(run)).unwrap() == 3


async def test_the_state_schema_of_a_step_that_waits(env: Env, calls: Calls) -> None:
    def flow(kind: type[BaseModel]) -> Any:
        async def sets(ctx: StepContext[int]) -> int:
            await ctx.set_state({"count": 3})
            return ctx.input_data

        async def wait(ctx: StepContext[int]) -> int:
            if ctx.resume_data is None:
                await ctx.suspend({})
            calls.add("answered")
            return ctx.state.count

        return trip([create_step(execute=sets), create_step(execute=wait, state_schema=kind)])

    waiting = Waiting(env, calls, "suspended")
    await waiting.begin(flow(Basket))
    error = await waiting.refused(await waiting.deploy(flow(BasketOfNames)))
    assert error.details["changed"] == ["wait"]
    result = await waiting.go_on(await waiting.deploy(flow(BasketWithTotal)))
    assert (result.unwrap(), calls["answered"]) == (3, 1)
