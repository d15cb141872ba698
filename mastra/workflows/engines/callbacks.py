"""What workflows are told of their own start and end.

Those of a nested workflow are called as in the original, with the facts of its part of the run.
Each such call is an operation, so that it is made once, however often the graph is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mastra.dataclass import dataclass
from mastra.errors import MastraError
from mastra.failures import call_user
from mastra.jsonable import Json
from mastra.logs import BoundLogger, get_logger
from mastra.names import python_names
from mastra.request_context import RequestContext
from mastra.schema import SchemaMismatch
from mastra.services import Services
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.conditions import decision
from mastra.workflows.engines.scoring import offer_output
from mastra.workflows.error_data import error_from_json
from mastra.workflows.records import StepRecord
from mastra.workflows.results import StepResult
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.spec_forms import forms_of

__all__ = [
    "CallbackArgument",
    "call_at_end",
    "logger_of",
    "nested_ended",
    "nested_started",
]


@python_names
@dataclass(frozen=True, slots=True)
class CallbackArgument:
    """What `on_start`, `on_finish` and `on_error` are called with."""

    status: str
    result: Any
    error: MastraError | None
    steps: Mapping[str, StepResult]
    run_id: str
    workflow_id: str
    resource_id: str | None
    state: Mapping[str, Json]
    get_init_data: Callable[[], Any]
    mastra: Any
    request_context: RequestContext
    logger: BoundLogger
    tripwire: Mapping[str, Json] | None = None
    step_execution_path: tuple[str, ...] = ()


def logger_of(services: Services | None, run_id: str, workflow_id: str) -> BoundLogger:
    """Return a logger whose lines name the run."""
    names = {"run_id": run_id, "workflow_id": workflow_id}
    return get_logger(names, None if services is None else services.logger)


async def call_at_end(
    spec: WorkflowSpec, make_argument: Callable[[], CallbackArgument], status: str
) -> None:
    """Call `on_finish` and `on_error` as a status asks for; what they raise is logged."""
    callbacks = [spec.on_finish if status != "paused" else None]
    if status in ("failed", "tripwire"):
        callbacks.append(spec.on_error)
    if not any(callbacks):
        return
    argument = make_argument()
    for callback in callbacks:
        if callback is None:
            continue
        try:
            await call_user(callback, argument)
        except Exception:
            # The run has ended and is stored; a callback cannot change that.
            argument.logger.exception(
                "Callback %s of workflow %r raised after run %r had ended.",
                getattr(callback, "__name__", callback),
                spec.id,
                argument.run_id,
            )


# -- nested workflows ----------------------------------------------------------------------------


async def nested_started(walk: Walk, scope: Scope, spec: WorkflowSpec) -> None:
    """Call `on_start` of a workflow inside another, unless the run goes back into it.

    Raises:
        Halt: It raised, which fails the workflow.
    """
    callback, travel = spec.on_start, walk.run.reopening.travel
    if callback is None or (travel is not None and travel.op_id.startswith(scope.prefix)):
        return

    async def call(_: StepRecord) -> None:
        await call_user(callback, _argument(walk, scope, spec, "running"))

    await decision(walk, scope, f"{scope.prefix}0.~start", None, call)


async def nested_ended(
    walk: Walk, scope: Scope, spec: WorkflowSpec, block: StepRecord, end: Halt | None, output: Json
) -> None:
    """Call `on_finish` and `on_error` of a workflow inside another.

    Args:
        walk: The walk.
        scope: The inner workflow's.
        spec: The inner workflow.
        block: Its record.
        end: How it ended, where that was before its last node.
        output: What came out of it otherwise.
    """
    status = "success" if end is None else end.status
    is_told = status in ("success", "suspended", "failed", "tripwire")
    if status == "success" and spec.scorers is not None:

        async def offer(_: StepRecord) -> None:
            offer_output(walk.run, spec, scope.init_data, output)

        await decision(walk, scope, f"{scope.prefix}{len(spec.nodes)}.~score", None, offer)
    if not is_told or (spec.on_finish is None and (spec.on_error is None or status == "success")):
        return

    def argument() -> CallbackArgument:
        return _argument(walk, scope, spec, status, None if end is None else end.record, output)

    async def call(_: StepRecord) -> None:
        await call_at_end(spec, argument, status)

    # A workflow that suspends ends again in another leg, and that is told too.
    leg = "" if block.resumed_at is None else f":{block.resumed_at}"
    op_id = f"{scope.prefix}{len(spec.nodes)}.~end{leg}"
    await decision(walk, scope, op_id, None, call)


def _argument(
    walk: Walk,
    scope: Scope,
    spec: WorkflowSpec,
    status: str,
    record: StepRecord | None = None,
    output: Json = None,
) -> CallbackArgument:
    run = walk.run
    inside = {
        name.removeprefix(scope.names): known
        for name, known in run.latest.items()
        if name.startswith(scope.names)
    }
    error = None if record is None or status != "failed" else record.error
    result: Any = None
    if status == "success":
        try:
            result = spec.output_schema.unpack(output)
        except SchemaMismatch:  # an output that is not of its type is given as it is
            result = output
    cause = None if record is None else run.causes.get(record.op_id)
    forms = forms_of(spec)
    return CallbackArgument(
        status=status,
        result=result,
        error=None if error is None else error_from_json(error, cause),
        steps={
            name: StepResult.of(forms.shown(known), run.causes.get(known.op_id))
            for name, known in inside.items()
        },
        run_id=run.run_id,
        workflow_id=spec.id,
        resource_id=run.resource_id,
        state=forms.state.to_wire(run.state.values),
        get_init_data=lambda: spec.input_schema.unpack(scope.init_data),
        mastra=run.services,
        request_context=run.request_context,
        logger=logger_of(run.services, run.run_id, spec.id),
        tripwire=None if record is None else record.tripwire,
        step_execution_path=tuple(name for name in inside if "." not in name),
    )
