"""Runs kept in this process: the default store, and the fastest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mastra.clock import Clock, now_ms
from mastra.given import COUNT, TIME, check_given
from mastra.jsonable import Json, dump_json, load_json
from mastra.storage.base import (
    JournalRow,
    QuietRun,
    QuietStore,
    RunChanges,
    RunHead,
    RunPage,
    StoredRow,
    UnledRun,
    Untold,
)
from mastra.storage.waiting import text_at, thread_of, waits_since

if TYPE_CHECKING:
    from mastra.storage.conversations import MemoryStore
    from mastra.storage.evals import EvalStore
    from mastra.storage.flow import FlowStore
    from mastra.storage.observability import ObservabilityStore
    from mastra.storage.schedules import ScheduleStore

__all__ = ["InMemoryStorage", "InMemoryWorkflowStore"]

_ENDED = frozenset({"success", "failed", "tripwire", "canceled"})
_values_of = attrgetter(*(field.name for field in fields(RunHead)))


def _copy(head: RunHead) -> RunHead:
    # `dataclasses.replace` takes five times as long, and a head is copied twice a run.
    return RunHead(*_values_of(head))


class _Run:
    __slots__ = ("__weakref__", "head", "stored", "untold")

    def __init__(self, head: RunHead) -> None:
        self.head = head
        self.stored: list[JournalRow] = []
        self.untold: Untold | None = None

    def __reduce__(self) -> tuple[Any, ...]:  # whoever copies a store copies what is told
        return _copied, (self.head, self.rows)

    def write(self, rows: Sequence[JournalRow]) -> None:
        """Add rows to the journal."""
        self.stored += rows

    @property
    def rows(self) -> list[JournalRow]:
        """The whole journal."""
        untold = self.untold  # which another thread may have told by now
        if untold is not None:
            untold.tell()
        return self.stored

    @rows.setter
    def rows(self, rows: list[JournalRow]) -> None:
        self.stored = rows


def _copied(head: RunHead, rows: list[JournalRow]) -> _Run:
    run = _Run(head)
    run.stored = rows
    return run


class InMemoryWorkflowStore:
    """Keeps runs in a dict, and of the ended ones only the latest."""

    is_shared = False
    drivers = None

    def __init__(self, *, max_ended_runs: int = 1000, clock: Clock | None = None) -> None:
        self._max_ended_runs = max_ended_runs
        self._clock = clock
        self._runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._flow: FlowStore | None = None

    @property
    def quiet(self) -> QuietStore | None:
        """Itself, but for a class of somebody's own, which sees each row."""
        return self if type(self) is InMemoryWorkflowStore else None

    @property
    def flow(self) -> FlowStore:
        """Which runs wait to begin."""
        if self._flow is None:
            from mastra.storage.flow import InMemoryFlow  # noqa: PLC0415 - few need it

            self._flow = InMemoryFlow()
        return self._flow

    def begin(self, workflow_id: str, run_id: str, changes: RunChanges) -> QuietRun | None:
        """Rewrite columns of a run that is pending, whose journal is told when it is asked for."""
        run = self._runs.get((workflow_id, run_id))
        if run is None or run.head.status != "pending":
            return None
        head = run.head
        for name, value in changes.items():
            setattr(head, name, value)
        head.updated_at = self._later_than(head.updated_at)
        return run

    def settle(
        self,
        workflow_id: str,
        run_id: str,
        result: Json,
        request_context: dict[str, Json],
        data: dict[str, Json],
    ) -> bool:
        """End a run that is under way in success."""
        key = (workflow_id, run_id)
        run = self._runs.get(key)
        if run is None or run.untold is None or run.head.status != "running":
            return False
        head = run.head
        head.status, head.result, head.data = "success", result, head.data | data
        head.request_context = request_context
        head.updated_at = self._later_than(head.updated_at)
        self._keep_bound(key, "success")
        return True

    def _all(self) -> list[_Run]:
        return [*self._runs.values()]  # at one moment: other threads begin runs meanwhile

    def _now(self) -> int:
        return now_ms() if self._clock is None else int(self._clock.now() * 1000)

    def _later_than(self, before: int) -> int:
        now = now_ms() if self._clock is None else self._now()
        return now if now > before else before + 1

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def aclose(self) -> None:
        """Do nothing: the runs stay, so that the store can be used again."""

    async def create_run(self, head: RunHead) -> bool:
        """Store a run unless its id is taken; the head is the store's from then on."""
        key = (head.workflow_id, head.run_id)
        if key in self._runs:
            return False
        if not (head.created_at and head.updated_at):
            now = self._now()
            head.created_at, head.updated_at = head.created_at or now, head.updated_at or now
        self._runs[key] = _Run(head)
        return True

    async def get_run(self, workflow_id: str, run_id: str) -> RunHead | None:
        """Return a copy of a run's head."""
        run = self._runs.get((workflow_id, run_id))
        return None if run is None else _copy(run.head)

    async def update_run(
        self,
        workflow_id: str,
        run_id: str,
        changes: RunChanges,
        *,
        expected_status: Collection[str] | None = None,
        expected_owner: str | None = None,
        expected_updated_at: int | None = None,
    ) -> bool:
        """Rewrite columns if the expectations are met."""
        key = (workflow_id, run_id)
        run = self._runs.get(key)
        if run is None:
            return False
        head = run.head
        if expected_status is not None and head.status not in expected_status:
            return False
        if expected_owner is not None and head.owner != expected_owner:
            return False
        if expected_updated_at is not None and head.updated_at != expected_updated_at:
            return False
        for name, value in changes.items():
            setattr(head, name, value)
        if "updated_at" not in changes:
            head.updated_at = self._later_than(head.updated_at)
        if head.status in _ENDED or key in self._ended:
            self._keep_bound(key, head.status)
        return True

    async def keep_answer(
        self, workflow_id: str, run_id: str, answer: Json, *, expected_status: Collection[str]
    ) -> bool:
        """Add an answer behind those that are kept."""
        run = self._runs.get((workflow_id, run_id))
        if run is None or run.head.status not in expected_status:
            return False
        run.head.answers = [*run.head.answers, answer]
        return True

    def _keep_bound(self, key: tuple[str, str], status: str) -> None:
        # Memory has an end, so a process that runs workflows for a month forgets the oldest.
        if status not in _ENDED:
            del self._ended[key]
            return
        self._ended[key] = None
        while len(self._ended) > self._max_ended_runs:
            oldest, _ = self._ended.popitem(last=False)
            self._runs.pop(oldest, None)

    def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[JournalRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> None:
        """Add rows to a run's journal; they are kept as they are and never changed."""
        del owner, is_again  # nobody else sees the runs, and nothing here fails
        run = self._runs.get((workflow_id, run_id))
        if run is not None:  # a run that was deleted while it ran has nothing to keep
            run.write(rows)

    async def load_rows(self, workflow_id: str, run_id: str, after: int = -1) -> list[StoredRow]:
        """Return a run's journal from a position on."""
        run = self._runs.get((workflow_id, run_id))
        if run is None:
            return []
        return [
            StoredRow(position, row.key, row)
            for position, row in enumerate(run.rows[after + 1 :], after + 1)
        ]

    async def delete_rows(self, workflow_id: str, run_id: str, keys: Collection[str]) -> None:
        """Remove the rows of some operations."""
        run = self._runs.get((workflow_id, run_id))
        if run is not None:
            gone = set(keys)
            run.rows = [row for row in run.rows if row.key not in gone]

    async def list_runs(
        self,
        workflow_id: str | None = None,
        *,
        status: Collection[str] | None = None,
        resource_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> RunPage:
        """Return runs, the newest first."""
        found = [
            run.head
            for run in reversed(self._all())
            if (workflow_id is None or run.head.workflow_id == workflow_id)
            and (status is None or run.head.status in status)
            and (resource_id is None or run.head.resource_id == resource_id)
            and (from_ms is None or run.head.created_at >= from_ms)
            and (to_ms is None or run.head.created_at <= to_ms)
        ]
        end = None if limit is None else offset + limit
        return RunPage([_copy(head) for head in found[offset:end]], len(found))

    async def list_waiting(
        self,
        workflow_ids: Collection[str],
        agent_id: str,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> RunPage:
        """Return an agent's runs that wait, the latest to wait first."""
        found = [
            run.head
            for run in reversed(self._all())
            # One that was answered is answered here, by whoever is still there.
            if run.head.status == "suspended"
            and run.head.workflow_id in workflow_ids
            and text_at(run.head.data, "agentId") in {None, agent_id}
            and (resource_id is None or run.head.resource_id == resource_id)
            and (thread_id is None or thread_of(run.head) == thread_id)
            and (from_ms is None or waits_since(run.head) >= from_ms)
            and (to_ms is None or waits_since(run.head) <= to_ms)
        ]
        found.sort(key=waits_since, reverse=True)
        end = None if limit is None else offset + limit
        return RunPage([_copy(head) for head in found[offset:end]], len(found))

    async def delete_run(self, workflow_id: str, run_id: str) -> bool:
        """Remove a run."""
        self._ended.pop((workflow_id, run_id), None)
        return self._runs.pop((workflow_id, run_id), None) is not None

    async def delete_runs_before(
        self, before_ms: int, *, statuses: Collection[str], workflow_id: str | None = None
    ) -> int:
        """Remove runs in these states that were last updated before a time."""
        old = [
            (run.head.workflow_id, run.head.run_id)
            for run in self._all()
            if run.head.updated_at < before_ms
            and run.head.status in statuses
            and (workflow_id is None or run.head.workflow_id == workflow_id)
        ]
        for key in old:
            await self.delete_run(*key)
        return len(old)

    async def claim(
        self,
        workflow_id: str,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
    ) -> bool:
        """Make a claim the one under which a run is driven."""
        run = self._runs.get((workflow_id, run_id))
        if run is None:
            return False
        head = run.head
        if head.owner not in (None, owner) and head.owner not in dead_owners:
            return False
        head.owner = owner
        return True

    async def list_unled(
        self, workflow_ids: Collection[str], *, dead_drivers: Collection[str] = (), limit: int
    ) -> list[UnledRun]:
        """Return nothing: whoever drives a run here ends with it."""
        del workflow_ids, dead_drivers, limit
        return []

    def image(self) -> InMemoryWorkflowStore:
        """Return a copy that has been through JSON, as another process would see the runs."""
        other = InMemoryWorkflowStore(max_ended_runs=self._max_ended_runs, clock=self._clock)
        for run in self._all():
            copied = _Run(RunHead(**load_json(dump_json(run.head))))
            copied.rows = [_Frozen(row.key, row.encode()) for row in run.rows]
            other._runs[run.head.workflow_id, run.head.run_id] = copied
        other._ended = OrderedDict(self._ended)
        return other


class _Frozen:
    """A row that has been through JSON."""

    __slots__ = ("_data", "key")

    def __init__(self, key: str, data: bytes) -> None:
        self.key = key
        self._data = data

    def encode(self) -> bytes:
        return self._data

    def to_stored(self) -> dict[str, object]:
        return load_json(self._data)


class InMemoryStorage:
    """Storage in this process: nothing survives it.

    Args:
        max_ended_runs: How many runs that have ended are kept; older ones are forgotten. Runs
            that are under way or suspended are always kept.
        clock: Where times come from.

    Attributes:
        workflows: Runs of workflows and their journals.
    """

    def __init__(self, *, max_ended_runs: int = 1000, clock: Clock | None = None) -> None:
        given = {"max_ended_runs": max_ended_runs, "clock": clock}
        check_given("InMemoryStorage", given, {"max_ended_runs": COUNT, "clock": TIME})
        self.workflows = InMemoryWorkflowStore(max_ended_runs=max_ended_runs, clock=clock)
        self._memory: MemoryStore | None = None
        self._evals: EvalStore | None = None
        self._observability: ObservabilityStore | None = None
        self._schedules: ScheduleStore | None = None

    # Loaded when they are used: a program of workflows alone starts faster without them.

    @property
    def memory(self) -> MemoryStore:
        """Threads, messages and resources."""
        if self._memory is None:
            from mastra.storage.conversations import InMemoryMemoryStore  # noqa: PLC0415

            self._memory = InMemoryMemoryStore()
        return self._memory

    @property
    def evals(self) -> EvalStore:
        """Scores, datasets, experiments and feedback."""
        if self._evals is None:
            from mastra.storage.evals import InMemoryEvals  # noqa: PLC0415

            self._evals = InMemoryEvals()
        return self._evals

    @property
    def observability(self) -> ObservabilityStore:
        """Traces and logs."""
        if self._observability is None:
            from mastra.storage.observability import InMemoryObservability  # noqa: PLC0415

            self._observability = InMemoryObservability()
        return self._observability

    @property
    def schedules(self) -> ScheduleStore:
        """What is started again and again, and when it was."""
        if self._schedules is None:
            from mastra.storage.schedules import InMemorySchedules  # noqa: PLC0415

            self._schedules = InMemorySchedules()
        return self._schedules

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def aclose(self) -> None:
        """Do nothing."""
