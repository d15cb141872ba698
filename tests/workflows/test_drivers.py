"""Who drives a run, whatever becomes of its process, its event loop, its clock and its storage."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    DefinitionChangedError,
    InProcessEngine,
    Mastra,
    ResumeClaimedError,
    RunStateError,
    SQLStorage,
    StepContext,
    StorageError,
    create_step,
    create_workflow,
)
from mastra.observability import Observability
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.workflows.engines.journal import load_run
from tests.support.databases import *  # noqa: F403 - a fixture
from tests.support.engines import Calls
from tests.support.storage import head
from tests.support.waiting import Gate, blocking, plus

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 0.6
ELSEWHERE = "e" * DRIVER_ID_LENGTH


@pytest.fixture
def calls() -> Calls:
    """Which steps ran."""
    return Calls()


def flow(*steps: Any) -> Any:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    for step in steps:
        workflow.then(step)
    return workflow.commit()


def application(url: str, *steps: Any, lease_s: float = LEASE_S, **options: Any) -> Mastra:
    return Mastra(
        workflows={"w": flow(*steps)},
        storage=SQLStorage(url, lease_s=lease_s),
        engine=InProcessEngine(**options),
    )


async def ended(mastra: Mastra, run_id: str = "r") -> Any:
    """Wait for the end of a run, whoever drives it."""
    return await (await mastra.get_workflow("w").create_run(run_id)).result()


async def keys_of(mastra: Mastra, run_id: str = "r") -> list[str]:
    rows = await mastra.storage.workflows.load_rows("w", run_id)
    return [row.key for row in rows if row.key]


def in_another_loop(work: Any) -> threading.Thread:
    """Run a coroutine function in an event loop of another thread."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    return thread


async def test_a_loop_that_is_blocked_for_longer_than_the_lease_keeps_its_run(
    shared_url: str, calls: Calls
) -> None:
    def block(data: int) -> int:
        calls.add("block")
        return data

    async def execute(data: int) -> int:
        block(data)
        time.sleep(4 * LEASE_S)  # noqa: ASYNC251 - as a blocking client inside of a step does
        return data

    step = create_step(id="block", input_schema=int, output_schema=int, execute=execute)
    other_ended = threading.Event()

    async def look() -> None:
        async with application(shared_url, step) as other:
            while not other_ended.is_set():
                assert await other.restart_all_active_workflow_runs() == {}
                await asyncio.sleep(LEASE_S / 4)

    async with application(shared_url, step) as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        thread = in_another_loop(look)
        try:
            assert (await run.start(1)).unwrap() == 1
        finally:
            other_ended.set()
            await asyncio.to_thread(thread.join)
        assert calls["block"] == 1


@pytest.mark.parametrize("owner", [None, f"{ELSEWHERE}:1", "host:17:1:1"])
async def test_a_run_that_nobody_drives_goes_on_by_itself(
    shared_url: str, calls: Calls, owner: str | None
) -> None:
    async with application(shared_url, plus(calls, "a")) as mastra:
        store = mastra.storage.workflows
        await store.create_run(head(status="running", owner=owner, input=1))
        await store.create_run(head(status="running", owner=owner, workflow_id="unknown"))
        assert (await asyncio.wait_for(ended(mastra), 20)).unwrap() == 2
        left = await store.get_run("unknown", "r")
        assert left is not None
        assert (left.status, left.owner) == ("running", owner)


async def ask(ctx: StepContext[int]) -> int:
    """Suspend once."""
    return ctx.resume_data or await ctx.suspend()


asking = create_step(id="ask", input_schema=int, output_schema=int, execute=ask)


async def keep_answer(mastra: Mastra, *orders: int) -> None:
    """Store answers as a process leaves them that ended before it took them."""
    answers: list[Any] = [
        {"key": f"k{place}", "asked": {"ask": order}, "data": 7, "context": {}, "perStep": False}
        for place, order in enumerate(orders)
    ]
    await mastra.storage.workflows.update_run("w", "r", {"answers": answers})


async def suspended(url: str) -> int:
    """Leave a suspended run; return the order of the record that waits."""
    mastra = application(url, asking)
    await (await mastra.get_workflow("w").create_run("r")).start(1)
    loaded = await load_run(mastra.storage.workflows, "w", "r")
    assert loaded is not None
    await mastra.aclose()
    return loaded.journal["ask"].order


@pytest.mark.parametrize("how", ["found", "told to restart"])
async def test_an_answer_whose_caller_and_driver_are_gone_is_taken(
    shared_url: str, how: str
) -> None:
    order = await suspended(shared_url)
    mastra = application(shared_url, asking)
    await keep_answer(mastra, order + 1, order)  # the first is for what was asked before
    if how == "found":
        await mastra.open()
    else:
        assert await mastra.restart_all_active_workflow_runs() == {"w": ["r"]}
    workflow = mastra.get_workflow("w")
    async with asyncio.timeout(20):
        while (info := await workflow.get_run("r")) is None or info.status != "success":
            await asyncio.sleep(0.01)
    assert info.result == 7
    await mastra.aclose()


async def test_of_answers_that_nothing_asks_for_none_is_kept(shared_url: str) -> None:
    order = await suspended(shared_url)
    async with application(shared_url, asking) as mastra:
        await keep_answer(mastra, order + 1)
        async with asyncio.timeout(20):
            while (left := await mastra.storage.workflows.get_run("w", "r")) and left.answers:
                await asyncio.sleep(0.01)
        assert left is not None
        assert left.status == "suspended"
        assert (await (await mastra.get_workflow("w").create_run("r")).resume(8)).unwrap() == 8


async def test_an_answer_stays_kept_until_the_definition_is_back(
    shared_url: str, calls: Calls
) -> None:
    order = await suspended(shared_url)
    async with application(shared_url, plus(calls, "before"), asking) as changed:
        await keep_answer(changed, order)
        assert await changed.restart_all_active_workflow_runs() == {}
        with pytest.raises(DefinitionChangedError):
            await (await changed.get_workflow("w").create_run("r")).resume(8)
        left = await changed.storage.workflows.get_run("w", "r")
        assert left is not None
        assert (left.status, len(left.answers), calls["before"]) == ("suspended", 1, 0)
    async with application(shared_url, asking) as mastra:
        assert (await asyncio.wait_for(ended(mastra), 20)).status in ("suspended", "success")
        with pytest.raises((ResumeClaimedError, RunStateError)):
            await (await mastra.get_workflow("w").create_run("r")).resume(8)
        async with asyncio.timeout(20):
            while (await ended(mastra)).status != "success":
                await asyncio.sleep(0.01)
        assert (await ended(mastra)).unwrap() == 7


async def test_it_is_left_alone_where_that_is_asked_for(shared_url: str, calls: Calls) -> None:
    mastra = application(shared_url, plus(calls, "a"))
    await mastra.open(restart_runs=False)
    await mastra.storage.workflows.create_run(head(status="running", input=1))
    await (await mastra.get_workflow("w").create_run("another")).start(1)
    await asyncio.sleep(LEASE_S)
    assert calls["a"] == 1
    await mastra.aclose()


class Failing:
    """Makes some calls of a method fail, before or after they have done what they do."""

    def __init__(self, store: Any, name: str, failures: Sequence[str]) -> None:
        self._real = getattr(store, name)
        self.failures = list(failures)
        setattr(store, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        failure = self.failures.pop(0) if self.failures else "none"
        if failure == "none":
            return self._real(*arguments, **options)
        return self._fail(failure, arguments, options)

    async def _fail(self, failure: str, arguments: Any, options: Any) -> Any:
        if failure == "after":
            done = self._real(*arguments, **options)
            if done is not None:
                await done
        raise StorageError("the connection was lost")


@pytest.mark.parametrize("name", ["append", "update_run"])
@pytest.mark.parametrize("failure", ["before", "after"])
@pytest.mark.parametrize("place", range(4))
async def test_a_write_that_fails_is_made_again_and_stores_nothing_twice(
    shared_url: str, calls: Calls, name: str, failure: str, place: int
) -> None:
    async with application(shared_url, *(plus(calls, name) for name in "abc")) as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        place += name == "update_run"  # whose first call is the caller's own, who is told
        Failing(mastra.storage.workflows, name, ["none"] * place + [failure, failure])
        assert (await run.start(1)).unwrap() == 4
        assert await keys_of(mastra) == ["a", "b", "c"]
        assert calls.names == ["a", "b", "c"]
        stored = await mastra.storage.workflows.get_run("w", "r")
        assert stored is not None
        assert (stored.status, stored.owner) == ("success", None)


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_trace_that_cannot_be_stored_is_no_reason_not_to_run(
    shared_url: str, calls: Calls, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with application(shared_url, plus(calls, "a")) as mastra:
        mastra.observe(Observability())
        run = await mastra.get_workflow("w").create_run("r")
        # The first call is the caller's own.
        Failing(mastra.storage.workflows, "update_run", ["none", failure])
        assert (await run.start(1)).unwrap() == 2
    assert calls.names == ["a"]
    assert "The trace of run 'r' is not stored" in caplog.text


async def test_a_storage_that_stays_away_stops_the_run_which_goes_on_when_it_is_back(
    shared_url: str, calls: Calls
) -> None:
    async with application(shared_url, plus(calls, "a"), plus(calls, "b")) as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        failing = Failing(mastra.storage.workflows, "append", ["none"] + ["before"] * 100_000)
        with pytest.raises(StorageError, match="the connection was lost"):
            await run.start(1)
        failing.failures.clear()
        assert (await asyncio.wait_for(ended(mastra), 20)).unwrap() == 3
        assert await keys_of(mastra) == ["a", "b"]


async def test_a_run_that_is_taken_up_in_vain_too_often_fails(
    shared_url: str, calls: Calls
) -> None:
    async with application(shared_url, plus(calls, "a"), max_recoveries=2) as mastra:
        store = mastra.storage.workflows
        data: Any = {"recoveries": {"count": 2, "order": 0}}
        await store.create_run(
            head(status="running", owner=f"{ELSEWHERE}:1", input=1, data=dict(data))
        )
        result = await asyncio.wait_for(ended(mastra), 20)
        assert result.status == "failed"
        assert result.error.code == "RECOVERY_LIMIT"
        assert "taken up 2 times" in result.error.message
        assert calls.names == []
        # One that was given up in order has had nobody who died.
        await store.create_run(head("given-up", status="running", input=1, data=dict(data)))
        assert (await asyncio.wait_for(ended(mastra, "given-up"), 20)).unwrap() == 2


DYING = """
import asyncio, os, sys
from mastra import InProcessEngine, Mastra, SQLStorage, create_step, create_workflow

async def die(data: int) -> int:
    open(sys.argv[2], "a").write("x")
    os._exit(7)

step = create_step(id="die", input_schema=int, output_schema=int, execute=die)
flow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()

async def main():
    engine = InProcessEngine(max_recoveries=2)
    storage = SQLStorage(sys.argv[1])
    async with Mastra(workflows={"w": flow}, storage=storage, engine=engine) as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        if await run.status() == "pending":
            await run.start(1)
        await mastra.restart_all_active_workflow_runs()
        print((await run.result()).error.code)

asyncio.run(main())
"""


async def test_a_step_that_ends_its_process_does_so_a_few_times(tmp_path: Path) -> None:
    url, notes = f"sqlite:///{tmp_path}/runs.db", tmp_path / "notes"

    def process() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DYING, url, str(notes)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    for _ in range(3):
        assert (await asyncio.to_thread(process)).returncode == 7
    assert (await asyncio.to_thread(process)).stdout == "RECOVERY_LIMIT\n"
    assert await asyncio.to_thread(notes.read_text) == "xxx"


async def test_two_event_loops_drive_runs_of_one_storage(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    mastra = application(shared_url, plus(calls, "a"), blocking(calls, "b", gate))
    results: list[Any] = []

    async def elsewhere() -> None:
        run = await mastra.get_workflow("w").create_run("there")
        await run.start_async(1)
        results.append((await run.result()).unwrap())
        if shared_url.startswith("postgresql"):
            await mastra.storage.aclose()  # this loop's connections, which end with it

    async with mastra:
        run = await mastra.get_workflow("w").create_run("here")
        await run.start_async(1)
        await gate.reached.wait()
        gate.opened.set()
        thread = in_another_loop(elsewhere)
        assert (await run.result()).unwrap() == 3
        await asyncio.to_thread(thread.join)
        assert results == [3]


async def test_a_run_of_a_loop_that_was_closed_goes_on_in_another(
    tmp_path: Path, calls: Calls
) -> None:
    # Not on PostgreSQL, whose connections are left open by a loop that ends like this.
    gate = Gate()
    mastra = application(f"sqlite:///{tmp_path}/runs.db", blocking(calls, "b", gate))

    async def begin() -> None:
        await (await mastra.get_workflow("w").create_run("r")).start_async(1)
        while not calls["b"]:
            await asyncio.sleep(0.01)

    await asyncio.to_thread(in_another_loop(begin).join)
    gate.opened.set()
    async with mastra:
        assert (await asyncio.wait_for(ended(mastra), 20)).unwrap() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_in_a_step_records_nothing(tmp_path: Path) -> None:
    program = tmp_path / "forking.py"
    program.write_text(FORKING)
    command = [sys.executable, str(program), f"sqlite:///{tmp_path}/runs.db"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert sorted(found.stdout.split()) == ["child:RunClaimedError", "parent:2"], found.stderr


FORKING = """
import asyncio, os, sys, warnings
sys.path.insert(0, os.getcwd())
warnings.simplefilter("ignore")
from mastra import Mastra, SQLStorage, create_step, create_workflow

async def fork(data: int) -> int:
    global child
    child = os.fork()
    return data + 1

async def main():
    step = create_step(id="fork", input_schema=int, output_schema=int, execute=fork)
    flow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()
    mastra = Mastra(workflows={"w": flow}, storage=SQLStorage(sys.argv[1]))
    run = await mastra.get_workflow("w").create_run("r")
    try:
        said = (await run.start(1)).unwrap()
    except Exception as error:
        said = type(error).__name__
    if child:
        os.waitpid(child, 0)
    os.write(1, f"{'parent' if child else 'child'}:{said}\\n".encode())
    os._exit(0)

asyncio.run(main())
"""
