"""A run as whoever looks at it sees it: its state, its result, its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from mastra.given import COUNT, check_given
from mastra.jsonable import Json
from mastra.names import python_names
from mastra.storage.base import RunHead
from mastra.workflows.engines.base import RunHandle
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, load_run
from mastra.workflows.engines.stored import no_such_run
from mastra.workflows.events import Event
from mastra.workflows.records import Journal
from mastra.workflows.results import WorkflowResult
from mastra.workflows.run_stream import RunStream
from mastra.workflows.run_watch import Watchers, live_leg
from mastra.workflows.runtime import Runtime
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.choice import spec_for

__all__ = ["RunView"]

Out = TypeVar("Out")


@python_names
class RunView(Generic[Out]):
    """What `Run` tells, apart from what it does."""

    def __init__(
        self,
        spec: WorkflowSpec,
        runtime: Runtime,
        run_id: str,
        resource_id: str | None,
        *,
        is_stored: bool = True,
        may_be_started: bool = True,
    ) -> None:
        self.run_id = run_id
        """The run's id."""
        self.resource_id = resource_id
        """The resource (user, tenant) that the run belongs to."""
        self._newest = spec
        self._spec = spec
        self._runtime = runtime
        self._is_stored = is_stored
        # Of a run that was just made, storage is not asked before it starts.
        self._may_be_started = is_stored and may_be_started
        self._target = RunTarget(spec, runtime.store, run_id, runtime.services)
        self._handle: RunHandle | None = None
        self._began: tuple[Json, Json] | None = None  # with which input and state, from here
        self._is_starting = False
        self._watchers: Watchers | None = None

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self._spec.id

    @property
    def target(self) -> RunTarget:
        """Which run it is, as engines are told."""
        return self._target

    @property
    def runtime(self) -> Runtime:
        """What runs it."""
        return self._runtime

    def __repr__(self) -> str:
        return f"Run({self.run_id!r} of {self._spec.id!r})"

    # -- look --------------------------------------------------------------------------------

    async def _loaded(self) -> LoadedRun:
        closings = self._runtime.engine.closings
        loaded = await load_run(self._runtime.store, self._spec.id, self.run_id)
        if loaded is None:
            raise no_such_run(self._target)
        loaded.closings = closings
        self._go_by(loaded.head)
        return loaded

    async def _head(self) -> RunHead:
        head = await self._runtime.store.get_run(self._spec.id, self.run_id)
        if head is None:
            raise no_such_run(self._target)
        return head

    def _go_by(self, head: RunHead) -> None:
        """Take the definition that the run began with, where that is kept."""
        spec = spec_for(self._newest, head)
        if spec is not self._spec:
            self._spec = spec
            self._target = replace(self._target, spec=spec)

    def _seen_here(self) -> RunHandle | None:
        """Return the leg that was begun through this object, if this event loop may look at it."""
        handle = self._handle
        return None if handle is None or handle.is_elsewhere else handle

    async def status(self) -> str:
        """Return the run's status as storage has it."""
        return (await self._head()).status

    async def journal(self) -> Journal:
        """Return the records of the run's operations, as storage has them."""
        return (await self._loaded()).journal

    async def result(self) -> WorkflowResult[Out]:
        """Wait for the result of a run that was started, here or elsewhere."""
        handle = self._seen_here() or self._runtime.engine.attach(self._target)
        return await handle.result()

    def observe_stream(self, *, offset: int = 0) -> RunStream[Out]:
        """Return the run's events from its first on, as they come and after it has ended.

        Args:
            offset: The seq to begin at, from 0.

        Raises:
            ConfigError: The offset is no whole number from 0.
        """
        owner = f"Run {self.run_id!r}"
        check_given(owner, {"offset": offset}, {"offset": COUNT}, needed=("offset",))

        async def begin() -> tuple[RunHandle, int]:
            return self._runtime.engine.attach(self._target), offset

        return RunStream(self.run_id, self._spec.id, begin)

    def watch(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function (sync or async) with each event; return how to stop that.

        Watching a run that is not started yet begins with its start. Only watchers get a
        `workflow-step-finish`, after each `workflow-step-result` and with its `seq`.
        """
        self._handle = self._handle or live_leg(self._runtime.engine, self._target)
        self._watchers = self._watchers or Watchers(self.run_id)
        return self._watchers.add(callback, self._handle)
