"""A tool as a step of a workflow.

A tool that a person must agree to suspends the run first, with `{"requireToolApproval": {"toolName",
"args"}}`, and goes on when it is resumed with `{"approved": true}`. Resumed with `false` the step
fails, and the tool has not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, cast

from mastra.errors import ConfigError, NonRetryableError, StepValidationError, ValidationError
from mastra.failures import error_to_json
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.services import Services
from mastra.tools.approval import asks_approval
from mastra.tools.execute import is_error_result
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext, WorkflowCall
from mastra.workflows.step import Step, create_step
from mastra.workflows.step_context import StepContext

__all__ = ["APPROVAL_KEY", "REFUSED", "services_of", "still_waiting", "tool_as_step"]

APPROVAL_KEY = "requireToolApproval"
REFUSED = "refused"
"""Where what waits says why the last answer to it was not taken."""
"""What a step's suspension has that waits for approval."""


def tool_as_step(tool: Tool[Any, Any], options: Mapping[str, Any]) -> Step[Any, Any]:
    """Return a step that runs a tool, with the tool's schemas."""
    may_ask = bool(tool.require_approval)

    async def execute(ctx: StepContext[Any]) -> Any:
        context = _context(ctx, tool if may_ask else None)
        if may_ask:
            await _ask(tool, ctx, context)
        result = await tool.execute(ctx.input_data, context)
        if is_error_result(result):
            raise StepValidationError(str(result["message"]), code="TOOL_VALIDATION_FAILED")
        return result

    # Given as one, since `component` and `made_of` are for the library alone and in no overload.
    made: dict[str, Any] = {
        "id": tool.id,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema or ANY,
        # What an approval says meets no schema of the tool's own suspension, so those are then
        # looked at here.
        "suspend_schema": None if may_ask else tool.suspend_schema,
        "resume_schema": None if may_ask else tool.resume_schema,
        "component": "TOOL",
        "made_of": tool.id,
        **options,
    }
    return create_step(execute=execute, **made)


async def _ask(tool: Tool[Any, Any], ctx: StepContext[Any], context: ToolContext) -> None:
    """Return when a person agreed, or nobody has to.

    Raises:
        NonRetryableError: A person did not agree.
    """
    waited: Any = ctx.suspend_data
    asked = waited.get(APPROVAL_KEY) if isinstance(waited, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if asked is None and waited is not None:
        # The tool itself suspended, which it can only have done when it ran.
        context.is_approved = True
        context.resume_data = _loaded(tool.resume_schema, ctx.resume_data, tool, "resumed with")
        context.suspend_data = _loaded(tool.suspend_schema, waited, tool, "suspended with")
        return
    # What it is resumed with is the answer to the question, and none of the tool's business.
    context.resume_data = context.suspend_data = None
    if asked is None and not await asks_approval(tool, ctx.input_data, context):
        context.is_approved = True
        return
    if asked is not None and isinstance(ctx.resume_data, Mapping):
        answer = cast("Mapping[str, Any]", ctx.resume_data)
        if answer.get("approved") is True:
            context.is_approved = True
            return
        if answer.get("approved") is False:
            raise NonRetryableError(
                str(answer.get("reason") or f"Tool {tool.id!r} was not approved."),
                code="TOOL_NOT_APPROVED",
            )
    await ctx.suspend(
        {
            APPROVAL_KEY: {
                "toolName": tool.id,
                "args": tool.input_schema.dump(ctx.input_data, what=f"The input of {tool.id!r}"),
            },
            "message": 'Resume with {"approved": true} or {"approved": false, "reason": "…"}.',
        }
    )


def _loaded(schema: Schema[Any] | None, value: Any, tool: Tool[Any, Any], what: str) -> Any:
    if schema is None or value is None:
        return value
    try:
        return schema.load(value)
    except SchemaMismatch as mismatch:
        raise mismatch.into(ValidationError, f"What tool {tool.id!r} was {what}") from None


def _context(ctx: StepContext[Any], checked: Tool[Any, Any] | None) -> ToolContext:
    """Return a tool's view of a step.

    Args:
        ctx: The step's.
        checked: The tool, where its suspension is not checked by the step's schema.
    """

    def suspend(payload: Any, resume_label: Any = None) -> NoReturn:
        if checked is not None and checked.suspend_schema is not None:
            loaded = _loaded(checked.suspend_schema, payload, checked, "suspending with")
            payload = checked.suspend_schema.dump(loaded)
        _ = ctx.suspend(payload, resume_label=resume_label)
        raise AssertionError("suspend never returns")  # pragma: no cover

    return ToolContext(
        mastra=services_of(ctx),
        request_context=ctx.request_context,
        abort_signal=ctx.abort_signal,
        writer=ctx.writer,
        resume_data=ctx.resume_data,
        suspend_data=ctx.suspend_data,
        workflow=WorkflowCall(ctx.workflow_id, ctx.run_id, ctx.state),
        suspender=suspend,
    )


def still_waiting(ctx: Any, error: ValidationError) -> dict[str, Any]:
    """Return what a step or a tool suspends with once more, whose agent or workflow took no answer."""
    return {**ctx.suspend_data, REFUSED: error_to_json(error)}


def services_of(ctx: StepContext[Any]) -> Services | None:
    """Return the application that a step runs under, or `None` where there is none."""
    try:
        return ctx.mastra
    except ConfigError:
        return None
