"""Several versions of a workflow: a new run takes the last, a run under way its own."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import DefinitionChangedError, Mastra, StepContext, create_workflow, step
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, plus


def trip(version: str | None, *steps: Any, id: str = "trip") -> Any:
    workflow = create_workflow(id=id, version=version, input_schema=int, output_schema=Any)
    for each in steps:
        workflow = workflow.then(each)
    return workflow.commit()


async def run_of(mastra: Mastra) -> Any:
    return await mastra.get_workflow("trip").create_run("r")


async def test_a_suspended_run_goes_on_by_its_own(env: Env, calls: Calls) -> None:
    waits = asking(calls, "wait")
    one = trip("1", plus(calls, "a"), waits, plus(calls, "c"))
    two = trip("2", plus(calls, "n"), waits)
    await (await env.workflow(one).create_run("r")).start(1)
    mastra = await env.deploy([one, two])
    result = await (await run_of(mastra)).resume({"add": 1}, step="wait")
    assert result.unwrap() == 4
    assert calls.names == ["a", "wait", "wait", "wait:done", "c"]
    new = await mastra.get_workflow("trip").create_run("new")
    assert (await new.start(1)).status == "suspended"
    assert calls.names[5:] == ["n", "wait"]


async def test_a_run_that_crashed_goes_on_by_its_own(env: Env, calls: Calls) -> None:
    gate = Gate()
    one = trip("1", plus(calls, "a"), blocking(calls, "b", gate), plus(calls, "c"))
    two = trip("2", plus(calls, "n"), blocking(calls, "b", gate))
    run = await env.workflow(one).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    mastra = await env.deploy([one, two])
    gate.opened.set()
    assert (await (await run_of(mastra)).restart()).unwrap() == 4
    assert calls["a"] == 1
    assert calls["n"] == 0


def around(calls: Calls, kind: str, hotel: Any) -> Any:
    flow = create_workflow(id="trip", input_schema=int, output_schema=Any)
    match kind:
        case "then":
            return flow.then(hotel).then(plus(calls, "z")).commit()
        case "parallel":
            return flow.parallel([plus(calls, "side"), hotel]).commit()
        case "branch":
            arms: list[Any] = [(never, plus(calls, "no")), (always, hotel)]
            return flow.then(plus(calls, "y", 0)).branch(arms).commit()
        case "foreach":
            return flow.then(as_list).foreach(hotel).commit()
        case "dountil":
            return flow.dountil(hotel, always).commit()
        case _:
            inner = create_workflow(id="city", input_schema=int, output_schema=Any)
            return flow.then(inner.then(hotel).commit()).commit()


@step(id="as-list")
async def as_list(data: int) -> list[int]:
    return [data]


def never(_: StepContext[Any]) -> bool:
    return False


def always(_: StepContext[Any]) -> bool:
    return True


RESULTS = {
    "then": 4,
    "parallel": {"side": 2, "hotel": 3},
    "branch": {"hotel": 3},
    "foreach": [3],
    "dountil": 3,
    "deeper": 3,
}


@pytest.mark.parametrize("old_version", [None, "1"])
@pytest.mark.parametrize("kind", RESULTS)
async def test_a_nested_workflow_is_of_the_version_that_the_run_began_with(
    env: Env, calls: Calls, kind: str, old_version: str | None
) -> None:
    waits = asking(calls, "wait")
    one = trip(old_version, plus(calls, "a"), waits, id="hotel")
    two = trip("2", plus(calls, "n"), plus(calls, "m"), waits, plus(calls, "o"), id="hotel")
    await (await env.workflow(around(calls, kind, one)).create_run("r")).start(1)
    mastra = await env.deploy(around(calls, kind, two), [one, two])
    result = await (await run_of(mastra)).resume({"add": 1}, step="wait")
    assert result.unwrap() == RESULTS[kind]
    assert calls["a"] == 1
    assert calls["n"] == calls["o"] == 0
    new = await mastra.get_workflow("trip").create_run("new")
    assert (await new.start(1)).status == "suspended"
    assert (calls["a"], calls["n"]) == (1, 1)


async def test_a_nested_version_that_is_gone_is_refused_where_the_other_does_not_fit(
    env: Env, calls: Calls
) -> None:
    waits = asking(calls, "wait")
    one = trip("1", plus(calls, "a"), waits, id="hotel")
    two = trip("2", plus(calls, "n"), waits, id="hotel")
    await (await env.workflow(around(calls, "then", one)).create_run("r")).start(1)
    mastra = await env.deploy(around(calls, "then", two), two)
    with pytest.raises(DefinitionChangedError, match=r"hotel\.a"):
        await (await run_of(mastra)).resume({"add": 1}, step="wait")
    mastra = await env.deploy(around(calls, "then", two), [one, two])
    result = await (await run_of(mastra)).resume({"add": 1}, step="wait")
    assert result.unwrap() == 4


async def test_a_run_whose_version_had_no_name(env: Env, calls: Calls) -> None:
    waits = asking(calls, "wait")
    old, new = trip(None, plus(calls, "a"), waits), trip("2", plus(calls, "n"), waits)
    await (await env.workflow(old).create_run("r")).start(1)
    result = await (await run_of(await env.deploy([old, new]))).resume({"add": 1}, step="wait")
    assert result.unwrap() == 3


async def test_a_run_that_goes_back_stays_with_its_own(env: Env, calls: Calls) -> None:
    one, two = trip("1", plus(calls, "a"), plus(calls, "b")), trip("2", plus(calls, "n"))
    await (await env.workflow(one).create_run("r")).start(1)
    run = await run_of(await env.deploy([one, two]))
    assert (await run.time_travel(step="b")).unwrap() == 3
    assert calls.names == ["a", "b", "b"]


async def test_a_version_that_is_gone_goes_on_where_the_last_one_fits(
    env: Env, calls: Calls
) -> None:
    waits = asking(calls, "wait")
    one, two = trip("1", waits), trip("2", waits, plus(calls, "n", 10))
    await (await env.workflow(one).create_run("r")).start(1)
    result = await (await run_of(await env.deploy(two))).resume({"add": 1}, step="wait")
    assert result.unwrap() == 12


async def test_each_version_can_be_asked_for(env: Env, calls: Calls) -> None:
    one, two = trip("1", plus(calls, "a")), trip("2", plus(calls, "b", 10))
    mastra = env.mastra(workflows={"trip": [one, two]})
    assert mastra.get_workflow("trip").version == "2"
    assert mastra.get_workflow("trip", version="1").version == "1"
    old = await mastra.get_workflow("trip", version="1").create_run()
    assert (await old.start(1)).unwrap() == 2
    assert calls.names == ["a"]
