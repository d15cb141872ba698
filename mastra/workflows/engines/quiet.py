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
from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import partial
from typing import Any, Final, TypeAlias, cast

from mastra.clock import now_ms
from mastra.jsonable import Json, copy_json
from mastra.observability.config import tracer_of
from mastra.request_context import RequestContext
from mastra.storage.base import QuietStore, RunChanges
from mastra.threads import HomeLoop
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.adapt import OnInput
from mastra.workflows.engines import inprocess_ops
from mastra.workflows.engines.base import Ops
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.conditions import decide_branch
from mastra.workflows.engines.flow import arm_of
from mastra.workflows.engines.inprocess_ops import OpsFactory, make_ops, ops_around
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


def trail_of(command: Command, changes: RunChanges, make: OpsFactory) -> Trail | None:
    """Return the trail of a leg that need not tell of itself; `None` of one that has to.

    Args:
        command: What begins the leg.
        changes: What is written of the run as it begins: that is done then.
        make: What makes the operations of a leg that tells.
    """
    target = command.target
    # Whoever wrote a store for an earlier release has none.
    spec, quiet = target.spec, getattr(target.store, "quiet", None)
    if (
        quiet is None
        or command.per_step
        or not (spec.quiet_path if spec.quiet_path is not None else _quiet_path(spec))
        or make is not make_ops
        or ops_around.get() is not None
        or tracer_of(target.services) is not None
    ):
        return None
    trail = Trail(command, quiet)
    return trail if quiet.begin(spec.id, target.run_id, changes, trail) else None


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
        and isinstance(unit.step.call, OnInput)
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
    _writer: JournalWriter | None = None
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

    def __init__(self, command: Command, quiet: QuietStore) -> None:
        # One by one: once it has ended, only what tells of it is kept, for each of many runs.
        self._target = command.target
        self._resource_id = command.resource_id
        self._input = command.input
        self._initial_state = command.initial_state
        self._context: RequestContext | None = command.request_context
        self._changes = command.request_context.changes
        self._quiet = quiet
        self.loop = asyncio.get_running_loop()
        """The event loop that drives it."""
        self._thread = threading.get_ident()
        self._steps: list[Begun | Done | StepRecord] = []
        """Each step in turn. One that conditions follow is a record from its end on: they see it."""

    @property
    def is_under_way(self) -> bool:
        """Whether the ordinary walk has to look at what a step has come to."""
        return self._attempt is not None or self._raised is not None

    @property
    def identity(self) -> tuple[str, str, Json]:
        """The ids of the run and of its workflow, and its input."""
        return self._target.run_id, self._target.spec.id, self._input

    # -- telling -------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether all that it can tell is told."""
        return self._is_left or (self.run is not None and self.run.log.is_closed)

    def tell(self) -> ActiveRun:
        """Make the run what it would be had each step told of itself; return it."""
        with _TELLING:
            run = self.run
            if run is None:
                run = self._new_run()
            if self._is_left:
                return run
            run.path[:] = self._path()
            is_ended = self._is_ended
            while self._told < len(self._steps) and self._tell_step(run, self._steps[self._told]):
                self._told += 1
            if is_ended and not run.log.is_closed:
                self._tell_end(run)
            return run

    @property
    def writer(self) -> JournalWriter:
        """What writes its journal."""
        self.tell()
        return cast("JournalWriter", self._writer)

    def _new_run(self) -> ActiveRun:
        target, context = self._target, self._context or RequestContext()
        command = Command(
            "start", target, self._resource_id, self._input, self._initial_state, context
        )
        run = new_run(command, HomeLoop.of(self.loop, self._thread))
        run.note(Kind.START)
        writer = self._writer = JournalWriter(run, target.spec, target.store)
        writer.context_changes = self._changes
        self.run = run
        return run

    def _tell_step(self, run: ActiveRun, step: Begun | Done | StepRecord) -> bool:
        """Tell of one step, as far as it has got; return whether all is told of it."""
        record = self._begun
        if record is None:
            record = step if isinstance(step, StepRecord) else _begun(step)
            record.start_seq = run.log.append(Kind.STEP_START, record)
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
        self._commit(record)
        return True

    def _commit(self, record: StepRecord) -> None:
        self._begun = None
        _at_once(cast("JournalWriter", self._writer).commit(record))

    def _tell_end(self, run: ActiveRun) -> None:
        outcome = Outcome("success", raw=self._raw, has_result=True)
        for kind, value in ends_of(run, outcome, len(run.log.entries)):
            run.log.append(kind, None, value)
        run.log.close()
        _at_once(cast("JournalWriter", self._writer).flush(outcome.status))

    def _path(self) -> list[str]:
        nodes = self._target.spec.nodes[: len(self._steps)]
        return [node.id for node in nodes if node.is_entry]

    # -- walking -------------------------------------------------------------------------------

    async def walk(  # noqa: C901 - the ways out of the quiet, in their order
        self, task: asyncio.Task[Any]
    ) -> WorkflowResult[Any] | None:
        """Go through the graph and tell nobody.

        Returns:
            The result, where it has come to one in quiet. Else the ordinary walk goes on from here.
        """
        spec, steps, run = self._target.spec, self._steps, cast("ActiveRun", _Asked(self))
        value, arms, requests = self._input, list[str](), task.cancelling()
        context, changes = cast("RequestContext", self._context), self._changes
        yielded_ms = ended = now_ms()
        for node in spec.nodes:
            if self.run is not None:
                return self._leave()
            unit: Any = node
            if isinstance(node, BranchNode):
                if len(arms) != 1:
                    return self._leave()
                unit = arm_of(node, arms[0])
            step, began = unit.step, ended
            schema = step.input_schema
            try:
                given = schema.unpack(copy_json(value) if schema.may_alias else value)
            except Exception:  # noqa: BLE001 - the ordinary walk meets it again, and tells of it
                return self._leave()
            steps.append((unit, value, began))
            try:
                output = await step.call.function(given)
            except BaseException as raised:  # noqa: BLE001 - raised again where it is looked at
                return self._leave(_raising(raised), requests)
            schema = step.output_schema
            if self.run is not None or task.cancelling() != requests or context.changes != changes:
                return self._leave(_giving(output), requests)
            try:
                kept = schema.pack(output if type(output) is schema.model else schema.load(output))
            except BaseException:  # noqa: BLE001 - as above
                return self._leave(_giving(output), requests)
            ended = now_ms()
            if unit.follow is None:
                steps[-1] = (unit, value, began, kept, ended)
                value = kept if unit is node else {step.id: kept}
            else:
                record = steps[-1] = _begun((unit, value, began))
                record.output, record.status, record.ended_at = kept, "success", ended
                scope = Scope(spec, spec.retry, "", "", self._input)
                record.decision = arms = await decide_branch(run, scope, unit.follow, record)
                value, ended = kept, now_ms()
            if not 0 <= ended - yielded_ms <= inprocess_ops.YIELD_AFTER_MS:
                await asyncio.sleep(0)
                yielded_ms = ended = now_ms()
        return self._end(outcome_of_value(run, spec, value))

    def _end(self, outcome: Outcome) -> WorkflowResult[Any] | None:
        """End the leg in quiet, where that may still be."""
        target, raw = self._target, outcome.raw
        spec = target.spec
        if (
            self.run is not None
            or outcome.status != "success"
            or not self._quiet.settle(
                spec.id, target.run_id, raw, {"path": [*(spec.quiet_path or ())], "hasResult": True}
            )
        ):
            self.outcome = outcome
            return self._leave()
        self._raw, self._is_ended, self._context = raw, True, None
        if self.run is not None:  # by another thread, just now
            self.tell()
        forms = forms_of(spec)
        return WorkflowSuccess(_Facts(self, forms), outcome.value, forms.gives.to_wire(raw))

    # -- leaving -------------------------------------------------------------------------------

    def _leave(
        self, come_to: Callable[[], Awaitable[Any]] | None = None, requests: int = 0
    ) -> None:
        """Leave the run to the ordinary walk, which tells of it from here on.

        Args:
            come_to: What the step under way has come to, for the walk to look at.
            requests: How often the task had been told to cancel before that.
        """
        self.tell()
        self._is_left = True
        if come_to is not None:
            assert self._begun is not None  # noqa: S101 - its start was told just now
            self._attempt = Attempt(self._begun, requests, come_to)

    def break_off(self, raised: BaseException) -> None:
        """Leave the run to the ordinary walk, which raises what `walk` has raised."""
        self._leave()
        self._raised = raised

    async def take_up(self, ops: Ops) -> None:
        """Look at what the step under way has come to, as at any first try of a step."""
        attempt, self._attempt = self._attempt, None
        raised, self._raised = self._raised, None
        try:
            if raised is not None:
                raise raised
        finally:
            del raised  # its traceback holds this frame
        if attempt is None:
            return
        run, spec = self.tell(), self._target.spec
        unit, value, *_ = cast("Begun", self._steps[-1])
        scope = Scope(spec, spec.retry, "", "", run.input)
        task = StepTask(run, scope, unit, unit.op, value, ops)
        task.attempt = attempt
        if unit.follow is not None:
            task.decide = partial(decide_branch, run, scope, unit.follow)
        await ops.record(unit.op, task)


def _begun(step: Begun | Done) -> StepRecord:
    return StepRecord(step[0].op, step[0].step.id, step[1], step[2])


def _at_once(stored: Awaitable[None] | None) -> None:
    assert stored is None  # noqa: S101 - a store that takes runs in quiet keeps rows at once


def _raising(raised: BaseException) -> Callable[[], Awaitable[Any]]:
    async def come_to() -> Any:
        raise raised

    return come_to


def _giving(output: Any) -> Callable[[], Awaitable[Any]]:
    async def come_to() -> Any:
        return output

    return come_to


class _Asked:
    """Stands for the run of a trail, for code that may look at it: who does has it told."""

    __slots__ = ("_trail",)

    def __init__(self, trail: Trail) -> None:
        object.__setattr__(self, "_trail", trail)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trail.tell(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._trail.tell(), name, value)


class _Facts(RunFacts):
    """The facts of a leg that has ended in quiet, which are there once somebody asks for one."""

    __slots__ = ("_trail",)

    def __init__(self, trail: Trail, forms: Forms) -> None:
        self._trail = trail
        self.forms = forms
        self.trace = None

    def __getattr__(self, name: str) -> Any:  # of what is not set yet
        if name not in _FACTS:
            raise AttributeError(name)
        trail = self._trail
        self.run_id, self.workflow_id, self.input = trail.identity
        if name not in _KNOWN:
            run = trail.tell()
            self.state, self.causes = run.state.values, run.causes
            self.records, self.path = run.latest, run.path
        return getattr(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFacts, tuple(getattr(self, name) for name in _FACTS)


_KNOWN: Final = ("run_id", "workflow_id", "input")
_FACTS: Final = tuple(fact.name for fact in fields(RunFacts))
