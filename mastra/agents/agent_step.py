"""An agent as a step of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mastra.agents.calls.delegation import SubAgent, resumed, what_it_waits_for
from mastra.agents.options import output_of
from mastra.errors import ResumeValidationError, TripwireError
from mastra.tools.tool_step import services_of, still_waiting
from mastra.workflows.step import Step, create_step
from mastra.workflows.step_context import StepContext

__all__ = ["AgentStepInput", "AgentStepOutput", "agent_as_step"]


class AgentStepInput(BaseModel):
    """What a step made of an agent takes."""

    prompt: str
    """What to ask."""


class AgentStepOutput(BaseModel):
    """What a step made of an agent gives."""

    text: str
    """What the agent said."""


STEP_OPTIONS = ("id", "description", "retries", "metadata")
"""Those of the options of `as_step` that are the step's own."""


def refuse_tripped(result: Any) -> None:
    """Fail the step where a processor refused.

    Raises:
        TripwireError: One did.
    """
    if result.tripwire is not None:
        details = {
            "retry": result.tripwire.retry,
            "metadata": result.tripwire.metadata,
            "processorId": result.tripwire.processor_id,
        }
        raise TripwireError(
            result.tripwire.reason,
            details={name: fact for name, fact in details.items() if fact is not None},
        )


def agent_as_step(agent: SubAgent, options: Mapping[str, Any]) -> Step[Any, Any]:
    """Return a step that asks an agent: `{prompt}` in, `{text}` or the structured output out.

    What the agent streams reaches the readers of the workflow's run. An agent that waits for
    somebody's answer suspends the step.
    """
    asked: Any = {key: value for key, value in options.items() if key not in STEP_OPTIONS}
    output = output_of(asked)

    async def execute(ctx: StepContext[Any]) -> Any:
        services = services_of(ctx)
        own = agent if services is None else agent.bound_to(services)
        call: dict[str, Any] = {
            "request_context": ctx.request_context,
            "abort_signal": ctx.abort_signal,
            **asked,
        }
        stream = resumed(own, ctx, call) or own.stream(ctx.input_data.prompt, **call)
        try:
            async with stream:
                await stream.pipe_to(ctx.writer)
                result = await stream.result()
        except ResumeValidationError as error:
            return await ctx.suspend(still_waiting(ctx, error))
        refuse_tripped(result)
        if result.finish_reason == "suspended":
            return await ctx.suspend(what_it_waits_for(result))
        return AgentStepOutput(text=result.text) if output is None else result.object

    # Given as one, since `component` and `made_of` are for the library alone and in no overload.
    made: dict[str, Any] = {
        "id": options.get("id", agent.id),
        "description": options.get("description", agent.description),
        "retries": options.get("retries"),
        "metadata": options.get("metadata"),
        "input_schema": AgentStepInput,
        "output_schema": AgentStepOutput if output is None else output.validator,
        "component": "AGENT",
        "made_of": agent.id,
    }
    return create_step(execute=execute, **made)
