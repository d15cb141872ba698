"""Drivers that die where a test wants them to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra import ConfigError, InProcessEngine, Mastra, RunStateError, SQLStorage, create_workflow
from mastra.testing import FakeClock, ReplayEngine, crash_at
from tests.support.engines import Calls
from tests.support.flows import Number, adding


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield None
        return
    async with SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def flow(calls: Calls) -> Any:
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Number)
    inner.then(adding("c", 1, calls)).commit()
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(adding("a", 1, calls)).sleep(60, id="nap")
    return workflow.parallel([adding("b", 1, calls), inner]).commit()


@pytest.mark.parametrize("make_engine", [InProcessEngine, ReplayEngine])
@pytest.mark.parametrize(
    ("op", "when", "ran"),
    [
        ("a", "before", {"a": 2, "b": 1, "c": 1}),
        ("a", "after", {"a": 1, "b": 1, "c": 1}),
        ("nap", "before", {"a": 1, "b": 1, "c": 1}),
        ("nap", "after", {"a": 1, "b": 1, "c": 1}),
        ("inner/c", "before", {"a": 1, "b": 1, "c": 2}),
        ("inner/c", "after", {"a": 1, "b": 1, "c": 1}),
    ],
)
async def test_the_run_goes_on_from_what_was_stored(
    storage: Any, make_engine: Any, op: str, when: Any, ran: dict[str, int]
) -> None:
    calls = Calls()
    mastra = Mastra(
        workflows=[flow(calls)], storage=storage, engine=make_engine(), clock=FakeClock()
    )
    run = await mastra.get_workflow("w").create_run()
    with crash_at(op, when) as crash:
        with pytest.raises(RunStateError) as caught:
            await run.start({"value": 1})
        assert caught.value.code == "RUN_STOPPED"
        assert crash.has_crashed
        assert await run.status() in ("running", "waiting")
        result = await run.restart()
    assert result.unwrap() == {"b": {"value": 3}, "inner": {"value": 3}}
    assert {name: calls[name] for name in "abc"} == ran
    await mastra.aclose()


@pytest.mark.parametrize("make_engine", [InProcessEngine, ReplayEngine])
async def test_a_crash_counts_as_a_recovery_where_the_run_got_no_further(
    tmp_path: Path, make_engine: Any
) -> None:
    calls = Calls()
    async with SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}") as storage:
        engine = make_engine(max_recoveries=2)
        mastra = Mastra(workflows=[flow(calls)], storage=storage, engine=engine, clock=FakeClock())
        run = await mastra.get_workflow("w").create_run()
        for time in range(3):
            with crash_at("a"), pytest.raises(RunStateError):
                await (run.restart() if time else run.start({"value": 1}))
        with crash_at("a") as crash:
            result = await run.restart()
        assert (calls["a"], crash.has_crashed) == (3, False)
        assert result.status == "failed"
        assert result.error.code == "RECOVERY_LIMIT"
        # One that gets further each time may die as often as it likes.
        run = await mastra.get_workflow("w").create_run()
        for time, op in enumerate(["a", "nap", "b"]):
            with crash_at(op, "after"), pytest.raises(RunStateError):
                await (run.restart() if time else run.start({"value": 1}))
        assert (await run.restart()).status == "success"
        await mastra.aclose()


async def test_what_the_run_never_comes_to_does_not_crash_it() -> None:
    calls = Calls()
    workflow = flow(calls)
    with FakeClock(), crash_at("elsewhere") as crash:
        result = await (await workflow.create_run()).start({"value": 1})
    assert result.status == "success"
    assert not crash.has_crashed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"op": 5}, "crash_at: op is 5. It takes text"),
        ({"op": "a", "when": "befor"}, "when is 'befor'. It takes one of 'before', 'after'"),
    ],
)
def test_what_no_driver_would_die_at_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        crash_at(**options)
