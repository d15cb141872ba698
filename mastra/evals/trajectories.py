"""The steps that an agent or a workflow took, and how they compare with those it should have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from mastra.errors import InputValidationError
from mastra.evals.messages import invocations, is_called
from mastra.evals.numbers import js_json, round_to_two, within_unit

__all__ = [
    "analyze_tool_failures",
    "check_blacklist",
    "check_efficiency",
    "compare_trajectories",
    "extract_trajectory",
    "extract_workflow_trajectory",
]

Fields = Mapping[str, Any]


def _as_object(value: Any) -> Fields | None:
    if value is None or isinstance(value, Mapping):
        return cast("Fields | None", value)
    return {"value": value}


def extract_trajectory(output: Any) -> dict[str, Any]:
    """Return the tool calls of an agent's answer as `{"steps": […], "rawOutput": …}`."""
    steps: list[dict[str, Any]] = []
    for _, _, call in invocations(output):
        if not is_called(call):
            continue
        is_result = call.get("state") == "result"
        step = {
            "stepType": "tool_call",
            "name": call["toolName"],
            "toolArgs": _as_object(call.get("args")),
            "toolResult": _as_object(call.get("result")) if is_result else None,
            "success": is_result and call.get("isError") is not True,
        }
        steps.append({key: value for key, value in step.items() if value is not None})
    return {"steps": steps, "rawOutput": output}


def extract_workflow_trajectory(steps: Fields, path: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the steps of a run of a workflow.

    Args:
        steps: What came of each step, by id, as the wire has it.
        path: The ids in the order in which they ran.
    """
    taken: list[dict[str, Any]] = []
    for step_id in steps if path is None else path:
        found: Any = steps.get(step_id)
        if found is None:
            continue
        began, ended = found.get("startedAt"), found.get("endedAt")
        step = {
            "stepType": "workflow_step",
            "name": step_id,
            "stepId": step_id,
            "status": found.get("status"),
            "output": _as_object(found.get("output")),
            "durationMs": None if began is None or ended is None else ended - began,
        }
        taken.append({key: value for key, value in step.items() if value is not None})
    began = [found["startedAt"] for found in steps.values() if found.get("startedAt") is not None]
    ended = [found["endedAt"] for found in steps.values() if found.get("endedAt") is not None]
    trajectory: dict[str, Any] = {"steps": taken, "rawWorkflowResult": {"stepResults": steps}}
    if began and ended:
        trajectory["totalDurationMs"] = max(ended) - min(began)
    return trajectory


# -- comparing -------------------------------------------------------------------------------------

_COMPARED: Mapping[str, tuple[str, ...]] = {
    "tool_call": ("toolArgs", "toolResult", "success"),
    "mcp_tool_call": ("toolArgs", "toolResult", "mcpServer", "success"),
    "model_generation": ("modelId", "promptTokens", "completionTokens", "finishReason"),
    "agent_run": ("agentId",),
    "workflow_step": ("stepId", "status", "output"),
    "workflow_run": ("workflowId", "status"),
    "workflow_conditional": ("conditionCount", "selectedSteps"),
    "workflow_parallel": ("branchCount", "parallelSteps"),
    "workflow_loop": ("loopType", "totalIterations"),
    "workflow_sleep": ("sleepDurationMs", "sleepType"),
    "workflow_wait_event": ("eventName", "eventReceived"),
    "processor_run": ("processorId",),
}


def _matches(actual: Fields, expected: Fields) -> bool:
    kind = expected.get("stepType")
    if actual["name"] != expected["name"] or (kind and actual.get("stepType") != kind):
        return False
    fields = _COMPARED.get(kind or "", ())
    return all(
        field in actual and js_json(actual[field]) == js_json(expected[field])
        for field in fields
        if field in expected
    )


def compare_trajectories(
    actual: Fields,
    expected: Sequence[Fields],
    *,
    ordering: str = "relaxed",
    allow_repeated_steps: bool = True,
) -> dict[str, Any]:
    """Return how the steps taken compare with those expected.

    Args:
        actual: The trajectory.
        expected: The steps it should have: `name`, and what else has to be equal.
        ordering: `strict` (the same steps at the same places), `relaxed` (in that order, with
            others between them) or `unordered`.
        allow_repeated_steps: Whether a step taken more than once costs nothing.
    """
    steps: Sequence[Fields] = actual["steps"]
    names = [step["name"] for step in steps]
    wanted = [step["name"] for step in expected]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not expected:
        found: dict[str, Any] = {"score": 0 if steps else 1, "outOfOrderSteps": []}
        matched, extra, repeated = set[int](), names, []
    else:
        compare = {"strict": _strict, "unordered": _unordered}.get(ordering, _relaxed)
        matched, out_of_order = compare(steps, expected)
        score = len(matched) / len(expected)
        if ordering == "strict" and len(names) > len(wanted):
            score = max(0.0, score - (len(names) - len(wanted)) / len(wanted) * 0.5)
        if not allow_repeated_steps:
            score = max(0.0, score - len(repeated) * 0.1)
        found = {"score": round_to_two(within_unit(score)), "outOfOrderSteps": out_of_order}
        extra = [name for name in names if name not in wanted]
    return found | {
        "matchedSteps": len(matched),
        "totalExpectedSteps": len(expected),
        "totalActualSteps": len(steps),
        "missingSteps": [name for at, name in enumerate(wanted) if at not in matched],
        "extraSteps": extra,
        "repeatedSteps": repeated,
    }


def _strict(steps: Sequence[Fields], expected: Sequence[Fields]) -> tuple[set[int], list[str]]:
    wanted = {step["name"] for step in expected}
    matched, misplaced = set[int](), list[str]()
    for at, step in enumerate(steps):
        is_there = at < len(expected) and expected[at]["name"] == step["name"]
        if is_there and _matches(step, expected[at]):
            matched.add(at)
        elif not is_there and step["name"] in wanted:
            misplaced.append(step["name"])
    return matched, misplaced


def _relaxed(steps: Sequence[Fields], expected: Sequence[Fields]) -> tuple[set[int], list[str]]:
    names = {step["name"] for step in steps}
    matched, misplaced = set[int](), list[str]()
    reached = 0
    for at, wanted in enumerate(expected):
        later = range(reached, len(steps))
        place = next((place for place in later if _matches(steps[place], wanted)), None)
        if place is not None:
            matched.add(at)
            reached = place + 1
        elif wanted["name"] in names:
            misplaced.append(wanted["name"])
    return matched, misplaced


def _unordered(steps: Sequence[Fields], expected: Sequence[Fields]) -> tuple[set[int], list[str]]:
    matched, used = set[int](), set[int]()
    for at, wanted in enumerate(expected):
        for place, step in enumerate(steps):
            if place not in used and _matches(step, wanted):
                matched.add(at)
                used.add(place)
                break
    return matched, []


# -- budgets ---------------------------------------------------------------------------------------


def _is_measure(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _tokens(steps: Sequence[Fields], limit: Any) -> float:
    """Return the tokens of all model calls, nested ones too.

    Raises:
        InputValidationError: There is a limit, and a call does not say how many it took.
    """
    total, calls, waiting = 0, 0, [*steps]
    while waiting:
        step = waiting.pop()
        if step.get("stepType") == "model_generation":
            calls += 1
            counts = [step.get("promptTokens"), step.get("completionTokens")]
            if limit is not None and not all(map(_is_measure, counts)):
                raise InputValidationError(
                    f"max_total_tokens cannot be checked: model call {step['name']!r} does not say "
                    "how many tokens it took."
                )
            total += sum(count or 0 for count in counts)
        waiting += step.get("children") or ()
    if limit is not None and not calls:
        raise InputValidationError(
            "max_total_tokens cannot be checked: the trajectory has no model calls."
        )
    return total


def _duration(trajectory: Fields, limit: Any) -> float:
    """Return the milliseconds that all steps took.

    Raises:
        InputValidationError: There is a limit, and a step does not say how long it took.
    """
    steps: Sequence[Fields] = trajectory["steps"]
    total: Any = trajectory.get("totalDurationMs")
    known = [total] if total is not None else [step.get("durationMs") for step in steps]
    if limit is not None and not (known and all(map(_is_measure, known))):
        raise InputValidationError(
            "max_total_duration_ms cannot be checked: the steps do not say how long they took."
        )
    return total if total is not None else sum(step.get("durationMs") or 0 for step in steps)


def _redundant(steps: Sequence[Fields]) -> list[dict[str, Any]]:
    return [
        {"name": step["name"], "index": at + 1}
        for at, (before, step) in enumerate(pairwise(steps))
        if before["name"] == step["name"]
        and before.get("stepType") == step.get("stepType")
        and step.get("stepType") in ("tool_call", "mcp_tool_call")
        and js_json(before.get("toolArgs")) == js_json(step.get("toolArgs"))
    ]


def check_efficiency(
    trajectory: Fields,
    *,
    max_steps: float | None = None,
    max_total_tokens: float | None = None,
    max_total_duration_ms: float | None = None,
    no_redundant_calls: bool = True,
) -> dict[str, Any]:
    """Return how a trajectory keeps to its budgets.

    Raises:
        InputValidationError: A limit is no number from 0, or what it limits was not measured.
    """
    limits = {
        "max_steps": max_steps,
        "max_total_tokens": max_total_tokens,
        "max_total_duration_ms": max_total_duration_ms,
    }
    for name, limit in limits.items():
        if limit is not None and not _is_measure(limit):
            raise InputValidationError(f"{name} is {limit!r}: give a number from 0.")
    steps: Sequence[Fields] = trajectory["steps"]
    tokens = _tokens(steps, max_total_tokens)
    duration = _duration(trajectory, max_total_duration_ms)
    redundant = _redundant(steps) if no_redundant_calls else []
    used = (len(steps), tokens, duration)
    parts = [
        _budget(spent, limit)
        for spent, limit in zip(used, limits.values(), strict=True)
        if limit is not None
    ]
    if no_redundant_calls:
        parts.append(max(0.0, 1 - len(redundant) * 0.2))
    score = sum(parts) / len(parts) if parts else 1.0
    over = [
        limit is not None and spent > limit
        for spent, limit in zip(used, limits.values(), strict=True)
    ]
    return {
        "score": round_to_two(within_unit(score)),
        "totalSteps": len(steps),
        "overStepBudget": over[0],
        "totalTokens": tokens,
        "overTokenBudget": over[1],
        "totalDurationMs": duration,
        "overDurationBudget": over[2],
        "redundantCalls": redundant,
    }


def _budget(spent: float, limit: float) -> float:
    if spent <= limit:
        return 1.0
    return 0.0 if limit == 0 else max(0.0, 1 - (spent - limit) / limit)


def check_blacklist(
    trajectory: Fields, *, tools: Sequence[str] = (), sequences: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """Return whether a trajectory has a forbidden tool, or forbidden ones in a row."""
    names = [step["name"] for step in trajectory["steps"]]
    violated = [tool for tool in tools if tool in names]
    rows = [
        sequence
        for sequence in sequences
        if sequence
        and any(
            names[at : at + len(sequence)] == list(sequence)
            for at in range(len(names) - len(sequence) + 1)
        )
    ]
    score = 0 if violated or rows else 1
    return {"score": score, "violatedTools": violated, "violatedSequences": rows}


def analyze_tool_failures(trajectory: Fields, *, max_retries_per_tool: float = 2) -> dict[str, Any]:
    """Return how often tools failed and were called again."""
    kinds = ("tool_call", "mcp_tool_call")
    calls = [step for step in trajectory["steps"] if step.get("stepType") in kinds]
    patterns: list[dict[str, Any]] = []
    at = 0
    while at < len(calls):
        end = at + 1
        while end < len(calls) and calls[end]["name"] == calls[at]["name"]:
            end += 1
        retries = sum(call.get("success") is False for call in calls[at : end - 1])
        if retries:
            succeeded = calls[end - 1].get("success") is not False
            other = calls[end]["name"] if end < len(calls) and not succeeded else None
            pattern = {
                "toolName": calls[at]["name"],
                "retryCount": retries,
                "fellBackToAlternative": other is not None,
                "alternativeTool": other,
                "eventuallySucceeded": succeeded,
            }
            patterns.append({key: value for key, value in pattern.items() if value is not None})
        at = end
    beyond = [max(0, found["retryCount"] - max_retries_per_tool) for found in patterns]
    score = max(0.0, 1 - sum(beyond) * 0.2)
    return {
        "score": round_to_two(within_unit(score)) if calls else 1,
        "patterns": patterns,
        "totalRetries": sum(cast("int", found["retryCount"]) for found in patterns),
        "excessiveRetryTools": [
            found["toolName"] for found, over in zip(patterns, beyond, strict=True) if over
        ],
    }
