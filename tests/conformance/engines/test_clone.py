"""Clones of steps and of workflows."""

from __future__ import annotations

from typing import Any

from mastra import clone_step, clone_workflow, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing


async def test_a_cloned_step_runs_under_its_own_id(env: Env, calls: Calls) -> None:
    step = adding("a", 1, calls)
    result = await env.start(chain("w", step, clone_step(step, id="b")), {"value": 0})
    assert result.unwrap() == Number(value=2)
    assert list(result.steps) == ["a", "b"]
    assert calls["a"] == 2


async def test_a_cloned_step_keeps_its_options(env: Env, calls: Calls) -> None:
    step = clone_step(failing("a", calls=calls, retries=2), id="b")
    await env.start(chain("w", step), {"value": 0})
    assert calls["a"] == 3


async def test_clones_stand_side_by_side(env: Env) -> None:
    step = adding("a")
    workflow = create_workflow(id="w", input_schema=Number, output_schema=dict[str, Any])
    workflow.parallel([step, clone_step(step, id="b"), clone_step(step, id="c")]).commit()
    result = await env.start(workflow, {"value": 0})
    assert list(result.unwrap()) == ["a", "b", "c"]


async def test_a_cloned_workflow_runs_under_its_own_id(env: Env) -> None:
    original = chain("one", adding("a"))
    mastra = env.mastra(workflows=[original, clone_workflow(original, id="two")])
    results = [
        await (await mastra.get_workflow(key).create_run()).start({"value": 0})
        for key in ("one", "two")
    ]
    assert [result.workflow_id for result in results] == ["one", "two"]
    assert [result.unwrap().value for result in results] == [1, 1]


async def test_runs_of_a_clone_are_listed_apart(env: Env) -> None:
    original = chain("one", adding("a"))
    mastra = env.mastra(workflows=[original, clone_workflow(original, id="two")])
    await (await mastra.get_workflow("one").create_run()).start({"value": 0})
    listed = [(await mastra.get_workflow(key).list_runs()).total for key in ("one", "two")]
    assert listed == [1, 0]


async def test_cloned_workflows_as_steps(env: Env) -> None:
    inner = chain("inner", adding("x"))
    workflow = create_workflow(id="w", input_schema=Number, output_schema=dict[str, Any])
    workflow.parallel([inner, clone_workflow(inner, id="clone")]).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == {"inner": {"value": 1}, "clone": {"value": 1}}
    assert {"inner.x", "clone.x"} <= set(result.steps)


async def test_a_cloned_workflow_keeps_its_options(env: Env, calls: Calls) -> None:
    original = chain(
        "one",
        failing("a", calls=calls),
        retry_config={"attempts": 1},
        on_error=lambda info: calls.add(info.workflow_id),
    )
    await env.start(clone_workflow(original, id="two"), {"value": 0})
    assert calls.names == ["a", "a", "two"]


async def test_an_uncommitted_clone_grows_by_itself(env: Env) -> None:
    base = create_workflow(id="one", input_schema=Number, output_schema=Number).then(adding("a"))
    more = clone_workflow(base, id="two").then(adding("b")).commit()
    base.commit()
    mastra = env.mastra(workflows=[base, more])
    results = [
        (await (await mastra.get_workflow(key).create_run()).start({"value": 0})).unwrap().value
        for key in ("one", "two")
    ]
    assert results == [1, 2]
