"""Which suspended step a resume is for, and what it may be given."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    NotFoundError,
    ResumeValidationError,
    Run,
    RunNotFoundError,
    RunStateError,
    StepContext,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import asking, plus


class Answer(BaseModel):
    add: int
    note: str = "none"


def flow(output: Any = int) -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=output)


async def suspended(env: Env, workflow: Any) -> Run[Any]:
    run = await env.workflow(workflow).create_run()
    result = await run.start(1)
    assert result.status == "suspended"
    return run


async def two_waiting(env: Env, calls: Calls) -> Run[Any]:
    arms = [asking(calls, "left"), asking(calls, "right")]
    return await suspended(env, flow(dict).parallel(arms).commit())


async def test_by_step_object(env: Env, calls: Calls) -> None:
    ask = asking(calls, "ask")
    run = await suspended(env, flow().then(ask).commit())
    assert (await run.resume({"add": 1}, step=ask)).unwrap() == 2


async def test_by_id(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(asking(calls, "ask")).commit())
    assert (await run.resume({"add": 1}, step="ask")).unwrap() == 2


async def nested_waiting(env: Env, calls: Calls) -> Run[Any]:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    return await suspended(env, flow().then(inner).commit())


async def test_by_dotted_path(env: Env, calls: Calls) -> None:
    run = await nested_waiting(env, calls)
    assert (await run.resume({"add": 1}, step="inner.ask")).unwrap() == 3


async def test_by_list_of_ids(env: Env, calls: Calls) -> None:
    run = await nested_waiting(env, calls)
    assert (await run.resume({"add": 1}, step=["inner", "ask"])).unwrap() == 3


async def test_by_list_of_steps(env: Env, calls: Calls) -> None:
    ask = asking(calls, "ask")
    inner = create_workflow(id="inner", input_schema=int, output_schema=int).then(ask).commit()
    run = await suspended(env, flow().then(inner).commit())
    assert (await run.resume({"add": 1}, step=[inner, ask])).unwrap() == 2


async def test_by_the_nested_workflow_alone(env: Env, calls: Calls) -> None:
    run = await nested_waiting(env, calls)
    assert (await run.resume({"add": 1}, step="inner")).unwrap() == 3


async def test_by_the_inner_id_alone(env: Env, calls: Calls) -> None:
    run = await nested_waiting(env, calls)
    assert (await run.resume({"add": 1}, step="ask")).unwrap() == 3


async def test_without_a_step_where_one_waits(env: Env, calls: Calls) -> None:
    run = await nested_waiting(env, calls)
    assert (await run.resume({"add": 1})).unwrap() == 3


async def test_without_a_step_where_several_wait_lists_them(env: Env, calls: Calls) -> None:
    run = await two_waiting(env, calls)
    with pytest.raises(RunStateError, match=r"'left', 'right'") as caught:
        await run.resume({"add": 1})
    assert caught.value.code == "RESUME_TARGET_AMBIGUOUS"


async def test_an_ambiguous_resume_leaves_the_run_suspended(env: Env, calls: Calls) -> None:
    run = await two_waiting(env, calls)
    with pytest.raises(RunStateError):
        await run.resume({"add": 1})
    assert await run.status() == "suspended"


async def test_a_nested_workflow_with_several_waiting_steps_is_ambiguous(
    env: Env, calls: Calls
) -> None:
    inner = create_workflow(id="inner", input_schema=int, output_schema=dict)
    inner.parallel([asking(calls, "left"), asking(calls, "right")]).commit()
    run = await suspended(env, flow(dict).then(inner).commit())
    with pytest.raises(RunStateError, match=r"'inner.left', 'inner.right'") as caught:
        await run.resume({"add": 1}, step="inner")
    assert caught.value.code == "RESUME_TARGET_AMBIGUOUS"


async def test_one_of_several_by_id(env: Env, calls: Calls) -> None:
    run = await two_waiting(env, calls)
    result = await run.resume({"add": 5}, step="right")
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["left"]]
    assert (await run.resume({"add": 7}, step="left")).unwrap() == {"left": 8, "right": 6}


async def test_the_same_inner_id_in_two_workflows_is_told_apart_by_path(
    env: Env, calls: Calls
) -> None:
    def inner(name: str) -> Any:
        nested = create_workflow(id=name, input_schema=int, output_schema=int)
        return nested.then(asking(calls, "ask")).commit()

    run = await suspended(env, flow(dict).parallel([inner("x"), inner("y")]).commit())
    with pytest.raises(RunStateError, match=r"'x.ask', 'y.ask'"):
        await run.resume({"add": 1}, step="ask")
    result = await run.resume({"add": 1}, step="y.ask")
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["x", "ask"]]


async def test_a_step_that_is_not_suspended_is_refused(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    run = await suspended(env, workflow)
    with pytest.raises(RunStateError, match=r"'a'.*not suspended.*'ask'") as caught:
        await run.resume({"add": 1}, step="a")
    assert caught.value.code == "RESUME_TARGET_NOT_FOUND"


async def test_an_unknown_step_is_refused(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(asking(calls, "ask")).commit())
    with pytest.raises(NotFoundError, match="'nope'"):
        await run.resume({"add": 1}, step="nope")


def labelled(calls: Calls, step_id: str, label: Any) -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        calls.add(step_id)
        if ctx.resume_data is None:
            await ctx.suspend({}, resume_label=label)
        return ctx.input_data + ctx.resume_data["add"]

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)


async def test_by_label(env: Env, calls: Calls) -> None:
    arms = [labelled(calls, "left", "manager"), labelled(calls, "right", "owner")]
    run = await suspended(env, flow(dict).parallel(arms).commit())
    result = await run.resume({"add": 5}, label="owner")
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["left"]]


async def test_the_result_has_the_labels(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(labelled(calls, "s", "go")).commit()).create_run()
    result = await run.start(1)
    assert isinstance(result, WorkflowSuspended)
    assert result.resume_labels == {"go": {"stepId": "s"}}
    assert result.to_wire(resume_labels=True)["resumeLabels"] == {"go": {"stepId": "s"}}
    assert "resumeLabels" not in result.to_wire()


async def test_a_step_may_have_several_labels(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(labelled(calls, "s", ["yes", "no"])).commit())
    assert (await run.resume({"add": 1}, label="no")).unwrap() == 2


async def test_an_unknown_label_lists_the_known_ones(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(labelled(calls, "s", "go")).commit())
    with pytest.raises(RunStateError, match=r"'stop'.*'go'") as caught:
        await run.resume({"add": 1}, label="stop")
    assert caught.value.code == "RESUME_TARGET_NOT_FOUND"


def checked(calls: Calls) -> Any:
    return asking(calls, "ask", resume_schema=Answer)


async def test_resume_data_is_a_value_of_the_resume_schema(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        seen.append(ctx.resume_data)
        return 1

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, resume_schema=Answer
    )
    run = await suspended(env, flow().then(step).commit())
    await run.resume({"add": 2})
    assert seen == [Answer(add=2, note="none")]


async def test_resume_data_may_be_a_value_of_the_resume_schema(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.resume_data.add

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, resume_schema=Answer
    )
    run = await suspended(env, flow().then(step).commit())
    assert (await run.resume(Answer(add=4))).unwrap() == 4


async def test_bad_resume_data_names_the_step_and_the_field(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(checked(calls)).commit())
    with pytest.raises(ResumeValidationError, match=r"'ask'.*add") as caught:
        await run.resume({"add": "many"})
    assert caught.value.code == "WORKFLOW_RESUME_DATA_VALIDATION_FAILED"
    assert caught.value.issues[0]["path"] == ["add"]


async def test_bad_resume_data_runs_nothing_and_leaves_the_run_suspended(
    env: Env, calls: Calls
) -> None:
    run = await suspended(env, flow().then(checked(calls)).commit())
    with pytest.raises(ResumeValidationError):
        await run.resume({})
    assert calls["ask"] == 1
    assert await run.status() == "suspended"


async def test_resume_without_data_misses_a_resume_schema(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(checked(calls)).commit())
    with pytest.raises(ResumeValidationError):
        await run.resume()


async def test_the_resume_schema_of_a_nested_step_is_checked(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(checked(calls)).commit()
    run = await suspended(env, flow().then(inner).commit())
    with pytest.raises(ResumeValidationError, match=r"'inner\.ask'"):
        await run.resume({"add": []})


async def test_the_resume_schema_of_a_step_in_a_foreach_is_checked(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await env.workflow(workflow.foreach(checked(calls)).commit()).create_run()
    await run.start([1])
    with pytest.raises(ResumeValidationError, match="'ask'"):
        await run.resume({"add": []})


async def test_a_finished_run_cannot_be_resumed(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match=r"success, not suspended") as caught:
        await run.resume({"add": 1})
    assert caught.value.code == "RUN_NOT_SUSPENDED"


async def test_a_pending_run_cannot_be_resumed(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    with pytest.raises(RunStateError, match=r"pending, not suspended"):
        await run.resume({"add": 1})


async def test_a_run_that_is_nowhere_cannot_be_resumed(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(asking(calls, "ask")).commit())
    run = await workflow.create_run("gone")
    await run.start(1)
    await workflow.delete_run("gone")
    with pytest.raises(RunNotFoundError, match="'gone'"):
        await run.resume({"add": 1})


async def test_a_run_of_another_workflow_is_not_found(env: Env, calls: Calls) -> None:
    first = flow().then(asking(calls, "ask")).commit()
    other = create_workflow(id="other", input_schema=int, output_schema=int)
    other = other.then(asking(calls, "ask")).commit()
    mastra = env.mastra(workflows=[first, other])
    await (await mastra.get_workflow("w").create_run("r")).start(1)
    run = await mastra.get_workflow("other").create_run("r")
    with pytest.raises(RunStateError, match=r"pending, not suspended"):
        await run.resume({"add": 1})


async def test_resume_data_that_is_no_json_is_refused(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(asking(calls, "ask")).commit())
    with pytest.raises(Exception, match="Resume data") as caught:
        await run.resume({"add": object()})
    assert caught.value.code == "NOT_SERIALIZABLE"
    assert await run.status() == "suspended"


async def test_resume_async_returns_the_run_id(env: Env, calls: Calls) -> None:
    run = await suspended(env, flow().then(asking(calls, "ask")).commit())
    assert await run.resume_async({"add": 1}) == run.run_id
    assert (await run.result()).unwrap() == 2
