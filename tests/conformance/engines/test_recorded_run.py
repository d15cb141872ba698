"""A run that was real becomes a test: its records are walked, and no step runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mastra import ConfigError, RunNotFoundError, StepContext, create_step, create_workflow
from mastra.testing import record_run
from mastra.testing.recording import RecordedRun
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding


def plan(calls: Calls, *, last: int = 1) -> Any:
    """A workflow with a bit of everything."""

    def ask(ctx: StepContext[Any]) -> Number:
        calls.add("ask")
        if ctx.resume_data is None:
            ctx.suspend({"sure?": True})
        return Number(value=ctx.resume_data["value"])

    asking = create_step(id="ask", input_schema=Any, output_schema=Number, execute=ask)
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Number)
    inner.then(adding("in", 1, calls)).commit()
    flow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    flow.then(adding("a", 1, calls))
    flow.branch([(lambda ctx: ctx.input_data.value > 1, inner)])
    flow.map(lambda ctx: ctx.input_data["inner"])
    flow.dountil(adding("turn", 1, calls), lambda ctx: ctx.input_data.value > 5)
    flow.parallel([asking, adding("beside", 1, calls)])
    flow.map(lambda ctx: [ctx.input_data["ask"], ctx.input_data["beside"]])
    return flow.foreach(adding("item", last, calls), concurrency=2).commit()


async def recorded(env: Env, workflow: Any) -> RecordedRun:
    run = await env.workflow(workflow).create_run()
    assert (await run.start({"value": 1})).status == "suspended"
    assert (await run.resume({"value": 10})).status == "success"
    return await record_run(run)


async def test_it_is_the_same_and_nothing_runs(env: Env, calls: Calls, tmp_path: Path) -> None:
    recording = await recorded(env, plan(calls))
    ran = [*calls.names]
    recording.save(tmp_path / "run.json")
    replayed = await RecordedRun.load(tmp_path / "run.json").replay(plan(calls))
    replayed.check()
    assert replayed.is_same
    assert replayed.result.unwrap() == [{"value": 11}, {"value": 8}]
    assert replayed.result.steps["ask"].status == "success"
    assert calls.names == ran


async def test_a_run_that_waits_still_waits(env: Env, calls: Calls) -> None:
    run = await env.workflow(plan(calls)).create_run()
    await run.start({"value": 1})
    replayed = await (await record_run(run)).replay(plan(calls))
    replayed.check()
    assert replayed.result.status == "suspended"


async def test_a_run_that_failed_fails_as_it_did(env: Env, calls: Calls) -> None:
    def broken(ctx: StepContext[Any]) -> Number:
        raise ValueError("no stock")

    step = create_step(id="b", input_schema=Number, output_schema=Number, execute=broken)
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.then(adding("a", 1, calls)).then(step).commit()
    run = await env.workflow(workflow).create_run()
    await run.start({"value": 1})
    replayed = await (await record_run(run)).replay(workflow)
    replayed.check()
    assert replayed.result.error.message == "no stock"
    assert calls.names == ["a"]


async def test_what_a_changed_definition_does_otherwise_is_told(env: Env, calls: Calls) -> None:
    def chain(*steps: Any) -> Any:
        workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
        for step in steps:
            workflow.then(step)
        return workflow.commit()

    a, b, c, d = (adding(name, 1, calls) for name in "abcd")
    run = await env.workflow(chain(a, b, c)).create_run()
    await run.start({"value": 1})
    recording = await record_run(run)

    assert (await recording.replay(chain(a, b, c))).is_same
    longer = await recording.replay(chain(a, b, c, d))
    assert "Operation 'd' is asked for, and the run had none." in longer.changes
    shorter = await recording.replay(chain(a, b))
    assert "Operation 'c' is not asked for any more." in shorter.changes
    assert shorter.changes[-1] == "The result was {'value': 4}, and is {'value': 3}."
    renamed = await recording.replay(chain(a, adding("B", 1, calls), c))
    assert "Step 'B' was added." in renamed.changes
    assert "Step 'b' was removed." in renamed.changes
    moved = await recording.replay(chain(a, c, b))
    assert any("was moved" in change for change in moved.changes)
    with pytest.raises(AssertionError, match="The recorded run changes:\nStep 'B' was added"):
        renamed.check()
    assert calls.names == ["a", "b", "c"]


@pytest.mark.parametrize(
    "found", ['{"format": 0}', '{"format": 1, "operations": []}', "[]", "7", "{", "\udcff"]
)
def test_what_is_no_recording_is_refused(found: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(found.encode("utf-8", "surrogateescape"))
    with pytest.raises(
        ConfigError, match=r"run\.json is no recorded run of format 1: record it anew"
    ):
        RecordedRun.load(path)
    with pytest.raises(ConfigError, match="This is no recorded run"):
        RecordedRun({"format": 0})


async def test_a_run_that_is_not_there_has_no_records(env: Env, calls: Calls) -> None:
    workflow = env.workflow(plan(calls))
    run = await workflow.create_run("gone")
    await workflow.delete_run("gone")
    with pytest.raises(RunNotFoundError, match="gone"):
        await record_run(run)


@pytest.mark.parametrize("ends", ["no stock", "no money"])
async def test_another_end_is_told(env: Env, calls: Calls, ends: str) -> None:
    def chain(end: str) -> Any:
        def last(ctx: Any) -> Any:
            raise ValueError(end)

        flow = create_workflow(id="w", input_schema=Number, output_schema=Any)
        flow.then(adding("a", 1, calls))
        step = create_step(id="b", input_schema=Number, output_schema=Any, execute=last)
        return flow.then(step).commit()

    run = await env.workflow(chain("no stock")).create_run()
    assert (await run.start({"value": 1})).status == "failed"
    recording = await record_run(run)
    data = json.loads(json.dumps(recording.to_json()))
    data["error"]["message"] = ends
    replayed = await RecordedRun(data).replay(chain("no stock"))
    assert replayed.is_same == (ends == "no stock")
    if ends == "no money":
        assert replayed.changes == ("The error was 'no money', and is 'no stock'.",)
    data = json.loads(json.dumps(recording.to_json()))
    data["status"], data["error"] = "success", None
    replayed = await RecordedRun(data).replay(chain("no stock"))
    assert replayed.changes == ("The run was success, and is failed.",)


async def test_another_result_is_told(env: Env, calls: Calls) -> None:
    flow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    flow.then(adding("a", 1, calls)).commit()
    run = await env.workflow(flow).create_run()
    await run.start({"value": 1})
    data = json.loads(json.dumps((await record_run(run)).to_json()))
    data["result"] = {"value": 3}
    replayed = await RecordedRun(data).replay(flow)
    assert replayed.changes == ("The result was {'value': 3}, and is {'value': 2}.",)


def line(calls: Calls) -> Any:
    """A workflow of three steps."""
    flow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    for name in ("a", "b", "c"):
        flow.then(adding(name, 1, calls))
    return flow.commit()


async def test_a_run_that_went_back_is_the_same(env: Env, calls: Calls) -> None:
    run = await env.workflow(line(calls)).create_run()
    await run.start({"value": 1})
    assert (await run.time_travel(step="c", input_data={"value": 10})).unwrap().value == 11
    ran = [*calls.names]
    replayed = await (await record_run(run)).replay(line(calls))
    replayed.check()
    assert replayed.result.unwrap().value == 11
    assert calls.names == ran


async def test_a_run_that_did_not_end_by_itself_is_asked_for_no_more_than_it_did(
    env: Env, calls: Calls
) -> None:
    run = await env.workflow(line(calls)).create_run()
    assert (await run.start({"value": 1}, per_step=True)).status == "paused"
    replayed = await (await record_run(run)).replay(line(calls))
    replayed.check()
    assert replayed.result.status == "paused"
    assert calls.names == ["a"]
