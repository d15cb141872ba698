"""A tool as a step of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from mastra.errors import ConfigError, StepValidationError
from mastra.schema import ANY
from mastra.services import Services
from mastra.tools.execute import is_error_result
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext, WorkflowCall
from mastra.workflows.step import Step, create_step
from mastra.workflows.step_context import StepContext

__all__ = ["services_of", "tool_as_step"]


def tool_as_step(tool: Tool[Any, Any], options: Mapping[str, Any]) -> Step[Any, Any]:
    """Return a step that runs a tool, with the tool's schemas."""

    async def execute(ctx: StepContext[Any]) -> Any:
        result = await tool.execute(ctx.input_data, _context(ctx))
        if is_error_result(result):
            raise StepValidationError(str(result["message"]), code="TOOL_VALIDATION_FAILED")
        return result

    # Given as one, since `component` is for the library alone and in no overload.
    made: dict[str, Any] = {
        "id": tool.id,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema or ANY,
        "suspend_schema": tool.suspend_schema,
        "resume_schema": tool.resume_schema,
        "component": "TOOL",
        **options,
    }
    return create_step(execute=execute, **made)


def _context(ctx: StepContext[Any]) -> ToolContext:
    async def suspend(payload: Any, resume_label: Any = None) -> NoReturn:
        await ctx.suspend(payload, resume_label=resume_label)

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


def services_of(ctx: StepContext[Any]) -> Services | None:
    """Return the application that a step runs under, or `None` where there is none."""
    try:
        return ctx.mastra
    except ConfigError:
        return None
