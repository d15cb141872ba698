"""Spans of runs and steps. Called only where somebody traces: a run without a span costs nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from mastra.errors import StorageError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.observability.spans import Span, SpanRef, Tracer
from mastra.storage.base import RunChanges
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.commands import Command
from mastra.workflows.records import StepRecord
from mastra.workflows.results import WorkflowResult
from mastra.workflows.versions.graph import note_of

__all__ = [
    "close_run_span",
    "keep_trace",
    "open_run_span",
    "trace_data",
    "traced_leg",
    "traced_step",
]

T = TypeVar("T")


def open_run_span(tracer: Tracer, command: Command, run: ActiveRun, stored: Any) -> None:
    """Begin the span of a leg of a run.

    Args:
        tracer: Who traces.
        command: What the engine was told to do.
        run: The run.
        stored: What the leg before kept of its trace, which this one goes on with.
    """
    name = run.workflow_id
    span = tracer.start(
        "workflow_run",
        f"workflow run: '{name}'",
        parent=SpanRef.of(stored),
        attributes={
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": name,
            "mastra.workflow.id": name,
            "mastra.run.id": run.run_id,
            "mastra.run.leg": command.kind,
        },
        entity=(name, name),
    )
    span.facts = {"runId": run.run_id, "resourceId": run.resource_id}
    if tracer.captures_content:
        span.input = run.input
    run.span = span


def trace_data(run: ActiveRun) -> dict[str, Json]:
    """Return what a run's head keeps of its trace, for the legs that follow."""
    return {} if run.span is None else {"trace": run.span.to_stored()}


async def keep_trace(
    command: Command, run: ActiveRun, known: Mapping[str, Json] | None = None
) -> None:
    """Store the trace of a leg that begins, so that after a crash the next one goes on with it.

    Args:
        command: What the engine was told to do.
        run: The run, with its span.
        known: What the run's head keeps; a trace that is there stays.
    """
    target = command.target
    data = known or {"initialState": command.initial_state, **note_of(target.spec)}
    if "trace" in data:
        return
    changes = RunChanges(data={**data, **trace_data(run)})
    try:
        await target.store.update_run(target.workflow_id, target.run_id, changes)
    except StorageError as error:
        # No reason not to run: after a crash the next leg would begin a trace of its own.
        get_logger().warning("The trace of run %r is not stored: %s", target.run_id, error)


def close_run_span(span: Span, result: WorkflowResult[Any] | BaseException) -> None:
    """End the span of a leg, with its result or the exception that cut it off."""
    if isinstance(result, BaseException):
        span.fail(result)
    else:
        span.set("mastra.run.status", result.status)
        if result.status == "failed":
            span.fail({"message": result.error.message, "name": type(result.error).__name__})
        if span.tracer.captures_content:
            span.output = getattr(result, "raw", None)
    span.end()


async def traced_leg(span: Span, leg: Awaitable[T]) -> T:
    """Drive a leg, and end its span also where the leg is cut off."""
    try:
        return await leg
    except BaseException as error:
        close_run_span(span, error)
        raise


async def traced_step(
    run: ActiveRun,
    parent: Span,
    step_id: str,
    component: str | None,
    body: Callable[[], Awaitable[StepRecord]],
) -> StepRecord:
    """Run a step inside a span of its own."""
    span = parent.tracer.start(
        "workflow_step",
        f"workflow step: '{step_id}'",
        parent=parent,
        attributes={
            "mastra.step.id": step_id,
            "mastra.step.component": component,
            "mastra.workflow.id": run.workflow_id,
            "mastra.run.id": run.run_id,
        },
        entity=(step_id, step_id),
    )
    span.facts = parent.facts
    with span.active():
        record = await body()
    span.set("mastra.step.status", record.status)
    if record.retry_count:
        span.set("mastra.step.retry_count", record.retry_count)
    if record.iteration is not None:
        span.set("mastra.step.iteration", record.iteration)
    if record.error is not None:
        span.fail(record.error)
    if parent.tracer.captures_content:
        span.input, span.output = record.payload, record.output
    span.end()
    return record
