"""Workflows: how one is built, committed, and run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, Unpack, cast, overload

from typing_extensions import TypeVar

from mastra.buildable import given_schema, optional_schema
from mastra.errors import WorkflowDefinitionError
from mastra.failures import call_user
from mastra.given import COUNT_FROM_1, shown
from mastra.names import python_names, python_options
from mastra.schema import ANY
from mastra.workflows.mapping import map_function
from mastra.workflows.option_checks import check_workflow, retry_of
from mastra.workflows.places import OpNames
from mastra.workflows.runtime import Runtime
from mastra.workflows.spec import (
    BranchNode,
    Condition,
    ConditionOn,
    Dynamic,
    ForeachNode,
    LoopNode,
    Node,
    ParallelNode,
    RetryConfig,
    SleepNode,
    StepNode,
    Unit,
    WorkflowNode,
    WorkflowSpec,
    seconds_of,
)
from mastra.workflows.step import Step, StepLike, check_id, create_step
from mastra.workflows.step_context import StepContext
from mastra.workflows.validate import check_spec, flow_of, outputs_of
from mastra.workflows.workflow_runs import WorkflowRuns

if TYPE_CHECKING:
    from mastra.workflows.flow_control import FlowOptions
    from mastra.workflows.workflow_options import WorkflowOptions

__all__ = ["Workflow", "clone_workflow", "create_workflow"]

In = TypeVar("In", default=Any)
Out = TypeVar("Out", default=Any)
Value = TypeVar("Value", default=Any)
Next = TypeVar("Next", default=Any)
Item = TypeVar("Item", default=Any)

Stepable: TypeAlias = StepLike[Any, Any]
# Of a dict by step id the checker knows too little: any step may take it.
Keyed: TypeAlias = "Workflow[In, Out, dict[str, Any]]"
Listing: TypeAlias = """(
    Workflow[In, Out, list[Item]]
    | Workflow[In, Out, tuple[Item, ...]]
    | Workflow[In, Out, set[Item]]
    | Workflow[In, Out, Sequence[Item]]
)"""


@python_names
class Workflow(WorkflowRuns[In, Out], Generic[In, Out, Value]):
    """A graph of steps. Build it, `commit()` it, then create runs of it.

    Each builder method adds to the workflow and returns it, typed with what flows out then.

    Its type parameters are the input of a run, its output as declared, and what flows out of the
    last node so far.
    """

    def __init__(self, spec: WorkflowSpec, runtime: Runtime | None = None) -> None:
        super().__init__(spec, runtime)
        self._nodes: list[Node] = list(spec.nodes)
        self._names = OpNames()
        self._maps = 0
        self._sleeps = 0

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart, conditions as text.

        Raises:
            WorkflowDefinitionError: The workflow is not committed.
        """
        from mastra.workflows.describe import describe_nodes  # noqa: PLC0415 - as seldom as the next
        from mastra.workflows.mermaid import mermaid  # noqa: PLC0415 - only where it is drawn

        return mermaid(describe_nodes(self.spec))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from mastra.workflows.notebook import diagram_bundle  # noqa: PLC0415 - notebooks only

        text = repr(self)
        return (
            diagram_bundle(text, self.to_mermaid()) if self._is_committed else {"text/plain": text}
        )

    def __repr__(self) -> str:
        state = "" if self._is_committed else ", not committed"
        return f"Workflow({self.id!r}, {len(self._nodes)} nodes{state})"

    # -- build -------------------------------------------------------------------------------

    def _add(self, node: Node) -> Self:
        if self._is_committed:
            raise WorkflowDefinitionError(
                f"Workflow {self.id!r} is committed and cannot be changed; make another, or use "
                "`clone_workflow`.",
                code="WORKFLOW_COMMITTED",
            )
        self._nodes.append(node)
        return self

    def _unit(self, source: Stepable) -> Unit:
        if isinstance(source, Workflow):
            workflow = cast("Workflow[Any, Any, Any]", source)
            return WorkflowNode(self._names.name(workflow.id), workflow.id, workflow.spec)
        step = cast("Any", source if isinstance(source, Step) else create_step(source))
        if step.nested is not None:
            return WorkflowNode(self._names.name(step.id), step.id, step.nested)
        return StepNode(self._names.name(step.id), step)

    @overload
    def then(self, step: StepLike[Value, Next]) -> Workflow[In, Out, Next]: ...
    @overload
    def then(self: Keyed[In, Out], step: StepLike[Any, Next]) -> Workflow[In, Out, Next]: ...
    @python_options
    def then(self, step: Stepable) -> Any:
        """Run a step (or a workflow, an agent, a tool) on what flows out so far."""
        self._add(self._unit(step))
        return cast("Any", self)

    def map(
        self,
        source: Callable[[StepContext[Value]], Any] | Mapping[str, Any],
        *,
        id: str | None = None,
    ) -> Workflow[In, Out, Any]:
        """Turn what flows out into something else.

        Args:
            source: A function of the context (sync, run in place, or async), or a dict of key to
                source: `{"step": step, "path": "a.b"}` (a list of steps: the first with a
                result), `{"init_data": workflow, "path": …}`, `{"value": …}`,
                `{"request_context_path": …}`, `{"template": "… ${step.path} …"}`, `{"fn": …}`.
            id: Its id; by default `mapping_<workflow id>_<n>`.
        """
        map_id = id or f"mapping_{self.id}_{self._maps}"
        check_id(map_id, "Map")
        self._maps += 1
        function = map_function(source, map_id)

        async def call(ctx: StepContext[Any]) -> Any:
            return await call_user(function, ctx)

        value = flow_of(self._nodes, self._spec.input_schema)
        step: Step[Any, Any] = Step(map_id, value, ANY, function, call)
        self._add(StepNode(self._names.name(map_id), step, "map", config=source))
        return cast("Workflow[In, Out, Any]", self)

    @overload
    def parallel(self, steps: Sequence[StepLike[Value, Any]]) -> Keyed[In, Out]: ...
    @overload
    def parallel(self: Keyed[In, Out], steps: Sequence[Stepable]) -> Keyed[In, Out]: ...
    @python_options
    def parallel(self, steps: Sequence[Stepable]) -> Keyed[In, Out]:
        """Run steps at once on the same input; a dict of their outputs by id flows out."""
        self._needs_list("parallel", steps, "[first, second]")
        units = tuple(self._unit(step) for step in steps)
        self._add(ParallelNode(self._names.name(".parallel"), units))
        return cast("Keyed[In, Out]", self)

    def _needs_list(self, method: str, given: Any, example: str) -> None:
        if not isinstance(given, (list, tuple)):
            raise WorkflowDefinitionError(
                f"Workflow {self.id!r}: {method} takes a list, not a {type(given).__name__}: "
                f"{method}({example})."
            )

    @overload
    def branch(
        self,
        arms: Sequence[tuple[ConditionOn[Value], StepLike[Value, Any]]],
        first_match: bool = False,
    ) -> Keyed[In, Out]: ...
    @overload
    def branch(
        self: Keyed[In, Out],
        arms: Sequence[tuple[Condition, Stepable]],
        first_match: bool = False,
    ) -> Keyed[In, Out]: ...
    def branch(
        self, arms: Sequence[tuple[Any, Stepable]], first_match: bool = False
    ) -> Keyed[In, Out]:
        """Run the steps whose condition holds, at once; their outputs by id flow out.

        As in the original, every condition is evaluated and every step whose condition holds
        runs; one that raises counts as false.

        Args:
            arms: Pairs of a condition (a function of the context, sync or async) and a step.
            first_match: Run only the first whose condition holds.
        """
        self._needs_list("branch", arms, "[(condition, step), …]")
        check_workflow(self.id, {"first_match": first_match})
        value = flow_of(self._nodes, self._spec.input_schema)
        for position, arm in enumerate(arms):
            if not isinstance(arm, (list, tuple)) or len(arm) != 2 or not _is_condition(arm[0]):
                raise WorkflowDefinitionError(
                    f"Arm {position} of a branch in workflow {self.id!r} must be a pair of a "
                    "condition and a step."
                )
        built = tuple((condition, self._unit(step)) for condition, step in arms)
        self._add(BranchNode(self._names.name(".branch"), built, first_match, value))
        return cast("Keyed[In, Out]", self)

    @overload
    def dowhile(
        self, step: StepLike[Value, Next], condition: ConditionOn[Next]
    ) -> Workflow[In, Out, Next]: ...
    @overload
    def dowhile(
        self: Keyed[In, Out], step: StepLike[Any, Next], condition: ConditionOn[Next]
    ) -> Workflow[In, Out, Next]: ...
    def dowhile(self, step: Stepable, condition: Any) -> Any:
        """Run a step on its own output for as long as a condition of that output holds."""
        return self._loop(step, condition, "dowhile")

    @overload
    def dountil(
        self, step: StepLike[Value, Next], condition: ConditionOn[Next]
    ) -> Workflow[In, Out, Next]: ...
    @overload
    def dountil(
        self: Keyed[In, Out], step: StepLike[Any, Next], condition: ConditionOn[Next]
    ) -> Workflow[In, Out, Next]: ...
    def dountil(self, step: Stepable, condition: Any) -> Any:
        """Run a step on its own output until a condition of that output holds."""
        return self._loop(step, condition, "dountil")

    def _loop(self, step: Stepable, condition: Condition, kind: Any) -> Any:
        if not _is_condition(condition):
            raise WorkflowDefinitionError(f"{kind} in workflow {self.id!r} needs a condition.")
        unit = self._unit(step)
        return self._add(LoopNode(unit.op, unit, condition, kind, flow_of([unit], ANY)))

    def foreach(
        self: Listing[In, Out, Item], step: StepLike[Item, Next], concurrency: int | Dynamic = 1
    ) -> Workflow[In, Out, list[Next]]:
        """Run a step once for each item of the list that flows in; a list of outputs flows out.

        Args:
            step: What to run.
            concurrency: How many items at once, or a function of the context that says so.
        """
        if not callable(concurrency) and not COUNT_FROM_1.holds(concurrency):
            raise WorkflowDefinitionError(
                f"Foreach in workflow {self.id!r}: concurrency must be 1 or more."
            )
        value = flow_of(self._nodes, self._spec.input_schema)
        unit = self._unit(step)
        self._add(ForeachNode(unit.op, unit, concurrency, value))
        return cast("Workflow[In, Out, list[Next]]", self)

    def sleep(self, duration: float | timedelta | Dynamic, *, id: str | None = None) -> Self:
        """Wait for a time; what flows in flows out.

        Args:
            duration: Seconds, a `timedelta`, or a function of the context that gives one.
            id: Its id; by default `sleep_<workflow id>_<n>`.
        """
        if not callable(duration):
            seconds_of(duration, f"Sleep in workflow {self.id!r}")
        return self._sleep("sleep", duration, id)

    def sleep_until(self, moment: datetime | Dynamic, *, id: str | None = None) -> Self:
        """Wait until a moment; what flows in flows out.

        Args:
            moment: A `datetime` (without a zone: local time), or a function that gives one.
            id: Its id; by default `sleep_<workflow id>_<n>`.
        """
        if not callable(moment) and not isinstance(moment, datetime):
            raise WorkflowDefinitionError(
                f"sleep_until in workflow {self.id!r} takes a datetime or a function, not "
                f"{type(moment).__name__}."
            )
        return self._sleep("sleepUntil", moment, id)

    def _sleep(self, kind: Any, duration: Any, sleep_id: str | None) -> Self:
        name = sleep_id or f"sleep_{self.id}_{self._sleeps}"
        check_id(name, "Sleep")
        self._sleeps += 1
        value = flow_of(self._nodes, self._spec.input_schema)
        return self._add(SleepNode(self._names.name(name), name, kind, duration, value))

    def commit(self) -> Workflow[In, Out, Out]:
        """Check the graph and freeze it. Calling it again changes nothing.

        Raises:
            WorkflowDefinitionError: The graph cannot be run as it is.
        """
        if not self._is_committed:
            nodes = tuple(self._with_follow())
            spec = replace(
                self._spec,
                nodes=nodes,
                steps=outputs_of(nodes),
                value=flow_of(nodes, self._spec.input_schema),
            )
            check_spec(spec, stacklevel=3)
            self._spec = spec
            self._is_committed = True
        return cast("Workflow[In, Out, Out]", self)

    def _with_follow(self) -> Sequence[Node]:
        nodes = list(self._nodes)
        for place, node in enumerate(nodes[:-1]):
            after = nodes[place + 1]
            if isinstance(node, StepNode) and isinstance(after, BranchNode):
                nodes[place] = replace(node, follow=after)
        return nodes

    # -- as a part of others -------------------------------------------------------------------

    def as_step(self) -> Step[In, Out]:
        """Return the workflow as a step of another."""
        spec = self.spec

        async def call(_: StepContext[Any]) -> Any:
            raise WorkflowDefinitionError(f"Workflow {spec.id!r} is walked, not called.")

        return Step(
            id=spec.id,
            input_schema=spec.input_schema,
            output_schema=spec.output_schema,
            execute=call,
            call=call,
            description=spec.description,
            component="WORKFLOW",
            nested=spec,
        )

    def bound_to(
        self, runtime: Runtime, kept: Sequence[Workflow[Any, Any, Any]] = ()
    ) -> Workflow[In, Out, Value]:
        """Return the same workflow, run by another engine, store and `Mastra`.

        Args:
            runtime: The engine, the store and the `Mastra`.
            kept: All versions of it, where runs go on by the one that they began with.
        """
        bound = copy.copy(self)
        versions = tuple(version.spec for version in kept)
        units = (unit for node in self.spec.nodes for unit in node.units)
        if versions or any(isinstance(unit, WorkflowNode) for unit in units):
            bound._spec = replace(self.spec, kept=versions, beside=runtime.versions)  # noqa: SLF001
        bound.bind(runtime)
        return bound


def _is_condition(given: Any) -> bool:
    # A step can be called, too, and stands in a condition's place only by mistake.
    return callable(given) and not isinstance(given, Step)


# Types that are no classes (unions, `Annotated`) are `Any` to a type checker.
@overload
def create_workflow(
    id: str,
    input_schema: type[In],
    output_schema: type[Out],
    **options: Unpack[WorkflowOptions],
) -> Workflow[In, Out, In]: ...
@overload
def create_workflow(
    id: str, input_schema: type[In], output_schema: Any, **options: Unpack[WorkflowOptions]
) -> Workflow[In, Any, In]: ...
@overload
def create_workflow(
    id: str, input_schema: Any, output_schema: type[Out], **options: Unpack[WorkflowOptions]
) -> Workflow[Any, Out, Any]: ...
@overload
def create_workflow(
    id: str, input_schema: Any, output_schema: Any, **options: Unpack[WorkflowOptions]
) -> Workflow[Any, Any, Any]: ...
@python_options
def create_workflow(
    id: str,
    input_schema: Any,
    output_schema: Any,
    *,
    version: str | None = None,
    description: str | None = None,
    state_schema: Any = None,
    request_context_schema: Any = None,
    retry_config: RetryConfig | Mapping[str, Any] | None = None,
    on_start: Callable[[Any], Any] | None = None,
    on_finish: Callable[[Any], Any] | None = None,
    on_error: Callable[[Any], Any] | None = None,
    should_persist_snapshot: Callable[[Any], bool] | None = None,
    validate_inputs: bool = True,
    validate_outputs: bool = True,
    metadata: Mapping[str, Any] | None = None,
    scorers: Mapping[str, Any] | None = None,
    strict: bool = False,
    schedule: Any = None,
    **flow_control: Unpack[FlowOptions],
) -> Workflow[Any, Any, Any]:
    """Begin a workflow.

    Args:
        id: Its id: text without `.` and `/`.
        input_schema: What a run takes: any type that pydantic can validate.
        output_schema: What a run gives.
        version: Which definition under this id it is, where an earlier one is kept for its runs.
        description: What it is for.
        state_schema: The run's state; left out, a dict that nobody checks.
        request_context_schema: What the request context of a run must hold.
        retry_config: How failed steps are tried again, unless they say so themselves.
        on_start: Called before a run begins; raising refuses it.
        on_finish: Called whenever a run ends or suspends.
        on_error: Called when a run fails.
        should_persist_snapshot: Asked, with `workflow_status` and `step_results`, whether to store.
        validate_inputs: Whether inputs are checked.
        validate_outputs: Whether outputs are checked.
        metadata: Facts of your own.
        scorers: What scores its outputs once they are given, by key, as of an agent.
        strict: Whether a run fails whose last value does not meet `output_schema`.
        schedule: When it runs by itself: a `WorkflowSchedule` or a dict of its fields, or a list of
            them, each with an id.
        flow_control: When its runs begin, and how many at once: see `FlowOptions`.
    """
    check_id(id, "Workflow")
    check_workflow(id, locals())
    flow: dict[str, Any] = {}
    if flow_control:
        from mastra.workflows.workflow_options import checked_options  # noqa: PLC0415 - likewise

        flow = checked_options(flow_control)
    spec = WorkflowSpec(
        id=id,
        version=None if version is None else str(version),
        nodes=(),
        input_schema=given_schema(input_schema, f"Input of workflow {id!r}"),
        output_schema=given_schema(output_schema, f"Output of workflow {id!r}"),
        state_schema=optional_schema(state_schema, f"State of workflow {id!r}"),
        request_context_schema=optional_schema(
            request_context_schema, f"request_context_schema of workflow {id!r}"
        ),
        description=description,
        metadata=metadata,
        scorers=scorers,
        retry=retry_of(retry_config),
        validate_inputs=validate_inputs,
        validate_outputs=validate_outputs,
        strict=strict,
        should_persist_snapshot=should_persist_snapshot,
        on_start=on_start,
        on_finish=on_finish,
        on_error=on_error,
        flow_control=flow,
    )
    if schedule is not None:
        from mastra.workflows.schedule import schedules_of  # noqa: PLC0415 - where there is one

        spec = replace(spec, schedules=schedules_of(schedule, spec))
    return Workflow(spec)


def clone_workflow(workflow: Workflow[In, Out, Value], id: str) -> Workflow[In, Out, Value]:
    """Return the same workflow under another id, committed if the original is.

    Raises:
        WorkflowDefinitionError: It is no workflow, or the id cannot be one.
    """
    check_id(id, "Workflow")
    given: Any = workflow
    if not isinstance(given, Workflow):
        raise WorkflowDefinitionError(f"clone_workflow takes a workflow, not {shown(given)}.")
    cloned = copy.copy(workflow)
    cloned._spec = replace(workflow._spec, id=id)  # noqa: SLF001
    cloned._nodes = list(workflow._nodes)  # noqa: SLF001
    cloned._names = workflow._names.copy()  # noqa: SLF001
    return cloned
