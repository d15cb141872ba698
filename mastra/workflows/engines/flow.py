"""One function for each kind of node. They start no task and keep nothing between walks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast, overload

from mastra.clock import now_ms
from mastra.errors import RunError, StepValidationError
from mastra.jsonable import Json
from mastra.workflows.active import ActiveRun, Scope, TimeTravel
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.blocks import end_block, end_halted, open_block, start_block
from mastra.workflows.engines.conditions import (
    ask_concurrency,
    decide_branch,
    decide_loop,
    decision,
)
from mastra.workflows.engines.nested import run_workflow
from mastra.workflows.engines.pause import pause_before
from mastra.workflows.engines.step_runner import Decide, StepTask, fail_record
from mastra.workflows.engines.travel import travel_input
from mastra.workflows.engines.waits import run_sleep
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import (
    BranchNode,
    ForeachNode,
    LoopNode,
    ParallelNode,
    SleepNode,
    StepNode,
    Unit,
    WorkflowNode,
)

__all__ = [
    "arm_of",
    "combine",
    "halt_of",
    "run_block",
    "run_branch",
    "run_foreach",
    "run_items",
    "run_loop",
    "run_parallel",
    "run_step",
]


Block: TypeAlias = BranchNode | LoopNode | ForeachNode | ParallelNode | WorkflowNode | SleepNode


# -- steps -------------------------------------------------------------------------------------


async def run_step(
    walk: Walk,
    scope: Scope,
    node: StepNode,
    op_id: str,
    value: Json,
    *,
    iteration: int | None = None,
    index: int | None = None,
    decide: Decide | None = None,
) -> StepRecord:
    """Run a step, or take what the journal knows of it.

    Raises:
        Halt: It did not succeed.
    """
    run = walk.run
    record = run.journal.get(op_id)
    if record is None or record.status == "retry" or op_id in run.open_ops:
        if run.stop.is_thrown and not walk.ops.seeks_one:
            raise Halt("canceled")
        if run.per_step:
            pause_before(run, op_id, claims=True)
        task = StepTask(run, scope, node, op_id, value, walk.ops)
        task.iteration, task.index = iteration, index
        if decide is not None:
            task.decide = decide
        elif node.follow is not None:
            task.decide = partial(decide_branch, walk.run, scope, node.follow)
        if record is None or record.status != "retry":
            if record is not None and record.status == "suspended":
                task.earlier, task.is_answered = record, True
            record = await walk.ops.record(op_id, task)
        if record.status == "retry":
            record = await _retry_later(walk, task, record)
    if record.status == "success":
        return record
    raise halt_of(record)


async def _retry_later(walk: Walk, task: StepTask, record: StepRecord) -> StepRecord:
    """Wait as an operation of its own, then try again as another, as often as need be."""
    stem, tries = task.op_id, record.retry_count
    while record.status == "retry":
        wait = walk.run.journal.get(f"{stem}#{tries}.wait")
        if wait is None or wait.status != "success":
            wait = StepRecord(f"{stem}#{tries}.wait", record.step_id, None, now_ms())
            wait.kind = "decision"
            wait.wake_at = record.wake_at
            await walk.ops.sleep(wait)
        op_id = f"{stem}#{tries}"
        known = walk.run.journal.get(op_id)
        if known is None or op_id in walk.run.open_ops:
            again = StepTask(task.run, task.scope, task.node, op_id, task.value, walk.ops)
            again.iteration, again.index, again.decide = task.iteration, task.index, task.decide
            again.earlier = known or task.earlier
            again.is_answered = task.is_answered or again.earlier is not None
            again.tries_before = tries
            again.began_at = record.started_at if known is None else None
            known = await walk.ops.record(op_id, again)
        record = known
        tries = record.retry_count if record.status == "retry" else tries
    return record


def halt_of(record: StepRecord) -> Halt:
    """Return how a walk ends at a step that did not succeed."""
    match record.status:
        case "bailed":
            return Halt("bailed", record)
        case "suspended":
            return Halt("suspended", record, suspended=[record])
        case "canceled":
            return Halt("canceled", record)
        case _:
            return Halt("failed" if record.tripwire is None else "tripwire", record)


async def _run_unit(walk: Walk, scope: Scope, unit: Unit, value: Json) -> Json:
    if isinstance(unit, StepNode):
        return (await run_step(walk, scope, unit, scope.prefix + unit.op, value)).output
    return await run_workflow(walk, scope, unit, scope.prefix + unit.op, unit.id, value)


# -- blocks ------------------------------------------------------------------------------------


def run_block(walk: Walk, scope: Scope, node: Block, value: Json, decision: Any) -> Awaitable[Json]:
    """Walk a node that is no step, and return what flows out.

    Raises:
        Halt: It ended otherwise.
    """
    match node:
        case BranchNode():
            return run_branch(walk, scope, node, value, decision)
        case LoopNode():
            return run_loop(walk, scope, node, value)
        case ForeachNode():
            return run_foreach(walk, scope, node, value)
        case ParallelNode():
            return run_parallel(walk, scope, node, value)
        case WorkflowNode():
            return run_workflow(walk, scope, node, scope.prefix + node.op, node.id, value)
        case _:  # a sleep
            return run_sleep(walk, scope, node, value)


def combine(results: Sequence[Any]) -> None:
    """Raise the halt that decides for a block.

    The first by position among failures and bails, else a cancellation, else all suspensions,
    else a pause.
    """
    suspended: list[StepRecord] = []
    canceled: Halt | None = None
    paused: Halt | None = None
    for result in results:
        if not isinstance(result, Halt):
            continue
        if result.status == "suspended":
            suspended.extend(result.suspended)
        elif result.status == "canceled":
            canceled = canceled or result
        elif result.status == "paused":
            paused = result
        else:
            raise result
    if canceled is not None:
        raise canceled
    if suspended:
        raise Halt("suspended", suspended[0], suspended=suspended)
    if paused is not None:
        raise paused


def run_parallel(walk: Walk, scope: Scope, node: ParallelNode, value: Json) -> Awaitable[Json]:
    """Run units at once; give their outputs by id."""
    return _run_units(walk, scope, node.units, value)


async def run_branch(walk: Walk, scope: Scope, node: BranchNode, value: Json, outcome: Any) -> Json:
    """Run the units whose condition holds, at once; give their outputs by id.

    Args:
        walk: The walk.
        scope: Where in the nesting.
        node: The branch.
        value: What flows in.
        outcome: Ids of the arms to take, where the step before has them in its record.
    """
    travel = walk.run.reopening.travel
    if travel is not None:
        outcome = _forced_arms(walk.run, travel, scope, node) or outcome
    if outcome is None:
        decide = partial(decide_branch, walk.run, scope, node)
        outcome = await decision(walk, scope, f"{scope.prefix}{node.op}?", value, decide)
    if len(outcome) == 1:
        unit = arm_of(node, outcome[0])
        return {unit.id: await _run_unit(walk, scope, unit, value)}
    return await _run_units(walk, scope, [arm_of(node, arm) for arm in outcome], value)


async def _run_units(walk: Walk, scope: Scope, units: Sequence[Unit], value: Json) -> Json:
    branches = [partial(_run_unit, walk, scope, unit, value) for unit in units]
    results = await walk.ops.gather(branches, None)
    combine(results)
    return {unit.id: result for unit, result in zip(units, results, strict=True)}


def arm_of(node: BranchNode, arm: str | int) -> Unit:
    """Return what a branch runs where a condition of its holds, by the name of that arm."""
    if isinstance(arm, int):  # decided by an earlier release
        return node.arms[arm][1]
    for _, unit in node.arms:
        if unit.id == arm:
            return unit
    raise LookupError(f"The branch has no arm {arm!r}.")


def _forced_arms(run: ActiveRun, travel: TimeTravel, scope: Scope, node: BranchNode) -> list[str]:
    """Return the arm that a run goes back into, whatever its condition says, and those known."""
    stems = {unit.id: scope.prefix + unit.op for _, unit in node.arms}
    entered = {
        arm
        for arm, stem in stems.items()
        if travel.op_id == stem or travel.op_id.startswith(f"{stem}/")
    }
    if not entered:
        return []
    return [arm for arm, stem in stems.items() if arm in entered or run.has_begun(stem)]


async def run_loop(walk: Walk, scope: Scope, node: LoopNode, value: Json) -> Json:
    """Run a unit on its own output until the condition ends it; at least once."""
    unit, turn, stem = node.unit, 0, scope.prefix + node.op
    decide = partial(decide_loop, walk, scope, node)
    ends_on = node.kind == "dountil"
    while True:
        turn += 1
        op_id = f"{stem}[{turn}]"
        if isinstance(unit, StepNode):
            record = await run_step(walk, scope, unit, op_id, value, iteration=turn, decide=decide)
            value, outcome = record.output, record.decision
        else:
            value = await run_workflow(walk, scope, unit, op_id, unit.id, value, iteration=turn)
            outcome = await decision(walk, scope, f"{op_id}?", value, decide, turn)
        if isinstance(outcome, dict):
            failed = StepRecord(op_id, scope.names + unit.id, value, now_ms())
            failed.status, failed.error = "failed", outcome["error"]
            raise Halt("failed", failed)
        if outcome is ends_on:
            return value


async def run_foreach(walk: Walk, scope: Scope, node: ForeachNode, value: Json) -> Json:
    """Run a unit for each item of a list; give the outputs in the order of the items."""
    run, unit = walk.run, node.unit
    op_id = scope.prefix + node.op
    if run.reopening.travel is not None:
        value = travel_input(walk, op_id, value)
    block = open_block(walk, scope, op_id, unit.id, value)
    if not isinstance(value, list):
        error = StepValidationError(
            f"Foreach over step {scope.names + unit.id!r} in workflow {scope.workflow_id!r} needs "
            f"a list, and got {type(value).__name__}.",
            details={"stepId": scope.names + unit.id},
        )
        end_block(walk, fail_record(run, block, error))
        raise Halt("failed", block)
    items = cast("list[Json]", value)
    block.total = len(items)
    start_block(walk, block)
    if not run.has_begun(f"{op_id}[0]"):
        try:
            walk.ops.admit_items(unit, scope.names + unit.id, len(items))
        except RunError as error:
            end_block(walk, fail_record(run, block, error))
            raise Halt("failed", block) from None
    counter = [0]
    branches = _Items(items, partial(_run_item, walk, scope, unit, block, counter))
    try:
        limit = await ask_concurrency(walk, scope, node, value, op_id)
        results = await run_items(walk, op_id, branches, limit)
        combine(results)
    except Halt as halt:
        end_halted(walk, block, halt)
        raise
    block.output = results
    block.status = "success"
    end_block(walk, block)
    return results


class _Items(Sequence[Callable[[], Awaitable[Json]]]):
    """The branches of a foreach, each made when it is asked for: there may be very many."""

    __slots__ = ("_items", "_run")

    def __init__(
        self, items: Sequence[Json], run_item: Callable[[int, Json], Awaitable[Json]]
    ) -> None:
        self._items = items
        self._run = run_item

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, place: int) -> Callable[[], Awaitable[Json]]: ...
    @overload
    def __getitem__(self, place: slice) -> list[Callable[[], Awaitable[Json]]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        return partial(self._run, place, self._items[place])


async def run_items(
    walk: Walk, stem: str, branches: Sequence[Callable[[], Awaitable[Json]]], limit: int
) -> list[Any]:
    """Run items in their order, at most `limit` at a time; start none while another waits."""
    run = walk.run
    # Items begin in order, so that nothing is known of any where nothing is of the first.
    if not branches or not run.has_begun(f"{stem}[0]"):
        return await walk.ops.gather(branches, limit)
    places = range(len(branches))
    begun = {place for place in places if run.has_begun(f"{stem}[{place}]")}
    results: list[Any] = [None] * len(branches)
    rest = [place for place in places if place not in begun]
    for place in places:
        # What has ended waits for nothing, so that it needs no task: of a long list, on an engine
        # that walks for each item, nearly all.
        known = run.journal.get(f"{stem}[{place}]")
        if known is not None and known.status == "success":
            results[place] = await branches[place]()
            begun.discard(place)
    if walk.ops.seeks_one:
        # What is sought is in one of these, and those that have begun may wait for others.
        begun.update(rest[:limit])
        rest = rest[limit:]
    for chosen, at_once in ((begun, None), (rest, limit)):
        those = sorted(chosen)
        if those:
            found = await walk.ops.gather([branches[place] for place in those], at_once)
            for place, result in zip(those, found, strict=True):
                results[place] = result
        if any(isinstance(result, Halt) for result in results):
            break
    return results


async def _run_item(
    walk: Walk,
    scope: Scope,
    unit: Unit,
    block: StepRecord,
    counter: list[int],
    index: int,
    item: Json,
) -> Json:
    op_id = f"{block.op_id}[{index}]"
    try:
        if isinstance(unit, StepNode):
            output = (await run_step(walk, scope, unit, op_id, item, index=index)).output
        else:
            name = f"{unit.id}[{index}]"
            output = await run_workflow(walk, scope, unit, op_id, name, item, index=index)
    except Halt as halt:
        if halt.status in ("suspended", "failed", "tripwire"):
            counter[0] += halt.status != "suspended"  # what has failed is done with
            _mark_progress(walk, block, counter[0], index, _halted_item(halt), halt.record)
        raise
    counter[0] += 1
    told: dict[str, Json] = {"iterationStatus": "success", "iterationOutput": output}
    _mark_progress(walk, block, counter[0], index, told)
    return output


def _halted_item(halt: Halt) -> dict[str, Json]:
    return {"iterationStatus": "suspended" if halt.status == "suspended" else "failed"}


def _mark_progress(
    walk: Walk,
    block: StepRecord,
    completed: int,
    index: int,
    told: dict[str, Json],
    halted: StepRecord | None = None,
) -> None:
    status = told["iterationStatus"]
    # An item succeeds once, but it may suspend again after each resume, even in one millisecond.
    turn = "" if halted is None else halted.order or walk.run.leg
    walk.mark(
        f"{block.op_id}[{index}]:{status}:{turn}",
        Kind.PROGRESS,
        block,
        {
            "completedCount": completed,
            "totalCount": block.total,
            "currentIndex": index,
            **told,
        },
    )
