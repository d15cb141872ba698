"""Going back to a step, at the edges: sleeps, branches, paths that lead nowhere, given results."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Mastra,
    NotFoundError,
    Run,
    RunStateError,
    SQLStorage,
    StepContext,
    create_workflow,
)
from mastra.testing import FakeClock
from tests.support.engines import Calls
from tests.support.waiting import Gate, asking, blocking, plus


@pytest.fixture
def calls() -> Calls:
    return Calls()


def flow(id: str = "w", output: Any = Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output)


async def run_of(workflow: Any, **options: Any) -> Run[Any]:
    return await Mastra(workflows=[workflow], **options).get_workflow("w").create_run("r")


@pytest.mark.parametrize("path", ["ask.more", "inner.nowhere", "inner.ask.more", "ask.inner"])
async def test_a_path_that_leads_nowhere_is_named_as_a_whole(calls: Calls, path: str) -> None:
    inner = flow("inner", int).then(asking(calls, "ask")).commit()
    workflow = flow().then(asking(calls, "ask")).then(inner).commit()
    run = await run_of(workflow)
    await run.start(1)
    rest = path.removeprefix("inner.")
    unknown = re.escape(f"has no step {rest!r}. It has 'ask'")
    with pytest.raises(NotFoundError, match=unknown):
        await run.resume({"add": 1}, step=path)
    with pytest.raises(NotFoundError, match=unknown):
        await run.time_travel(step=path)
    assert (await run.result()).status == "suspended"


async def test_a_step_is_found_behind_one_of_its_name_that_does_not_hold_it(calls: Calls) -> None:
    # The path may leave out the workflow outside: `n.ask` is `outer.n.ask` as well.
    holder = flow("n", int).then(asking(calls, "ask")).commit()
    outer = flow("outer", int).then(plus(calls, "n", 10)).commit()
    other = flow("m", int).then(holder).commit()
    workflow = flow().then(outer).then(other).commit()
    run = await run_of(workflow)
    assert (await run.start(1)).status == "suspended"
    assert (await run.resume({"add": 5}, step="n.ask")).unwrap() == 16


async def test_to_a_sleep_waits_once_more(calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).sleep(3600).then(plus(calls, "b")).commit()
    clock = FakeClock()
    run = await run_of(workflow, clock=clock)
    result = await run.start(1)
    (sleep,) = set(result.steps) - {"a", "b", "input"}
    slept = clock.now()
    assert (await run.time_travel(step=sleep)).unwrap() == 3
    assert calls.names == ["a", "b", "b"]
    assert clock.now() - slept >= 3600


def is_small(ctx: StepContext[int]) -> bool:
    return ctx.input_data < 10


def is_large(ctx: StepContext[int]) -> bool:
    return ctx.input_data >= 10


def passed(ctx: StepContext[int]) -> int:
    return ctx.input_data


async def test_to_before_a_branch_asks_its_condition_again(calls: Calls) -> None:
    arms = [
        (is_small, plus(calls, "small")),
        (is_large, plus(calls, "large")),
    ]
    between = flow().map(passed)
    for workflow in (flow().then(plus(calls, "a")), between.then(plus(calls, "a")).sleep(0)):
        calls.names.clear()
        run = await run_of(workflow.branch(arms).commit())
        assert (await run.start(1)).unwrap() == {"small": 3}
        assert (await run.time_travel(step="a", input_data=20)).unwrap() == {"large": 22}
        assert calls.names == ["a", "small", "a", "large"]


async def stored(mastra: Mastra) -> list[str]:
    rows = await mastra.storage.workflows.load_rows("w", "r")
    return [row.key for row in rows if row.key]


async def test_after_a_restart_every_arm_is_taken_that_was_chosen(
    calls: Calls, tmp_path: Path
) -> None:
    url, gate = f"sqlite:///{tmp_path}/runs.db", Gate()

    def application() -> Mastra:
        arms = [(is_small, plus(calls, "one")), (is_small, blocking(calls, "two", gate))]
        workflow = flow().then(plus(calls, "a")).branch(arms).commit()
        return Mastra(workflows=[workflow], storage=SQLStorage(url))

    async with application() as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        assert (await run.start(20)).unwrap() == {}
        going = asyncio.ensure_future(run.time_travel(step="a", input_data=1))
        async with asyncio.timeout(30):
            await gate.reached.wait()
            while "one" not in await stored(mastra):
                await asyncio.sleep(0.01)
    with pytest.raises(RunStateError, match="its engine was closed"):
        await going
    gate.opened.set()
    async with application() as mastra:
        again = await mastra.get_workflow("w").create_run("r")
        assert (await again.restart()).unwrap() == {"one": 3, "two": 3}
    assert [calls["a"], calls["one"], calls["two"]] == [2, 1, 2]


async def test_a_result_that_is_given_may_be_one_that_waits_for_an_answer(calls: Calls) -> None:
    workflow = flow().parallel([plus(calls, "a"), asking(calls, "ask")]).commit()
    run = await run_of(workflow)
    await run.start(1)
    calls.names.clear()
    given = {"status": "suspended", "payload": 1, "suspendPayload": {"value": 1, "asked": 7}}
    result = await run.time_travel(step="a", context={"ask": given})
    assert result.status == "suspended"
    assert result.steps["ask"].suspend_payload == {"value": 1, "asked": 7}
    assert calls.names == ["a"]
    assert (await run.resume({"add": 5})).unwrap() == {"a": 2, "ask": 6}
    assert calls.names == ["a", "ask", "ask:done"]
