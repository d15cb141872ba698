"""Legs of which nobody is told: what they have done becomes records when somebody asks.

Most runs that a process keeps for itself begin, end and are asked for their result, and for nothing
else. Of those that only go through plain steps a tuple a step is kept: their *trail*. Whoever asks for
more (a reader, the store, a condition that looks at the run) has it told: made into the run, its log and
its journal, just as they are where each step tells of itself. Where a step does anything but give
an output, the trail is told too, and the ordinary walk goes on from there with what the step has come to.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import fields
from functools import partial
from typing import Any, Final, TypeAlias, cast
from weakref import ref

from mastra.clock import now_ms
from mastra.jsonable import Json, copy_json
from mastra.observability.current import tracer_of
from mastra.request_context import RequestContext
from mastra.storage.base import QuietRun, QuietStore, RunChanges
from mastra.threads import HomeLoop
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.adapt import OnInput
from mastra.workflows.engines import inprocess_ops
from mastra.workflows.engines.base import Halt, Ops
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.conditions import decide_branch
from mastra.workflows.engines.flow import arm_of, halt_of
from mastra.workflows.engines.inprocess_ops import ops_around
from mastra.workflows.engines.journal import LogRow
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import ends_of, new_run
from mastra.workflows.engines.outcome import Outcome, outcome_of_value
from mastra.workflows.engines.step_runner import Attempt, StepTask
from mastra.workflows.events import Kind
from mastra.workflows.forms import Forms
from mastra.workflows.records import StepRecord
from mastra.workflows.results import RunFacts, WorkflowResult, WorkflowSuccess
from mastra.workflows.spec import BranchNode, StepNode, WorkflowSpec
from mastra.workflows.spec_forms import forms_of

__all__ = ["Trail", "trail_of"]

Begun: TypeAlias = tuple[StepNode, Json, int]
"""A step under way: its node, its input, when it began."""

Done: TypeAlias = tuple[StepNode, Json, int, Json, int]
"""A step that has succeeded: its output and when it ended, too."""

_TELLING: Final = threading.RLock()
"""Held while a trail is told, since any thread may ask."""


def trail_of(command: Command, changes: RunChanges) -> Trail | None:
    """Return the trail of a leg that need not tell of itself; `None` of one that has to.

    Args:
        command: What begins the leg.
        changes: What is written of the run as it begins: that is done then.
    """
    target = command.target
    # Whoever wrote a store for an earlier release has none; what stands before one has that one's.
    spec = target.spec
    quiet: QuietStore | None = getattr(target.store, "quiet", None)
    if (
        quiet is None
        or id(quiet) != id(target.store)
        or command.per_step
        or not (spec.quiet_path if spec.quiet_path is not None else _quiet_path(spec))
        or ops_around.get() is not None
        or tracer_of(target.services) is not None
    ):
        return None
    kept = quiet.begin(spec.id, target.run_id, changes)
    if kept is None:
        return None
    trail = kept.untold = Trail(command, kept)
    return trail


def _quiet_path(spec: WorkflowSpec) -> tuple[str, ...]:
    """Return the path of a run of plain steps alone; of all others, none."""
    is_plain = (
        spec.validate_inputs
        and spec.validate_outputs
        and spec.drive is None
        and spec.should_persist_snapshot is None
        and not spec.has_callbacks
        and not spec.flow_control
        and bool(spec.nodes)
        and all(_is_plain(spec, place) for place in range(len(spec.nodes)))
    )
    path = tuple(node.id for node in spec.nodes if node.is_entry) if is_plain else ()
    object.__setattr__(spec, "quiet_path", path)  # worked out from what is frozen
    return path


def _is_plain(spec: WorkflowSpec, place: int) -> bool:
    """Return whether a node is a step that sees its input alone, or a branch of such behind one."""
    node = spec.nodes[place]
    if isinstance(node, BranchNode):
        before = spec.nodes[place - 1] if place else None
        if not isinstance(before, StepNode) or before.follow is not node:
            return False
    elif not isinstance(node, StepNode):
        return False
    return all(
        isinstance(unit, StepNode)
        and unit.kind == "step"
        and isinstance(unit.call, OnInput)
        and unit.step.scorers is None
        for unit in node.units
    )


class Trail:
    """What a leg has done of which nobody is told yet.

    Most of it stays as it is at first, so that lives on the class.
    """

    outcome: Outcome | None = None
    """What has come of the walk, where the leg is to tell of its end."""
    run: ActiveRun | None = None
    """The run, once it is told."""
    _told = 0
    """How many steps are in the journal."""
    _begun: StepRecord | None = None
    """The record of the next one, where its start was told."""
    _attempt: Attempt | None = None
    """What that one has come to, where the ordinary walk is to look at it."""
    _raised: BaseException | None = None
    """What has broken the walk off, between its steps."""
    _is_left = False
    """Whether the ordinary walk tells of the run from here on."""
    _is_ended = False
    """Whether the leg has ended in quiet."""
    _raw: Json = None
    """What it has given then."""

    def __init__(self, command: Command, kept: QuietRun) -> None:
        # Once it has ended only what tells of it stays: a result of it is to keep no application,
        # no store and no event loop alive.
        target = command.target
        self._command: Command | None = command
        self._kept = ref(kept)
        self._spec = target.spec
        self._run_id = target.run_id
        self._resource_id = command.resource_id
        self._input = command.input
        self._initial_state = command.initial_state
        self.changes = command.request_context.changes
        """How often the request context had been changed when the leg began."""
        self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        """The event loop that drives it."""
        self._thread = threading.get_ident()
        self._steps: list[Begun | Done | StepRecord] = []
        """Each step in turn. One that conditions follow is a record from its end on: they see it."""

    @property
    def has_begun(self) -> bool:
        """Whether there is something for the ordinary walk to take up."""
        return bool(self._steps) or self._raised is not None

    @property
    def identity(self) -> tuple[str, str, Json]:
        """The ids of the run and of its workflow, and its input."""
        return self._run_id, self._spec.id, self._input

    # -- telling -------------------------------------------------------------------------------

    def tell(self) -> ActiveRun:
        """Make the run what it would be had each step told of itself; return it."""
        with _TELLING:
            run = self.run
            if run is None:
                run = self._new_run()
            if self._is_left or run.log.is_closed:
                return run
            run.path[:] = self._path()
            is_ended = self._is_ended
            while self._told < len(self._steps) and self._tell_step(run, self._steps[self._told]):
                self._told += 1
            if is_ended:
                self._tell_end(run)
            return run

    def _new_run(self) -> ActiveRun:
        command = self._command
        run = new_run(
            self._spec,
            self._run_id,
            self._resource_id,
            self._input,
            self._initial_state,
            request_context=RequestContext() if command is None else command.request_context,
            services=None if command is None else command.target.services,
            home=HomeLoop.of(self.loop, self._thread),
        )
        run.note(Kind.START)
        self.run = run
        return run

    def _tell_step(self, run: ActiveRun, step: Begun | Done | StepRecord) -> bool:
        """Tell of one step, as far as it has got; return whether all is told of it."""
        record = self._begun
        if record is None:
            record = step if isinstance(step, StepRecord) else _begun(step)
            record.start_seq = run.log.append(Kind.STEP_START, record)
        elif isinstance(step, StepRecord) and step is not record:  # made when its start was told
            step.start_seq = record.start_seq
            record, run.log.entries[step.start_seq] = step, (Kind.STEP_START, step, None)
        self._begun = record
        if not isinstance(step, StepRecord):
            if len(step) == 3:
                return False
            record.output, record.ended_at = step[3:]
            record.status = "success"
        if record.end_seq < 0:
            record.end_seq = run.log.append(Kind.STEP_END, record)
            run.order = record.order = run.order + 1
            run.latest[record.step_id] = record
        if isinstance(step, StepRecord) and record.decision is None:
            return False
        self._begun = None
        run.add(record)
        self._write(run, record)
        return True

    def _tell_end(self, run: ActiveRun) -> None:
        outcome = Outcome("success", raw=self._raw, has_result=True)
        for kind, value in ends_of(run, outcome, len(run.log.entries)):
            run.log.append(kind, None, value)
        self._write(run)
        self._be_asked_no_more()
        run.log.close()

    def _write(self, run: ActiveRun, *records: StepRecord) -> None:
        kept, logged = self._kept(), run.outbox.take(run.log)
        if kept is not None:  # a run that was deleted has nothing to keep
            kept.write([LogRow(logged), *records] if logged else records)

    def _be_asked_no_more(self) -> None:
        kept = self._kept()
        if kept is not None:
            kept.untold = None

    def _path(self) -> list[str]:
        nodes = self._spec.nodes[: len(self._steps)]
        return [node.id for node in nodes if node.is_entry]

    # -- walking -------------------------------------------------------------------------------

    async def walk(  # noqa: C901, PLR0912, PLR0915 - the ways out of the quiet, in their order
        self, command: Command, task: asyncio.Task[Any]
    ) -> WorkflowResult[Any] | None:
        """Go through the graph and tell nobody.

        Returns:
            The result, where it has come to one in quiet. Else the ordinary walk goes on from here.
        """
        spec, steps, value, requests = self._spec, self._steps, self._input, task.cancelling()
        run: Any = _Asked((self, command))
        context, changes = command.request_context, self.changes
        arms: list[str] = []
        yielded_ms = ended = now_ms()
        for node in spec.nodes:
            if self.run is not None:
                return self._leave()
            unit: Any = node
            if isinstance(node, BranchNode):
                if len(arms) != 1 or context.changes != changes:
                    return self._leave()
                unit = arm_of(node, arms[0])
            schema, began = unit.takes, ended
            steps.append((unit, value, began))
            try:
                given = schema.unpack(copy_json(value) if schema.may_alias else value)
            except BaseException as raised:  # noqa: BLE001 - raised again where it is looked at
                return self._leave_at(requests, raised=raised, raised_by="input")
            try:
                output = await unit.call.function(given)
            except BaseException as raised:  # noqa: BLE001 - as above
                return self._leave_at(requests, raised=raised)
            if self.run is not None or task.cancelling() != requests or context.changes != changes:
                return self._leave_at(requests, output)
            schema = unit.gives
            try:
                if type(output) is not schema.model:
                    output = schema.load(output)
            except BaseException as raised:  # noqa: BLE001 - as above
                return self._leave_at(requests, output, raised=raised, raised_by="output")
            try:
                kept = schema.pack(output)
            except BaseException as raised:  # noqa: BLE001 - as above
                return self._leave_at(requests, output, raised=raised, raised_by="kept")
            ended = now_ms()
            if unit.follow is None:
                steps[-1] = (unit, value, began, kept, ended)
                value = kept if unit is node else {unit.id: kept}
            else:
                record = _begun((unit, value, began))
                record.output, record.status, record.ended_at = kept, "success", ended
                steps[-1] = record
                scope = Scope(spec, spec.retry, "", "", self._input)
                record.decision = arms = await decide_branch(run, scope, unit.follow, record)
                value, ended = kept, now_ms()
            if not 0 <= ended - yielded_ms <= inprocess_ops.YIELD_AFTER_MS:
                await asyncio.sleep(0)
                yielded_ms = ended = now_ms()
        return self._end(command, outcome_of_value(run, spec, value))

    def _end(self, command: Command, outcome: Outcome) -> WorkflowResult[Any] | None:
        """End the leg in quiet, where that may still be."""
        spec, raw, context = self._spec, outcome.raw, command.request_context
        quiet: Any = command.target.store
        if (
            self.run is not None
            or outcome.status != "success"
            or not quiet.settle(
                spec.id,
                self._run_id,
                raw,
                # What it holds may have been changed.
                context.to_json() if context.changes or len(context) else {},
                {"path": [*(spec.quiet_path or ())], "hasResult": True},
            )
        ):
            self.outcome = outcome
            return self._leave()
        self._raw, self._is_ended = raw, True
        self._command = self.loop = None
        if self.run is not None:  # by another thread, just now
            self.tell()
        forms = forms_of(spec)
        return WorkflowSuccess(_Facts(self, forms), outcome.value, forms.gives.to_wire(raw))

    # -- leaving -------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Leave the run to the ordinary walk, which tells of it from here on."""
        with _TELLING:
            self.tell()
            self._is_left = True
            self._be_asked_no_more()

    def _leave_at(self, requests: int, output: Any = None, **raised: Any) -> None:
        """Leave it at a step under way, for the walk to look at what that has come to.

        Args:
            requests: How often the task had been told to cancel before the step.
            output: What the step gave.
            raised: What was raised, and by what: see `Attempt`.
        """
        self._leave()
        assert self._begun is not None  # noqa: S101 - its start was told just now
        self._attempt = Attempt(self._begun, requests, output, **raised)

    def break_off(self, raised: BaseException) -> None:
        """Leave the run to the ordinary walk, which raises what `walk` has raised."""
        self._leave()
        self._raised = raised

    async def take_up(self, ops: Ops, writer: JournalWriter) -> None:
        """Look at what the step under way has come to, as at any first try of a step."""
        attempt, self._attempt = self._attempt, None
        raised, self._raised = self._raised, None
        run = self.tell()
        if self._begun is None and writer.context_changes != run.request_context.changes:
            await writer.store_context()  # a condition has changed it
        try:
            if raised is not None:
                raise raised
        finally:
            del raised  # its traceback holds this frame
        # Here, since the walk would halt at the first step.
        if attempt is not None:
            record = await self._try(run, attempt, ops)
            if record.status != "success":
                raise halt_of(record)
        if run.stop.is_thrown:
            raise Halt("canceled")

    async def _try(self, run: ActiveRun, attempt: Attempt, ops: Ops) -> StepRecord:
        spec = self._spec
        unit, value, *_ = cast("Begun", self._steps[-1])
        scope = Scope(spec, spec.retry, "", "", run.input)
        task = StepTask(run, scope, unit, unit.op, value, ops)
        task.attempt = attempt
        if unit.follow is not None:
            task.decide = partial(decide_branch, run, scope, unit.follow)
        return await ops.record(unit.op, task)


def _begun(step: Begun | Done) -> StepRecord:
    return StepRecord(step[0].op, step[0].id, step[1], step[2])


class _Asked(tuple[Trail, Command]):
    """Stands for the run of a trail, for code that may look at it: who does has it told.

    What the run was begun with it knows itself: whoever keeps it may ask when the trail does not.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        trail, command = self
        if name == "request_context":
            return command.request_context
        return command.target.services if name == "services" else getattr(trail.tell(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self[0].tell(), name, value)


class _Facts(RunFacts):
    """The facts of a leg that has ended in quiet, which are there once somebody asks for one."""

    __slots__ = ("_trail",)

    def __init__(self, trail: Trail, forms: Forms) -> None:
        self._trail: Trail | None = trail
        self.forms = forms
        self.trace = None

    def __getattr__(self, name: str) -> Any:  # of what is not set yet
        if name not in _FACTS:
            raise AttributeError(name)
        trail = self._trail
        if trail is not None:  # else another thread has just asked
            self.run_id, self.workflow_id, self.input = trail.identity
            if name not in _KNOWN:
                run = trail.tell()
                self.state, self.causes = run.state.values, run.causes
                self.records, self.path = run.latest, run.path
                self._trail = None  # which keeps the log, too
        return getattr(self, name)

    @property
    def __class__(self) -> type[RunFacts]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What it is to whoever compares, shows or copies it."""
        return RunFacts

    def __repr__(self) -> str:
        return repr(RunFacts(*self._values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFacts, self._values()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _FACTS)


_KNOWN: Final = ("run_id", "workflow_id", "input")
_FACTS: Final = tuple(fact.name for fact in fields(RunFacts))
