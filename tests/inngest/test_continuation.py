"""Runs of more steps than a run of the server takes: they go on in another one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mastra import ConfigError, Mastra, SQLStorage, StepContext, create_step, create_workflow
from mastra.clock import SystemClock
from mastra.inngest import InngestEngine, MastraInngest, limits
from mastra.inngest.mount import serving_app
from mastra.storage.base import RunChanges
from tests.inngest import flows
from tests.inngest.test_server_side import until
from tests.inngest.test_workers_at_once import ByTurns
from tests.support.engines import Calls
from tests.support.inngest_env import DevServer, Host, inngest_host
from tests.support.inngest_server import FakeInngest, FakeRun
from tests.support.waiting import asking, plus

STEPS = 31


@pytest.fixture
def calls() -> Calls:
    """Counts which steps ran."""
    return Calls()


@pytest.fixture
def storage(tmp_path: Path) -> SQLStorage:
    """What other processes see, too."""
    return SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")


class Quick(SystemClock):
    """A clock by which what is slept takes a hundredth of its time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


@pytest.fixture
def small(fake: FakeInngest, monkeypatch: pytest.MonkeyPatch) -> FakeInngest:
    """The small server, which takes 21 steps of a run: eleven of ours, and what may come beside."""
    monkeypatch.setattr(limits, "MAX_OPERATIONS", 20)
    monkeypatch.setattr("mastra.inngest.functions.MAX_OPERATIONS", 20)
    fake.max_steps = 21
    fake.clock = Quick()
    return fake


def listing(count: int) -> Any:
    """Return a step that gives a list."""

    async def execute(data: int) -> list[int]:
        return list(range(count))

    return create_step(id="list", execute=execute)


def inner(calls: Calls) -> Any:
    """Return a workflow of two steps."""
    flow = create_workflow(id="inner", input_schema=int, output_schema=int)
    return flow.then(plus(calls, "a")).then(plus(calls, "b")).commit()


def shaped(calls: Calls, shape: str) -> Any:
    """Return a workflow with some thirty operations."""
    flow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    match shape.split():
        case ["line"]:
            for number in range(STEPS):
                flow.then(plus(calls, f"s{number}"))
        case ["loop"]:
            flow.dountil(plus(calls, "a"), lambda ctx: ctx.input_data >= STEPS)
        case ["arms"]:
            flow.parallel([plus(calls, f"p{number}") for number in range(STEPS)])
            flow.map(lambda ctx: sum(ctx.input_data.values()), id="sum")
        case ["workflows"]:
            flow.then(listing(STEPS)).foreach(inner(calls), concurrency=4)
            flow.map(lambda ctx: sum(ctx.input_data), id="sum")
        case ["items", concurrency]:
            flow.then(listing(STEPS)).foreach(plus(calls, "a"), concurrency=int(concurrency))
            flow.map(lambda ctx: sum(ctx.input_data), id="sum")
    return flow.commit()


EXPECTED = {"line": STEPS, "loop": STEPS, "arms": STEPS, "workflows": 465 + 2 * STEPS}
SHAPES = [
    *("line", "items 4"),
    *(pytest.param(name, marks=pytest.mark.every_engine) for name in ("loop", "arms", "workflows")),
    *(pytest.param(f"items {n}", marks=pytest.mark.every_engine) for n in (1, 31)),
]


async def ended(fake: FakeInngest) -> list[FakeRun]:
    """Return the server's runs once all have ended."""
    async with asyncio.timeout(30):
        while any(run.status == "Running" for run in fake.runs.values()):
            await asyncio.sleep(0.02)
    return [*fake.runs.values()]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_run_of_more_steps_than_the_server_takes_goes_on_in_another(
    small: FakeInngest, host: Host, calls: Calls, storage: SQLStorage, shape: str
) -> None:
    async with flows.on(host, shaped(calls, shape), storage=storage) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        stream = run.stream(0)
        events = [event async for event in stream]
        result = await stream.result()
        assert result.unwrap() == EXPECTED.get(shape, 465 + STEPS)
        # Each step once, told once and in its place, whichever run of the server it was in.
        assert set(Counter(calls.names).values()) <= ({1} if shape in ("line", "arms") else {STEPS})
        check_told(events)
        runs = await ended(small)
        assert len(runs) >= 3
        assert {one.status for one in runs} == {"Completed"}
        assert all(len(one.memos) < small.max_steps for one in runs)
        info = await mastra.get_workflow("w").get_run(run.run_id)
        assert info is not None
        assert info.status == "success"


def check_told(events: list[Any]) -> None:
    """See that events of a run stand in line, each start and each end once."""
    told = Counter((e.type, e.to_wire().get("payload", {}).get("id")) for e in events)
    assert told["workflow-start", None] == told["workflow-finish", None] == 1
    assert [event.seq for event in events] == list(range(len(events)))
    ends = {op: n for (kind, op), n in told.items() if kind == "workflow-step-result"}
    assert all(n == told["workflow-step-start", op] for op, n in ends.items())


@pytest.mark.every_engine
@pytest.mark.parametrize("shape", ["line", "items 4"])
async def test_a_reader_in_another_process_hears_all_of_it(
    small: FakeInngest, host: Host, calls: Calls, tmp_path: Path, shape: str
) -> None:
    workflow = shaped(calls, shape)
    async with AsyncExitStack() as stack:
        apps: list[Any] = []
        opened: list[Mastra] = []
        for _ in range(3):  # two workers, and who calls them
            own = SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")
            mastra = Mastra(workflows={"w": workflow}, engine=host.make_engine(), storage=own)
            opened.append(await stack.enter_async_context(mastra))
            apps.append(serving_app(mastra, host.client))
        host.call(ByTurns(apps[:2]))
        await host.sync()
        run = await opened[2].get_workflow("w").create_run()
        stream = run.stream(0)
        check_told([event async for event in stream])
        assert (await stream.result()).unwrap() == EXPECTED.get(shape, 465 + STEPS)
        assert len(await ended(small)) >= 3


async def test_a_resumed_run_goes_on_too(
    small: FakeInngest, host: Host, calls: Calls, storage: SQLStorage
) -> None:
    flow = create_workflow(id="w", input_schema=int, output_schema=int)
    for number in range(45):
        flow.then(asking(calls, "ask") if number == 15 else plus(calls, f"s{number}"))
    async with flows.on(host, flow.commit(), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(0)).status == "suspended"
        assert (await run.resume({"add": 100})).unwrap() == 144
    assert {name: n for name, n in Counter(calls.names).items() if n > 1} == {"ask": 2}


async def test_a_run_that_the_clock_has_begun_goes_on_too(
    small: FakeInngest, checkpointed: Host, calls: Calls, storage: SQLStorage
) -> None:
    ing = MastraInngest(checkpointed.make_engine())
    flow = ing.create_workflow(
        id="w", input_schema=int, output_schema=int, cron="0 0 1 1 *", input_data=5
    )
    for number in range(STEPS):
        flow.then(plus(calls, f"s{number}"))
    async with flows.on(checkpointed, flow.commit(), storage=storage) as mastra:
        await checkpointed.sync()
        begun = small.fire("workflow.w.cron")
        assert len(await ended(small)) == 3
        run = await mastra.get_workflow("w").create_run(begun.run_id)
        assert (await run.result()).unwrap() == 5 + STEPS
    assert set(Counter(calls.names).values()) == {1}


@pytest.mark.every_engine
async def test_a_sleep_begins_and_ends_in_different_runs_of_the_server(
    small: FakeInngest, host: Host, calls: Calls, storage: SQLStorage
) -> None:
    flow = create_workflow(id="w", input_schema=int, output_schema=int)
    for number in range(11):
        flow.then(plus(calls, f"s{number}"))
    flow.sleep(1.2).then(plus(calls, "last"))
    small.clock = SystemClock()
    async with flows.on(host, flow.commit(), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(0)).unwrap() == 12
        assert set(Counter(calls.names).values()) == {1}


class Losing:
    """What takes requests to the server, and loses the first events that go on with a run."""

    def __init__(self, inner: Any, count: int, *, refuses: bool) -> None:
        self._inner, self._left, self._refuses = inner, count, refuses
        self.lost = 0

    async def __call__(self, event: Any, *rest: Any, **options: Any) -> Any:
        if "goesOn" in (event.data or {}).get("mastra", {}) and self._left:
            self._left -= 1
            self.lost += 1
            if self._refuses:
                raise RuntimeError("the server takes no events")
            return ["lost"]
        return await self._inner(event, *rest, **options)


@pytest.mark.parametrize("refuses", [False, True], ids=["lost", "refused"])
async def test_an_event_that_was_lost_is_sent_again(
    small: FakeInngest,
    host: Host,
    calls: Calls,
    storage: SQLStorage,
    monkeypatch: pytest.MonkeyPatch,
    refuses: bool,
) -> None:
    losing = Losing(host.client.send, 2, refuses=refuses)
    monkeypatch.setattr(host.client, "send", losing)
    async with flows.on(host, shaped(calls, "line"), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(0)).unwrap() == STEPS
        assert losing.lost == 2
        assert set(Counter(calls.names).values()) == {1}
        assert {one.status for one in await ended(small)} == {"Completed"}


async def test_a_run_is_cancelled_between_two_runs_of_the_server(
    small: FakeInngest,
    host: Host,
    calls: Calls,
    storage: SQLStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losing = Losing(host.client.send, 10**6, refuses=False)
    monkeypatch.setattr(host.client, "send", losing)
    async with flows.on(host, shaped(calls, "line"), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        begun = asyncio.create_task(run.start(0))
        async with asyncio.timeout(20):
            while not losing.lost:
                await asyncio.sleep(0.02)
        await run.cancel()
        assert (await begun).status == "canceled"
        assert {one.status for one in await ended(small)} == {"Cancelled"}
    assert calls["s30"] == 0


async def test_what_only_this_process_sees_is_refused_before_the_first_item(
    small: FakeInngest, host: Host, calls: Calls
) -> None:
    async with flows.on(host, shaped(calls, "items 4")) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result: Any = await run.start(0)
    assert result.error.code == "RUN_TOO_LONG"
    assert "SQLite" in result.error.message
    assert calls["a"] == 0


async def test_a_run_of_the_server_has_as_many_steps_as_wanted(
    fake: FakeInngest, calls: Calls, storage: SQLStorage
) -> None:
    fake.clock = Quick()
    async with inngest_host(fake, checkpoint=False, steps_per_run=7) as host:
        async with flows.on(host, shaped(calls, "items 4"), storage=storage) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start(0)).unwrap() == 465 + STEPS
            found = [len(one.steps) for one in await ended(fake)]
    # Seven of ours, and what looks after the next one.
    assert len(found) == 5
    assert all(8 <= count <= 7 + 8 for count in found[:-1])
    assert found[-1] <= 7


@pytest.mark.parametrize("steps", [0, -3, 991])
async def test_a_number_of_steps_that_cannot_be_is_refused(checkpointed: Host, steps: int) -> None:
    with pytest.raises(ConfigError, match="from 1 to 990"):
        InngestEngine(checkpointed.client, steps_per_run=steps)


async def many_items(host: Host, storage: SQLStorage, count: int, concurrency: int) -> None:
    """Run a foreach over many items, and see that each was run once."""
    ran: Counter[int] = Counter()

    async def execute(ctx: StepContext[int]) -> int:
        ran[ctx.input_data] += 1
        return ctx.input_data + 1

    flow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    flow.then(listing(count)).foreach(create_step(id="a", execute=execute), concurrency=concurrency)
    async with flows.on(host, flow.commit(), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result = await run.start(0)
        assert result.unwrap() == list(range(1, count + 1))
    assert set(ran.values()) == {1}


@pytest.mark.every_engine
async def test_more_items_than_the_server_takes_steps(
    checkpointed: Host, storage: SQLStorage
) -> None:
    await many_items(checkpointed, storage, 1100, 100)


@pytest.mark.devserver
@pytest.mark.parametrize(
    "checkpoint",
    [pytest.param(True, id="checkpointed"), pytest.param(False, id="sdk", marks=pytest.mark.soak)],
)
@pytest.mark.timeout(1200)
async def test_more_items_than_a_real_server_takes_steps(
    dev_server: DevServer, storage: SQLStorage, checkpoint: bool
) -> None:
    async with inngest_host(dev_server, checkpoint=checkpoint) as host:
        await many_items(host, storage, 1100, 1100 if checkpoint else 200)


@pytest.mark.parametrize("change", ["deleted", "taken over"])
async def test_a_run_that_is_somebody_elses_by_then_is_not_handed_on(
    fake: FakeInngest, storage: SQLStorage, calls: Calls, change: str
) -> None:
    ids: list[str] = []

    async def last(data: int) -> int:
        calls.add("last")
        if change == "deleted":
            await storage.workflows.delete_run("w", ids[0])
        else:
            changes = RunChanges(status="running", owner="inngest:another")
            await storage.workflows.update_run("w", ids[0], changes, expected_status=("running",))
        return data

    flow = create_workflow(id="w", input_schema=int, output_schema=int)
    flow.then(plus(calls, "a")).then(create_step(id="last", execute=last)).then(plus(calls, "c"))
    async with inngest_host(fake, checkpoint=True, steps_per_run=2) as host:
        async with flows.on(host, flow.commit(), storage=storage) as mastra:
            run = await mastra.get_workflow("w").create_run()
            ids.append(run.run_id)
            await run.start_async(1)
            await until(lambda: any(one.status != "Running" for one in fake.runs.values()))
            head = await storage.workflows.get_run("w", run.run_id)
            assert (head and head.owner) == (None if change == "deleted" else "inngest:another")
    assert calls.names == ["a", "last"]
    assert len(fake.runs) == 1
