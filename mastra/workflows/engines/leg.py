"""A leg of a run that this process drives, as a task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from mastra.cancellation import CodeTask
from mastra.errors import RunClaimedError, StorageError
from mastra.logs import get_logger
from mastra.storage.base import RunChanges
from mastra.workflows.active import ActiveRun, Place
from mastra.workflows.engines.base import LeftOutError, run_stopped
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.inprocess_ops import LegOps
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import head_of
from mastra.workflows.engines.patience import is_passing
from mastra.workflows.engines.quiet import Trail
from mastra.workflows.engines.tracing import trace_data
from mastra.workflows.events import Event
from mastra.workflows.results import WorkflowResult

__all__ = ["Leg", "confirm", "leave", "lose", "running_loop"]

STOPPED: Final = "stopped"
"""The owner of a run whose driver could not go on with it: anybody may take it up."""


class Leg:
    """A leg that this process drives."""

    task: CodeTask[WorkflowResult[Any]] | None = None
    first_seq = 0
    place: Place | None = None
    """Its place among the legs that may be under way at once, where those are limited."""
    ops: LegOps | None = None
    """What it acts through, once it walks."""
    has_begun = False
    """The task runs, so that cancelling it ends the leg as it should."""
    is_ending = False
    """The walk is over, so that there is nothing to cancel."""
    is_lost = False
    """Another process has taken the run over."""
    _writer: JournalWriter | None = None

    def __init__(
        self,
        command: Command,
        loop: asyncio.AbstractEventLoop | None,
        run: ActiveRun | None = None,
        failure: BaseException | None = None,
        trail: Trail | None = None,
    ) -> None:
        self.command = command
        self.failure = failure
        """Why the run is to fail without another step."""
        self.trail = trail
        """What it does, where nobody is told."""
        self.loop = loop or asyncio.get_running_loop()
        """Where its task runs; another loop may only ask the storage about it."""
        self._run = run
        if run is not None:
            self.place, self.first_seq = run.place, run.first_seq
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def run(self) -> ActiveRun:
        """The run, told as far as it has got."""
        run = self._run
        if run is None:
            assert self.trail is not None  # noqa: S101 - it has one or the other
            run = self.trail.tell()
        return run

    @property
    def writer(self) -> JournalWriter:
        """What stores it."""
        writer = self._writer
        if writer is None:
            writer = self._writer = self._new_writer()
            if self.trail is not None:
                writer.context_changes = self.trail.changes
        return writer

    def _new_writer(self) -> JournalWriter:
        command, run, head = self.command, self.run, None
        target, hold = command.target, command.hold
        if not command.is_created:
            head = head_of(command)
            head.data |= trace_data(run)
            head.owner = run.owner
        writer = JournalWriter(run, target.spec, target.store, head, hold=hold)
        if hold is not None:
            run.outbox.tell = writer.tell
        return writer

    @property
    def is_stopped(self) -> bool:
        """Whether the run was told to end before its end."""
        run = self._run or (self.trail and self.trail.run)
        return run is not None and run.stop.is_thrown

    @property
    def has_given_up(self) -> bool:
        """Whether the leg did not begin, or another process has taken the run over."""
        return self.is_lost

    @property
    def is_elsewhere(self) -> bool:
        """Whether another event loop drives it. Of one that has ended, each may ask."""
        is_under_way = self.task is None or not self.task.done()
        return is_under_way and self.loop is not running_loop()

    def watch(self) -> None:
        """See to it that the leg ends with its task, which may be cancelled before it has begun."""
        assert self.task is not None  # noqa: S101 - set before anyone gets the leg
        self.task.add_done_callback(self.end)

    def begun(self) -> CodeTask[WorkflowResult[Any]]:
        """Take note that the task runs: it ends the leg itself, a turn of the loop sooner."""
        task = self.task
        assert task is not None  # noqa: S101 - set before anyone gets the leg
        self.has_begun = True
        task.remove_done_callback(self.end)
        return task

    def close(self) -> None:
        """Let readers end, where nothing has come to its end."""
        run = self._run or (self.trail and self.trail.run)
        if run is not None and not run.log.is_closed:
            run.log.close()

    def end(self, task: asyncio.Task[Any] | None = None) -> None:
        """Wake those who wait for the result.

        Args:
            task: The leg's, where that has ended: its exception, which is in the log, is looked at
                also where nobody waits.
        """
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        if task is not None and not task.cancelled():
            task.exception()

    async def result(self) -> WorkflowResult[Any]:
        """Wait for the end; being cancelled here does not cancel the run.

        Raises:
            RunStateError: The engine was closed.
            RunClaimedError: Another process has taken the run over, and ends it.
            StorageError: The storage is away. The run goes on when it is back.
        """
        task = self.task
        assert task is not None  # noqa: S101 - set before anyone gets the leg
        if not task.done():
            # As `asyncio.shield`, which takes a turn of the loop more.
            waiter: asyncio.Future[None] = asyncio.Future(loop=self.loop)
            self._waiting.append(waiter)
            await waiter
        try:
            return task.result()
        except asyncio.CancelledError:
            name = f"Run {self.run.run_id!r} of workflow {self.run.workflow_id!r}"
            details = {"runId": self.run.run_id}
            if self.is_lost:
                raise RunClaimedError(
                    f"{name} was taken over by another process, since this one gave no sign of "
                    "life for too long. Get the run anew to wait for its end.",
                    details=details,
                ) from None
            raise run_stopped(self.run.workflow_id, self.run.run_id) from None

    def events(self, start: int) -> AsyncIterator[Event]:
        """Yield the run's events from a seq on."""
        return self.run.log.read(self.run.run_id, self.run.workflow_id, start)

    def batches(self, start: int, limit: int) -> AsyncIterator[Sequence[Event]]:
        """Yield the run's events from a seq on, those that are there already together."""
        return self.run.log.batches(self.run.run_id, self.run.workflow_id, start, limit)

    def stop(self) -> None:
        """Cancel the task, from whichever loop or thread."""
        task = self.task
        if task is None or self.loop.is_closed():
            return
        if self.loop is running_loop():
            task.end()
        else:
            self.loop.call_soon_threadsafe(task.end)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread, where one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def lose(leg: Leg) -> None:
    """Take note that another process has taken a run over."""
    if leg.is_lost:
        return
    leg.is_lost = True
    run = leg.run
    get_logger({"run_id": run.run_id, "workflow_id": run.workflow_id}).error(
        "Run %r of workflow %r is no longer driven here: this process gave no sign of life for "
        "too long.",
        run.run_id,
        run.workflow_id,
    )


async def confirm(command: Command) -> None:
    """See to it that a run is still driven here, after a time in which it may not be."""
    target, hold = command.target, command.hold
    assert hold is not None  # noqa: S101 - there is nothing to confirm without
    await hold.confirm_in(target.store, target.workflow_id, target.run_id)


def _died(leg: Leg) -> bool:
    return leg.ops is not None and leg.ops.has_died


async def leave(leg: Leg, error: BaseException) -> None:
    """Leave a run that did not end to whoever can go on with it."""
    hold, run = leg.command.hold, leg.run
    if isinstance(error, LeftOutError):
        from mastra.workflows.engines.admission import take_back  # noqa: PLC0415 - of flow control

        await take_back(leg.command)
        leg.is_lost = True
    elif isinstance(error, RunClaimedError):
        lose(leg)
    elif isinstance(error, Exception):
        get_logger({"run_id": run.run_id, "workflow_id": run.workflow_id}).error(
            "Run %r of workflow %r stopped and goes on later: %s: %s",
            run.run_id,
            run.workflow_id,
            type(error).__name__,
            error,
        )
    if hold is None:
        return
    if leg.is_lost:
        hold.drop()
    elif not _died(leg) and (not isinstance(error, Exception) or is_passing(error)):
        hold.give_up()
    else:
        # It may stop there each time, so it counts as a driver that died.
        with contextlib.suppress(StorageError):
            await leg.command.target.store.update_run(
                run.workflow_id,
                run.run_id,
                RunChanges(owner=STOPPED),
                expected_owner=hold.owner,
            )
        hold.give_up()
