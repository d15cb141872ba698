"""The trace of a run: one, however often the run is interrupted."""

from __future__ import annotations

from typing import Any

from mastra import create_workflow
from mastra.observability import Observability
from mastra.observability.records import SpanRecord
from tests.support.engines import Calls, Env
from tests.support.tracing import kept_spans, kept_traces
from tests.support.waiting import Gate, asking, blocking, failing, plus


def flow(*steps: Any) -> Any:
    workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
    for step in steps:
        workflow = workflow.then(step)
    return workflow.commit()


def steps_of(spans: list[SpanRecord]) -> list[str]:
    return [span.entity_id for span in spans if span.kind == "workflow_step"]


async def crashed(env: Env, observability: Observability, workflow: Any, gate: Gate) -> Any:
    """Start a run, stop its process when a step is at the gate, and return it in the next."""
    registered = env.workflow(workflow, observability=observability)
    await (await registered.create_run("r")).start_async(1)
    await gate.reached.wait()
    mastra = await env.crash()
    gate.opened.set()
    return await mastra.get_workflow("w").create_run("r")


async def test_a_restart_after_a_crash_goes_on_with_the_trace(env: Env, calls: Calls) -> None:
    observability, gate = Observability(), Gate()
    workflow = flow(plus(calls, "a"), blocking(calls, "b", gate), plus(calls, "c"))
    run = await crashed(env, observability, workflow, gate)

    result = await run.restart()

    (root,) = await kept_traces(*env.opened)
    assert result.to_wire()["traceId"] == root.trace_id
    assert {"a", "b", "c"} <= set(steps_of(await kept_spans(*env.opened)))


async def test_a_crash_before_anything_finished_keeps_the_trace(env: Env, calls: Calls) -> None:
    observability, gate = Observability(), Gate()
    run = await crashed(env, observability, flow(blocking(calls, "b", gate)), gate)
    await run.restart()
    assert len(await kept_traces(*env.opened)) == 1


async def test_a_crash_after_a_resume_keeps_the_trace(env: Env, calls: Calls) -> None:
    observability, gate = Observability(), Gate()
    workflow = flow(asking(calls, "ask"), blocking(calls, "b", gate))
    registered = env.workflow(workflow, observability=observability)
    run = await registered.create_run("r")
    first = await run.start(1)
    await run.resume_async({"add": 1})
    await gate.reached.wait()
    mastra = await env.crash()
    gate.opened.set()

    result = await (await mastra.get_workflow("w").create_run("r")).restart()

    assert result.to_wire()["traceId"] == first.to_wire()["traceId"]
    assert len(await kept_traces(*env.opened)) == 1


async def test_the_span_of_a_leg_that_was_cut_off_ends(env: Env, calls: Calls) -> None:
    observability, gate = Observability(), Gate()
    workflow = flow(plus(calls, "a"), blocking(calls, "b", gate))
    run = await crashed(env, observability, workflow, gate)
    await run.restart()
    legs = [span for span in await kept_spans(*env.opened) if span.kind == "workflow_run"]
    assert [leg.parent_id for leg in legs].count(None) == 1
    assert legs[0].parent_id is None
    assert legs[0].span_id in {leg.parent_id for leg in legs}


async def test_a_step_that_was_tried_again_says_how_often(env: Env, calls: Calls) -> None:
    workflow = flow(failing(calls, "flaky", times=2, retries=3))
    registered = env.workflow(workflow, observability=Observability())
    assert (await (await registered.create_run("r")).start(1)).unwrap() == 1
    tried = [
        span.attributes.get("mastra.step.retry_count")
        for span in await kept_spans(*env.opened)
        if span.kind == "workflow_step"
    ]
    assert tried[-1] == 2
