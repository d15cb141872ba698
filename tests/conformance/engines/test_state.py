"""State: what a run's steps share and change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    InputValidationError,
    StepContext,
    StepValidationError,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from tests.support.engines import Env
from tests.support.flows import Number, chain


class State(BaseModel):
    total: int = 0
    names: list[str] = []


def setting(id: str, **options: Any) -> Any:
    """Return a step that writes what flows in to the state."""

    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({id: ctx.input_data.value})
        return Number(value=ctx.input_data.value + 1)

    return create_step(id=id, execute=execute, **options)


def looking(id: str, seen: list[Any], **options: Any) -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.state)
        return ctx.input_data

    return create_step(id=id, execute=execute, **options)


async def test_without_a_schema_state_is_an_empty_dict(env: Env) -> None:
    seen: list[Any] = []
    result = await env.start(chain("w", looking("a", seen)), {"value": 0})
    assert seen == [{}]
    assert result.state == {}


async def test_the_initial_state_is_what_start_was_given(env: Env) -> None:
    seen: list[Any] = []
    await env.start(chain("w", looking("a", seen)), {"value": 0}, initial_state={"n": 1})
    assert seen == [{"n": 1}]


async def test_with_a_schema_state_is_a_value_of_it_with_defaults(env: Env) -> None:
    seen: list[Any] = []
    workflow = chain("w", looking("a", seen), state_schema=State)
    await env.start(workflow, {"value": 0}, initial_state={"names": ["x"]})
    assert seen == [State(total=0, names=["x"])]


async def test_the_initial_state_may_be_a_value_of_the_schema(env: Env) -> None:
    seen: list[Any] = []
    workflow = chain("w", looking("a", seen), state_schema=State)
    await env.start(workflow, {"value": 0}, initial_state=State(total=5))
    assert seen == [State(total=5)]


async def test_a_bad_initial_state_is_refused(env: Env) -> None:
    run = await env.workflow(chain("w", looking("a", []), state_schema=State)).create_run()
    with pytest.raises(InputValidationError, match="total") as raised:
        await run.start({"value": 0}, initial_state={"total": "many"})
    assert raised.value.code == "WORKFLOW_SCHEMA_VALIDATION_FAILED"
    assert await run.status() == "pending"


async def test_what_a_step_sets_the_next_sees(env: Env) -> None:
    seen: list[Any] = []
    result = await env.start(chain("w", setting("a"), looking("b", seen)), {"value": 7})
    assert seen == [{"a": 7}]
    assert result.state == {"a": 7}


async def test_values_are_merged_key_by_key(env: Env) -> None:
    workflow = chain("w", setting("a"), setting("b"), setting("a"))
    result = await env.start(workflow, {"value": 1}, initial_state={"kept": True, "b": 0})
    assert result.state == {"kept": True, "a": 3, "b": 2}


async def test_a_list_is_replaced_not_joined(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"names": ["b"]})
        return ctx.input_data

    workflow = chain("w", create_step(execute=execute), state_schema=State)
    result = await env.start(workflow, {"value": 1}, initial_state={"names": ["a"]})
    assert result.state == {"total": 0, "names": ["b"]}


async def test_state_keeps_its_value_while_the_step_runs(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"n": 2})
        seen.append(dict(ctx.state))
        return ctx.input_data

    result = await env.start(
        chain("w", create_step(execute=execute)), {"value": 1}, initial_state={"n": 1}
    )
    assert seen == [{"n": 1}]
    assert result.state == {"n": 2}


async def test_several_calls_in_one_step_add_up(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"a": 1, "b": 1})
        await ctx.set_state({"b": 2})
        return ctx.input_data

    result = await env.start(chain("w", create_step(execute=execute)), {"value": 1})
    assert result.state == {"a": 1, "b": 2}


async def test_a_model_sets_the_fields_that_it_was_given(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state(State(total=3))
        return ctx.input_data

    workflow = chain("w", create_step(execute=execute), state_schema=State)
    result = await env.start(workflow, {"value": 1}, initial_state={"names": ["a"]})
    assert result.state == {"total": 3, "names": ["a"]}


@dataclass(frozen=True)
class Count:
    total: int = 0
    names: tuple[str, ...] = ()


async def test_a_dataclass_sets_all_of_its_fields(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state(replace(ctx.state, total=ctx.state.total + 3))
        return ctx.input_data

    workflow = chain("w", create_step(execute=execute), state_schema=Count)
    result = await env.start(workflow, {"value": 1}, initial_state=Count(1, ("a",)))
    assert result.state == {"total": 4, "names": ["a"]}


@pytest.mark.parametrize("given", [5, "total", None, [1], Count])
async def test_what_is_no_state_fails_the_step_in_plain_words(env: Env, given: Any) -> None:
    def execute(ctx: StepContext[Number]) -> Number:
        ctx.set_state(given)
        return ctx.input_data

    result = await env.start(chain("w", create_step(id="s", execute=execute)), {"value": 1})
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_STATE_VALIDATION_FAILED"
    assert "State set by step 's' is" in result.error.message
    assert "give a dict" in result.error.message


async def test_changing_the_object_itself_changes_nothing(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        ctx.state["items"].append(1)
        return ctx.input_data

    workflow = chain("w", create_step(execute=execute), looking("b", seen))
    result = await env.start(workflow, {"value": 1}, initial_state={"items": []})
    assert seen == [{"items": []}]
    assert result.state == {"items": []}


async def test_state_that_misses_its_schema_fails_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"total": "many"})
        return ctx.input_data

    step = create_step(id="s", execute=execute)
    result = await env.start(chain("w", step, state_schema=State), {"value": 1})
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, StepValidationError)
    assert result.error.code == "WORKFLOW_STEP_STATE_VALIDATION_FAILED"
    assert "'s'" in result.error.message
    assert "total" in result.error.message
    assert result.state == {"total": 0, "names": []}


async def test_a_step_may_see_a_part_of_the_state(env: Env) -> None:
    class Part(BaseModel):
        total: int

    seen: list[Any] = []
    workflow = chain("w", looking("a", seen, state_schema=Part), state_schema=State)
    result = await env.start(workflow, {"value": 1}, initial_state={"total": 2, "names": ["x"]})
    assert seen == [Part(total=2)]
    assert result.state == {"total": 2, "names": ["x"]}


async def test_a_step_with_a_part_of_the_state_keeps_the_rest(env: Env) -> None:
    class Part(BaseModel):
        total: int = 0

    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"total": 9})
        return ctx.input_data

    step = create_step(execute=execute, state_schema=Part)
    workflow = chain("w", step, state_schema=State)
    result = await env.start(workflow, {"value": 1}, initial_state={"names": ["x"]})
    assert result.state == {"total": 9, "names": ["x"]}


async def test_parallel_steps_set_keys_of_their_own(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.parallel([setting("a"), setting("b"), setting("c")]).commit()
    result = await env.start(workflow, {"value": 5})
    assert result.state == {"a": 5, "b": 5, "c": 5}


async def test_a_failed_step_sets_nothing(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"n": 2})
        raise ValueError("too late")

    result = await env.start(
        chain("w", create_step(execute=execute)), {"value": 1}, initial_state={"n": 1}
    )
    assert result.state == {"n": 1}


async def test_a_loop_counts_in_the_state(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"turns": ctx.state.get("turns", 0) + 1})
        return ctx.input_data

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.dountil(create_step(execute=execute), lambda ctx: ctx.state["turns"] >= 4).commit()
    assert (await env.start(workflow, {"value": 1})).state == {"turns": 4}


async def test_a_map_sees_the_state(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(setting("a")).map(lambda ctx: ctx.state).commit()
    assert (await env.start(workflow, {"value": 5})).unwrap() == {"a": 5}


async def test_the_stored_run_has_the_state(env: Env) -> None:
    run = await env.workflow(chain("w", setting("a"))).create_run()
    await run.start({"value": 5})
    mastra = await env.new_process()
    stored = await mastra.get_workflow("w").get_run(run.run_id)
    assert stored is not None
    assert stored.state == {"a": 5}


async def test_runs_do_not_share_state(env: Env) -> None:
    workflow = env.workflow(chain("w", setting("a")))
    results = [await (await workflow.create_run()).start({"value": i}) for i in range(3)]
    assert [result.state for result in results] == [{"a": 0}, {"a": 1}, {"a": 2}]


async def test_what_a_function_between_the_steps_sets_is_kept(env: Env) -> None:
    """Beside steps and maps: conditions, lengths of sleeps, how many items run at once."""

    async def holds(ctx: StepContext[Number]) -> bool:
        await ctx.set_state({"branch": True, "a": "changed"})
        return True

    def is_third(ctx: StepContext[Any]) -> bool:
        ctx.set_state({"turns": ctx.iteration_count})
        return ctx.iteration_count == 3

    def at_once(ctx: StepContext[Any]) -> int:
        ctx.set_state({"items": len(ctx.input_data)})
        return 2

    def no_time(ctx: StepContext[Any]) -> float:
        ctx.set_state({"slept": True})
        return 0.0

    def arm_of(ctx: StepContext[Any]) -> Any:
        return ctx.input_data["arm"]

    seen: list[Any] = []
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(setting("a")).branch([(holds, looking("arm", seen))])
    workflow.map(arm_of).dountil(looking("turn", seen), is_third)
    workflow.map(lambda ctx: [ctx.input_data] * 2).foreach(looking("item", []), concurrency=at_once)
    workflow.sleep(no_time).commit()
    run = await env.workflow(workflow).create_run()
    result = await run.start({"value": 1})
    kept = {"a": "changed", "branch": True, "turns": 3, "items": 2, "slept": True}
    assert result.state == kept
    assert seen[0] == {"a": "changed", "branch": True}
    assert [state.get("turns") for state in seen[1:]] == [None, 1, 2]
    mastra = await env.new_process()
    stored = await mastra.get_workflow("w").get_run(run.run_id)
    assert stored is not None
    assert stored.state == kept


async def test_a_branch_without_a_step_before_it_keeps_what_its_condition_sets(env: Env) -> None:
    async def holds(ctx: StepContext[Number]) -> bool:
        await ctx.set_state({"n": 1})
        return True

    async def waits(ctx: StepContext[Number]) -> Any:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.state

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.branch([(holds, create_step(id="waits", execute=waits))]).commit()
    run = await env.workflow(workflow).create_run()
    await run.start({"value": 1}, initial_state={"n": 0})
    again = await (await env.new_process()).get_workflow("w").create_run(run.run_id)
    assert (await again.resume("yes")).unwrap() == {"waits": {"n": 1}}
