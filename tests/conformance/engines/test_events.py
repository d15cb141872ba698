"""The events of a run: which come, in what order, and with what in them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Event,
    RetryConfig,
    StepContext,
    ValidationError,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import asking, failing, plus

pytestmark = pytest.mark.time_jumps

NO_USAGE = {
    "inputTokens": 0,
    "outputTokens": 0,
    "totalTokens": 0,
    "cachedInputTokens": 0,
    "cacheCreationInputTokens": 0,
    "reasoningTokens": 0,
}


class Value(BaseModel):
    value: int


def flow(id: str = "w", output: Any = int) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output)


def told(events: list[Event]) -> list[tuple[str, Any]]:
    """Return type and step of each event, without the prefix that all have."""
    return [
        (event.type.removeprefix("workflow-"), event.payload.step_name if event.payload else None)
        for event in events
    ]


def wires(events: list[Event]) -> list[dict[str, Any]]:
    """Return the events' JSON with ids and times as what they are."""
    found = []
    for event in events:
        wire = event.to_wire()
        payload = wire.get("payload", {})
        for name, value in payload.items():
            if name.endswith("At"):
                assert isinstance(value, int)
                payload[name] = "ms"
            if name == "stepCallId":
                payload[name] = "id"
        found.append(wire)
    return found


# -- shapes as recorded ------------------------------------------------------------------------


def value_step(step_id: str, **options: Any) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=step_id, execute=execute, **options)


async def test_the_wire_of_a_plain_run_is_as_recorded(env: Env) -> None:
    workflow = create_workflow(id="approval-workflow", input_schema=Value, output_schema=Value)
    workflow.then(value_step("prepare")).commit()
    run = await env.workflow(workflow).create_run("run-stream-s")
    events, _ = await env.read(run.stream({"value": 1}))
    head = {"runId": "run-stream-s", "from": "WORKFLOW"}
    assert wires(events) == [
        {"type": "workflow-start", **head, "payload": {"workflowId": "approval-workflow"}},
        {
            "type": "workflow-step-start",
            **head,
            "payload": {
                "stepName": "prepare",
                "id": "prepare",
                "stepCallId": "id",
                "payload": {"value": 1},
                "startedAt": "ms",
                "status": "running",
            },
        },
        {
            "type": "workflow-step-result",
            **head,
            "payload": {
                "stepName": "prepare",
                "id": "prepare",
                "stepCallId": "id",
                "payload": {"value": 1},
                "startedAt": "ms",
                "status": "success",
                "output": {"value": 2},
                "endedAt": "ms",
            },
        },
        {
            "type": "workflow-finish",
            **head,
            "payload": {
                "workflowStatus": "success",
                "metadata": {},
                "output": {"usage": NO_USAGE},
                "finalWorkflowResult": {"value": 2},
            },
        },
    ]


async def test_the_wire_of_a_suspension_is_as_recorded(env: Env) -> None:
    async def approve(ctx: StepContext[Value]) -> Value:
        if ctx.resume_data is None:
            await ctx.suspend({"reason": "need a number"})
        return Value(value=ctx.input_data.value + ctx.resume_data["add"])

    workflow = create_workflow(id="w", input_schema=Value, output_schema=Value)
    workflow.then(create_step(id="approve", execute=approve)).commit()
    run = await env.workflow(workflow).create_run("r")
    events, _ = await env.read(run.stream({"value": 2}))
    *_, suspended, finish = wires(events)
    assert suspended == {
        "type": "workflow-step-suspended",
        "runId": "r",
        "from": "WORKFLOW",
        "payload": {
            "stepName": "approve",
            "id": "approve",
            "stepCallId": "id",
            "payload": {"value": 2},
            "startedAt": "ms",
            "status": "suspended",
            "suspendPayload": {"reason": "need a number"},
            "suspendedAt": "ms",
        },
    }
    assert finish["payload"] == {
        "workflowStatus": "suspended",
        "metadata": {},
        "output": {"usage": NO_USAGE},
    }


async def test_the_wire_of_a_resumed_leg_is_as_recorded(env: Env) -> None:
    async def approve(ctx: StepContext[Value]) -> Value:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return Value(value=ctx.input_data.value + ctx.resume_data["add"])

    workflow = create_workflow(id="w", input_schema=Value, output_schema=Value)
    workflow.then(create_step(id="approve", execute=approve)).commit()
    run = await env.workflow(workflow).create_run("r")
    await run.start({"value": 2})
    events, _ = await env.read(run.resume_stream({"add": 5}))
    first, started, ended, finish = wires(events)
    assert first["type"] == "workflow-start"
    common = {
        "stepName": "approve",
        "id": "approve",
        "stepCallId": "id",
        "payload": {"value": 2},
        "startedAt": "ms",
        "resumePayload": {"add": 5},
        "resumedAt": "ms",
    }
    assert started["payload"] == {**common, "status": "running"}
    wanted = {**common, "status": "success", "output": {"value": 7}, "endedAt": "ms"}
    got = ended["payload"]
    got.pop("suspendPayload", None)
    got.pop("suspendedAt", None)
    assert got == wanted
    assert finish["payload"]["finalWorkflowResult"] == {"value": 7}


async def test_the_wire_of_a_failure_is_as_recorded(env: Env, calls: Calls) -> None:
    events, _ = await env.events(flow().then(failing(calls, "bad")).commit(), 1)
    *_, ended, finish = wires(events)
    error = {"message": "bad refuses 1", "name": "ValueError"}
    assert ended["type"] == "workflow-step-result"
    assert ended["payload"] == {
        "stepName": "bad",
        "id": "bad",
        "stepCallId": "id",
        "payload": 1,
        "startedAt": "ms",
        "status": "failed",
        "error": error,
        "endedAt": "ms",
    }
    assert finish["payload"]["workflowStatus"] == "failed"
    assert "finalWorkflowResult" not in finish["payload"]


async def test_the_wire_of_a_sleep_is_as_recorded(env: Env) -> None:
    events, _ = await env.events(flow().sleep(0.01, id="nap").commit(), 2)
    _, waiting, ended, _ = wires(events)
    assert waiting["type"] == "workflow-step-waiting"
    assert waiting["payload"] == {
        "stepName": "nap",
        "id": "nap",
        "payload": 2,
        "startedAt": "ms",
        "status": "waiting",
    }
    assert ended["type"] == "workflow-step-result"
    assert ended["payload"]["status"] == "success"
    assert ended["payload"]["output"] == 2


async def test_the_wire_of_a_foreach_is_as_recorded(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    events, _ = await env.events(workflow.foreach(plus(calls, "each")).commit(), [2, 5])
    _, started, first, second, ended, _ = wires(events)
    assert started["payload"] == {
        "stepName": "each",
        "id": "each",
        "payload": [2, 5],
        "startedAt": "ms",
        "status": "running",
    }
    assert first["type"] == "workflow-step-progress"
    assert first["payload"] == {
        "stepName": "each",
        "id": "each",
        "completedCount": 1,
        "totalCount": 2,
        "currentIndex": 0,
        "iterationStatus": "success",
        "iterationOutput": 3,
    }
    assert second["payload"]["currentIndex"] == 1
    assert second["payload"]["completedCount"] == 2
    assert ended["type"] == "workflow-step-result"
    assert ended["payload"]["status"] == "success"
    assert ended["payload"]["output"] == [3, 6]


async def test_the_wire_of_a_loop_has_its_iteration_count(env: Env, calls: Calls) -> None:
    workflow = flow().dountil(plus(calls, "turn"), lambda ctx: ctx.input_data >= 3).commit()
    events, _ = await env.events(workflow, 1)
    counts = [event.payload.metadata for event in events if event.payload.id == "turn"]
    assert counts == [{"iterationCount": n} for n in (1, 1, 2, 2)]


# -- order -------------------------------------------------------------------------------------


async def test_seq_counts_from_0_without_gaps(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).sleep(0).parallel([plus(calls, "b"), plus(calls, "c")])
    events, _ = await env.events(workflow.map(lambda ctx: 1).commit(), 1)
    assert [event.seq for event in events] == list(range(len(events)))


async def test_steps_start_and_end_in_turn(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).commit()
    events, _ = await env.events(workflow, 1)
    assert told(events) == [
        ("start", None),
        ("step-start", "a"),
        ("step-result", "a"),
        ("step-start", "b"),
        ("step-result", "b"),
        ("finish", None),
    ]


async def test_a_maps_events_have_its_id(env: Env) -> None:
    events, _ = await env.events(flow().map(lambda ctx: ctx.input_data).commit(), 1)
    assert told(events)[1:3] == [("step-start", "mapping_w_0"), ("step-result", "mapping_w_0")]


async def test_parallel_arms_start_before_the_first_ends(env: Env) -> None:
    import asyncio

    both = asyncio.Barrier(2)  # a busy server starts them one after the other

    async def slow(ctx: StepContext[int]) -> int:
        await both.wait()
        return ctx.input_data

    arms = [
        create_step(id=name, input_schema=int, output_schema=int, execute=slow) for name in "ab"
    ]
    events, _ = await env.events(flow(output=dict).parallel(arms).commit(), 1)
    assert [kind for kind, _ in told(events)] == [
        "start",
        "step-start",
        "step-start",
        "step-result",
        "step-result",
        "finish",
    ]


async def test_events_of_a_nested_workflow_reach_the_root(env: Env, calls: Calls) -> None:
    leaf = flow("leaf").then(plus(calls, "x")).commit()
    inner = flow("inner").then(plus(calls, "a")).then(leaf).commit()
    events, _ = await env.events(flow().then(inner).commit(), 1)
    assert told(events) == [
        ("start", None),
        ("step-start", "inner"),
        ("step-start", "inner.a"),
        ("step-result", "inner.a"),
        ("step-start", "inner.leaf"),
        ("step-start", "inner.leaf.x"),
        ("step-result", "inner.leaf.x"),
        ("step-result", "inner.leaf"),
        ("step-result", "inner"),
        ("finish", None),
    ]


async def test_a_nested_suspension_is_told_at_each_level(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(asking(calls, "ask")).commit()
    events, _ = await env.events(flow().then(inner).commit(), 1)
    assert told(events)[-3:] == [
        ("step-suspended", "inner.ask"),
        ("step-suspended", "inner"),
        ("finish", None),
    ]


async def test_a_resumed_leg_tells_only_what_it_runs(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    workflow = flow().then(plus(calls, "before")).then(inner).then(plus(calls, "after")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    events, _ = await env.read(run.resume_stream({"add": 1}))
    assert told(events) == [
        ("start", None),
        ("step-start", "inner"),
        ("step-start", "inner.ask"),
        ("step-result", "inner.ask"),
        ("step-result", "inner"),
        ("step-start", "after"),
        ("step-result", "after"),
        ("finish", None),
    ]


async def test_seq_goes_on_in_a_resumed_leg(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    first, _ = await env.read(run.stream(1))
    second, _ = await env.read((await env.again(run)).resume_stream({"add": 1}))
    assert [event.seq for event in second] == [
        event.seq + len(first) for event in first[: len(second)]
    ]


async def test_the_progress_of_a_suspended_item(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    workflow.foreach(asking(calls, "ask"), concurrency=2).commit()
    run = await env.workflow(workflow).create_run()
    events, _ = await env.read(run.stream([1, 2]))
    told_items = [
        (event.payload.current_index, event.payload.iteration_status)
        for event in events
        if event.type == "workflow-step-progress"
    ]
    assert sorted(told_items) == [(0, "suspended"), (1, "suspended")]


async def test_items_that_still_wait_are_not_told_again(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    workflow.foreach(asking(calls, "ask"), concurrency=3).commit()
    run = await env.workflow(workflow).create_run()
    await run.start([1, 2, 3])
    elsewhere = await env.again(run)
    events, _ = await env.read(elsewhere.resume_stream({"add": 1}, for_each_index=1))
    told_items = [
        (event.payload.current_index, event.payload.iteration_status)
        for event in events
        if event.type == "workflow-step-progress"
    ]
    assert told_items == [(1, "success")]


async def test_a_failed_item_is_told(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    events, _ = await env.events(workflow.foreach(failing(calls, "bad")).commit(), [1, 2])
    (progress,) = [event for event in events if event.type == "workflow-step-progress"]
    assert progress.payload.iteration_status == "failed"
    assert progress.payload.current_index == 0


async def test_tries_of_a_step_are_told_once(env: Env, calls: Calls) -> None:
    workflow = create_workflow(
        id="w", input_schema=int, output_schema=int, retry_config=RetryConfig(2, delay=0.06)
    )
    events, _ = await env.events(workflow.then(failing(calls, "f", times=2)).commit(), 1)
    assert told(events)[1:-1] == [("step-start", "f"), ("step-result", "f")]


async def test_bail_is_a_success(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        return ctx.bail(5)

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    events, _ = await env.events(flow().then(step).commit(), 1)
    assert events[-2].payload.status == "success"
    assert events[-1].payload.final_workflow_result == 5


async def test_a_failed_run_tells_the_error_at_its_end(env: Env, calls: Calls) -> None:
    events, _ = await env.events(flow().then(failing(calls, "bad")).commit(), 1)
    assert events[-1].payload.workflow_status == "failed"


async def test_per_step_ends_as_paused(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).commit()
    run = await env.workflow(workflow).create_run()
    events, _ = await env.read(run.stream(1, per_step=True))
    assert told(events)[-2:] == [("paused", None), ("finish", None)]
    assert events[-2].to_wire()["payload"] == {}


# -- what steps write --------------------------------------------------------------------------


async def test_what_a_step_writes_comes_between_its_start_and_its_result(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write("one")
        await ctx.writer.write({"n": 2})
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    events, _ = await env.events(flow().then(step).commit(), 1)
    assert [event.type for event in events[1:-1]] == [
        "workflow-step-start",
        "workflow-step-output",
        "workflow-step-output",
        "workflow-step-result",
    ]
    assert [event.payload.output for event in events[2:4]] == ["one", {"n": 2}]


async def test_the_wire_of_step_output_is_as_recorded(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write("one")
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run("r")
    events, _ = await env.read(run.stream(1))
    assert events[2].to_wire() == {
        "type": "workflow-step-output",
        "runId": "r",
        "from": "USER",
        "payload": {"output": "one", "stepName": "s", "runId": "r"},
    }


async def test_models_are_written_as_json(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write(Value(value=3))
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    events, _ = await env.events(flow().then(step).commit(), 1)
    assert events[2].payload.output == {"value": 3}


async def test_custom_chunks_pass_as_they_are(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.custom({"type": "data-note", "data": {"n": 1}})
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run("r")
    events, _ = await env.read(run.stream(1))
    assert events[2].type == "data-note"
    assert events[2].to_wire() == {
        "type": "data-note",
        "runId": "r",
        "from": "WORKFLOW",
        "data": {"n": 1},
    }


@pytest.mark.parametrize("chunk", [{"type": "note", "data": 1}, {"type": "data-x"}, {"data": 1}])
async def test_custom_chunks_need_a_type_and_data(env: Env, chunk: dict[str, Any]) -> None:
    caught: list[ValidationError] = []

    async def execute(ctx: StepContext[int]) -> int:
        try:
            await ctx.writer.custom(chunk)
        except ValidationError as error:
            caught.append(error)
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    await env.start(flow().then(step).commit(), 1)
    assert caught[0].code == "CUSTOM_CHUNK_INVALID"


async def test_output_that_is_no_json_names_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write({"bad": object()})
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    result = await env.start(flow().then(step).commit(), 1)
    assert result.status == "failed"
    assert "'s'" in result.error.message
    assert result.error.code == "NOT_SERIALIZABLE"


async def test_items_of_a_foreach_may_write(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write(ctx.input_data)
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    events, _ = await env.events(workflow.foreach(step).commit(), [7, 8])
    written = [e.payload.output for e in events if e.type == "workflow-step-output"]
    assert written == [7, 8]


async def test_output_of_a_nested_step_has_its_whole_name(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write("x")
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    inner = flow("inner").then(step).commit()
    events, _ = await env.events(flow().then(inner).commit(), 1)
    (output,) = [event for event in events if event.type == "workflow-step-output"]
    assert output.payload.step_name == "inner.s"


async def test_what_a_failing_step_wrote_is_told(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write("before")
        raise ValueError("no")

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    events, _ = await env.events(flow().then(step).commit(), 1)
    assert events[2].payload.output == "before"


# -- attributes --------------------------------------------------------------------------------


async def test_payloads_have_typed_attributes(env: Env, calls: Calls) -> None:
    events, _ = await env.events(flow().then(plus(calls, "a")).commit(), 1)
    ended = events[2]
    assert ended.payload.id == ended.payload.step_name == "a"
    assert ended.payload.status == "success"
    assert ended.payload.output == 2
    assert ended.payload.payload == 1
    assert ended.payload.started_at <= ended.payload.ended_at
    assert ended.payload.suspend_payload is None
    assert ended.from_ == "WORKFLOW"


async def test_start_and_result_of_a_step_have_the_same_call_id(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).commit()
    events, _ = await env.events(workflow, 1)
    ids = [event.payload.step_call_id for event in events[1:-1]]
    assert ids[0] == ids[1] != ids[2] == ids[3]


async def test_a_resumed_call_has_an_id_of_its_own(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    first, result = await env.read(run.stream(1))
    assert isinstance(result, WorkflowSuspended)
    second, _ = await env.read(run.resume_stream({"add": 1}))
    assert first[1].payload.step_call_id != second[1].payload.step_call_id
    assert second[1].payload.step_call_id == second[2].payload.step_call_id
