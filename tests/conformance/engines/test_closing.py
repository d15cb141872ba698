"""An engine that is closed while a leg is about to begin: whoever waits for it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mastra import RunStateError, create_workflow
from tests.support.engines import Calls, Env
from tests.support.waiting import asking, plus

Begin = Callable[[Any], Awaitable[Any]]

BEGINNINGS: dict[str, Begin] = {
    "start": lambda run: run.start(1),
    "resume": lambda run: run.resume({"add": 1}),
    "restart": lambda run: run.restart(),
    "time_travel": lambda run: run.time_travel(step="a"),
}

PLACES = [(kind, "get_run") for kind in BEGINNINGS] + [
    (kind, "update_run") for kind in BEGINNINGS if kind != "restart"
]
"""How a leg begins, and the call of the store in which it is when the engine is closed."""


class Halfway:
    """Holds up the next call of a store's method until the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Any, method: str) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self._call = getattr(store, method)
        monkeypatch.setattr(store, method, self._held_up)

    async def _held_up(self, *args: Any, **options: Any) -> Any:
        self.reached.set()
        await self.opened.wait()
        return await self._call(*args, **options)


@pytest.mark.parametrize(("kind", "method"), PLACES)
async def test_a_leg_that_was_about_to_begin_does_not_outlive_its_engine(
    env: Env, calls: Calls, monkeypatch: pytest.MonkeyPatch, kind: str, method: str
) -> None:
    flow: Any = create_workflow(
        id="w", input_schema=int, output_schema=int, on_start=lambda _: None
    )
    workflow = env.workflow(flow.then(plus(calls, "a")).then(asking(calls, "ask")).commit())
    store = workflow.runtime.store
    run = await workflow.create_run("r")
    if kind != "start":
        assert (await run.start(1)).status == "suspended"
        if kind == "restart":
            # As a process leaves it that is killed.
            await store.update_run("w", "r", {"status": "running", "owner": None})
        run = await workflow.create_run("r")
    before = list(calls.names)
    halfway = Halfway(monkeypatch, store, method)
    beginning = asyncio.ensure_future(BEGINNINGS[kind](run))
    async with asyncio.timeout(30):
        await halfway.reached.wait()
    await workflow.runtime.engine.aclose()
    halfway.opened.set()
    async with asyncio.timeout(30):
        with pytest.raises(RunStateError) as caught:
            await beginning
    assert caught.value.code == "RUN_STOPPED"
    assert calls.names == before


async def test_who_looks_at_a_run_that_nobody_drives_is_told_of_the_closing(
    env: Env, calls: Calls
) -> None:
    flow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow = env.workflow(flow.then(plus(calls, "a")).commit())
    run = await workflow.create_run("r")
    waiting = asyncio.ensure_future(run.result())
    reading = asyncio.ensure_future(anext(run.observe_stream().__aiter__()))
    await asyncio.sleep(0)
    await workflow.runtime.engine.aclose()
    for looking in (waiting, reading):
        async with asyncio.timeout(30):
            with pytest.raises(RunStateError) as caught:
                await looking
        assert caught.value.code == "RUN_STOPPED"
