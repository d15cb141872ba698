"""The two ports of an engine.

`Ops` is seen from inside a run: the walker does everything that has an effect through it.
`Engine` is seen from outside: what a `Run` calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from mastra.clock import Clock
from mastra.dataclass import dataclass
from mastra.errors import RunError, RunStateError
from mastra.jsonable import Json
from mastra.storage.base import RunChanges, WorkflowStore
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.drivers import Hold
from mastra.workflows.events import Event, Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.results import WorkflowResult
from mastra.workflows.spec import Unit, WorkflowSpec

__all__ = [
    "Body",
    "Engine",
    "Halt",
    "LeftOutError",
    "Ops",
    "Recoverable",
    "RunHandle",
    "Walk",
    "check_open",
    "one_by_one",
    "run_stopped",
]

T = TypeVar("T")

Body: TypeAlias = Callable[[], Awaitable[StepRecord]]
"""Does the work of one operation and returns its finished record. Never raises for the
user's errors: those are in the record."""


class Halt(Exception):  # noqa: N818 - not an error: how a walk ends before its last node
    """The walk ends here, with something else than a value.

    Raised and caught in engines only; it never passes through user code.
    """

    def __init__(
        self,
        status: Literal["failed", "tripwire", "suspended", "bailed", "canceled", "paused"],
        record: StepRecord | None = None,
        *,
        suspended: Sequence[StepRecord] = (),
    ) -> None:
        super().__init__(status)
        self.status = status
        self.record = record
        self.suspended = list(suspended)


class LeftOutError(RunError):
    """A run was not begun: its workflow's flow control has left it out."""

    code = "RUN_NOT_BEGUN"


class Ops(Protocol):
    """What a walk may do to the world. One per leg of a run."""

    @property
    def inline_delay_s(self) -> float:
        """The longest wait between two tries that is spent inside an operation."""
        ...

    @property
    def max_sleep_s(self) -> float | None:
        """How long one sleep may be; `None` for any time."""
        ...

    @property
    def seeks_one(self) -> bool:
        """Whether the walk only leads to one operation that an earlier walk has planned.

        It then goes on past what has halted since, and tells nothing but what the operation
        itself does. Another walk follows.
        """
        ...

    def admit(self, record: StepRecord) -> None:
        """Look whether the engine can keep what a try at a step gave, before it is recorded.

        Raises:
            SerializationError: It cannot. The step fails and is not tried again.
        """
        ...

    def admit_items(self, unit: Unit, step_id: str, count: int) -> None:
        """Look whether the engine can run a unit for so many items, before any of them begins.

        Raises:
            RunError: It cannot. The foreach fails.
        """
        ...

    def record(self, op_id: str, body: Body) -> Awaitable[StepRecord]:
        """Run an operation once, however often the graph is walked.

        Called for an operation that the journal does not know. A durable engine promises that
        the record is stored before this returns, and may instead end the walk here and start
        again from the top when it is.
        """
        ...

    def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> Awaitable[list[T | Halt | None]]:
        """Run branches at once, at most `limit` at a time, and wait for all.

        A branch that halts gives its `Halt` in place of a value. With a limit, none is started
        after one has halted: those give `None`.
        """
        ...

    def sleep(self, record: StepRecord) -> Awaitable[StepRecord]:
        """Wait until `record.wake_at` and return the finished record."""
        ...


@dataclass(slots=True)
class Walk:
    """One walk of one run: the run, what it acts through, and the way into nested workflows."""

    run: ActiveRun
    ops: Ops
    nested: Callable[[Walk, Scope, WorkflowSpec, Json], Awaitable[Json]]

    def mark(self, key: str, kind: Kind, record: StepRecord, value: Any = None) -> None:
        """Put an entry about a block into the log, once however often the graph is walked."""
        if not self.ops.seeks_one:
            self.run.mark(key, kind, record, value)


class RunHandle(Protocol):
    """A leg of a run, as whoever started it or looks at it sees it."""

    @property
    def first_seq(self) -> int:
        """Where the leg's events begin in the run's stream."""
        ...

    @property
    def has_given_up(self) -> bool:
        """Whether nothing more comes of it: the leg did not begin, or is no longer heard of here."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Whether another event loop drives it, so that here only the storage can tell of it."""
        ...

    async def result(self) -> WorkflowResult[Any]:
        """Return the leg's result, as long as that takes.

        A caller that stops waiting does not stop the run.
        """
        ...

    def events(self, start: int) -> AsyncIterator[Event]:
        """Yield the run's events from a seq on, live, until its leg ends."""
        ...

    def batches(self, start: int, limit: int) -> AsyncIterator[Sequence[Event]]:
        """Yield what `events` does, those that are there already together, up to so many."""
        ...


async def one_by_one(events: AsyncIterator[Event]) -> AsyncIterator[Sequence[Event]]:
    """Yield events as batches of one, for a handle that gets them one after the other."""
    async for event in events:
        yield [event]


class Recoverable(Protocol):
    """A workflow, as an engine sees it that goes on with runs that nobody drives."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        ...

    async def answer_run(self, run_id: str) -> bool:
        """Go on with a suspended run by an answer that is kept for it. Return whether it did."""
        ...

    async def restart_run(self, run_id: str) -> bool:
        """Go on with a run that was cut off, or by an answer that is kept for it.

        Returns:
            Whether it was one to go on with.
        """
        ...


class Engine(Protocol):
    """Runs workflows. Holds no definition; one may serve many `Mastra` objects."""

    @property
    def name(self) -> str:
        """Its name in storage and logs."""
        ...

    @property
    def clock(self) -> Clock | None:
        """What its runs go by; `None` for the clock of their application."""
        ...

    @property
    def has_server(self) -> bool:
        """Whether a server of its own starts runs by `cron` and keeps to their flow control."""
        ...

    @property
    def closings(self) -> int:
        """How often it was closed. What was asked for before the last time does not begin."""
        ...

    async def hold(self, store: WorkflowStore) -> Hold | None:
        """Return a claim under which a run may be put that is then launched.

        `None` where nobody else has to be kept out, or the engine claims runs in another way.
        """
        ...

    def serve(self, workflow: Recoverable, store: WorkflowStore) -> None:
        """Take note of a workflow whose runs in a store this engine may have to go on with."""
        ...

    async def open(self, store: WorkflowStore, *, restarts: bool = True) -> None:
        """Begin to look after the runs in a store.

        Args:
            store: Where they are.
            restarts: Whether runs that nobody drives go on here.
        """
        ...

    def begin(self, command: Command, changes: RunChanges) -> RunHandle | None:
        """Begin a pending run at once, where nothing has to be waited for.

        Args:
            command: What is to be done.
            changes: What is written of the run as it begins.

        Returns:
            `None`, with nothing done, where it takes `hold`, the storage and `launch`.
        """
        ...

    async def launch(self, command: Command) -> RunHandle:
        """Begin a leg of a run; return when it is under way or durably queued.

        Raises:
            RunStateError: The engine was closed since the leg was asked for (`RUN_STOPPED`).
        """
        ...

    def attach(self, target: RunTarget) -> RunHandle:
        """Return the leg that is under way, or what storage tells of the last one."""
        ...

    def active(self, target: RunTarget) -> ActiveRun | None:
        """Return the run as it is being driven in this process, if it is."""
        ...

    async def cancel(self, target: RunTarget) -> bool:
        """Stop a leg that this engine drives. Return whether there was one."""
        ...

    async def drain(self, time_limit_s: float) -> int:
        """Let what is driven in this process come to where nothing is lost by stopping it.

        Args:
            time_limit_s: For how long, in seconds.

        Returns:
            How many runs did not get there.
        """
        ...

    async def aclose(self) -> None:
        """Stop what the engine drives in this process, leaving it to be restarted."""
        ...


def run_stopped(workflow_id: str, run_id: str, what: str = "driven") -> RunStateError:
    """Return the error for whoever waits for a run when its engine is closed."""
    return RunStateError(
        f"Run {run_id!r} of workflow {workflow_id!r} is no longer {what} here: its engine was "
        "closed, or its task was cancelled.",
        code="RUN_STOPPED",
        details={"runId": run_id},
    )


def check_open(engine: Engine, command: Command) -> None:
    """Refuse to begin a leg that was asked for before its engine was closed.

    Nobody would stop it any more, so that whoever waits for it would wait until its end.

    Raises:
        RunStateError: It was (`RUN_STOPPED`).
    """
    if engine.closings != command.closings:
        raise run_stopped(command.target.workflow_id, command.target.run_id)
