"""A workflow seen as a tool: `workflow-<key>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mastra.errors import NotFoundError, ResumeValidationError, ToolError, WorkflowFailedError
from mastra.request_context import RESOURCE_ID
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import ToolContext
from mastra.tools.tool_step import still_waiting
from mastra.workflows.results import WorkflowFailed, WorkflowSuccess, WorkflowSuspended
from mastra.workflows.workflow import Workflow

__all__ = ["workflow_tool"]


def workflow_tool(key: str, workflow: Workflow[Any, Any, Any]) -> Tool[Any, Any]:
    """Return a tool that runs a workflow and streams its events.

    A workflow that suspends suspends the tool, and goes on when the agent's run is resumed.
    """
    schema = workflow.input_schema

    async def run(given: Any, ctx: ToolContext) -> dict[str, Any]:
        own = _registered(workflow, ctx)
        waits: Any = ctx.suspend_data
        if ctx.resume_data is not None and isinstance(waits, Mapping):
            known = cast("Mapping[str, Any]", waits)
            resumed = await own.create_run(known["runId"])
            stream = resumed.resume_stream(resume_data=ctx.resume_data, step=known["step"])
        else:
            started = await own.create_run(resource_id=ctx.request_context.get(RESOURCE_ID))
            stream = started.stream(input_data=given, request_context=ctx.request_context)
        try:
            async with stream:
                async for event in stream:
                    await ctx.writer.write(event)
                result = await stream.result()
        except ResumeValidationError as error:
            return await ctx.suspend(still_waiting(ctx, error))
        match result:
            case WorkflowSuccess():
                return {"result": result.raw, "runId": result.run_id}
            case WorkflowSuspended():
                return await ctx.suspend(
                    {
                        "runId": result.run_id,
                        "step": list(result.suspended[0]),
                        "suspendPayload": result.suspend_payload,
                    }
                )
            case WorkflowFailed():
                # What a step said to its caller is told; what it raised, the model is.
                is_said = isinstance(result.error, ToolError)
                failure = ToolError if is_said else WorkflowFailedError
                raise failure(f"Workflow {workflow.id!r} failed: {result.error}") from result.error
            case _:
                raise ToolError(f"Workflow {workflow.id!r} ended as {result.status!r}.")

    return create_tool(
        f"workflow-{key}",
        workflow.description or f"Workflow: {workflow.id}",
        schema,
        execute=run,
    )


def _registered(workflow: Workflow[Any, Any, Any], ctx: ToolContext) -> Workflow[Any, Any, Any]:
    """Return the application's own version, where it has one: its runs are stored there."""
    if ctx.mastra is None:
        return workflow
    try:
        return cast("Workflow[Any, Any, Any]", ctx.mastra.get_workflow_by_id(workflow.id))
    except NotFoundError:
        return workflow
