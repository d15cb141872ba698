"""What follows a step: another one, or the end. Users' checks and hooks have their say here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mastra.agents.completion import TaskCompletePayload, TaskState, check_task, feedback_of
from mastra.agents.iterations import IterationContext, IterationDecision
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun, tell_callback
from mastra.agents.stop_conditions import DEFAULT_MAX_STEPS, should_stop
from mastra.errors import ConfigError
from mastra.failures import call_user
from mastra.logs import get_logger
from mastra.models.stored_messages import feedback_message

__all__ = ["is_run_over"]


async def is_run_over(run: AgentRun, result: LLMStepResult, *, wants_more: bool) -> bool:
    """Return whether the run ends with this step.

    Args:
        run: The run, with the step among its steps.
        result: The step.
        wants_more: Whether the model waits for what its tools gave.
    """
    limit = _limit(run)
    may_go_on = limit is None or len(run.transcript.steps) < limit
    if not wants_more:
        wants_more = await _fails_checks(run, result, limit)
    is_over = not wants_more or await should_stop(
        run.transcript.steps, run.options.get("max_steps"), run.options.get("stop_when")
    )
    if run.state.pop("stops_next", False):
        is_over = True
    is_over = await _after_hook(run, result, is_over=is_over, may_go_on=may_go_on)
    # Whoever a sub-agent's answer was enough for has the last word.
    is_over = run.state.pop("is_bailed", False) or is_over
    for text in run.state.pop("feedback", ()):
        run.transcript.messages.append(feedback_message(text, is_hidden=True))
    return is_over


def _limit(run: AgentRun) -> int | None:
    limit = run.options.get("max_steps")
    return DEFAULT_MAX_STEPS if limit is None and run.options.get("stop_when") is None else limit


async def _fails_checks(run: AgentRun, result: LLMStepResult, limit: int | None) -> bool:
    """Return whether the task is not done yet, having told the model so."""
    wanted = run.options.get("is_task_complete")
    if wanted is None or result.finish_reason == "error":
        return False
    iteration = len(run.transcript.steps)
    before = run.transcript.shown | {message.id for message in run.transcript.remembered}
    state = TaskState(
        iteration,
        limit,
        next(
            (m.text for m in run.transcript.messages if m.role == "user" and m.id not in before), ""
        ),
        result.text,
        result.tool_calls,
        result.tool_results,
        run.transcript.messages,
        run.spec.id,
        run.spec.name,
        run.run_id,
        run.thread_id,
        run.resource_id,
        run.request_context,
    )
    found = await check_task(wanted, state)
    await tell_callback(run, "on_complete", wanted.get("on_complete"), found)
    is_last = limit is not None and iteration >= limit
    is_hidden = bool(wanted.get("suppress_feedback", False))
    if not found.complete:
        told = feedback_of(found, is_last=is_last)
        run.transcript.messages.append(feedback_message(told, is_hidden=is_hidden))
    run.emit(
        "is-task-complete",
        TaskCompletePayload(
            iteration,
            found.complete,
            found.scorers,
            found.total_duration,
            found.timed_out,
            is_last,
            is_hidden,
            found.completion_reason,
        ),
    )
    return not found.complete


async def _after_hook(
    run: AgentRun, result: LLMStepResult, *, is_over: bool, may_go_on: bool
) -> bool:
    hook = run.options.get("on_iteration_complete")
    if hook is None:
        return is_over
    context = IterationContext(
        len(run.transcript.steps),
        _limit(run),
        result.text,
        result.tool_calls,
        result.tool_results,
        is_over,
        result.finish_reason,
        run.run_id,
        run.thread_id,
        run.resource_id,
        run.spec.id,
        run.spec.name,
        run.transcript.messages,
    )
    try:
        decision = _decision(await call_user(hook, context))
    except Exception as error:  # noqa: BLE001 - a hook that looks on must not lose the answer
        get_logger({"agent": run.spec.id, "run": run.run_id}).error(
            "on_iteration_complete raised; the run goes on as if it were not there", exc_info=error
        )
        return is_over
    wanted, feedback = decision.get("continue"), decision.get("feedback")
    if wanted and is_over and may_go_on:
        is_over = False
    elif wanted is False and not is_over:
        # What is still to be said is said in one more step.
        is_over = not feedback
        run.state["stops_next"] = bool(feedback)
    if feedback and not is_over:
        run.transcript.messages.append(feedback_message(feedback, is_hidden=True))
    return is_over


def _decision(given: Any) -> IterationDecision:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or cast("Mapping[str, Any]", given).keys() - {
        "continue",
        "feedback",
    }:
        raise ConfigError(
            f"on_iteration_complete returned {given!r}: return None, or a dict with 'continue' "
            "and 'feedback'."
        )
    return cast("IterationDecision", given)
