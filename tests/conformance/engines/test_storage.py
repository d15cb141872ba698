"""What is stored of a run, when, and in which shape it is read."""

from __future__ import annotations

import json
from typing import Any

from mastra import StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, failing, plus


def flow(id: str = "w", output: Any = int, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output, **options)


async def test_a_finished_step_is_stored_before_the_next_starts(env: Env, calls: Calls) -> None:
    seen: list[Any] = []
    held: list[Any] = []

    async def look(ctx: StepContext[int]) -> int:
        stored = await env.storage.workflows.load_rows("w", ctx.run_id)
        seen.append([row.key for row in stored if row.key])
        held.append(ctx.run_id)
        return ctx.input_data

    step = create_step(id="look", input_schema=int, output_schema=int, execute=look)
    await env.start(flow().then(plus(calls, "a")).then(step).commit(), 1)
    assert seen == [["a"]]


async def test_a_finished_turn_is_stored_before_the_next(env: Env) -> None:
    seen: list[int] = []

    async def look(ctx: StepContext[int]) -> int:
        seen.append(len(await env.storage.workflows.load_rows("w", ctx.run_id)))
        return ctx.input_data + 1

    step = create_step(id="look", input_schema=int, output_schema=int, execute=look)
    await env.start(flow().dountil(step, lambda ctx: ctx.input_data >= 4).commit(), 0)
    assert seen == sorted(set(seen))


async def test_the_result_is_stored_when_it_is_returned(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    head = await env.storage.workflows.get_run("w", run.run_id)
    assert (head.status, head.result, head.owner) == ("success", 2, None)


async def test_storing_a_step_adds_one_row(env: Env, calls: Calls) -> None:
    workflow = flow()
    for number in range(10):
        workflow.then(plus(calls, f"s{number}"))
    run = await env.workflow(workflow.commit()).create_run()
    await run.start(1)
    rows = await env.storage.workflows.load_rows("w", run.run_id)
    assert len([row for row in rows if row.key]) == 10
    assert len(rows) <= 12


# -- should_persist_snapshot -------------------------------------------------------------------


async def test_it_is_asked_about_each_state(env: Env, calls: Calls) -> None:
    asked: list[tuple[str, list[str]]] = []

    def ask(question: Any) -> bool:
        asked.append((question.workflow_status, sorted(question.step_results)))
        return True

    workflow = flow(should_persist_snapshot=ask).then(plus(calls, "a")).commit()
    await env.start(workflow, 1)
    assert asked[0] == ("pending", [])
    assert ("running", ["a"]) in asked
    assert asked[-1] == ("success", ["a"])


async def test_a_run_that_is_never_to_be_stored_leaves_nothing(env: Env, calls: Calls) -> None:
    workflow = flow(should_persist_snapshot=lambda question: False).then(plus(calls, "a")).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    assert (await run.start(1)).unwrap() == 2
    assert await registered.get_run("r") is None


async def test_only_suspensions_may_be_stored(env: Env, calls: Calls) -> None:
    def wants(question: Any) -> bool:
        return question.workflow_status == "suspended"

    workflow = flow(should_persist_snapshot=wants)
    workflow.then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start(1)
    assert (await registered.get_run("r")).status == "suspended"
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == 3
    assert calls["a"] == 1


async def test_only_ends_may_be_stored(env: Env, calls: Calls) -> None:
    def wants(question: Any) -> bool:
        return question.workflow_status in ("success", "failed")

    workflow = flow(should_persist_snapshot=wants).then(plus(calls, "a")).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start(1)
    info = await registered.get_run("r")
    assert (info.status, info.result, set(info.steps)) == ("success", 2, {"a"})


# -- the snapshot in Mastra's shape ------------------------------------------------------------

ALWAYS = {
    "runId",
    "status",
    "value",
    "context",
    "activePaths",
    "stepExecutionPath",
    "activeStepsPath",
    "serializedStepGraph",
    "suspendedPaths",
    "waitingPaths",
    "resumeLabels",
    "requestContext",
    "timestamp",
}


async def snapshot(env: Env, workflow: Any, **options: Any) -> dict[str, Any]:
    registered = env.workflow(workflow)
    await (await registered.create_run("r")).start(1, **options)
    found = (await registered.get_run("r")).to_snapshot()
    json.dumps(found)
    return found


async def test_the_fields_of_a_successful_snapshot(env: Env, calls: Calls) -> None:
    found = await snapshot(env, flow().then(plus(calls, "a")).then(plus(calls, "b")).commit())
    assert set(found) == ALWAYS | {"result"}
    assert found["runId"] == "r"
    assert found["status"] == "success"
    assert found["result"] == 3
    assert found["activePaths"] == [1]
    assert found["stepExecutionPath"] == ["a", "b"]
    assert found["context"]["input"] == 1
    assert set(found["context"]["a"]) == {"payload", "startedAt", "status", "output", "endedAt"}
    assert found["suspendedPaths"] == found["waitingPaths"] == found["activeStepsPath"] == {}


async def test_the_state_and_the_request_context(env: Env, calls: Calls) -> None:
    found = await snapshot(
        env,
        flow().then(plus(calls, "a")).commit(),
        initial_state={"k": 1},
        request_context={"tenant": "acme"},
    )
    assert found["value"] == {"k": 1}
    assert found["requestContext"] == {"tenant": "acme"}


async def test_the_graph_is_in_it(env: Env, calls: Calls) -> None:
    found = await snapshot(env, flow().then(plus(calls, "a")).commit())
    assert found["serializedStepGraph"] == [
        {"type": "step", "step": {"id": "a", "canSuspend": False}}
    ]


async def test_a_suspended_snapshot(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    found = await snapshot(env, workflow)
    assert set(found) == ALWAYS
    assert found["status"] == "suspended"
    assert found["suspendedPaths"] == {"ask": [1]}
    payload = found["context"]["ask"]["suspendPayload"]
    assert payload["value"] == 2
    assert payload["__workflow_meta"]["runId"] == "r"
    assert payload["__workflow_meta"]["path"] == []


async def test_a_nested_suspension_has_its_path(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "x")).then(asking(calls, "ask")).commit()
    found = await snapshot(env, flow().then(plus(calls, "a")).then(inner).commit())
    assert set(found["suspendedPaths"]) == {"inner"}
    assert found["suspendedPaths"]["inner"][0] == 1
    meta = found["context"]["inner.ask"]["suspendPayload"]["__workflow_meta"]
    assert meta["path"] == ["ask"]


async def test_labels_are_in_it(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend({}, resume_label="go")

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    found = await snapshot(env, flow().then(step).commit())
    assert found["resumeLabels"] == {"go": {"stepId": "s"}}


async def test_a_failed_snapshot(env: Env, calls: Calls) -> None:
    found = await snapshot(env, flow().then(failing(calls, "bad")).commit())
    assert set(found) == ALWAYS | {"error"}
    assert found["error"]["message"] == "bad refuses 1"
    assert found["context"]["bad"]["status"] == "failed"


async def test_a_running_snapshot(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    found = (await registered.get_run("r")).to_snapshot()
    gate.opened.set()
    assert found["status"] == "running"
    assert found["activeStepsPath"] == {"b": [1]}
    assert found["activePaths"] == [1]
    await run.result()


async def test_the_wire_of_a_suspended_run_is_as_recorded(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="approval-workflow", input_schema=int, output_schema=int)
    workflow.then(plus(calls, "prepare")).then(asking(calls, "approve", resume_schema=dict))
    workflow.then(plus(calls, "after")).commit()
    registered = env.workflow(workflow)
    await (await registered.create_run("run-susp")).start(1)
    wire = (await registered.get_run("run-susp")).to_wire()
    assert set(wire) == {
        "runId",
        "workflowName",
        "resourceId",
        "createdAt",
        "updatedAt",
        "status",
        "payload",
        "steps",
        "activeStepsPath",
        "serializedStepGraph",
        "suspendedPaths",
        "resumeLabels",
        "waitingPaths",
    }
    assert wire["suspendedPaths"] == {"approve": [1]}
    assert wire["payload"] == 1
    assert wire["createdAt"].endswith("Z")
    assert [node["step"]["canSuspend"] for node in wire["serializedStepGraph"]] == [
        False,
        True,
        False,
    ]
    assert set(wire["steps"]["approve"]) == {
        "payload",
        "startedAt",
        "status",
        "suspendPayload",
        "suspendedAt",
    }


async def test_chosen_fields_only(env: Env, calls: Calls) -> None:
    registered = env.workflow(flow().then(plus(calls, "a")).commit())
    await (await registered.create_run("r")).start(1)
    wire = (await registered.get_run("r")).to_wire(frozenset({"result", "steps"}))
    assert set(wire) == {
        "runId",
        "workflowName",
        "resourceId",
        "createdAt",
        "updatedAt",
        "status",
        "result",
        "steps",
    }


# -- what cannot be stored ---------------------------------------------------------------------


async def test_output_that_is_no_json_names_the_step_and_the_path(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> Any:
        return {"rows": [1, {"bad": object()}]}

    step = create_step(id="s", input_schema=int, output_schema=Any, execute=execute)
    result = await env.start(flow(output=Any).then(step).commit(), 1)
    assert result.status == "failed"
    assert result.error.code == "NOT_SERIALIZABLE"
    assert "'s'" in result.error.message
    assert "rows" in result.error.message
    assert "bad" in result.error.message


async def test_state_that_is_no_json_names_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.set_state({"k": {"deep": object()}})
        return 1

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    result = await env.start(flow().then(step).commit(), 1)
    assert result.error.code == "NOT_SERIALIZABLE"
    assert "'s'" in result.error.message
    assert "deep" in result.error.message


async def test_a_suspend_payload_that_is_no_json_names_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend({"k": object()})

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    result = await env.start(flow().then(step).commit(), 1)
    assert result.error.code == "NOT_SERIALIZABLE"
    assert "'s'" in result.error.message


async def test_no_further_try_of_what_cannot_be_stored(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[int]) -> Any:
        calls.add("s")
        return object()

    step = create_step(id="s", input_schema=int, output_schema=Any, execute=execute, retries=3)
    await env.start(flow(output=Any).then(step).commit(), 1)
    assert calls["s"] == 1
