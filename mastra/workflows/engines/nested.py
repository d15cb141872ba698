"""Workflows inside workflows: walked in place, with a prefix to their operations' ids."""

from __future__ import annotations

from mastra.errors import StepValidationError
from mastra.jsonable import Json
from mastra.schema import SchemaMismatch
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.blocks import end_block, end_halted, open_block, start_block
from mastra.workflows.engines.step_runner import fail_record
from mastra.workflows.engines.travel import travel_input
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import WorkflowNode, WorkflowSpec

__all__ = ["run_workflow"]


async def run_workflow(
    walk: Walk,
    scope: Scope,
    node: WorkflowNode,
    op_id: str,
    name: str,
    value: Json,
    *,
    iteration: int | None = None,
    index: int | None = None,
) -> Json:
    """Walk a nested workflow in place; its steps are named `<workflow>.<step>`."""
    run, spec = walk.run, node.spec
    if run.reopening.travel is not None:
        value = travel_input(walk, op_id, value)
    block = open_block(walk, scope, op_id, name, value)
    block.iteration = iteration
    is_silent = index is not None
    if not is_silent:
        start_block(walk, block)
    try:
        checked = value
        if spec.validate_inputs and not spec.input_schema.is_any:
            checked = _nested_input(walk, scope, spec, block, value)
        inner = Scope(spec, spec.retry, f"{op_id}/", f"{block.step_id}.", checked)
        if spec.drive is not None:  # no workflow of its own, so it is tried again as this one says
            inner.retry = scope.retry
        if spec.has_callbacks:
            from mastra.workflows.engines.callbacks import nested_started  # noqa: PLC0415 - few have any

            await nested_started(walk, inner, spec)
        output = await _walk_nested(walk, inner, spec, block)
    except Halt as halt:
        end_halted(walk, block, halt, is_silent=is_silent)
        raise
    block.output = output
    block.status = "success"
    end_block(walk, block, is_silent=is_silent)
    return output


async def _walk_nested(walk: Walk, scope: Scope, spec: WorkflowSpec, block: StepRecord) -> Json:
    end: Halt | None = None
    output: Json = None
    try:
        output = await walk.nested(walk, scope, spec, scope.init_data)
    except Halt as halt:
        if halt.status == "bailed" and halt.record is not None:
            output = halt.record.output  # what bails ends the workflow it is in, and no other
        else:
            end = halt
    if spec.has_callbacks:
        from mastra.workflows.engines.callbacks import nested_ended  # noqa: PLC0415 - as above

        await nested_ended(walk, scope, spec, block, end, output)
    if end is not None:
        raise end
    return output


def _nested_input(
    walk: Walk, scope: Scope, spec: WorkflowSpec, block: StepRecord, value: Json
) -> Json:
    run, travel = walk.run, walk.run.reopening.travel
    try:
        return spec.input_schema.pack(spec.input_schema.unpack(value))
    except SchemaMismatch as mismatch:
        if travel is not None and travel.op_id.startswith(f"{block.op_id}/"):
            return value  # the run goes back to a step inside, and nothing may be known before it
        error = mismatch.into(
            StepValidationError,
            f"Input of nested workflow {block.step_id!r} in workflow {scope.workflow_id!r}",
            stepId=block.step_id,
        )
        error.code = "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
        raise Halt("failed", fail_record(run, block, error)) from None
