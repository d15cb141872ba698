"""Several workers that run steps of one run at once, each with a log of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.inngest import feed
from mastra.inngest.mount import serving_app
from mastra.inngest.wire.transport import Answer, Stream, Transport
from mastra.workflows.events import Event
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import Host, inngest_host
from tests.support.inngest_server import FakeInngest

STEPS, TOKENS, TOGETHER = 5, 4, 5


class Losing:
    """What takes requests to the server, and loses every so manieth realtime message."""

    def __init__(self, inner: Transport, every: int) -> None:
        self._inner = inner
        self._every = every
        self._count = 0

    async def send(self, method: str, path: str, **rest: Any) -> Answer:
        if path == "/v1/realtime/publish":
            self._count += 1
            if self._count % self._every == 0:
                return Answer(200, b"")
        return await self._inner.send(method, path, **rest)

    async def open(self, path: str, **rest: Any) -> Stream:
        return await self._inner.open(path, **rest)


class ByTurns:
    """The apps of several workers behind one address."""

    def __init__(self, apps: list[Any]) -> None:
        self._apps = itertools.cycle(apps)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await next(self._apps)(scope, receive, send)


def talking() -> Any:
    """Return steps beside each other that write by turns, between two others."""
    barrier = asyncio.Barrier(TOGETHER)

    def step(name: str) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            for number in range(TOKENS):
                await barrier.wait()
                await ctx.writer.write(f"{name}.{number}")
            return ctx.input_data

        return create_step(id=name, execute=execute)

    workflow = flows.begin(output=Any).then(flows.plus_one("first"))
    workflow.parallel([step(f"p{i}") for i in range(STEPS)])
    workflow.map(lambda ctx: ctx.input_data["p0"], id="one")
    return workflow.then(flows.plus_one("last")).commit()


PLACES = (
    ("double", "together"),
    pytest.param(("double", "reversed"), marks=pytest.mark.every_engine),
    pytest.param(("real", "together"), marks=pytest.mark.devserver),
)


@pytest.fixture(params=PLACES, ids=["together", "reversed", "real"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The small server, in the order in which it starts steps, or the real one."""
    kind, order = request.param
    if kind == "real":
        return request.getfixturevalue("dev_server")
    if order == "reversed":
        # One after the other they cannot wait for each other; the numbers are the same.
        monkeypatch.setattr("tests.inngest.test_workers_at_once.TOGETHER", 1)
    fake = FakeInngest()
    fake.order = order
    return fake


@pytest.fixture
async def steps_apart(server: Any) -> AsyncIterator[Host]:
    """A host without checkpoints: each step is a request, to whichever worker."""
    async with inngest_host(server, checkpoint=False) as opened:
        yield opened


@asynccontextmanager
async def processes(host: Host, lose_every: int, url: str, caller: Any) -> AsyncIterator[Mastra]:
    """Open two workers with one database, and what calls them."""
    workflow = talking()
    async with AsyncExitStack() as stack:
        apps: list[Any] = []
        opened: list[Mastra] = []
        for storage in (SQLStorage(url), SQLStorage(url), caller):
            engine = host.make_engine()
            if lose_every:
                engine.api.transport = Losing(engine.api.transport, lose_every)
            mastra = Mastra(workflows={"w": workflow}, engine=engine, storage=storage)
            opened.append(await stack.enter_async_context(mastra))
            apps.append(serving_app(mastra, host.client))
        host.call(ByTurns(apps[:2]))
        yield opened[2]


def check(events: list[Event]) -> None:
    """See that everything was told, once, and what one step tells in its order."""
    assert [event.seq for event in events] == list(range(len(events)))
    by_step: dict[str, list[str]] = {}
    for event in events:
        if event.payload is None or event.payload.step_name is None:
            continue
        kind = event.type.removeprefix("workflow-step-")
        what = str(event.payload.output) if kind == "output" else kind
        by_step.setdefault(event.payload.step_name, []).append(what)
    for i in range(STEPS):
        written = [f"p{i}.{number}" for number in range(TOKENS)]
        assert by_step[f"p{i}"] == ["start", *written, "result"]
    assert by_step["first"] == by_step["last"] == ["start", "result"]
    assert Counter(event.type for event in events)["workflow-finish"] == 1


@pytest.mark.parametrize(
    ("is_shared", "lose_every"),
    [(True, 0), (True, 3), (True, 2), (False, 0)],
    ids=["shared", "shared-lossy", "shared-half-lost", "apart"],
)
async def test_readers_count_without_gaps_and_see_everything_once(
    steps_apart: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lose_every: int,
    is_shared: bool,
) -> None:
    monkeypatch.setattr(feed, "GAP_S", 0.02)
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    storage = SQLStorage(url) if is_shared else None
    async with processes(steps_apart, lose_every, url, storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        async with run.stream({"value": 1}) as stream:
            live = [event async for event in stream]
        assert (await stream.result()).unwrap() == {"value": 3}
        check(live)
        # Whoever reads it later, in this process or from storage alone.
        check([event async for event in run.observe_stream()])
    async with Mastra(workflows={"w": talking()}, storage=SQLStorage(url)) as later:
        again = await later.get_workflow("w").create_run(run.run_id)
        check([event async for event in again.observe_stream()])
