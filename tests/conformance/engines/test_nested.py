"""Workflows as steps of workflows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mastra import StepContext, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline


def start(id: str = "w", output: Any = Number, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=Number, output_schema=output, **options)


async def test_a_workflow_is_a_step(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    workflow = chain("w", adding("before", 10, calls), inner, adding("after", 100, calls))
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=112)
    assert calls.names == ["before", "x", "y", "after"]


async def test_its_steps_are_named_after_it(env: Env) -> None:
    inner = chain("inner", adding("x"), adding("y"))
    result = await env.start(chain("w", inner), {"value": 0})
    assert set(result.steps) == {"inner", "inner.x", "inner.y"}
    assert result.steps["inner"].payload == {"value": 0}
    assert result.steps["inner"].output == {"value": 2}
    assert result.steps["inner.y"].payload == {"value": 1}
    assert result.step_execution_path == ["inner"]


async def test_nesting_may_be_deep(env: Env, calls: Calls) -> None:
    innermost = chain("c", adding("x", 1, calls))
    middle = chain("b", innermost, adding("y", 1, calls))
    outer = chain("a", middle, adding("z", 1, calls))
    result = await env.start(chain("w", outer), {"value": 0})
    assert result.unwrap() == Number(value=3)
    assert result.steps["a.b.c.x"].output == {"value": 1}
    assert calls.names == ["x", "y", "z"]


async def test_init_data_is_that_of_the_inner_workflow(env: Env) -> None:
    seen: list[Any] = []

    def look(ctx: StepContext[Any]) -> Any:
        seen.append((ctx.workflow_id, ctx.get_init_data()))
        return ctx.input_data

    inner = start("inner").then(adding("x")).map(look).commit()
    workflow = start().then(adding("first", 10)).then(inner).map(look).commit()
    await env.start(workflow, {"value": 1})
    assert seen == [("inner", Number(value=11)), ("w", Number(value=1))]


async def test_inside_step_results_are_those_of_the_inner_workflow(env: Env) -> None:
    seen: list[Any] = []

    def look(ctx: StepContext[Any]) -> Any:
        seen.append(ctx.get_step_result("same"))
        return ctx.input_data

    inner = start("inner").then(adding("same", 5)).map(look).commit()
    workflow = start().then(adding("same", 10)).then(inner).map(look).commit()
    await env.start(workflow, {"value": 0})
    assert seen == [Number(value=15), Number(value=10)]


async def test_outside_the_inner_workflow_has_a_result_by_its_id(env: Env) -> None:
    seen: list[Any] = []
    inner = chain("inner", adding("x"))

    def look(ctx: StepContext[Any]) -> Any:
        seen.append((ctx.get_step_result("inner"), ctx.get_step_result(inner)))
        return ctx.input_data

    await env.start(start().then(inner).map(look).commit(), {"value": 0})
    assert seen == [(Number(value=1), Number(value=1))]


async def test_outside_the_steps_of_an_inner_workflow_have_results_of_their_types(
    env: Env,
) -> None:
    seen: dict[str, Any] = {}

    def look(ctx: StepContext[Any]) -> Any:
        for name in ("outer.inner.x", "outer.inner", "each", "each[1]", "each[1].y", "each.y"):
            seen[name] = ctx.get_step_result(name)
        return [ctx.input_data]

    outer = chain("outer", chain("inner", adding("x")))
    workflow = create_workflow(id="w", input_schema=Number, output_schema=list[Any])
    workflow.then(outer).map(lambda ctx: [ctx.input_data] * 2).foreach(chain("each", adding("y")))
    result = await env.start(workflow.map(look).commit(), {"value": 0})
    one, two = Number(value=1), Number(value=2)
    assert result.status == "success"
    assert seen == {
        "outer.inner.x": one,
        "outer.inner": one,
        "each": [two, two],
        "each[1]": two,
        "each[1].y": two,
        "each.y": None,
    }


async def test_the_run_id_is_that_of_the_whole(env: Env) -> None:
    seen: list[str] = []

    async def look(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.run_id)
        return ctx.input_data

    inner = chain("inner", create_step(id="look", execute=look))
    result = await env.start(chain("w", inner), {"value": 0})
    assert seen == [result.run_id]


async def test_a_failing_inner_step_fails_the_whole(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x"), failing("bad"), adding("y", 1, calls))
    result = await env.start(chain("w", inner, adding("after", 1, calls)), {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no good"
    assert result.steps["inner"].status == "failed"
    assert result.steps["inner.bad"].status == "failed"
    assert result.steps["inner.x"].status == "success"
    assert calls.names == []


async def test_an_inner_failure_has_its_cause(env: Env) -> None:
    error = ValueError("inside")
    result = await env.start(chain("w", chain("inner", failing("bad", error))), {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert str(result.error) == "inside"
    inner = result.steps["inner"].error
    assert inner is not None
    assert inner.message == "inside"


async def test_the_input_is_checked_against_the_inner_schema(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    workflow.then(chain("inner", adding("x", 1, calls))).commit()
    result = await env.start(workflow, {"value": "many"})
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert "'inner'" in result.error.message
    assert "value" in result.error.message
    assert calls.names == []


async def test_defaults_of_the_inner_schema_are_filled(env: Env) -> None:
    class Options(BaseModel):
        value: int
        by: int = 7

    async def add(options: Options) -> Number:
        return Number(value=options.value + options.by)

    inner = create_workflow(id="inner", input_schema=Options, output_schema=Number)
    inner.then(create_step(execute=add)).commit()
    assert (await env.start(chain("w", inner), {"value": 1})).unwrap() == Number(value=8)


async def test_a_branch_inside(env: Env, calls: Calls) -> None:
    inner = start("inner", Any)
    inner.branch(
        [
            (lambda ctx: ctx.input_data.value > 5, adding("big", 100, calls)),
            (lambda ctx: ctx.input_data.value <= 5, adding("small", 10, calls)),
        ]
    ).map(lambda ctx: next(iter(ctx.input_data.values()))).commit()
    result = await env.start(chain("w", adding("first", 1), inner), {"value": 1})
    assert result.unwrap() == Number(value=12)
    assert calls.names == ["small"]
    assert "inner.small" in result.steps
    assert "inner.big" not in result.steps


async def test_a_parallel_block_inside_a_parallel_block(env: Env) -> None:
    def block(id: str) -> Any:
        inner = start(id, dict[str, Any])
        return inner.parallel([adding("x", 1), adding("y", 2)]).commit()

    workflow = start(output=dict[str, Any]).parallel([block("a"), block("b")]).commit()
    both = {"x": {"value": 1}, "y": {"value": 2}}
    assert (await env.start(workflow, {"value": 0})).unwrap() == {"a": both, "b": both}


async def test_the_same_workflow_twice(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls))
    result = await env.start(chain("w", inner, inner), {"value": 0})
    assert result.unwrap() == Number(value=2)
    assert calls["x"] == 2


async def test_state_is_shared_with_the_inner_workflow(env: Env) -> None:
    class State(BaseModel):
        total: int = 0

    async def count(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"total": ctx.state.total + ctx.input_data.value})
        return ctx.input_data

    inner = chain("inner", create_step(id="in", execute=count), state_schema=State)
    workflow = chain("w", inner, create_step(id="out", execute=count), state_schema=State)
    result = await env.start(workflow, {"value": 2}, initial_state={"total": 1})
    assert result.state == {"total": 5}


async def test_the_inner_retry_config_holds_inside(env: Env, calls: Calls) -> None:
    inner = chain("inner", failing("in", calls=calls), retry_config={"attempts": 2})
    await env.start(chain("w", inner), {"value": 0})
    assert calls["in"] == 3


async def leave(ctx: StepContext[Number]) -> Number:
    ctx.bail({"value": 99})


async def test_bail_inside_ends_the_inner_workflow_alone(env: Env, calls: Calls) -> None:
    inner = chain("inner", create_step(id="leave", execute=leave), adding("y", 1, calls))
    result = await env.start(chain("w", inner, adding("after", 1, calls)), {"value": 0})
    assert (result.status, result.unwrap()) == ("success", Number(value=100))
    assert calls.names == ["after"]
    assert result.steps["inner"].status == "success"
    assert result.steps["inner"].output == {"value": 99}
    assert result.step_execution_path == ["inner", "after"]


async def test_bail_in_a_block_inside_ends_the_inner_workflow_alone(env: Env) -> None:
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Number)
    inner.parallel([adding("x"), create_step(id="leave", execute=leave)])
    inner.map(lambda ctx: 1 / 0).commit()
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.parallel([inner, adding("beside")])
    workflow.map(lambda ctx: ctx.input_data["inner"]).then(adding("after")).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=100)


async def test_bail_in_the_items_of_a_foreach_gives_their_outputs(env: Env) -> None:
    inner = chain("inner", create_step(id="leave", execute=leave), adding("y"))
    workflow = create_workflow(id="w", input_schema=list[Number], output_schema=list[Number])
    result = await env.start(workflow.foreach(inner).commit(), [{"value": 1}, {"value": 2}])
    assert result.unwrap() == [Number(value=99), Number(value=99)]


async def test_inner_events_stand_between_those_of_the_workflow(env: Env) -> None:
    inner = chain("inner", adding("x"))
    events, _ = await env.events(chain("w", inner, adding("after")), {"value": 0})
    assert outline(events) == [
        "start",
        "step-start:inner",
        "step-start:inner.x",
        "step-result:inner.x",
        "step-result:inner",
        "step-start:after",
        "step-result:after",
        "finish",
    ]


async def test_a_workflow_may_be_wrapped_with_create_step(env: Env) -> None:
    inner = chain("inner", adding("x"))
    result = await env.start(chain("w", create_step(inner)), {"value": 0})
    assert result.unwrap() == Number(value=1)
    assert "inner.x" in result.steps
