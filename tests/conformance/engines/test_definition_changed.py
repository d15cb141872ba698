"""A workflow that is changed while its run waits: what was passed must be there, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mastra import DefinitionChangedError, Run, RunStateError, Step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.lanes import first_ones
from tests.support.waiting import Gate, asking, blocking, plus, until_stored

Nodes = list[Any]
SLEEP_S = 1.2
"""Longer than what a durable engine waits for by itself."""


def trip(nodes: Nodes, **options: Any) -> Any:
    """Return a workflow of steps, and of functions that add something else to it."""
    workflow = create_workflow(id="trip", input_schema=int, output_schema=Any, **options)
    for node in nodes:
        workflow = workflow.then(node) if isinstance(node, Step) else node(workflow)
    return workflow.commit()


def nap(workflow: Any) -> Any:
    """Add a sleep."""
    return workflow.sleep(SLEEP_S, id="nap")


class Waiting:
    """A run that waits at its second node, in one of three ways."""

    def __init__(self, env: Env, calls: Calls, way: str) -> None:
        self.env, self.way = env, way
        self.gate = Gate()
        self.step = "wait"
        self.wait: Any = {
            "suspended": asking(calls, "wait"),
            "sleeping": nap,
            "crashed": blocking(calls, "wait", self.gate),
        }[way]

    async def begin(self, workflow: Any, *beside: str) -> None:
        """Start a run and wait until it waits, and steps beside that are stored."""
        registered = self.env.workflow(workflow)
        run = await registered.create_run("r")
        await run.start_async(1)
        if self.way == "crashed":
            await self.gate.reached.wait()
            await until_stored(registered, *beside)
            return
        wanted = "suspended" if self.way == "suspended" else "waiting"
        while await run.status() != wanted:
            await asyncio.sleep(0.01)

    async def deploy(self, *workflows: Any) -> Run[Any]:
        """Return the run in a process that has other definitions."""
        mastra = await self.env.deploy(*workflows)
        self.gate.opened.set()
        return await mastra.get_workflow("trip").create_run("r")

    async def go_on(self, run: Run[Any]) -> Any:
        """Go on with the run as such a run goes on, and return its result."""
        if self.way == "suspended":
            return await run.resume({"add": 1}, step=self.step)
        try:
            return await run.restart()
        except RunStateError:  # a server that drives runs by itself was quicker
            return await run.result()

    async def refused(self, run: Run[Any]) -> DefinitionChangedError:
        """Return how the run is refused that cannot go on."""
        with pytest.raises(DefinitionChangedError) as caught:
            await self.go_on(run)
        expected = {"suspended": ("suspended",)}.get(self.way, ("running", "waiting"))
        assert await run.status() in expected
        return caught.value


@pytest.fixture(params=["suspended", "sleeping", "crashed"])
def waiting(request: pytest.FixtureRequest, env: Env, calls: Calls) -> Waiting:
    """A run that is to wait in one of the ways."""
    return Waiting(env, calls, request.param)


REFUSED: dict[str, tuple[Callable[[Any, Any, Any, Any], Nodes], dict[str, list[str]]]] = {
    "inserted at the front": (lambda a, wait, c, n: [n, a, wait, c], {"added": ["n"]}),
    "inserted before it": (lambda a, wait, c, n: [a, n, wait, c], {"added": ["n"]}),
    "removed": (lambda a, wait, c, n: [wait, c], {"removed": ["a"]}),
    "renamed": (lambda a, wait, c, n: [n, wait, c], {"removed": ["a"], "added": ["n"]}),
    "moved to the front": (lambda a, wait, c, n: [c, a, wait], {"moved": ["c"]}),
    "moved behind": (lambda a, wait, c, n: [wait, a, c], {"moved": ["a"]}),
}

GOES_ON: dict[str, Callable[[Any, Any, Any, Any], Nodes]] = {
    "inserted behind it": lambda a, wait, c, n: [a, wait, n, c],
    "inserted at the end": lambda a, wait, c, n: [a, wait, c, n],
    "renamed behind it": lambda a, wait, c, n: [a, wait, n],
}


@pytest.mark.every_engine
@pytest.mark.parametrize("case", REFUSED)
async def test_what_was_passed_and_changed_is_refused(
    waiting: Waiting, calls: Calls, case: str
) -> None:
    a, c, n = plus(calls, "a"), plus(calls, "c"), plus(calls, "n")
    change, names = REFUSED[case]
    original = trip([a, waiting.wait, c])
    await waiting.begin(original)
    before = list(calls.names)
    error = await waiting.refused(await waiting.deploy(trip(change(a, waiting.wait, c, n))))
    assert error.code == "DEFINITION_CHANGED"
    told = {key: error.details[key] for key in ("added", "removed", "moved") if error.details[key]}
    assert told == names
    for name in (each for ids in names.values() for each in ids):
        assert repr(name) in str(error)
    assert calls.names == before
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.status == "success", result
    assert calls["a"] == 1
    assert calls["c"] == 1
    assert calls["n"] == 0


@pytest.mark.parametrize("case", first_ones(2, GOES_ON))
async def test_what_changed_only_behind_the_place_goes_on(
    waiting: Waiting, calls: Calls, case: str
) -> None:
    a, c, n = plus(calls, "a"), plus(calls, "c"), plus(calls, "n", 10)
    await waiting.begin(trip([a, waiting.wait, c]))
    run = await waiting.deploy(trip(GOES_ON[case](a, waiting.wait, c, n)))
    result = await waiting.go_on(run)
    assert result.status == "success", result
    assert calls["a"] == 1
    assert calls["n"] == 1
    assert result.result >= 12


async def test_a_foreach_that_became_a_step_is_refused(waiting: Waiting, calls: Calls) -> None:
    def listed(workflow: Any) -> Any:
        return workflow.map(lambda ctx: [ctx.input_data], id="listed")

    def each(workflow: Any) -> Any:
        return workflow.foreach(plus(calls, "one"))

    def first(workflow: Any) -> Any:
        return workflow.map(lambda ctx: 1, id="first")

    def only(workflow: Any) -> Any:
        return workflow.then(plus(calls, "one"))

    def passed_on(workflow: Any) -> Any:
        return workflow.map(lambda ctx: ctx.input_data, id="listed")

    original = trip([listed, each, first, waiting.wait])
    await waiting.begin(original)
    error = await waiting.refused(
        await waiting.deploy(trip([passed_on, only, first, waiting.wait]))
    )
    assert error.details["changed"] == ["one"]
    assert "from foreach to step" in str(error)
    result = await waiting.go_on(await waiting.deploy(original))
    assert result.status == "success"
    assert calls["one"] == 1
