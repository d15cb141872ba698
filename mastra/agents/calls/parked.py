"""The calls of a durable run, each an operation of its own: left to those, and taken up again."""

from __future__ import annotations

from mastra.agents.calls.outcomes import add_answer
from mastra.agents.calls.runner import CallRunner
from mastra.agents.records.operation import Operation
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder

__all__ = ["park", "take_up"]


def park(run: AgentRun, operation: Operation, recorder: StepRecorder, runner: CallRunner) -> bool:
    """Record the run as it is, if the model asks for tools; return whether it does."""
    calls = recorder.calls
    if recorder.is_resumed or not recorder.own_calls:
        return False
    run.status = "parked"
    add_answer(run, recorder)
    operation.park(recorder.result, calls, list(runner.tools), runner.at_once(calls))
    return True


def take_up(
    run: AgentRun, operation: Operation, step: LLMStepResult, runner: CallRunner
) -> StepRecorder:
    """Return the step that asked for the calls, with what came of them."""
    recorder = StepRecorder.resumed(run, operation, step, runner.start)
    for call_id, outcome in operation.recall(recorder.calls).items():
        runner.know(call_id, outcome)
    return recorder
