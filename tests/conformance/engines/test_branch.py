"""Branches: which arms run, on what, and what flows out."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import StepContext, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline, text_step


def start(id: str = "w", output: Any = dict[str, Any], **options: Any) -> Any:
    return create_workflow(id=id, input_schema=Number, output_schema=output, **options)


def above(limit: int) -> Any:
    return lambda ctx: ctx.input_data.value > limit


def always(ctx: StepContext[Any]) -> bool:
    return True


def never(ctx: StepContext[Any]) -> bool:
    return False


@pytest.mark.parametrize(("value", "taken"), [(5, "low"), (50, "middle"), (500, "high")])
async def test_the_arm_whose_condition_holds_runs(
    env: Env, calls: Calls, value: int, taken: str
) -> None:
    workflow = (
        start()
        .branch(
            [
                (lambda ctx: ctx.input_data.value < 10, text_step("low", "l", calls)),
                (lambda ctx: 10 <= ctx.input_data.value < 100, text_step("middle", "m", calls)),
                (lambda ctx: ctx.input_data.value >= 100, text_step("high", "h", calls)),
            ]
        )
        .commit()
    )
    result = await env.start(workflow, {"value": value})
    assert result.unwrap() == {taken: taken[0]}
    assert calls.names == [taken]
    assert list(result.steps) == [taken]


async def test_every_arm_whose_condition_holds_runs(env: Env, calls: Calls) -> None:
    workflow = start().branch(
        [
            (above(0), adding("a", 1, calls)),
            (above(100), adding("b", 2, calls)),
            (above(1), adding("c", 3, calls)),
        ]
    )
    result = await env.start(workflow.commit(), {"value": 10})
    assert list(result.unwrap().items()) == [("a", {"value": 11}), ("c", {"value": 13})]
    assert sorted(calls.names) == ["a", "c"]


async def test_arms_run_at_the_same_time(env: Env) -> None:
    begun: set[str] = set()
    all_begun = asyncio.Event()

    def meeting(id: str) -> Any:
        async def execute(number: Number) -> str:
            begun.add(id)
            if len(begun) == 2:
                all_begun.set()
            await asyncio.wait_for(all_begun.wait(), 50)
            return id

        return create_step(id=id, execute=execute)

    workflow = start().branch([(always, meeting("a")), (always, meeting("b"))]).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == {"a": "a", "b": "b"}


async def test_with_first_match_only_the_first_arm_runs(env: Env, calls: Calls) -> None:
    workflow = start().branch(
        [(never, adding("a", 1, calls)), (always, adding("b", 2, calls)), (always, adding("c"))],
        first_match=True,
    )
    result = await env.start(workflow.commit(), {"value": 0})
    assert result.unwrap() == {"b": {"value": 2}}
    assert calls.names == ["b"]


async def test_with_first_match_later_conditions_are_not_asked(env: Env, calls: Calls) -> None:
    def asked(ctx: StepContext[Any]) -> bool:
        calls.add("asked")
        return True

    workflow = start().branch([(always, adding("a")), (asked, adding("b"))], first_match=True)
    await env.start(workflow.commit(), {"value": 0})
    assert calls["asked"] == 0


async def test_no_arm_gives_an_empty_dict_and_the_run_goes_on(env: Env) -> None:
    seen: list[Any] = []

    async def after(ctx: StepContext[Any]) -> int:
        seen.append(ctx.input_data)
        return 7

    workflow = start(output=int).branch([(never, adding("a"))])
    workflow.then(create_step(id="after", execute=after)).commit()
    result = await env.start(workflow, {"value": 0})
    assert (result.status, result.unwrap()) == ("success", 7)
    assert seen == [{}]


async def test_a_condition_may_be_async(env: Env) -> None:
    async def holds(ctx: StepContext[Number]) -> bool:
        await asyncio.sleep(0)
        return ctx.input_data.value == 1

    workflow = start().branch([(holds, adding("a")), (never, adding("b"))]).commit()
    assert (await env.start(workflow, {"value": 1})).unwrap() == {"a": {"value": 2}}


async def test_a_condition_that_raises_counts_as_false_and_is_logged(
    env: Env, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(ctx: StepContext[Any]) -> bool:
        raise RuntimeError("no idea")

    workflow = start().branch([(broken, adding("a")), (always, adding("b"))]).commit()
    with caplog.at_level(logging.WARNING, logger="mastra"):
        result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == {"b": {"value": 1}}
    assert "no idea" in caplog.text


async def test_each_condition_is_asked_once_a_run(env: Env, calls: Calls) -> None:
    def asked(ctx: StepContext[Any]) -> bool:
        calls.add("asked")
        return True

    workflow = start().then(adding("first")).branch([(asked, adding("a")), (asked, adding("b"))])
    workflow.map(lambda ctx: ctx.input_data["a"]).then(adding("last")).commit()
    await env.start(workflow, {"value": 0})
    assert calls["asked"] == 2


async def test_a_condition_sees_what_flows_in_and_what_came_before(env: Env) -> None:
    seen: list[Any] = []

    def look(ctx: StepContext[Number]) -> bool:
        results = ctx.get_step_result("first"), ctx.get_init_data()
        seen.append((ctx.input_data, *results, ctx.state["by"], ctx.request_context.get("who")))
        return True

    workflow = start().then(adding("first")).branch([(look, adding("a"))]).commit()
    await env.start(
        workflow, {"value": 1}, initial_state={"by": "me"}, request_context={"who": "you"}
    )
    assert seen == [(Number(value=2), Number(value=2), Number(value=1), "me", "you")]


async def test_a_condition_sees_the_state_set_by_the_step_before(env: Env) -> None:
    async def mark(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"ready": True})
        return ctx.input_data

    workflow = start().then(create_step(execute=mark))
    workflow.branch([(lambda ctx: ctx.state["ready"], adding("a"))]).commit()
    assert (await env.start(workflow, {"value": 1})).unwrap() == {"a": {"value": 2}}


async def test_conditions_may_combine_facts(env: Env) -> None:
    class Order(BaseModel):
        total: int
        country: str
        is_member: bool

    async def ship(order: Order) -> str:
        return "free"

    async def charge(order: Order) -> str:
        return "paid"

    def is_free(ctx: StepContext[Order]) -> bool:
        order = ctx.input_data
        return order.country == "NL" and (order.total > 50 or order.is_member)

    workflow = create_workflow(id="w", input_schema=Order, output_schema=dict[str, str])
    workflow.branch(
        [
            (is_free, create_step(execute=ship)),
            (lambda c: not is_free(c), create_step(execute=charge)),
        ]
    ).commit()
    bound = env.workflow(workflow)
    outputs = [
        (await (await bound.create_run()).start(order)).unwrap()
        for order in (
            {"total": 10, "country": "NL", "is_member": True},
            {"total": 10, "country": "NL", "is_member": False},
            {"total": 99, "country": "BE", "is_member": True},
        )
    ]
    assert outputs == [{"ship": "free"}, {"charge": "paid"}, {"charge": "paid"}]


async def test_branches_one_after_the_other(env: Env) -> None:
    async def left(found: dict[str, Number]) -> str:
        return f"left of {list(found)}"

    async def right(found: dict[str, Number]) -> str:
        return f"right of {list(found)}"

    workflow = start(output=dict[str, str])
    workflow.branch([(above(10), adding("big")), (never, adding("small"))])
    workflow.branch(
        [
            (lambda ctx: "big" in ctx.input_data, create_step(execute=left)),
            (lambda ctx: "big" not in ctx.input_data, create_step(execute=right)),
        ]
    ).commit()
    bound = env.workflow(workflow)
    outputs = [(await (await bound.create_run()).start({"value": v})).unwrap() for v in (11, 1)]
    assert outputs == [{"left": "left of ['big']"}, {"right": "right of []"}]


@pytest.mark.parametrize("before", ["parallel", "loop", "foreach", "sleep", "nested", "map"])
async def test_a_branch_after_any_kind_of_node(env: Env, before: str) -> None:
    seen: list[Any] = []

    def look(ctx: StepContext[Any]) -> bool:
        seen.append(ctx.input_data)
        return True

    workflow = start()
    if before == "parallel":
        workflow.parallel([adding("x")])
    elif before == "loop":
        workflow.dountil(adding("x"), lambda ctx: ctx.input_data.value >= 3)
    elif before == "foreach":
        workflow.map(lambda ctx: [ctx.input_data]).foreach(adding("x"))
    elif before == "sleep":
        workflow.sleep(0)
    elif before == "nested":
        workflow.then(chain("inner", adding("x")))
    else:
        workflow.map(lambda ctx: Number(value=9))
    workflow.branch([(look, text_step("a", "done"))]).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == {"a": "done"}
    one = Number(value=1)
    expected = {
        "parallel": {"x": one},
        "loop": Number(value=3),
        "foreach": [one],
        "sleep": Number(value=0),
        "nested": one,
        "map": {"value": 9},
    }
    assert seen == [expected[before]]


async def test_an_arm_may_be_a_workflow(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    other = chain("other", adding("z", 1, calls))
    workflow = start().branch([(always, inner), (never, other)]).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == {"inner": {"value": 2}}
    assert calls.names == ["x", "y"]


async def test_a_failing_arm_fails_the_run(env: Env, calls: Calls) -> None:
    workflow = start().branch([(always, adding("a", 1, calls)), (always, failing("b"))])
    workflow.map(lambda ctx: calls.add("after")).commit()
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no good"
    assert calls.names == ["a"]


async def test_arms_are_in_steps_but_not_in_the_path(env: Env) -> None:
    workflow = start().then(adding("first")).branch([(always, adding("a"))]).commit()
    result = await env.start(workflow, {"value": 0})
    assert list(result.steps) == ["first", "a"]
    assert result.step_execution_path == ["first"]


async def test_the_branch_itself_tells_nothing(env: Env) -> None:
    workflow = start().branch([(always, adding("a")), (never, adding("b"))]).commit()
    events, _ = await env.events(workflow, {"value": 0})
    assert outline(events) == ["start", "step-start:a", "step-result:a", "finish"]


async def test_the_step_after_takes_whichever_arm_ran(env: Env) -> None:
    class Found(BaseModel):
        yes: str | None = None
        no: str | None = None

    async def tell(found: Found) -> str:
        return found.yes or found.no or "neither"

    workflow = start(output=str)
    workflow.branch(
        [(above(0), text_step("yes", "Y")), (lambda c: not above(0)(c), text_step("no", "N"))]
    )
    bound = env.workflow(workflow.then(create_step(execute=tell)).commit())
    outputs = [(await (await bound.create_run()).start({"value": v})).unwrap() for v in (1, 0)]
    assert outputs == ["Y", "N"]


class Widened(BaseModel):
    value: int
    unit: str = "m"


@pytest.mark.parametrize(("output", "more"), [(Number, {}), (Widened, {"unit": "m"})])
async def test_the_output_of_a_branch_is_kept_as_its_type_says(
    env: Env, output: type[BaseModel], more: dict[str, str]
) -> None:
    workflow = start(output=dict[str, output]).branch([(always, adding("add"))]).commit()

    result = await env.start(workflow, {"value": 1})

    assert result.unwrap() == {"add": output.model_validate({"value": 2})}
    assert result.to_wire()["result"] == {"add": {"value": 2, **more}}


async def test_a_condition_that_changes_what_it_sees_changes_nothing(env: Env) -> None:
    def greedy(ctx: StepContext[Any]) -> bool:
        ctx.input_data.append(99)
        return ctx.input_data[-1] == 99

    def passing(ctx: StepContext[Any]) -> bool:
        ctx.input_data["n"].append(99)
        return ctx.iteration_count > 1

    def taking(id: str) -> Any:
        return create_step(id=id, execute=lambda ctx: ctx.input_data)

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    flow.then(create_step(id="give", execute=lambda: [1]))
    flow.branch([(greedy, taking("a"))]).map(lambda ctx: {"n": ctx.input_data["a"]})
    flow.dountil(taking("turn"), passing).commit()
    assert (await env.start(flow)).unwrap() == {"n": [1]}
