"""Blocks that a deploy changes while a run waits in them, or beyond them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    DefinitionChangedError,
    Run,
    StepContext,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import asking, plus


def flow(id: str = "trip", output: Any = Any, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output, **options)


def first_value(ctx: StepContext[Any]) -> Any:
    return next(iter(ctx.input_data.values()))


def high(ctx: StepContext[int]) -> bool:
    return ctx.input_data >= 100


def low(ctx: StepContext[int]) -> bool:
    return ctx.input_data < 100


async def suspended(env: Env, workflow: Any, value: int = 1) -> None:
    run = await env.workflow(workflow.commit()).create_run("r")
    result = await run.start(value)
    assert isinstance(result, WorkflowSuspended), result


async def after(env: Env, *workflows: Any) -> Run[Any]:
    """Return the run in a process with other definitions."""
    committed = [w if isinstance(w, list) else w.commit() for w in workflows]
    return await (await env.deploy(*committed)).get_workflow("trip").create_run("r")


async def refused(run: Run[Any]) -> DefinitionChangedError:
    with pytest.raises(DefinitionChangedError) as caught:
        await run.resume({"add": 1}, step="wait")
    assert await run.status() == "suspended"
    return caught.value


# -- branches ------------------------------------------------------------------------------------


async def test_arms_in_another_order(env: Env, calls: Calls) -> None:
    arms = [(low, plus(calls, "cheap")), (high, asking(calls, "wait"))]
    await suspended(env, flow().then(plus(calls, "a")).branch(arms).map(first_value), 100)
    run = await after(env, flow().then(plus(calls, "a")).branch(arms[::-1]).map(first_value))
    result: Any = await run.resume({"add": 1}, step="wait")
    assert result.result == 102
    assert calls.names == ["a", "wait", "wait", "wait:done"]


async def test_an_arm_that_is_added(env: Env, calls: Calls) -> None:
    arms = [(low, plus(calls, "cheap")), (high, asking(calls, "wait"))]
    more = [(lambda _: True, plus(calls, "new")), *arms]
    await suspended(env, flow().branch(arms).map(first_value), 100)
    run = await after(env, flow().branch(more).map(first_value))
    result: Any = await run.resume({"add": 1}, step="wait")
    assert result.result == 101
    assert calls["new"] == 0


async def test_an_arm_not_taken_that_is_removed(env: Env, calls: Calls) -> None:
    arms = [(low, plus(calls, "cheap")), (high, asking(calls, "wait"))]
    await suspended(env, flow().then(plus(calls, "a")).branch(arms).map(first_value), 100)
    run = await after(env, flow().then(plus(calls, "a")).branch(arms[1:]).map(first_value))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 102


async def test_an_arm_taken_that_is_renamed(env: Env, calls: Calls) -> None:
    await suspended(env, flow().then(plus(calls, "a")).branch([(high, asking(calls, "wait"))]), 100)
    run = await after(env, flow().then(plus(calls, "a")).branch([(high, asking(calls, "ask"))]))
    error = await refused_at(run)
    assert error.details["removed"] == ["wait"]


async def refused_at(run: Run[Any]) -> DefinitionChangedError:
    with pytest.raises(DefinitionChangedError) as caught:
        await run.resume({"add": 1})
    return caught.value


async def test_a_condition_that_says_something_else_now(env: Env, calls: Calls) -> None:
    arms = [(low, plus(calls, "cheap")), (high, asking(calls, "wait"))]
    other = [(high, arms[0][1]), (low, arms[1][1])]
    await suspended(env, flow().then(plus(calls, "a")).branch(arms).map(first_value), 100)
    run = await after(env, flow().then(plus(calls, "a")).branch(other).map(first_value))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 102
    assert calls["cheap"] == 0


async def test_a_branch_passed_whose_other_arm_has_the_next_steps_id(
    env: Env, calls: Calls
) -> None:
    arms = [(high, plus(calls, "dear")), (low, plus(calls, "cheap"))]
    waits = asking(calls, "wait")
    await suspended(env, flow().branch(arms).map(first_value).then(waits), 1)
    more = [(lambda _: False, plus(calls, "wait")), *arms]
    error = await refused(await after(env, flow().branch(more).map(first_value).then(waits)))
    assert error.details["moved"] == ["wait"]


async def test_a_branch_that_became_a_parallel(env: Env, calls: Calls) -> None:
    one, two, waits = plus(calls, "one"), plus(calls, "two"), asking(calls, "wait")
    await suspended(env, flow().branch([(low, one), (high, two)]).map(first_value).then(waits))
    error = await refused(
        await after(env, flow().parallel([one, two]).map(first_value).then(waits))
    )
    assert error.details["changed"] or error.details["moved"]
    assert calls["two"] == 0


# -- parallels -----------------------------------------------------------------------------------


async def test_units_of_a_parallel_in_another_order(env: Env, calls: Calls) -> None:
    units = [plus(calls, "one"), asking(calls, "wait")]
    await suspended(env, flow().parallel(units))
    run = await after(env, flow().parallel(units[::-1]))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == {"one": 2, "wait": 2}
    assert calls["one"] == 1


@pytest.mark.parametrize("change", ["added", "removed"])
async def test_a_unit_of_a_parallel_under_way(env: Env, calls: Calls, change: str) -> None:
    few = [plus(calls, "one"), asking(calls, "wait")]
    many = [*few, plus(calls, "two")]
    old, new = (few, many) if change == "added" else (many, few)
    await suspended(env, flow().parallel(old))
    ran = list(calls.names)
    error = await refused(await after(env, flow().parallel(new)))
    assert error.details[change] == ["two"]
    assert calls.names == ran


async def test_a_unit_added_to_a_parallel_that_was_passed(env: Env, calls: Calls) -> None:
    one, two, waits = plus(calls, "one"), plus(calls, "two"), asking(calls, "wait")
    await suspended(env, flow().parallel([one]).map(lambda _: 1).then(waits))
    error = await refused(
        await after(env, flow().parallel([one, two]).map(lambda _: 1).then(waits))
    )
    assert error.details["added"] == ["two"]
    assert calls["two"] == 0


# -- loops, lists, nested workflows ----------------------------------------------------------------


async def test_a_loop_that_ends_on_the_opposite(env: Env, calls: Calls) -> None:
    turn, waits = plus(calls, "turn"), asking(calls, "wait")
    await suspended(env, flow().dountil(turn, lambda ctx: ctx.input_data >= 3).then(waits))
    error = await refused(
        await after(env, flow().dowhile(turn, lambda ctx: ctx.input_data >= 3).then(waits))
    )
    assert error.details["changed"] == ["turn"]


async def test_a_foreach_whose_steps_waits_goes_on_with_other_concurrency(
    env: Env, calls: Calls
) -> None:
    def listed(_: StepContext[int]) -> list[int]:
        return [1, 2]

    await suspended(env, flow().map(listed).foreach(asking(calls, "wait"), concurrency=2))
    run = await after(env, flow().map(listed).foreach(asking(calls, "wait")))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == [2, 3]


async def test_an_unnamed_map_before_others(env: Env, calls: Calls) -> None:
    waits = asking(calls, "wait")
    await suspended(env, flow().map(lambda ctx: ctx.input_data).then(waits))
    error = await refused(
        await after(env, flow().map(lambda _: 0).map(lambda ctx: ctx.input_data).then(waits))
    )
    assert error.details["added"] == ["mapping_trip_1"]


async def test_an_unnamed_map_behind_the_place(env: Env, calls: Calls) -> None:
    waits = asking(calls, "wait")
    await suspended(env, flow().then(waits).map(lambda ctx: ctx.input_data))
    run = await after(
        env, flow().then(waits).map(lambda ctx: ctx.input_data + 5).map(lambda c: c.input_data)
    )
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 7


async def test_a_step_inside_a_nested_workflow(env: Env, calls: Calls) -> None:
    a, new, waits = plus(calls, "a"), plus(calls, "new", 5), asking(calls, "wait")
    before = flow("hotel", int).then(a).then(waits)
    await suspended(env, flow().then(before.commit()))
    inserted = flow("hotel", int).then(a).then(new).then(waits).commit()
    error = await refused_at(await after(env, flow().then(inserted)))
    assert error.details["added"] == ["hotel.new"]
    behind = flow("hotel", int).then(a).then(waits).then(new).commit()
    run = await after(env, flow().then(behind))
    assert (await run.resume({"add": 1})).unwrap() == 8
    assert calls["a"] == 1


async def test_a_step_added_to_a_nested_workflow_that_was_passed(env: Env, calls: Calls) -> None:
    a, new, waits = plus(calls, "a"), plus(calls, "new"), asking(calls, "wait")
    await suspended(env, flow().then(flow("hotel", int).then(a).commit()).then(waits))
    longer = flow("hotel", int).then(a).then(new).commit()
    error = await refused(await after(env, flow().then(longer).then(waits)))
    assert error.details["added"] == ["hotel.new"]
    assert calls["new"] == 0


async def test_a_step_that_became_a_workflow(env: Env, calls: Calls) -> None:
    a, waits = plus(calls, "a"), asking(calls, "wait")
    await suspended(env, flow().then(a).then(waits))
    nested = flow("a", int).then(plus(calls, "inner")).commit()
    error = await refused(await after(env, flow().then(nested).then(waits)))
    assert error.details["changed"] == ["a"]


async def test_a_step_that_stands_twice_is_inserted_again_behind(env: Env, calls: Calls) -> None:
    a, waits = plus(calls, "a"), asking(calls, "wait")
    await suspended(env, flow().then(a).then(waits).then(a))
    run = await after(env, flow().then(a).then(waits).then(a).then(a))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 5
    assert calls["a"] == 3


# -- twice ---------------------------------------------------------------------------------------


async def test_what_went_on_by_another_definition_is_then_held_to_that_one(
    env: Env, calls: Calls
) -> None:
    a, n = plus(calls, "a"), plus(calls, "n")
    wait, again = asking(calls, "wait"), asking(calls, "again")
    first = flow().then(a).then(wait).then(again)
    second = flow().then(a).then(wait).then(n).then(again)
    await suspended(env, first)
    run = await after(env, second)
    assert (await run.resume({"add": 1}, step="wait")).status == "suspended"
    back = await after(env, first)
    with pytest.raises(DefinitionChangedError) as caught:
        await back.resume({"add": 1}, step="again")
    assert caught.value.details["removed"] == ["n"]
    run = await after(env, second)
    assert (await run.resume({"add": 1}, step="again")).unwrap() == 5


# -- schemas -------------------------------------------------------------------------------------


class Price(BaseModel):
    amount: int


class PriceWithNote(BaseModel):
    amount: int
    note: str = ""


class PriceInMoney(BaseModel):
    amount: int
    currency: str


def priced(calls: Calls, kind: Any, waits_for: Any) -> Any:
    """Return a workflow whose steps give and take one of the prices."""

    async def price(ctx: StepContext[int]) -> Any:
        calls.add("price")
        return {"amount": ctx.input_data, "currency": "EUR"}

    async def wait(ctx: StepContext[Any]) -> Any:
        calls.add("wait")
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data.amount

    return (
        flow()
        .then(create_step(id="price", input_schema=int, output_schema=kind, execute=price))
        .then(create_step(id="wait", input_schema=waits_for, output_schema=int, execute=wait))
    )


async def test_a_schema_that_takes_more(env: Env, calls: Calls) -> None:
    await suspended(env, priced(calls, Price, Price))
    run = await after(env, priced(calls, PriceWithNote, PriceWithNote))
    assert (await run.resume({"add": 1}, step="wait")).unwrap() == 1
    assert calls["price"] == 1


async def test_a_schema_that_what_is_stored_does_not_meet(env: Env, calls: Calls) -> None:
    await suspended(env, priced(calls, Price, Price))
    run = await after(env, priced(calls, PriceInMoney, PriceInMoney))
    error = await refused(run)
    assert error.details["changed"] == ["price", "wait"]
    assert "currency" in str(error)
    back = await after(env, priced(calls, Price, Price))
    assert (await back.resume({"add": 1}, step="wait")).unwrap() == 1


async def test_the_same_name_for_another_model(env: Env, calls: Calls) -> None:
    def model(**fields: Any) -> Any:
        return type("Same", (BaseModel,), {"__annotations__": fields, "__module__": __name__})

    plain, strict = model(amount=int), model(amount=int, currency=str)
    await suspended(env, priced(calls, plain, plain))
    error = await refused(await after(env, priced(calls, strict, strict)))
    assert error.details["changed"] == ["price", "wait"]


# -- back in time ----------------------------------------------------------------------------------


async def test_going_back_needs_only_what_stands_before(env: Env, calls: Calls) -> None:
    a, b, n = plus(calls, "a"), plus(calls, "b"), plus(calls, "n", 10)
    await suspended(env, flow().then(a).then(b).then(asking(calls, "wait")))
    run = await after(env, flow().then(a).then(b).then(n))
    assert (await run.time_travel(step="b")).unwrap() == 13
    assert calls.names == ["a", "b", "wait", "b", "n"]


async def test_going_back_behind_what_has_changed_is_refused(env: Env, calls: Calls) -> None:
    a, b, n = plus(calls, "a"), plus(calls, "b"), plus(calls, "n")
    await suspended(env, flow().then(a).then(b).then(asking(calls, "wait")))
    run = await after(env, flow().then(a).then(n).then(b))
    with pytest.raises(DefinitionChangedError) as caught:
        await run.time_travel(step="b")
    assert caught.value.details["added"] == ["n"]
    assert calls.names == ["a", "b", "wait"]


# -- into a nested workflow, and out of one ------------------------------------------------------


def inner(*steps: Any, id: str = "inner") -> Any:
    nested = flow(id)
    for step in steps:
        nested = nested.then(step)
    return nested.commit()


@pytest.mark.parametrize("place", ["into", "out of", "from one to another", "deeper"])
async def test_a_step_passed_that_has_gone_elsewhere_has_moved(
    env: Env, calls: Calls, place: str
) -> None:
    a, b, waits = plus(calls, "a"), plus(calls, "b"), asking(calls, "wait")
    before, now, name, added = {
        "into": ([a, b], [inner(a), b], "a", ["inner"]),
        "out of": ([inner(a, b)], [a, inner(b)], "inner.a", []),
        "from one to another": (
            [inner(a), inner(b, id="other")],
            [inner(plus(calls, "c")), inner(a, b, id="other")],
            "inner.a",
            ["inner.c"],
        ),
        "deeper": ([inner(a, b)], [inner(inner(a, id="deep"), b)], "inner.a", ["inner.deep"]),
    }[place]
    first, second = flow(), flow()
    for step in before:
        first.then(step)
    for step in now:
        second.then(step)
    await suspended(env, first.then(waits))
    error = await refused(await after(env, second.then(waits)))
    assert error.details["moved"] == [name]
    assert error.details["removed"] == []
    assert error.details["added"] == added
    assert f"moved {name!r}" in str(error)


async def test_a_step_passed_whose_workflow_is_gone_has_moved_out_of_it(
    env: Env, calls: Calls
) -> None:
    a, waits = plus(calls, "a"), asking(calls, "wait")
    await suspended(env, flow().then(inner(a)).then(waits))
    error = await refused(await after(env, flow().then(a).then(waits)))
    assert error.details["moved"] == ["inner.a"]
    assert error.details["removed"] == ["inner"]
    assert error.details["added"] == []


async def test_a_step_of_the_same_id_that_was_there_before_has_not_moved(
    env: Env, calls: Calls
) -> None:
    a, b, waits = plus(calls, "a"), plus(calls, "b"), asking(calls, "wait")
    await suspended(env, flow().then(a).then(inner(a, b)).then(waits))
    error = await refused(await after(env, flow().then(inner(a, b)).then(waits)))
    assert (error.details["removed"], error.details["moved"]) == (["a"], [])
