"""A workflow as something that runs: its engine and store, and its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Self, get_args

from typing_extensions import TypeVar

from mastra.clock import ms_from_datetime, now_ms
from mastra.errors import (
    ConfigError,
    DefinitionChangedError,
    IdTakenError,
    RunClaimedError,
    RunStateError,
    StorageError,
    WorkflowDefinitionError,
)
from mastra.failures import error_to_json
from mastra.given import AGE, ID, Form, check_given, check_listing, shown
from mastra.ids import new_id
from mastra.logs import get_logger
from mastra.names import hint, python_names
from mastra.schema import Schema
from mastra.services import AS_AROUND
from mastra.storage.base import RunHead
from mastra.storage.damage import UNREADABLE, is_unreadable, unreadable
from mastra.sync import sync_twin
from mastra.workflows.engines.base import Engine
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, load_run
from mastra.workflows.engines.journal_writer import SnapshotQuestion, is_wanted
from mastra.workflows.records import StepRecord
from mastra.workflows.results import RunStatus
from mastra.workflows.run import Run
from mastra.workflows.run_info import RunInfo, RunList
from mastra.workflows.runtime import Runtime
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.choice import spec_for

__all__ = ["WorkflowRuns"]

In = TypeVar("In", default=Any)
Out = TypeVar("Out", default=Any)

_AT_A_TIME: Final = 200
"""How many runs that have an answer kept are looked for at once."""


def _check_id(name: str, given: Any) -> None:
    if given is not None and not ID.holds(given):
        raise ConfigError(f"{name} is {shown(given)}: give {ID.words}, or leave it out.")


_STATUS: Final = Form(
    "a status, or several of them",
    lambda value: isinstance(value, Collection) and not isinstance(value, bytes),
)


def _check_statuses(status: Any) -> None:
    known = get_args(RunStatus)
    wanted = [status] if isinstance(status, str) else [*(status or ())]
    unknown = [item for item in wanted if item not in known]
    if unknown:
        raise ConfigError(
            f"Runs have no status {unknown[0]!r}. There are: {', '.join(known)}."
            f"{hint(map(str, unknown[:1]), known)}"
        )


@python_names
class WorkflowRuns(Generic[In, Out]):
    """What a workflow is and how it is run; how it is built is in `Workflow`."""

    def __init__(self, spec: WorkflowSpec, runtime: Runtime | None) -> None:
        self._spec = spec
        self._is_committed = False
        self._runtime = runtime
        self._engine: Engine | None = None

    # -- what it is --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self._spec.id

    @property
    def version(self) -> str | None:
        """Which definition under its id it is, where several are kept."""
        return self._spec.version

    @property
    def description(self) -> str | None:
        """What it is for."""
        return self._spec.description

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Facts of the author's own."""
        return self._spec.metadata or {}

    @property
    def input_schema(self) -> Schema[In]:
        """The input of a run."""
        return self._spec.input_schema

    @property
    def output_schema(self) -> Schema[Out]:
        """The output of a run."""
        return self._spec.output_schema

    @property
    def spec(self) -> WorkflowSpec:
        """The committed graph, which is all that engines see.

        Raises:
            WorkflowDefinitionError: The workflow is not committed.
        """
        if not self._is_committed:
            raise WorkflowDefinitionError(
                f"Workflow {self.id!r} is not committed: call `.commit()` at the end of its chain.",
                code="WORKFLOW_NOT_COMMITTED",
            )
        return self._spec

    def bind(self, runtime: Runtime) -> None:
        """Make an engine, a store and a `Mastra` those of this workflow's own runs."""
        self._runtime = runtime if self._engine is None else replace(runtime, engine=self._engine)
        if self._spec.flow_control and not self._runtime.engine.has_server:
            from mastra.workflows.flow_control import FlowControl  # noqa: PLC0415 - few have one

            flow = FlowControl.of(self._spec.flow_control)
            if flow is not None:
                flow.check_expressions()
        self._runtime.engine.serve(self, self._runtime.store)

    def use_engine(self, engine: Engine, *, flow_control: Mapping[str, Any] | None = None) -> Self:
        """Tie the workflow to an engine, whatever `Mastra` it is registered on.

        Args:
            engine: What runs it.
            flow_control: Options that only this engine reads, such as concurrency on Inngest.
        """
        self._engine = engine
        if flow_control is not None:
            self._spec = replace(self._spec, flow_control=flow_control)
        if self._runtime is not None:
            self._runtime = replace(self._runtime, engine=engine)
        return self

    @property
    def runtime(self) -> Runtime:
        """What runs it. A workflow that is not registered runs in process, stored in memory."""
        if self._runtime is None:
            from mastra.storage.in_process import InMemoryWorkflowStore  # noqa: PLC0415
            from mastra.workflows.engines.inprocess import InProcessEngine  # noqa: PLC0415

            engine = self._engine or InProcessEngine()
            self._runtime = Runtime(engine, InMemoryWorkflowStore(), None)
        return self._runtime

    # -- runs ----------------------------------------------------------------------------------

    async def create_run(
        self, run_id: str | None = None, resource_id: str | None = None
    ) -> Run[Out, In]:
        """Return a run, stored as pending.

        Args:
            run_id: Its id; by default a random one. The id of a run that is there gives that run.
            resource_id: The resource (user, tenant) that it belongs to.

        Raises:
            WorkflowDefinitionError: The workflow is not committed.
            IdTakenError: The id is that of another resource's run.
        """
        spec, runtime = self.spec, self._runtime or self.runtime
        if run_id is not None or resource_id is not None:
            _check_id("run_id", run_id)
            _check_id("resource_id", resource_id)
        around = runtime.surroundings()
        if around is AS_AROUND:
            name, now = new_id() if run_id is None else run_id, now_ms()
        else:
            with around:
                name, now = new_id() if run_id is None else run_id, now_ms()
        head = RunHead(spec.id, name, "pending", resource_id, now, now)
        is_stored, is_fresh = _wants_pending(spec), False
        if is_stored:
            is_fresh = await runtime.store.create_run(head)
            known = None if is_fresh else await runtime.store.get_run(spec.id, name)
        else:
            known = None if run_id is None else await runtime.store.get_run(spec.id, name)
            is_stored = known is not None
        if known is not None:
            if resource_id not in {None, known.resource_id}:
                raise IdTakenError(
                    f"Run id {name!r} of workflow {spec.id!r} is that of another resource's run: "
                    "give the run another run_id, or leave it out.",
                    details={"run_id": name},
                )
            resource_id = known.resource_id
        may_be_started = not is_fresh or spec.on_start is not None
        return Run(
            spec, runtime, name, resource_id, is_stored=is_stored, may_be_started=may_be_started
        )

    create_run_async = create_run
    create_run_sync = sync_twin(create_run)

    async def list_runs(
        self,
        *,
        status: str | Sequence[str] | None = None,
        resource_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        page: int = 0,
        per_page: int | None = None,
    ) -> RunList:
        """Return stored runs, the newest first.

        Args:
            status: Only those in this state, or in one of these.
            resource_id: Only those of this resource.
            from_date: Only those created then or later.
            to_date: Only those created then or earlier.
            page: Which page, from 0.
            per_page: How many a page has; `None` for all.

        Raises:
            ConfigError: There is no such state or page, or an option is of another kind.
        """
        spec, store = self.spec, self.runtime.store
        check_listing(f"Runs of workflow {spec.id!r}", locals(), {"status": _STATUS})
        _check_statuses(status)
        found = await store.list_runs(
            spec.id,
            status=(status,) if isinstance(status, str) else status,
            resource_id=resource_id,
            from_ms=None if from_date is None else ms_from_datetime(from_date),
            to_ms=None if to_date is None else ms_from_datetime(to_date),
            offset=page * per_page if per_page else 0,
            limit=per_page,
        )
        runs: list[RunInfo] = []
        for head in found.runs:
            info = await self.get_run(head.run_id)
            if info is not None:
                runs.append(info)
        return RunList(runs, found.total)

    async def get_run(self, run_id: str) -> RunInfo | None:
        """Return a stored run, or `None` where there is none under that id.

        Of a run that cannot be read there is what can be, and `error` says so: its code is
        `ROW_UNREADABLE`.
        """
        spec, runtime = self.spec, self.runtime
        try:
            loaded = await load_run(runtime.store, spec.id, run_id)
        except StorageError as error:
            if not is_unreadable(error):
                raise
            return await self._unreadable(run_id, error)
        if loaded is None:
            return None
        live = runtime.engine.active(_target(spec, runtime, run_id))
        if live is not None:
            for entry in live.log.entries:
                if entry is not None and isinstance(entry[1], StepRecord):
                    record = entry[1]
                    if record.status == "running" and record.index is None:
                        loaded.latest[record.step_id] = record
        try:
            return RunInfo.of(spec_for(spec, loaded.head), loaded)
        except UNREADABLE as error:
            what = f"Run {run_id!r} of workflow {spec.id!r}"
            return await self._unreadable(run_id, unreadable(what, f"it holds {error!r}"))

    async def _unreadable(self, run_id: str, error: StorageError) -> RunInfo | None:
        spec = self.spec
        head = await self.runtime.store.get_run(spec.id, run_id)
        if head is None:
            return None
        get_logger({"run_id": run_id, "workflow_id": spec.id}).error(
            "%s", error.message, exc_info=error.__cause__
        )
        head.error = error_to_json(error)
        try:
            info = RunInfo.of(spec, LoadedRun(head))
            info.to_snapshot()
        except UNREADABLE:
            # JSON, and yet nothing that this workflow can have written.
            facts = (head.resource_id, head.created_at, head.updated_at)
            bare = RunHead(spec.id, run_id, head.status, *facts, error=head.error)
            return RunInfo.of(spec, LoadedRun(bare))
        return info

    async def delete_run(self, run_id: str) -> bool:
        """Remove a run from storage, cancelling it where it is under way.

        Here it has ended when this returns. Another process that drives it sees within a lease
        that it is gone; there, too, it ends as `canceled`.

        Returns:
            Whether it was there.
        """
        spec, runtime = self.spec, self.runtime
        await runtime.engine.cancel(_target(spec, runtime, run_id))
        return await runtime.store.delete_run(spec.id, run_id)

    async def delete_runs_older_than(self, age: timedelta) -> int:
        """Remove runs that ended longer ago than this. Return how many.

        Raises:
            ConfigError: It is no length of time.
        """
        check_given(f"Runs of workflow {self.spec.id!r}", {"age": age}, {"age": AGE})
        with self.runtime.surroundings():
            before = now_ms() - int(age.total_seconds() * 1000)
        ended = ("success", "failed", "tripwire", "canceled")
        store = self.runtime.store
        return await store.delete_runs_before(before, statuses=ended, workflow_id=self.spec.id)

    async def list_active_runs(self) -> RunList:
        """Return the runs that are running or waiting."""
        return await self.list_runs(status=("running", "waiting"))

    async def restart_all_active_runs(self) -> list[str]:
        """Go on with every run that was cut off, except those another live process drives.

        Runs that are suspended and have an answer kept for them are among them.

        A run that this definition does not fit stays as it is, and is told of in the log.

        Returns:
            The ids of the runs that go on.
        """
        restarted: list[str] = []
        active = [info.run_id for info in (await self.list_active_runs()).runs]
        unled = await self.runtime.store.list_unled([self.id], limit=_AT_A_TIME)
        for run_id in dict.fromkeys([*active, *(run.run_id for run in unled)]):
            try:
                if await self.restart_run(run_id):
                    restarted.append(run_id)
            except (DefinitionChangedError, StorageError, *UNREADABLE) as error:
                if isinstance(error, StorageError) and not is_unreadable(error):
                    raise
                facts = {"run_id": run_id, "workflow_id": self.id}
                get_logger(facts).error("A run was not restarted. %s", error)
        return restarted

    async def answer_run(self, run_id: str) -> bool:
        """Go on with a suspended run by an answer that is kept for it; return whether it did.

        Raises:
            DefinitionChangedError: This definition does not fit it. The answer stays kept.
        """
        return await (await self.create_run(run_id)).take_kept()

    async def restart_run(self, run_id: str) -> bool:
        """Go on with a run that was cut off, or by an answer that is kept for it.

        Returns:
            Whether it was one that nobody drives and that can go on.

        Raises:
            DefinitionChangedError: This definition does not fit it. It stays as it is.
        """
        run = await self.create_run(run_id)
        try:
            if await run.take_kept():
                return True
            await run.restart_async()
        except (RunClaimedError, RunStateError):
            return False
        return True


def _target(spec: WorkflowSpec, runtime: Runtime, run_id: str) -> RunTarget:
    return RunTarget(spec, runtime.store, run_id, runtime.services)


def _wants_pending(spec: WorkflowSpec) -> bool:
    if spec.should_persist_snapshot is None:
        return True
    return is_wanted(spec.should_persist_snapshot, SnapshotQuestion("pending", {}))
