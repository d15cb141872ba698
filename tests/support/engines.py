"""The engines that the conformance suite runs on, each with the storage it is run with.

A case asks for the `env` fixture and gets one of these. Everything goes through public names, so
that the same case runs on an engine whose steps are driven by a server.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mastra import InProcessEngine, Mastra, Run, Workflow
from mastra.clock import Clock, SystemClock
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import FakeClock, ReplayEngine
from mastra.workflows.engines.base import Engine
from mastra.workflows.events import Event
from mastra.workflows.results import WorkflowResult
from tests.support.inngest_server import FakeInngest

__all__ = ["Calls", "Env", "OddClock", "engine_env"]

AnyWorkflow = Workflow[Any, Any, Any]


class Calls:
    """Which steps ran, in order. May be told from any thread."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str) -> int:
        """Note a call and return how many of that name there were before."""
        before = self.names.count(name)
        self.names.append(name)
        return before

    def __getitem__(self, name: str) -> int:
        return self.names.count(name)


class OddClock(SystemClock):
    """A machine's clock that stands still, or that somebody sets whenever it is looked at."""

    def __init__(self, step_s: float = 0.0) -> None:
        self._step_s = step_s
        self._now = time.time()

    def now(self) -> float:
        """Return the time, and change it."""
        self._now += self._step_s
        return self._now


class Env:
    """One engine and one storage, for the length of a test.

    Attributes:
        name: The engine's name in `KNOWN_DIFFERENCES`.
        storage: The storage that every `Mastra` of this environment shares.
        opened: Every `Mastra` that was built.
    """

    def __init__(
        self,
        name: str,
        make_engine: Callable[[], Engine],
        storage: Any,
        reopen_storage: Callable[[Any], Awaitable[Any]],
        on_build: Callable[[Mastra], None] | None = None,
    ) -> None:
        self.name = name
        self._on_build = on_build
        self.storage = storage
        self.clock: Clock = SystemClock()
        """What its runs go by: the machine's, until `use_fake_clock`."""
        self.server: Any = None
        """The Inngest server, where the engine is run with one."""
        self._make_engine = make_engine
        self._reopen_storage = reopen_storage
        self.opened: list[Mastra] = []
        self._registered: dict[str, Any] = {}

    def use_fake_clock(self) -> None:
        """Have whatever is built from here on go by a clock that jumps, but on a real server."""
        if self.server is None or isinstance(self.server, FakeInngest):
            self.clock = FakeClock()
        if isinstance(self.server, FakeInngest):
            self.server.clock = self.clock

    def hold_time(self) -> None:
        """Have the clock stand still, if it is a fake one, until `let_time_go`."""
        if isinstance(self.clock, FakeClock):
            self.clock.auto = False

    def let_time_go(self) -> None:
        """Have the clock jump again."""
        if isinstance(self.clock, FakeClock):
            self.clock.auto = True

    def mastra(
        self, *, workflows: Sequence[AnyWorkflow] | Mapping[str, Any] = (), **options: Any
    ) -> Mastra:
        """Return a `Mastra` on this engine and storage, closed after the test.

        Args:
            workflows: Workflows by key, or a list of them, each under its id.
            options: What else `Mastra` takes.
        """
        keyed = workflows if isinstance(workflows, Mapping) else {w.id: w for w in workflows}
        self._registered = {"workflows": keyed, **options}
        return self._build()

    def _build(self) -> Mastra:
        mastra = Mastra(
            storage=self.storage,
            engine=self._make_engine(),
            clock=self.clock,
            **self._registered,
        )
        self.opened.append(mastra)
        if self._on_build is not None:
            self._on_build(mastra)
        return mastra

    def workflow(self, workflow: AnyWorkflow, **options: Any) -> AnyWorkflow:
        """Return the workflow as one registered on a `Mastra` of its own gives it."""
        return self.mastra(workflows=[workflow], **options).get_workflow(workflow.id)

    async def start(
        self, workflow: AnyWorkflow, input_data: Any = None, **options: Any
    ) -> WorkflowResult[Any]:
        """Run a workflow once and return its result."""
        run = await self.workflow(workflow).create_run()
        return await run.start(input_data, **options)

    async def events(
        self, workflow: AnyWorkflow, input_data: Any = None, **options: Any
    ) -> tuple[list[Event], WorkflowResult[Any]]:
        """Run a workflow once and return all its events and its result."""
        run = await self.workflow(workflow).create_run()
        return await self.read(run.stream(input_data, **options))

    async def read(self, stream: Any) -> tuple[list[Event], WorkflowResult[Any]]:
        """Return all the events of a stream and its result."""
        async with stream:
            events = [event async for event in stream]
        return events, await stream.result()

    async def new_process(self) -> Mastra:
        """Return what another process has: the same definitions, the same storage, nothing else.

        What the first one still drives goes on there.
        """
        self.storage = await self._reopen_storage(self.storage)
        return self._build()

    async def crash(self) -> Mastra:
        """Stop whatever runs, where it is, and return what the next process has."""
        for mastra in self.opened:
            await mastra.engine.aclose()
        return await self.new_process()

    async def deploy(self, *workflows: Any) -> Mastra:
        """Stop whatever runs, where it is, and return a process with these definitions.

        Args:
            workflows: Workflows, or lists of their versions.
        """
        for mastra in self.opened:
            await mastra.engine.aclose()
        last = [w[-1] if isinstance(w, list) else w for w in workflows]
        self._registered["workflows"] = {
            w.id: given for w, given in zip(last, workflows, strict=True)
        }
        return await self.new_process()

    async def again(self, run: Run[Any]) -> Run[Any]:
        """Return the same run in another process, made from storage alone."""
        mastra = await self.new_process()
        return await mastra.get_workflow_by_id(run.workflow_id).create_run(run.run_id)

    async def aclose(self) -> None:
        """Close every `Mastra` that was built, and the storage."""
        self.let_time_go()  # a test that fails leaves it standing, and what closes may wait for it
        for mastra in self.opened:
            await mastra.aclose()
        await self.storage.aclose()


async def _image_of(storage: InMemoryStorage) -> InMemoryStorage:
    copied = InMemoryStorage()
    copied.workflows = storage.workflows.image()
    copied._observability = storage.observability
    return copied


async def _connect(url: str) -> Any:
    from mastra.storage.sql import SQLStorage

    storage = SQLStorage(url)
    await storage.open()
    return storage


def _inngest_options(name: str) -> dict[str, Any]:
    if name.endswith("-buffered"):
        return {"buffered_steps": 3}
    return {"checkpoint": not name.endswith("-sdk")}


@asynccontextmanager
async def engine_env(name: str, url: str | None, server: Any = None) -> AsyncIterator[Env]:
    """Open an environment by its engine's name.

    Args:
        name: One of those that the fixture `env` is parametrised over.
        url: Of the database, where the engine is run with one.
        server: The Inngest server, where the engine is run with one.
    """
    make_engine: Callable[[], Engine] = ReplayEngine if name == "replay" else InProcessEngine
    on_build: Callable[[Mastra], None] | None = None
    async with AsyncExitStack() as stack:
        if server is not None:
            from tests.support.inngest_env import inngest_host

            host = await stack.enter_async_context(inngest_host(server, **_inngest_options(name)))
            make_engine, on_build = host.make_engine, host.serve
        if url is None:
            env = Env(name, make_engine, InMemoryStorage(), _image_of, on_build)
        else:

            async def reconnect(_: Any) -> Any:
                return await _connect(url)

            env = Env(name, make_engine, await _connect(url), reconnect, on_build)
        env.server = server
        stack.push_async_callback(env.aclose)
        yield env
