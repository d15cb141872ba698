"""The spans of a run that several requests drive: one trace, and every span has its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from mastra import Mastra, StepContext, create_step
from mastra.observability import Observability
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_ended import stored
from tests.inngest.test_server_side import until
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest
from tests.support.tracing import kept_spans


async def spans_of(mastra: Mastra) -> list[Any]:
    """Return the spans that have ended; each must stand under another, or be the first."""
    spans = await kept_spans(mastra)
    assert len({span.trace_id for span in spans}) == 1
    known = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_id not in known]
    assert [root.parent_id for root in roots] == [None]
    return spans


async def test_one_trace_goes_across_requests_and_legs(host: Host) -> None:
    observability = Observability()
    workflow = flows.begin().then(flows.plus_one("a")).sleep(1.1).then(flows.waiting("ask"))
    workflow.parallel([flows.plus_one("b"), flows.plus_one("c")])
    workflow.map(lambda ctx: ctx.input_data["b"]).commit()
    async with flows.on(host, workflow, observability=observability) as mastra:
        run = await mastra.get_workflow("w").create_run()
        first = await run.start({"value": 0})
        assert first.status == "suspended"
        second = await run.resume({"add": 1})
        assert second.unwrap().value == 3
    spans = await spans_of(mastra)
    steps = Counter(span.entity_id for span in spans if span.kind == "workflow_step")
    assert steps == {"a": 1, "ask": 2, "b": 1, "c": 1, "mapping_w_0": 1}
    statuses = [
        span.attributes["mastra.run.status"]
        for span in spans
        if span.kind == "workflow_run" and "mastra.run.status" in span.attributes
    ]
    assert statuses == ["suspended", "success"]
    assert first.to_wire()["traceId"] == second.to_wire()["traceId"] == spans[0].trace_id


async def test_a_run_that_failed_says_so_in_its_span(host: Host) -> None:
    observability = Observability()

    async def fail(ctx: StepContext[Value]) -> Value:
        raise ValueError("no luck")

    workflow = flows.begin().then(create_step(execute=fail)).commit()
    async with flows.on(host, workflow, observability=observability) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "failed"
    errors = {span.kind: span.error["message"] for span in (await spans_of(mastra)) if span.error}
    assert errors == {"workflow_run": "no luck", "workflow_step": "no luck"}


async def test_a_run_that_the_server_ended_has_its_spans_ended(
    host: Host, fake: FakeInngest
) -> None:
    observability = Observability()
    began = asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        await ctx.abort_signal.wait()
        return ctx.input_data

    workflow = flows.begin().then(flows.plus_one("a")).sleep(60)
    workflow.then(create_step(execute=hold)).commit()
    async with flows.on(host, workflow, observability=observability) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await stored(mastra, run.run_id, "waiting")
        (server_run,) = fake.runs.values()
        await until(lambda: any(".sleep_" in name for name in server_run.steps))
        fake.cancel(server_run)
        await stored(mastra, run.run_id, "canceled")
        await until(lambda: any(heard.status == "Completed" for heard in fake.others))
    spans = await spans_of(mastra)
    assert [s.attributes.get("mastra.run.status") for s in spans if s.kind == "workflow_run"][
        -1
    ] == "canceled"
