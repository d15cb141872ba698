"""Walks a graph from the top; what the journal knows is not run again.

Starting a run, resuming a suspended one, going on after a crash and a durable engine's own
replay are all this one walk, over journals that know more or less.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from mastra.jsonable import Json
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines import flow
from mastra.workflows.engines.base import Halt, Ops, Walk
from mastra.workflows.engines.pause import pause_before
from mastra.workflows.engines.travel import travel_start
from mastra.workflows.spec import StepNode, WorkflowSpec

__all__ = ["walk"]


def _nested(walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json) -> Awaitable[Json]:
    if spec.drive is not None:
        return spec.drive(walk, scope, value)
    return _walk_nodes(walk, scope, spec, value, is_root=False)


def walk(run: ActiveRun, ops: Ops, spec: WorkflowSpec) -> Coroutine[Any, Any, Json]:
    """Walk a run's whole graph and return the value that comes out.

    Raises:
        Halt: The walk ended before its last node, as its status says.
    """
    scope = Scope(spec, spec.retry, "", "", run.input)
    run.path.clear()
    return _walk_nodes(Walk(run, ops, _nested), scope, spec, run.input, is_root=True)


async def _walk_nodes(
    walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json, *, is_root: bool
) -> Json:
    run = walk.run
    path = run.path if is_root else None
    start = 0
    if run.reopening.travel is not None:
        start, value = travel_start(walk, scope, spec, value)
    decision: Any = None
    for index, node in enumerate(spec.nodes):
        if index < start:
            if path is not None and node.is_entry:
                path += [node.id] if node.id in run.latest else []
            continue
        if run.per_step and node.is_entry:
            pause_before(run, scope.prefix + node.op)
        if isinstance(node, StepNode):
            if path is not None:
                path.append(node.id)
            record = await flow.run_step(walk, scope, node, scope.prefix + node.op, value)
            value = record.output
            decision = None if node.follow is None else record.decision
        else:
            if path is not None and node.is_entry:
                path.append(node.id)
            value = await flow.run_block(walk, scope, node, value, decision)
            decision = None
        if run.stop.is_thrown and not walk.ops.seeks_one:
            raise Halt("canceled")
    return value
