"""A committed workflow and its graph: all that an engine ever gets. Frozen, shared by its runs.

What others ask of a node is here: which units it holds (`units`), what it makes of their outputs (`shape`),
which functions of the user's it calls, how it is drawn. How a node is walked is in `engines/flow.py`.

A node's `op` is the stem of its operation ids: its step's id within its block, with a number
where that stands there more than once (`places.py`).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast

from mastra.clock import iso_from_ms
from mastra.dataclass import dataclass
from mastra.errors import WorkflowDefinitionError
from mastra.given import COUNT, SECONDS
from mastra.jsonable import Json
from mastra.schema import ANY, Schema
from mastra.workflows.forms import Forms
from mastra.workflows.step import Step
from mastra.workflows.step_context import StepContext
from mastra.workflows.written import Unpack

__all__ = [
    "BranchNode",
    "Callback",
    "Condition",
    "ConditionOn",
    "Dynamic",
    "ForeachNode",
    "LoopNode",
    "Node",
    "ParallelNode",
    "RetryConfig",
    "SleepNode",
    "StepNode",
    "Unit",
    "WorkflowNode",
    "WorkflowSpec",
    "seconds_of",
]

Value = TypeVar("Value")

Callback: TypeAlias = Callable[[Any], "Awaitable[object] | object"]
"""Called with a `CallbackArgument`; sync or async."""


def seconds_of(duration: float | timedelta, what: str) -> float:
    """Return a duration in seconds.

    Raises:
        WorkflowDefinitionError: It is negative or no duration at all.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise WorkflowDefinitionError(
            f"{what} must be seconds (0 or more) or a timedelta, not {duration!r}."
        )
    try:
        return float(seconds)
    except OverflowError:  # an integer of more digits than any number of seconds has
        return math.inf


MAX_GROWN_S: Final = 365 * 86_400.0
"""How long a delay grows by itself: what is longer is no wait for another try."""


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How often a failed step is tried again, and how long to wait before.

    Attributes:
        attempts: Extra tries after the first.
        delay: Seconds (or a `timedelta`) before the first of them.
        backoff: What the delay is multiplied by each time: a number, `"fixed"` (1) or
            `"exponential"` (2).
        max_delay: The longest delay, in seconds or as a `timedelta`. Left out, delays grow to a year at
            most.
    """

    attempts: int = 0
    delay: float | timedelta = 0.0
    backoff: float | Literal["fixed", "exponential"] = 1.0
    max_delay: float | timedelta | None = None

    def __post_init__(self) -> None:
        if not COUNT.holds(self.attempts):
            raise WorkflowDefinitionError(
                f"RetryConfig: attempts must be 0 or more, a whole number, not {self.attempts!r}."
            )
        seconds_of(self.delay, "RetryConfig: delay")
        if self.max_delay is not None:
            seconds_of(self.max_delay, "RetryConfig: max_delay")
        if not SECONDS.holds(self.factor) or self.factor < 1:
            raise WorkflowDefinitionError(
                "RetryConfig: backoff must be 1 or more, 'fixed' or 'exponential', not "
                f"{self.backoff!r}."
            )
        if math.isinf(self.delay_before(1)):
            raise WorkflowDefinitionError(
                f"RetryConfig: delay {self.delay!r} has no end, so that no try would follow."
            )

    @property
    def factor(self) -> float:
        """The backoff as a number."""
        named = {"fixed": 1.0, "exponential": 2.0}
        return named.get(self.backoff, 0.0) if isinstance(self.backoff, str) else self.backoff

    def delay_before(self, retry: int) -> float:
        """Return the seconds to wait before a retry, the first being 1."""
        delay = seconds_of(self.delay, "delay")
        try:
            grown = delay * float(self.factor) ** (retry - 1) if delay else 0.0
        except OverflowError:  # so often multiplied that there is no such number
            grown = math.inf
        if self.max_delay is not None:
            return min(grown, seconds_of(self.max_delay, "max_delay"))
        return min(grown, max(delay, MAX_GROWN_S))


Condition: TypeAlias = Callable[[StepContext[Any]], "bool | Awaitable[bool]"]
ConditionOn: TypeAlias = Callable[[StepContext[Value]], "bool | Awaitable[bool]"]
"""A condition that knows what it is asked about."""

Dynamic: TypeAlias = Callable[[StepContext[Any]], Any]


Shape: TypeAlias = Literal["one", "keyed", "list", "none"]
"""What a node gives: what its unit does, an output by the id of each unit, a list of what its unit gives, or
what flows in."""

Functions: TypeAlias = Iterator[tuple[Any, str]]
"""Functions of the user's, each with what it is for."""

Draw: TypeAlias = Callable[["Unit"], dict[str, Json]]


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
    # Of the step, whose own are looked up in a slower way: its id, what flows in and out, what runs it.
    id: str = field(default="", init=False, compare=False)
    takes: Schema[Any] = field(default=ANY, init=False, compare=False)
    gives: Schema[Any] = field(default=ANY, init=False, compare=False)
    call: Any = field(default=None, init=False, compare=False)

    shape: ClassVar[Shape] = "one"
    is_entry: ClassVar[bool] = True

    def __post_init__(self) -> None:
        step = self.step
        known = (step.id, step.input_schema, step.output_schema, step.call)
        for name, value in zip(("id", "takes", "gives", "call"), known, strict=True):
            object.__setattr__(self, name, value)

    @property
    def units(self) -> tuple[Unit, ...]:
        """Itself."""
        return (self,)

    @property
    def inner(self) -> WorkflowSpec | None:
        """The workflow inside: none."""
        return None

    def functions(self) -> Functions:
        """Yield what a map is made with."""
        what, config = f"Map {self.id!r}", self.config
        if self.kind == "map" and callable(config):
            yield config, what
        elif self.kind == "map" and isinstance(config, Mapping):
            for key, source in cast("Mapping[Any, Any]", config).items():
                is_told = isinstance(source, Mapping)
                yield (
                    (cast("Mapping[Any, Any]", source).get("fn") if is_told else source),
                    f"{what}, key {key!r}",
                )

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        del source
        return draw(self)


@dataclass(frozen=True, slots=True)
class WorkflowNode:
    """A workflow inside a workflow, walked in place."""

    op: str
    id: str
    spec: WorkflowSpec

    shape: ClassVar[Shape] = "one"
    is_entry: ClassVar[bool] = True

    @property
    def kind(self) -> str:
        """Whether it is a workflow of the user's, or an agent that is walked as one."""
        return "workflow" if self.spec.drive is None else "agent"

    @property
    def units(self) -> tuple[Unit, ...]:
        """Itself."""
        return (self,)

    @property
    def takes(self) -> Schema[Any]:
        """What flows in."""
        return self.spec.input_schema

    @property
    def gives(self) -> Schema[Any]:
        """What flows out."""
        return self.spec.output_schema

    @property
    def inner(self) -> WorkflowSpec | None:
        """The workflow inside."""
        return self.spec

    def functions(self) -> Functions:
        """Yield nothing: the workflow inside was checked by itself."""
        yield from ()

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        del source
        return draw(self)


Unit: TypeAlias = StepNode | WorkflowNode
"""What may stand inside a block."""


@dataclass(frozen=True, slots=True)
class ParallelNode:
    """Units that all get the same input and run at once."""

    op: str
    units: tuple[Unit, ...]

    id: ClassVar[str] = ""
    kind: ClassVar[str] = "parallel"
    shape: ClassVar[Shape] = "keyed"
    is_entry: ClassVar[bool] = False

    def functions(self) -> Functions:
        """Yield nothing."""
        yield from ()

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        del source
        return {"type": "parallel", "steps": [draw(unit) for unit in self.units]}


@dataclass(frozen=True, slots=True)
class BranchNode:
    """Units of which those run whose condition holds."""

    op: str
    arms: tuple[tuple[Condition, Unit], ...]
    first_match: bool
    """Whether only the first that holds runs."""
    value: Schema[Any]
    """What flows in."""

    id: ClassVar[str] = ""
    kind: ClassVar[str] = "branch"
    shape: ClassVar[Shape] = "keyed"
    is_entry: ClassVar[bool] = False

    @property
    def units(self) -> tuple[Unit, ...]:
        """What its arms run."""
        return tuple(unit for _, unit in self.arms)

    def functions(self) -> Functions:
        """Yield its conditions."""
        for position, (condition, unit) in enumerate(self.arms):
            yield condition, f"Condition {position} of a branch (of step {unit.id!r})"

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        return {
            "type": "conditional",
            "steps": [draw(unit) for unit in self.units],
            "serializedConditions": [
                {"id": f"{unit.id}-condition", "fn": source(condition)}
                for condition, unit in self.arms
            ],
        }


@dataclass(frozen=True, slots=True)
class LoopNode:
    """A unit that runs again on its own output until a condition ends it."""

    op: str
    unit: Unit
    condition: Condition
    kind: Literal["dowhile", "dountil"]
    output: Schema[Any]
    """What flows out, and what the condition sees."""

    shape: ClassVar[Shape] = "one"
    is_entry: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Its unit's id."""
        return self.unit.id

    @property
    def units(self) -> tuple[Unit, ...]:
        """What is run again and again."""
        return (self.unit,)

    def functions(self) -> Functions:
        """Yield its condition."""
        yield self.condition, f"The condition of the {self.kind} over {self.id!r}"

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        condition: Json = {"id": f"{self.id}-condition", "fn": source(self.condition)}
        return {
            "type": "loop",
            "step": draw(self.unit),
            "serializedCondition": condition,
            "loopType": self.kind,
        }


@dataclass(frozen=True, slots=True)
class ForeachNode:
    """A unit that runs once for each item of a list."""

    op: str
    unit: Unit
    concurrency: int | Dynamic
    value: Schema[Any]

    kind: ClassVar[str] = "foreach"
    shape: ClassVar[Shape] = "list"
    is_entry: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Its unit's id."""
        return self.unit.id

    @property
    def units(self) -> tuple[Unit, ...]:
        """What is run for each item."""
        return (self.unit,)

    def functions(self) -> Functions:
        """Yield what says how many run at once."""
        if callable(self.concurrency):
            yield self.concurrency, f"`concurrency` of the foreach over {self.id!r}"

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        limit: Any = self.concurrency
        opts: dict[str, Json] = {"fn": source(limit)} if callable(limit) else {"concurrency": limit}
        return {"type": "foreach", "step": draw(self.unit), "opts": opts}


@dataclass(frozen=True, slots=True)
class SleepNode:
    """A wait; what flows in flows out."""

    op: str
    id: str
    kind: Literal["sleep", "sleepUntil"]
    duration: Any
    """Seconds, a `timedelta`, a `datetime`, or a function of the context that gives one."""
    value: Schema[Any]

    units: ClassVar[tuple[Unit, ...]] = ()
    shape: ClassVar[Shape] = "none"
    is_entry: ClassVar[bool] = True

    def functions(self) -> Functions:
        """Yield what says how long."""
        if callable(self.duration):
            yield self.duration, f"The function of {self.id!r}"

    def drawn(self, draw: Draw, source: Callable[[object], str]) -> dict[str, Json]:
        """Return it as Mastra serialises it."""
        del draw
        described: dict[str, Json] = {"type": self.kind, "id": self.id}
        duration: Any = self.duration
        if callable(duration):
            described["fn"] = source(duration)
        elif isinstance(duration, datetime):
            described["date"] = iso_from_ms(duration.timestamp() * 1000)
        else:
            length_ms = seconds_of(duration, f"Sleep {self.id!r}") * 1000
            # What JSON has no number for is `null` there, as JavaScript writes it.
            described["duration"] = round(length_ms) if math.isfinite(length_ms) else None
        return described


Node: TypeAlias = (
    StepNode | WorkflowNode | ParallelNode | BranchNode | LoopNode | ForeachNode | SleepNode
)


@dataclass(frozen=True, eq=False)
class WorkflowSpec:
    """What `commit()` makes."""

    id: str
    nodes: tuple[Node, ...]
    input_schema: Schema[Any]
    output_schema: Schema[Any]
    state_schema: Schema[Any] | None = None
    request_context_schema: Schema[Any] | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None
    retry: RetryConfig = field(default_factory=RetryConfig)
    validate_inputs: bool = True
    validate_outputs: bool = True
    strict: bool = False
    should_persist_snapshot: Callable[..., Any] | None = None
    on_start: Callback | None = None
    on_finish: Callback | None = None
    on_error: Callback | None = None
    scorers: Mapping[str, Any] | None = None
    """What scores its outputs once they are given, by key, as of an agent."""
    steps: Mapping[str, Schema[Any]] = field(default_factory=dict[str, Schema[Any]])
    """Output schema of each step by its id, nested ones by their workflow's id."""
    value: Schema[Any] | None = None
    """What flows out of the last node, where that is known."""
    flow_control: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """When its runs begin, and how many at once: as `create_workflow` was given it."""
    schedules: tuple[Any, ...] = ()
    """When it runs by itself: `WorkflowSchedule`s."""
    version: str | None = None
    """Which of several definitions under the same id it is."""
    kept: tuple[WorkflowSpec, ...] = ()
    """All the versions of it that are registered, for runs that began with one of them."""
    beside: Mapping[str, tuple[WorkflowSpec, ...]] = field(
        default_factory=dict[str, tuple["WorkflowSpec", ...]], repr=False
    )
    """The versions of each workflow of which several are registered, by id; it may still grow."""
    note: dict[str, Json] | None = field(default=None, init=False, repr=False)
    """What runs note of it, once somebody asked. Never changed."""
    forms: Forms | None = field(default=None, init=False, repr=False)
    """How clients see its values, once somebody asked."""
    is_positional: bool = False
    """Whether its operations are called by their position, as in runs of earlier releases."""
    gives_as_kept: bool | None = field(default=None, init=False, repr=False)
    """Whether what flows out is kept as its output is, once somebody asked."""
    quiet_path: tuple[str, ...] | None = field(default=None, init=False, repr=False)
    """The path of a run that need not tell of each step; empty where it has to."""
    places: dict[str, int] | None = field(default=None, init=False, repr=False)
    """The index of the node to which each operation belongs, once somebody asked."""
    drive: Callable[..., Awaitable[Json]] | None = None
    """Walks the operations in place of the nodes, of what is no workflow of the user's; takes the
    walk, the scope and the value that flows in. The nodes then only say which steps there are."""
    made_of: str | None = None
    """The id of the agent that is walked there."""
    unpack: Unpack | None = None
    """Reads what was written there in a form of its own."""

    def with_nested(self) -> Iterator[WorkflowSpec]:
        """Yield it and every workflow inside, at any depth."""
        yield self
        for node in self.nodes:
            for unit in node.units:
                if unit.inner is not None:
                    yield from unit.inner.with_nested()

    @property
    def has_callbacks(self) -> bool:
        """Whether somebody is to be told of its start or end."""
        return not (self.on_start is self.on_finish is self.on_error is self.scorers is None)
