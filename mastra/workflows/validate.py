"""Checks of a graph at `commit()`: what cannot run is refused before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import TypedDict

from mastra.errors import WorkflowDefinitionError
from mastra.schema import Schema, schema_of
from mastra.workflows.spec import (
    BranchNode,
    ForeachNode,
    LoopNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    Unit,
    WorkflowNode,
    WorkflowSpec,
)

__all__ = ["check_spec", "flow_of"]


def _output_of(unit: Unit) -> Schema[Any]:
    return unit.step.output_schema if isinstance(unit, StepNode) else unit.spec.output_schema


def flow_of(nodes: Sequence[Node], before: Schema[Any]) -> Schema[Any]:
    """Return what flows out of a chain of nodes, given what flows in."""
    for node in reversed(nodes):
        match node:
            case StepNode() | WorkflowNode():
                return _output_of(node)
            case ParallelNode():
                return _keyed({unit.id: _output_of(unit) for unit in node.units})
            case BranchNode():
                return _keyed({unit.id: _output_of(unit) for _, unit in node.arms})
            case LoopNode():
                return _output_of(node.unit)
            case ForeachNode():
                item = _output_of(node.unit)
                return schema_of(list[item.type])
            case SleepNode():
                continue
    return before


def _keyed(outputs: dict[str, Schema[Any]]) -> Schema[Any]:
    # A branch gives only what ran, so no key is required.
    fields = {name: schema.type for name, schema in outputs.items()}
    return Schema(cast("Any", TypedDict)("Outputs", fields, total=False))


def check_spec(spec: WorkflowSpec, *, stacklevel: int) -> None:
    """Refuse a graph that cannot run.

    Raises:
        WorkflowDefinitionError: Empty, an empty block, or the same id twice in a block.
    """
    del stacklevel
    where = f"Workflow {spec.id!r}"
    if not spec.nodes:
        raise WorkflowDefinitionError(
            f"{where} has no steps: add some before `commit()`.", code="WORKFLOW_EMPTY"
        )
    for node in spec.nodes:
        if isinstance(node, (ParallelNode, BranchNode)):
            units = node.units if isinstance(node, ParallelNode) else [u for _, u in node.arms]
            kind = "parallel" if isinstance(node, ParallelNode) else "branch"
            if not units:
                raise WorkflowDefinitionError(
                    f"{where} has an empty {kind} at position {node.op.partition('.')[0]}.",
                    code="WORKFLOW_BLOCK_EMPTY",
                )
            seen: set[str] = set()
            for unit in units:
                if unit.id in seen:
                    raise WorkflowDefinitionError(
                        f"{where} has step {unit.id!r} twice in one {kind}; its outputs are kept "
                        "by id, so give one of them another with `clone_step`.",
                        code="WORKFLOW_STEP_DUPLICATE",
                    )
                seen.add(unit.id)
