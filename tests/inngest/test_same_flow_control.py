"""Flow control means the same in process, over each store, and on an Inngest server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    ConfigError,
    InMemoryStorage,
    Mastra,
    RunError,
    SQLStorage,
    StepContext,
    create_step,
    create_workflow,
)
from mastra.testing import FakeClock

pytestmark = pytest.mark.anyio


class Job(BaseModel):
    n: int
    user: str = "ada"


class Line:
    """Where jobs are done, on one engine: when each began, and how many are under way."""

    def __init__(self, storage: Any, unit_s: float, bind: Callable[[str], Any] | None) -> None:
        self.storage = storage
        self.unit_s = unit_s
        """How long a job takes: enough for the engine to begin several in."""
        self.begun: list[tuple[int, float]] = []
        self.ended: list[float] = []
        self.under_way: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.bind = bind
        self.mastra: Any = None
        self.stack = AsyncExitStack()
        self.is_free = asyncio.Event()

    def count(self, name: str, by: int) -> None:
        now = self.under_way[name] = self.under_way.get(name, 0) + by
        self.most[name] = max(self.most.get(name, 0), now)

    async def work(self, ctx: StepContext[Job]) -> Job:
        job = ctx.input_data
        self.begun.append((job.n, time.monotonic()))
        for name in ("all", job.user):
            self.count(name, 1)
        try:
            await asyncio.sleep(self.unit_s)
        finally:
            for name in ("all", job.user):
                self.count(name, -1)
        return job

    async def open(self, build: Callable[[Any], Any] = lambda flow: flow, **options: Any) -> None:
        make: Any = create_workflow if self.bind is None else self.bind("create_workflow")
        step = create_step(id="work", input_schema=Job, output_schema=Job, execute=self.work)
        flow = make(id="jobs", input_schema=Job, output_schema=Job, **options).then(step)
        clock = options.pop("clock", None)
        self.mastra = Mastra(workflows=[build(flow).commit()], storage=self.storage, clock=clock)
        await self.stack.enter_async_context(self.mastra)
        if self.bind is not None:
            await self.bind("serve")(self.mastra)

    async def job(self, n: int, user: str = "ada") -> str:
        """Return how a job ends: its status, or the error's code."""
        run = await self.mastra.get_workflow("jobs").create_run(f"job-{n}")
        try:
            result = await run.start({"n": n, "user": user})
        except RunError as error:
            info = await self.mastra.get_workflow("jobs").get_run(run.run_id)
            assert info is not None
            return f"{error.code.removeprefix('INNGEST_')} {info.status}"
        self.ended.append(time.monotonic())
        return str(result.status)

    async def jobs(self, *numbers: int, user: str = "ada") -> list[str]:
        return list(await asyncio.gather(*(self.job(n, user) for n in numbers)))

    async def has_begun(self, n: int) -> None:
        async with asyncio.timeout(30):
            while n not in [one for one, _ in self.begun]:
                await asyncio.sleep(0.01)


ENGINES = [
    "memory",
    pytest.param("sqlite", marks=pytest.mark.every_engine),
    pytest.param("postgres", marks=pytest.mark.every_engine),
    pytest.param("inngest-fake", marks=pytest.mark.every_engine),
    pytest.param("inngest-dev", marks=pytest.mark.devserver),
]


@pytest.fixture(params=ENGINES)
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Line]:
    storage: Any = InMemoryStorage()
    unit_s, bind, stack = 0.25, None, AsyncExitStack()
    if request.param == "sqlite":
        storage = SQLStorage(f"sqlite:///{tmp_path}/flow.db")
    elif request.param == "postgres":
        storage = SQLStorage(request.getfixturevalue("postgres_url"))
    elif request.param.startswith("inngest"):
        from mastra.inngest import MastraInngest
        from tests.support.inngest_env import inngest_host

        is_real = request.param == "inngest-dev"
        server = request.getfixturevalue("dev_server" if is_real else "fake")
        host = await stack.enter_async_context(inngest_host(server, checkpoint=True))
        ing = MastraInngest(host.make_engine())
        unit_s = 2.0 if is_real else 0.5

        async def serve(mastra: Mastra) -> None:
            host.serve(mastra)
            await host.sync()

        bind = {"create_workflow": ing.create_workflow, "serve": serve}.__getitem__
    made = Line(storage, unit_s, bind)
    yield made
    await made.stack.aclose()
    await stack.aclose()


NOT_BEGUN = "RUN_NOT_BEGUN pending"


async def test_so_many_are_under_way_at_once(line: Line) -> None:
    await line.open(concurrency=2)
    assert await line.jobs(*range(6)) == ["success"] * 6
    assert line.most["all"] == 2


async def test_each_value_of_a_key_has_a_limit_of_its_own(line: Line) -> None:
    pytest.importorskip("cel")
    await line.open(concurrency=[{"limit": 1, "key": "event.data.inputData.user"}, {"limit": 3}])
    done = await asyncio.gather(line.jobs(1, 2, 3), line.jobs(4, 5, user="bob"))
    assert [*done[0], *done[1]] == ["success"] * 5
    assert line.most == {"all": 2, "ada": 1, "bob": 1}


async def test_a_run_that_sleeps_gives_its_place_to_others(line: Line) -> None:
    await line.open(lambda flow: flow.sleep(max(4.0, line.unit_s * 4)), concurrency=1)
    assert await line.jobs(*range(3)) == ["success"] * 3
    assert line.most["all"] == 1
    assert max(at for _, at in line.begun) < min(line.ended)


async def test_so_many_begin_within_a_time_and_the_others_later(line: Line) -> None:
    unit = line.unit_s
    await line.open(throttle={"limit": 2, "period": 4 * unit, "burst": 1})
    asked = time.monotonic()
    assert await line.jobs(*range(6)) == ["success"] * 6
    begun = sorted(at for _, at in line.begun)
    # Three at once, then one in each half of the period.
    assert all(begun[n] - asked > 0.9 * (n - 2) * 2 * unit for n in range(3, 6))


async def test_too_many_within_a_time_are_left_out(line: Line) -> None:
    await line.open(rate_limit={"limit": 1, "period": 60})
    assert await line.job(1) == "success"
    assert await line.jobs(2, 3) == [NOT_BEGUN] * 2
    assert [n for n, _ in line.begun] == [1]


async def test_of_one_value_only_the_first_begins(line: Line) -> None:
    pytest.importorskip("cel")
    await line.open(idempotency="event.data.inputData.user")
    assert [await line.job(1), await line.job(2), await line.job(3, "bob")] == [
        "success",
        NOT_BEGUN,
        "success",
    ]


async def test_several_begin_as_one_the_last(line: Line) -> None:
    await line.open(debounce={"period": 3})
    waiting = []
    for n in range(3):
        waiting.append(asyncio.ensure_future(line.job(n)))
        await asyncio.sleep(0.2)
    assert await asyncio.gather(*waiting) == [NOT_BEGUN, NOT_BEGUN, "success"]
    assert [n for n, _ in line.begun] == [2]


async def test_a_run_that_was_left_out_may_be_started_later(line: Line) -> None:
    await line.open(debounce={"period": 1})
    runs = [await line.mastra.get_workflow("jobs").create_run() for _ in range(2)]
    first = asyncio.ensure_future(runs[0].start({"n": 0}))
    await asyncio.sleep(0.2)
    assert (await runs[1].start({"n": 1})).status == "success"
    with pytest.raises(RunError):
        await first
    assert (await runs[0].start({"n": 2})).unwrap().n == 2


async def test_one_at_a_time_and_the_next_is_skipped(line: Line) -> None:
    line.unit_s = 2.0
    await line.open(singleton="skip")
    first = asyncio.ensure_future(line.job(1))
    await line.has_begun(1)
    assert await line.job(2) == NOT_BEGUN
    assert await first == "success"
    assert await line.job(3) == "success"


async def test_one_at_a_time_and_the_next_cancels_it(line: Line) -> None:
    line.unit_s = 2.0
    await line.open(singleton="cancel")
    first = asyncio.ensure_future(line.job(1))
    await line.has_begun(1)
    assert await line.job(2) == "success"
    assert await first == "canceled"


async def test_who_has_priority_goes_first(line: Line) -> None:
    pytest.importorskip("cel")
    if line.bind is not None:
        pytest.skip("The order of what is queued on a server is for its own tests")
    line.unit_s = 1.0
    await line.open(concurrency=1, priority="event.data.inputData.user == 'bob' ? 60 : 0")
    first = asyncio.ensure_future(line.job(0))
    await line.has_begun(0)
    waiting = [first]
    for n in (1, 2):  # at one moment, either may be the first of them
        waiting.append(asyncio.ensure_future(line.job(n)))
        await asyncio.sleep(line.unit_s / 4)
    await line.jobs(3, user="bob")
    await asyncio.gather(*waiting)
    assert [n for n, _ in line.begun] == [0, 3, 1, 2]


# -- in process ----------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_place_can_be_cancelled() -> None:
    line = Line(InMemoryStorage(), 0.2, None)
    await line.open(concurrency=1)
    first = asyncio.ensure_future(line.job(1))
    await line.has_begun(1)
    second = asyncio.ensure_future(line.job(2))
    await asyncio.sleep(0.05)
    await (await line.mastra.get_workflow("jobs").create_run("job-2")).cancel()
    assert [await first, await second] == ["success", "canceled"]
    assert await line.job(3) == "success"
    await line.stack.aclose()


async def test_two_applications_on_one_database_keep_to_one_limit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/flow.db"
    lines = [Line(SQLStorage(url), 0.2, None) for _ in range(2)]
    lines[1].under_way, lines[1].most = lines[0].under_way, lines[0].most
    for line in lines:
        await line.open(concurrency=2)
    done = await asyncio.gather(lines[0].jobs(*range(5)), lines[1].jobs(*range(5, 10)))
    assert [*done[0], *done[1]] == ["success"] * 10
    assert lines[0].most["all"] == 2
    for line in lines:
        await line.stack.aclose()


async def test_an_answer_waits_for_a_place_and_is_no_new_run() -> None:
    async def ask(ctx: StepContext[Job]) -> Job:
        return ctx.input_data if ctx.resume_data else await ctx.suspend({})

    step = create_step(id="ask", input_schema=Job, output_schema=Job, execute=ask)
    line = Line(InMemoryStorage(), 0.1, None)
    options: Any = {"rate_limit": {"limit": 1, "period": 60}, "singleton": "skip", "concurrency": 1}
    await line.open(lambda flow: flow.then(step), **options)
    run = await line.mastra.get_workflow("jobs").create_run()
    assert (await run.start({"n": 1})).status == "suspended"
    assert (await run.resume({"ok": True})).status == "success"
    await line.stack.aclose()


async def test_a_debounce_of_hours_takes_no_time_on_a_clock_that_jumps() -> None:
    clock = FakeClock()
    flow = create_workflow(
        id="w", input_schema=int, output_schema=int, debounce={"period": "5h", "timeout": "1d"}
    )
    async with Mastra(
        workflows=[flow.map(lambda ctx: ctx.input_data).commit()], clock=clock
    ) as mastra:
        began = clock.now()
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).unwrap() == 1
        assert clock.now() - began >= 5 * 3600


async def test_workflows_of_one_key_share_a_limit_where_they_say_so() -> None:
    pytest.importorskip("cel")
    line = Line(InMemoryStorage(), 0.1, None)
    shared = {"limit": 1, "key": "'shop'", "scope": "account"}
    step = create_step(id="work", input_schema=Job, output_schema=Job, execute=line.work)
    flows = [
        create_workflow(id=name, input_schema=Job, output_schema=Job, concurrency=shared)
        .then(step)
        .commit()
        for name in ("a", "b")
    ]
    async with Mastra(workflows=flows) as mastra:
        runs = [await mastra.get_workflow(name).create_run() for name in "aabb"]
        await asyncio.gather(*(run.start({"n": n}) for n, run in enumerate(runs)))
    assert line.most["all"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "1 or more"),
        ({"concurrency": [1, 2, 3]}, "at most 2"),
        ({"concurrency": {"limit": 1, "scope": "world"}}, "scope"),
        ({"throttle": {"limit": 1}}, "throttle.period"),
        ({"throttle": {"limit": 1, "period": 0}}, "above 0"),
        ({"rate_limit": {"limit": 1, "period": 1, "burst": 2}}, "has no burst"),
        ({"debounce": 5}, "must be a mapping"),
        ({"singleton": "sometimes"}, "skip"),
        ({"singleton": {"mode": "skip", "key": 5}}, "singleton.key must be an expression"),
        ({"singleton": True}, "must be a mapping"),
        ({"concurrency": {"limit": 1, "key": ["user"]}}, "concurrency.key must be an expression"),
        ({"concurrency": {1: 2}}, "has no 1"),
        ({"priority": {"run": 5}}, "priority.run must be an expression"),
        ({"idempotency": {"key": "event.data.n"}}, "idempotency must be an expression"),
        ({"throttle": {"limit": 1, "period": 1, "burst": -1}}, "burst must be a whole number"),
        ({"throttle": {"limit": 1, "period": 1, "burst": "2"}}, "burst must be a whole number"),
        ({"throttle": {"limit": 1, "period": "10 s"}}, "such as '10s', not '10 s'"),
        ({"debounce": {"period": -5}}, "must be seconds"),
        ({"debounce": {"period": float("nan")}}, "must be seconds"),
        ({"debounce": {"period": float("inf")}}, "must be seconds"),
        ({"debounce": {"period": 10**400}}, "must be seconds"),
        ({"debounce": {"period": True}}, "must be seconds"),
        ({"debounce": {"period": "²s"}}, "must be seconds"),
        ({"debounce": {"period": "999999999999w"}}, "must be seconds"),
        ({"debounce": {"period": "5s", "timeout": timedelta(-1)}}, "debounce.timeout must be"),
    ],
)
def test_what_is_no_flow_control_is_refused_where_it_is_declared(
    options: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        create_workflow(id="w", input_schema=int, output_schema=int, **options)
