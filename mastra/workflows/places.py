"""Where an operation stands in a graph, and what it is called there.

An operation is called by its step's id within its block (`price`, `orders/check`). Where an id
stands in a block more than once, all but the first have a number (`price.2`): ids hold no dot.
Runs begun by earlier releases have positions in their place (`2.1.price`); they go on by a copy
of their workflow that has the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from mastra.workflows.spec import (
    BranchNode,
    Node,
    StepNode,
    Unit,
    WorkflowNode,
    WorkflowSpec,
)

__all__ = [
    "OpNames",
    "followed",
    "index_path",
    "place_of",
    "positional",
    "stem_in",
    "unit_at",
    "with_units",
]

_POSITIONAL: Final[WeakKeyDictionary[WorkflowSpec, WorkflowSpec]] = WeakKeyDictionary()

_SUFFIX: Final = re.compile(r"(?s)(.*?)(\[\d+\])?(\?|#\d+(?:\.wait)?|\.~state)?")
"""What an operation's id may have after the place in the graph: the turn of a loop or the item
of a foreach, then that it is a condition, another try, or a state that was given."""


class OpNames:
    """Gives the operations of one block their names, in the order in which they stand there."""

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self._counts = dict(counts or {})

    def name(self, step_id: str) -> str:
        """Return the name of the next operation of a step."""
        count = self._counts[step_id] = self._counts.get(step_id, 0) + 1
        return step_id if count == 1 else f"{step_id}.{count}"

    def copy(self) -> OpNames:
        """Return another that goes on from here."""
        return OpNames(self._counts)


def _places(spec: WorkflowSpec) -> dict[str, int]:
    """Return the index of the node to which each operation of a graph belongs."""
    known = spec.places
    if known is None:
        known = {}
        for index, node in enumerate(spec.nodes):
            known[node.op] = index
            for unit in node.units:
                known[unit.op] = index
            if spec.is_positional:
                known[str(index)] = index  # where a state was given
        object.__setattr__(spec, "places", known)  # worked out from what is frozen
    return known


def stem_in(ops: Collection[str], segment: str) -> str:
    """Return the name in the graph that a part of an operation's id begins with.

    Args:
        ops: The names there are.
        segment: The part of the id, such as `check[2]`.
    """
    if segment in ops:
        return segment
    match = _SUFFIX.fullmatch(segment)
    return segment if match is None else match[1]


def place_of(spec: WorkflowSpec, segment: str) -> int | None:
    """Return the index of the node that a part of an operation's id belongs to, if there is one.

    Args:
        spec: The graph.
        segment: The part of the id that is of this graph, such as `check[2]`.
    """
    return _places(spec).get(stem_in(_places(spec), segment))


def unit_at(spec: WorkflowSpec, segment: str) -> Unit | None:
    """Return the step or workflow that a part of an operation's id belongs to."""
    stem = stem_in(_places(spec), segment)
    index = _places(spec).get(stem)
    if index is None:
        return None
    return next((unit for unit in spec.nodes[index].units if unit.op == stem), None)


def index_path(spec: WorkflowSpec, op_id: str) -> list[int]:
    """Return where an operation stands, from the outside in.

    Indexes of nodes, each with that of the unit in a parallel or a branch. What the graph does
    not have is left out.
    """
    path: list[int] = []
    for segment in op_id.split("/"):
        if spec.drive is not None:  # goes through its operations in an order of its own
            number = segment.partition(".")[0]
            return [*path, int(number)] if number.isdigit() else path
        index, unit = place_of(spec, segment), unit_at(spec, segment)
        if index is None:
            return path
        path.append(index)
        node = spec.nodes[index]
        if node.shape == "keyed":
            path += [i for i, each in enumerate(node.units) if each is unit]
        if unit is None or unit.inner is None:
            return path
        spec = unit.inner
    return path


# -- as they were --------------------------------------------------------------------------------


def positional(spec: WorkflowSpec) -> WorkflowSpec:
    """Return the same workflow with operations that are called by their position."""
    known = _POSITIONAL.get(spec)
    if known is None:
        nodes = [_moved(node, f"{index}.") for index, node in enumerate(spec.nodes)]
        known = replace(spec, nodes=followed(nodes), is_positional=True, kept=())
        _POSITIONAL[spec] = known
    return known


def followed(nodes: list[Any]) -> tuple[Node, ...]:
    """Return nodes whose steps are followed by the branches that stand behind them."""
    for place, node in enumerate(nodes[:-1]):
        if isinstance(node, StepNode) and node.follow is not None:
            nodes[place] = replace(node, follow=nodes[place + 1])
    return tuple(nodes)


def with_units(node: Node, change: Callable[[Unit], Unit]) -> Node:
    """Return a node with other steps and workflows in their places; itself where all stay."""
    units = node.units
    changed = [change(unit) for unit in units]
    if all(old is new for old, new in zip(units, changed, strict=True)):
        return node
    return _holding(node, changed)


def _holding(node: Node, units: Sequence[Unit], **more: Any) -> Any:
    """Return a node with other units: a new kind of node has them in `units` or `unit`."""
    whole: Any = node
    if isinstance(node, BranchNode):
        conditions = (condition for condition, _ in node.arms)
        return replace(node, arms=tuple(zip(conditions, units, strict=True)), **more)
    if isinstance(node, StepNode | WorkflowNode):
        return units[0]
    if node.shape == "keyed":
        return replace(whole, units=tuple(units), **more)
    return replace(whole, unit=units[0], **more) if units else replace(whole, **more)


def _moved(node: Node, op: str) -> Any:
    if node.shape == "keyed":
        units = [_moved_unit(unit, f"{op}{place}.") for place, unit in enumerate(node.units)]
        return _holding(node, units, op=f"{op}{node.kind}")
    units = [_moved_unit(unit, op) for unit in node.units]
    return _holding(node, units, op=units[0].op if units else f"{op}{node.id}")


def _moved_unit(unit: Unit, op: str) -> Unit:
    if isinstance(unit, StepNode):
        return replace(unit, op=f"{op}{unit.id}")
    inner = unit.spec if unit.spec.drive is not None else positional(unit.spec)
    return replace(unit, op=f"{op}{unit.id}", spec=inner)
