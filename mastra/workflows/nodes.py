"""The closed set of things that a workflow's graph is made of.

Frozen, so that runs may share them. `op` is the node's place in its graph and the stem of its
operation ids; a step's name is not enough, since one step may stand in two places.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mastra.schema import Schema
from mastra.workflows.step import Step
from mastra.workflows.step_context import StepContext

if TYPE_CHECKING:
    from mastra.workflows.spec import WorkflowSpec

__all__ = [
    "BranchNode",
    "Condition",
    "Dynamic",
    "ForeachNode",
    "LoopNode",
    "Node",
    "ParallelNode",
    "SleepNode",
    "StepNode",
    "Unit",
    "WorkflowNode",
]

Condition: TypeAlias = Callable[[StepContext[Any]], "bool | Awaitable[bool]"]
Dynamic: TypeAlias = Callable[[StepContext[Any]], Any]


@dataclass(frozen=True, slots=True)
class StepNode:
    """A step, or a map, which is a step that never suspends."""

    op: str
    step: Step[Any, Any]
    kind: Literal["step", "map"] = "step"
    follow: BranchNode | None = None
    """The branch right after it: its conditions are evaluated inside this operation, so that
    a durable engine needs none of its own for them."""
    config: Any = None
    """Of a map made from sources: those sources, for display."""

    @property
    def id(self) -> str:
        """The step's id."""
        return self.step.id


@dataclass(frozen=True, slots=True)
class WorkflowNode:
    """A workflow inside a workflow, walked in place."""

    op: str
    id: str
    spec: WorkflowSpec


Unit: TypeAlias = StepNode | WorkflowNode
"""What may stand inside a block."""


@dataclass(frozen=True, slots=True)
class ParallelNode:
    """Units that all get the same input and run at once."""

    op: str
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class BranchNode:
    """Units of which those run whose condition holds."""

    op: str
    arms: tuple[tuple[Condition, Unit], ...]
    first_match: bool
    """Whether only the first that holds runs."""
    value: Schema[Any]
    """What flows in."""


@dataclass(frozen=True, slots=True)
class LoopNode:
    """A unit that runs again on its own output until a condition ends it."""

    op: str
    unit: Unit
    condition: Condition
    kind: Literal["dowhile", "dountil"]
    output: Schema[Any]
    """What flows out, and what the condition sees."""


@dataclass(frozen=True, slots=True)
class ForeachNode:
    """A unit that runs once for each item of a list."""

    op: str
    unit: Unit
    concurrency: int | Dynamic
    value: Schema[Any]


@dataclass(frozen=True, slots=True)
class SleepNode:
    """A wait; what flows in flows out."""

    op: str
    id: str
    kind: Literal["sleep", "sleepUntil"]
    duration: Any
    """Seconds, a `timedelta`, a `datetime`, or a function of the context that gives one."""
    value: Schema[Any]


Node: TypeAlias = StepNode | WorkflowNode | ParallelNode | BranchNode | LoopNode | ForeachNode | SleepNode
