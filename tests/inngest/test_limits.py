"""Limits of an Inngest server, told as ours and before the server has to."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra import (
    ConfigError,
    RetryConfig,
    WorkflowDefinitionError,
    create_step,
    create_workflow,
)
from mastra.inngest import MastraInngest
from tests.inngest import flows
from tests.support.engines import Calls
from tests.support.inngest_env import DevServer, Host, inngest_host
from tests.support.inngest_server import FakeInngest
from tests.support.waiting import asking, plus


@pytest.fixture
def calls() -> Calls:
    """Counts which steps ran."""
    return Calls()


YEARS = timedelta(days=400)


def sleeping(duration: Any, calls: Calls, id: str = "w") -> Any:
    return (
        create_workflow(id=id, input_schema=int, output_schema=int)
        .then(plus(calls, "before"))
        .sleep(duration, id="long")
    )


def until(moment: datetime, calls: Calls) -> Any:
    flow = create_workflow(id="w", input_schema=int, output_schema=int)
    return flow.then(plus(calls, "before")).sleep_until(moment, id="long").commit()


def too_long(calls: Calls) -> dict[str, Any]:
    inner = sleeping(YEARS, calls, "inner").commit()
    outer = create_workflow(id="w", input_schema=int, output_schema=int)
    return {
        "seconds": sleeping(400 * 86_400.0, calls).commit(),
        "a timedelta": sleeping(YEARS, calls).commit(),
        "the longest timedelta": sleeping(timedelta.max, calls).commit(),
        "endless": sleeping(float("inf"), calls).commit(),
        "a moment": until(datetime.now(UTC) + YEARS, calls),
        "the last moment": until(datetime.max.replace(tzinfo=UTC), calls),
        "nested": outer.then(plus(calls, "before")).then(inner).commit(),
    }


@pytest.mark.parametrize("case", list(too_long(Calls())))
async def test_a_sleep_that_is_too_long_is_refused_before_anything_runs(
    host: Host, calls: Calls, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = too_long(calls)[case]
    async with flows.on(host, workflow) as mastra:
        with caplog.at_level(logging.WARNING):
            await host.sync()
        assert "'long'" in caplog.text
        run = await mastra.get_workflow("w").create_run()
        with pytest.raises(
            WorkflowDefinitionError, match=r"Sleep 'long' .* at most 365 days"
        ) as told:
            await run.start(1)
        assert told.value.code == "INNGEST_LIMIT"
        info = await mastra.get_workflow("w").get_run(run.run_id)
        assert info is None or info.status == "pending"
    assert calls.names == []


async def test_a_year_may_be_slept(checkpointed: Host, fake: FakeInngest, calls: Calls) -> None:
    async with flows.on(checkpointed, sleeping(timedelta(days=365), calls).commit()) as mastra:
        await checkpointed.sync()
        run = await mastra.get_workflow("w").create_run()
        async with run.stream(1) as events:
            async for event in events:
                if event.type == "workflow-step-waiting":
                    break
        await run.cancel()


@pytest.mark.parametrize(
    "said",
    [float("inf"), YEARS, 1e300, datetime.max.replace(tzinfo=UTC), datetime.now(UTC) + YEARS],
)
async def test_a_sleep_that_a_function_makes_too_long_fails_in_plain_words(
    host: Host, calls: Calls, said: Any
) -> None:
    flow = sleeping(lambda ctx: said, calls).commit()
    async with flows.on(host, flow) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        result: Any = await run.start(1)
        assert result.status == "failed"
        assert result.error.code == "SLEEP_TOO_LONG"
        assert "'long'" in result.error.message
        assert "suspend the run" in result.error.message
    assert calls["before"] == 1


async def test_delays_of_retries_are_sleeps_too(host: Host, calls: Calls) -> None:
    retry = RetryConfig(attempts=3000, delay=60, backoff="exponential", max_delay=YEARS)
    flow = create_workflow(id="w", input_schema=int, output_schema=int, retry_config=retry)
    async with flows.on(host, flow.then(plus(calls, "a")).commit()) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        with pytest.raises(WorkflowDefinitionError, match="max_delay"):
            await run.start(1)
    assert calls.names == []


async def test_an_id_that_no_event_can_have_is_refused(host: Host, calls: Calls) -> None:
    flow = create_workflow(id="w" * 250, input_schema=int, output_schema=int)
    async with flows.on(host, flow.then(plus(calls, "a")).commit()) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w" * 250).create_run()
        with pytest.raises(WorkflowDefinitionError, match="too long: Inngest takes 239 bytes"):
            await run.start(1)


@pytest.mark.devserver
@pytest.mark.parametrize("days", [364.9, 400])
async def test_a_real_server_draws_the_line_where_we_do(
    dev_server: DevServer, calls: Calls, days: float
) -> None:
    flow = sleeping(lambda ctx: timedelta(days=days), calls).commit()
    async with inngest_host(dev_server, checkpoint=True) as host, flows.on(host, flow) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        async with run.stream(1) as events:
            async for event in events:
                if event.type == "workflow-step-waiting":
                    break
        info = await mastra.get_workflow("w").get_run(run.run_id)
        assert info is not None
        assert info.status == ("waiting" if days < 365 else "failed")
        await run.cancel()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurrency": [1, 2, 3]}, "at most 2 limits"),
        ({"debounce": {"period": 0.5}}, "1 second to 7 days"),
        ({"debounce": {"period": timedelta(days=8)}}, "1 second to 7 days"),
        ({"retries": 21}, "0 to 20"),
        ({"retries": -1}, "0 to 20"),
    ],
)
async def test_what_a_server_refuses_of_a_function_is_refused_where_it_is_written(
    checkpointed: Host, options: dict[str, Any], says: str
) -> None:
    ing = MastraInngest(checkpointed.make_engine())
    with pytest.raises(ConfigError, match=says):
        ing.create_workflow(id="w", input_schema=int, output_schema=int, **options)


@pytest.mark.devserver
@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": [1, {"limit": 2, "key": "event.data.a"}]},
        {"debounce": {"period": 1}},
        {"debounce": {"period": "7d"}},
        {"retries": 20},
    ],
)
async def test_a_real_server_takes_what_we_let_through(
    dev_server: DevServer, calls: Calls, options: dict[str, Any]
) -> None:
    async with inngest_host(dev_server, checkpoint=True) as host:
        ing = MastraInngest(host.make_engine())
        flow = ing.create_workflow(id="w", input_schema=int, output_schema=int, **options)
        async with flows.on(host, flow.then(plus(calls, "a")).commit()):
            await host.sync()


def many(calls: Calls, kind: str) -> Any:
    """Return a workflow that needs more operations than there may be."""
    flow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(plus(calls, "a")).then(plus(calls, "b")).commit()
    match kind:
        case "loop":
            return flow.dowhile(plus(calls, "a"), lambda ctx: True).commit()
        case "foreach":
            return flow.then(plus_all(calls)).foreach(plus(calls, "a"), concurrency=5).commit()
        case "foreach of workflows":
            return flow.then(plus_all(calls)).foreach(inner).commit()
        case _:
            for number in range(12):
                flow.then(plus(calls, f"s{number}"))
            return flow.commit()


def plus_all(calls: Calls) -> Any:
    async def execute(data: Any) -> Any:
        calls.add("list")
        return [data] * 9

    made: Any = create_step(id="list", execute=execute)
    return made


@pytest.mark.parametrize(
    ("kind", "named", "ran"),
    [
        ("loop", "Step 'a'", {"a": 8}),
        ("foreach", "9 items of 'a'", {"list": 1, "a": 0}),
        ("foreach of workflows", "9 items of 'inner'", {"list": 1, "a": 0}),
        ("line", "Step 's8'", {"s7": 1, "s8": 0}),
    ],
)
async def test_more_steps_than_a_function_may_have_are_told_of(
    host: Host,
    calls: Calls,
    kind: str,
    named: str,
    ran: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("mastra.inngest.limits.MAX_OPERATIONS", 9)
    monkeypatch.setattr("mastra.inngest.functions.MAX_OPERATIONS", 9)
    async with flows.on(host, many(calls, kind)) as mastra:
        with caplog.at_level(logging.WARNING):
            await host.sync()
        assert ("RUN_TOO_LONG" in caplog.text) is (kind == "line")
        run = await mastra.get_workflow("w").create_run()
        result: Any = await run.start(1)
    assert result.status == "failed"
    assert result.error.code == "RUN_TOO_LONG"
    assert named in result.error.message
    assert "batch" in result.error.message
    assert {name: calls[name] for name in ran} == ran


async def test_a_resume_begins_to_count_anew(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra.inngest.limits.MAX_OPERATIONS", 9)
    flow = create_workflow(id="w", input_schema=int, output_schema=int)
    for number in range(12):
        flow.then(plus(calls, f"s{number}"))
        if number == 5:
            flow.then(asking(calls, "ask"))
    async with flows.on(host, flow.commit()) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).status == "suspended"
        assert (await run.resume({"add": 1})).status == "success"
