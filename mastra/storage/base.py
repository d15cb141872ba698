"""What a store of runs has to do.

A run is a head (one row, rewritten) and its journal (rows, appended): storing one more step
costs the same in a run of ten steps and of ten thousand. What readers get is put together from
both when they ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, runtime_checkable

from mastra.dataclass import dataclass
from mastra.jsonable import Json

if TYPE_CHECKING:
    from mastra.storage.conversations import MemoryStore
    from mastra.storage.drivers import DriverStore
    from mastra.storage.evals import EvalStore
    from mastra.storage.flow import FlowStore
    from mastra.storage.observability import ObservabilityStore
    from mastra.storage.schedules import ScheduleStore

__all__ = [
    "JournalRow",
    "QuietRun",
    "QuietStore",
    "RunChanges",
    "RunHead",
    "RunPage",
    "Storage",
    "StoredRow",
    "UnledRun",
    "Untold",
    "WorkflowStore",
]


class JournalRow(Protocol):
    """One row of a journal, before it is written."""

    @property
    def key(self) -> str:
        """The operation it belongs to, or empty."""
        ...

    def encode(self) -> bytes:
        """Return the row as JSON, for stores that keep bytes.

        Raises:
            SerializationError: Part of it cannot be JSON.
        """
        ...

    def to_stored(self) -> dict[str, Json]:
        """Return the row as JSON data, for stores that keep objects."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of a journal, as it was stored."""

    position: int
    """Its place in the journal, growing, not necessarily without gaps."""
    key: str
    data: bytes | JournalRow
    """The bytes of `JournalRow.encode`, or the row itself from a store that keeps objects."""


@dataclass(slots=True)
class RunHead:
    """What is stored of a run beside its journal. Times in milliseconds since 1970."""

    workflow_id: str
    run_id: str
    status: str
    resource_id: str | None = None
    created_at: int = 0
    updated_at: int = 0
    input: Json = None
    result: Json = None
    error: dict[str, Json] | None = None
    state: dict[str, Json] = field(default_factory=dict[str, Any])
    request_context: dict[str, Json] = field(default_factory=dict[str, Any])
    owner: str | None = None
    """Under which claim it is driven: the id of a driver, a colon, and a number of its own."""
    lease_until: int = 0
    """Of programs of earlier versions: until when the owner is trusted to be alive."""
    data: dict[str, Json] = field(default_factory=dict[str, Any])
    """Everything else: initial state, labels, suspended paths, tripwire, trace ids."""
    answers: list[Json] = field(default_factory=list[Any])
    """Answers to suspended steps that came while other steps worked, in the order they came in."""
    damage: str | None = None
    """Which columns could not be read, which then are as of a new run. It is not stored."""


class RunChanges(TypedDict, total=False):
    """Columns of a head to rewrite; the others stay."""

    status: str
    resource_id: str | None
    updated_at: int
    input: Json
    result: Json
    error: dict[str, Json] | None
    state: dict[str, Json]
    request_context: dict[str, Json]
    owner: str | None
    lease_until: int
    data: dict[str, Json]
    answers: list[Json]


class Untold(Protocol):
    """What a run has done that its journal does not say yet."""

    def tell(self) -> object:
        """Write it there."""
        ...


class QuietRun(Protocol):
    """A run in a store that keeps runs whose journal is written when somebody asks for it."""

    untold: Untold | None
    """What is told first, each time that somebody asks; `None` where the journal says all."""

    def write(self, rows: Sequence[JournalRow]) -> None:
        """Add rows to its journal."""
        ...


class QuietStore(Protocol):
    """A store that keeps such runs. It alone keeps them alive."""

    def begin(self, workflow_id: str, run_id: str, changes: RunChanges) -> QuietRun | None:
        """Rewrite columns of a run that is pending.

        Returns:
            The run; `None` unless it was there and pending.
        """
        ...

    def settle(
        self,
        workflow_id: str,
        run_id: str,
        result: Json,
        request_context: dict[str, Json],
        data: dict[str, Json],
    ) -> bool:
        """End such a run in success.

        Args:
            workflow_id: With `run_id`, the run.
            run_id: See above.
            result: What came of it.
            request_context: As it is at the end.
            data: What is added to the rest of its data.

        Returns:
            Whether it was there and under way, and nobody has been told of it.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnledRun:
    """A run that nobody drives and that can go on."""

    workflow_id: str
    run_id: str
    owner: str | None
    """Under which claim it was driven last; `None` where that was given up."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs of a listing, newest first, and how many there are in all."""

    runs: list[RunHead]
    total: int


class WorkflowStore(Protocol):
    """Keeps runs. Every call is safe from several processes where the store itself is."""

    @property
    def is_shared(self) -> bool:
        """Whether another process can see the runs, so that driving one has to be claimed."""
        ...

    @property
    def drivers(self) -> DriverStore | None:
        """Who drives them; `None` where no other process can see the runs."""
        ...

    @property
    def quiet(self) -> QuietStore | None:
        """Takes runs that need not store each operation as it ends; `None` where they have to."""
        ...

    @property
    def flow(self) -> FlowStore:
        """Which of them wait to begin, of workflows with flow control."""
        ...

    async def create_run(self, head: RunHead) -> bool:
        """Store a run. Return `False`, changing nothing, if its id is taken."""
        ...

    async def get_run(self, workflow_id: str, run_id: str) -> RunHead | None:
        """Return a run's head."""
        ...

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
        """Rewrite columns, in one atomic step with the check.

        Args:
            workflow_id: With `run_id`, the run.
            run_id: See above.
            changes: The columns. `updated_at` is set by the store where it is left out.
            expected_status: Change nothing unless the status is one of these.
            expected_owner: Change nothing unless this is the owner.
            expected_updated_at: Change nothing unless this is when it was changed last, so unless
                it is as whoever asks has read it: each change is later than the one before, by a
                millisecond where the clock says otherwise.

        Returns:
            Whether the run was there and met the expectations.
        """
        ...

    async def keep_answer(
        self, workflow_id: str, run_id: str, answer: Json, *, expected_status: Collection[str]
    ) -> bool:
        """Add an answer behind those that are kept, in one atomic step with the check.

        Returns:
            Whether the run was there and in one of these states.
        """
        ...

    def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[JournalRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> Awaitable[None] | None:
        """Add rows to a run's journal, durably: they are on disk when it returns.

        Returns `None` where the work is done already, or what is to be awaited. Calls for one run
        come one after the other.

        Args:
            workflow_id: With `run_id`, the run.
            run_id: See above.
            rows: What to add: all of them or none.
            owner: Add nothing unless the run is driven under this claim, in one atomic step.
            is_again: An earlier call failed without saying whether it had stored anything: add
                only what is not there.

        Raises:
            StorageError: They could not be stored, or it is not known whether they were.
            RunClaimedError: The run is no longer driven under that claim.
        """
        ...

    async def load_rows(self, workflow_id: str, run_id: str, after: int = -1) -> list[StoredRow]:
        """Return a run's journal from a position on, in order."""
        ...

    async def delete_rows(self, workflow_id: str, run_id: str, keys: Collection[str]) -> None:
        """Remove the rows of some operations from a run's journal."""
        ...

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
        """Return runs, the newest first. Times are of creation, both ends included."""
        ...

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
        """Return an agent's runs that wait for somebody's answer, the latest to wait first.

        A run that was answered waits again where the process with the answer has gone. Times are
        of when a run began to wait, both ends included; of one whose data cannot be read, of its
        last change.

        Args:
            workflow_ids: What its runs are stored as runs of.
            agent_id: The agent: two of them may have one such id.
            thread_id: Only those of this thread.
            resource_id: Only those of this resource.
            from_ms: Only those that wait since then or later.
            to_ms: Only those that wait since then or earlier.
            offset: How many to leave out at the start.
            limit: How many at most.
        """
        ...

    async def delete_run(self, workflow_id: str, run_id: str) -> bool:
        """Remove a run with its journal. Return whether it was there."""
        ...

    async def delete_runs_before(
        self, before_ms: int, *, statuses: Collection[str], workflow_id: str | None = None
    ) -> int:
        """Remove runs in these states that were last updated before a time. Return how many."""
        ...

    async def claim(
        self,
        workflow_id: str,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
    ) -> bool:
        """Make a claim the one under which a run is driven, in one atomic step.

        It succeeds where nobody drives the run, where `owner` does already, where the lease of
        the driver is over, and where the owner is one of `dead_owners`.
        """
        ...

    async def list_unled(
        self, workflow_ids: Collection[str], *, dead_drivers: Collection[str] = (), limit: int
    ) -> list[UnledRun]:
        """Return runs that nobody drives and that can go on, the oldest first.

        They are under way, or suspended with an answer kept. They were given up, or the lease of
        their driver is over, or it is one of `dead_drivers`.
        """
        ...

    async def open(self) -> None:
        """Connect, and bring the schema up to date. May be called again."""
        ...

    async def aclose(self) -> None:
        """Close what is open. The store can be opened again."""
        ...


@runtime_checkable
class Storage(Protocol):
    """Everything that an application keeps, in its domains."""

    @property
    def workflows(self) -> WorkflowStore:
        """Runs of workflows and their journals."""
        ...

    @property
    def memory(self) -> MemoryStore:
        """Threads, messages and resources."""
        ...

    @property
    def evals(self) -> EvalStore:
        """Scores, datasets, experiments and feedback."""
        ...

    @property
    def observability(self) -> ObservabilityStore:
        """Traces and logs."""
        ...

    @property
    def schedules(self) -> ScheduleStore:
        """What is started again and again, and when it was."""
        ...

    async def open(self) -> None:
        """Connect, and bring the schema up to date. May be called again."""
        ...

    async def aclose(self) -> None:
        """Close what is open. The storage can be opened again."""
        ...
