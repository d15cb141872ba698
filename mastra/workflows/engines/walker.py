"""Walks a graph from the top; what the journal knows is not run again.

Starting a run, resuming a suspended one, going on after a crash and a durable engine's own
replay are all this one walk, over journals that know more or less.
"""

from __future__ import annotations

from typing import Any

from mastra.jsonable import Json
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines import flow
from mastra.workflows.engines.base import Halt, Ops, Walk
from mastra.workflows.spec import (
    BranchNode,
    ForeachNode,
    LoopNode,
    ParallelNode,
    SleepNode,
    StepNode,
    WorkflowNode,
    WorkflowSpec,
)

__all__ = ["root_scope", "walk"]


async def _nested(walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json) -> Json:
    return await _walk_nodes(walk, scope, spec, value, is_root=False)


def root_scope(spec: WorkflowSpec, init_data: Json) -> Scope:
    """Return the scope of a workflow that stands by itself."""
    return flow.scope_of(spec, "", "", init_data)


async def walk(run: ActiveRun, ops: Ops, spec: WorkflowSpec) -> Json:
    """Walk a run's whole graph and return the value that comes out.

    Raises:
        Halt: The walk ended before its last node, as its status says.
    """
    scope = root_scope(spec, run.input)
    run.path.clear()
    return await _walk_nodes(Walk(run, ops, _nested), scope, spec, run.input, is_root=True)


async def _walk_nodes(
    walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json, *, is_root: bool
) -> Json:
    run = walk.run
    path = run.path if is_root else None
    start = 0
    if run.reopening.travel is not None:
        start, value = flow.travel_start(walk, scope, spec, value)
    decision: Any = None
    for index, node in enumerate(spec.nodes):
        if index < start:
            continue
        match node:
            case StepNode():
                if path is not None:
                    path.append(node.step.id)
                record = await flow.run_step(walk, scope, node, scope.prefix + node.op, value)
                value = record.output
                decision = record.decision
            case BranchNode():
                value = await flow.run_branch(walk, scope, node, value, decision)
                decision = None
            case LoopNode():
                value = await flow.run_loop(walk, scope, node, value)
            case ForeachNode():
                value = await flow.run_foreach(walk, scope, node, value)
            case ParallelNode():
                value = await flow.run_parallel(walk, scope, node, value)
            case WorkflowNode():
                if path is not None:
                    path.append(node.id)
                op_id = scope.prefix + node.op
                value = await flow.run_workflow(walk, scope, node, op_id, node.id, value)
            case SleepNode():
                if path is not None:
                    path.append(node.id)
                value = await flow.run_sleep(walk, scope, node, value)
        if run.is_abort_requested:
            raise Halt("canceled")
        if run.per_step and is_root and index + 1 < len(spec.nodes) and _ran(run, index):
            raise Halt("paused")
    return value



def _ran(run: ActiveRun, index: int) -> bool:
    """Return whether this leg ran any operation of a top-level node."""
    stem = f"{index}."
    return any(op.startswith(stem) and op not in run.base_ops for op in run.journal)
