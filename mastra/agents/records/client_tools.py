"""Tools that whoever asks runs: how they are described, and what they gave.

What they gave is told with the answer to another call of the same step, which waited. Only a call
that the model has made, that the caller runs and that nobody has answered takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mastra.agents.results import LLMStepResult
from mastra.errors import InputValidationError
from mastra.given import shown
from mastra.jsonable import Json
from mastra.models.message_forms import message_from
from mastra.models.messages import ToolResultPart
from mastra.tools.named import named_tools
from mastra.tools.tool import Tool, ToolSetInput, create_tool

__all__ = ["described", "elsewhere_with", "from_description", "results_by_call", "unanswered"]


def described(tools: ToolSetInput | None) -> dict[str, Json]:
    """Return tools as they are stored: whoever asked runs them, so what is said of them is all."""
    return {
        name: [tool.id, tool.description, tool.input_json_schema]
        for name, tool in named_tools(tools).items()
    }


def from_description(stored: Mapping[str, Any]) -> dict[str, Tool[Any, Any]]:
    """Return the tools that `described` was given."""
    return {name: create_tool(*facts) for name, facts in stored.items()}


def results_by_call(given: Sequence[Mapping[str, Any]] | None) -> dict[str, ToolResultPart]:
    """Return results by their calls; of several for one the first counts.

    Args:
        given: As `client_results` of a call: parts of a message of role `tool`.

    Raises:
        InputValidationError: One of them is no result.
    """
    found: dict[str, ToolResultPart] = {}
    for item in given or ():
        for part in message_from({"role": "tool", "content": [item]}).parts:
            if not isinstance(part, ToolResultPart) or not isinstance(item, Mapping):
                raise InputValidationError(
                    f"client_results hold {shown(item)}, which is no result of a tool: give "
                    '{"type": "tool-result", "toolCallId": ..., "toolName": ..., "output": ...}.'
                )
            found.setdefault(part.tool_call_id, part)
    return found


def unanswered(step: LLMStepResult) -> dict[str, str]:
    """Return the calls of a step that have no result, with their tools."""
    told = {part.tool_call_id for part in step.content if isinstance(part, ToolResultPart)}
    asked = (chunk.payload for chunk in step.tool_calls)
    return {
        call.tool_call_id: call.tool_name
        for call in asked
        if call.tool_call_id not in told and not call.provider_executed
    }


def elsewhere_with(
    asked: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return what came of calls as it is recorded, with what was told of those that ran elsewhere.

    Args:
        asked: The calls.
        outcomes: What each has recorded; one that waited also what was told with its answer.
    """
    told: dict[str, ToolResultPart] = {}
    for outcome in outcomes:
        told = {**results_by_call(outcome.get("told")), **told}
    return [
        _recorded(told[call["toolCallId"]])
        if outcome["kind"] == "elsewhere" and call["toolCallId"] in told
        else outcome
        for call, outcome in zip(asked, outcomes, strict=True)
    ]


def _recorded(part: ToolResultPart) -> dict[str, Json]:
    error: dict[str, Json] = {"isError": True} if part.is_error else {}
    return {"kind": "done", "result": part.result, **error, "isTold": True}
