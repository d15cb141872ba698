"""What came of a step's tool calls: streamed in order, and told to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from mastra.agents.calls.runner import CallRunner
from mastra.agents.chunks import (
    ToolApprovalPayload,
    ToolDeniedPayload,
    ToolErrorPayload,
    ToolResultPayload,
    ToolSuspendedPayload,
)
from mastra.agents.records.leg import RecordedLeg
from mastra.agents.records.requested_call import (
    Denied,
    Done,
    Elsewhere,
    NeedsApproval,
    Outcome,
    Raised,
    RequestedCall,
    Suspended,
    told_of,
)
from mastra.agents.records.waiting_leg import WaitingLeg
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder
from mastra.ids import new_id
from mastra.jsonable import dump_json
from mastra.models.messages import Message, MessagePart

__all__ = [
    "APPROVAL_SCHEMA",
    "add_answer",
    "settle_calls",
    "stream_outcome",
    "tell_outcomes",
]

APPROVAL_SCHEMA: Final = dump_json(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "approved": {
                "type": "boolean",
                "description": (
                    "Controls if the tool call is approved or not, should be true when approved "
                    "and false when declined"
                ),
            },
            "reason": {
                "description": (
                    "Optional explanation for the decision, surfaced to the model when the tool "
                    "call is declined"
                ),
                "type": "string",
            },
        },
        "required": ["approved"],
        "additionalProperties": False,
    }
).decode()
"""The answer to a `tool-call-approval`."""


async def settle_calls(run: AgentRun, recorder: StepRecorder, runner: CallRunner) -> bool:
    """Stream the outcomes that are next in order; return whether there will be more.

    The conversation gets the assistant's message and the results once all of them are there.
    """
    settled: dict[str, Outcome] = run.state.setdefault("settled", {})
    known = len(settled)
    for call in recorder.calls:
        if call.id in settled:
            continue
        task = runner.tasks.get(call.id)
        if task is None:
            settled[call.id] = Elsewhere()
            continue
        if not task.done():
            if len(settled) == known:  # else its readers see what there is first
                await run.tools_told()
            return True
        outcome = task.result()
        settled[call.id] = outcome
        stream_outcome(run, recorder.result, runner, call, outcome)
    del run.state["settled"]
    await run.flush()  # processors are to see what tools wrote before it is kept
    tell_outcomes(run, recorder, settled)
    return False


def stream_outcome(
    run: AgentRun,
    result: LLMStepResult,
    runner: CallRunner,
    call: RequestedCall,
    outcome: Outcome,
) -> None:
    """Stream what came of a call."""
    match outcome:
        case Done():
            payload = ToolResultPayload(
                call.args, call.id, call.name, outcome.result, outcome.is_error or None
            )
            result.tool_results.append(run.emit("tool-result", payload))
        case Raised():
            run.emit("tool-error", ToolErrorPayload(call.args, call.id, call.name, outcome.error))
        case NeedsApproval():
            run.emit(
                "tool-call-approval",
                ToolApprovalPayload(call.id, call.name, call.args, APPROVAL_SCHEMA),
            )
        case Suspended():
            schema = runner.resume_schema(call.name)
            run.emit(
                "tool-call-suspended",
                ToolSuspendedPayload(call.id, call.name, call.args, outcome.payload, schema),
            )
        case Denied():
            approval = {"id": call.id, "approved": False, "reason": outcome.reason}
            run.emit(
                "tool-output-denied", ToolDeniedPayload(call.id, call.name, call.args, approval)
            )
        case Elsewhere():
            pass
        case _:
            assert_never(outcome)


def add_answer(run: AgentRun, recorder: StepRecorder) -> None:
    """Add what the model said to the conversation."""
    content = recorder.result.content
    content += run.transcript.take_written()
    if content:
        message_id = run.transcript.message_id
        # A step that a processor did not let stand is no message: the next has the announced id.
        if any(step.finish_reason != "retry" for step in run.transcript.steps):
            message_id = new_id() if run.operation is None else run.operation.answer_id
        run.transcript.messages.append(Message("assistant", tuple(content), id=message_id))


def tell_outcomes(run: AgentRun, recorder: StepRecorder, outcomes: Mapping[str, Outcome]) -> None:
    """Add the step to the conversation, and note what it waits for.

    A call without an outcome is one that nobody has run.
    """
    recorder.is_told = True
    if not recorder.is_resumed:
        add_answer(run, recorder)
    leg = _noted(run, recorder, outcomes)
    results: list[MessagePart] = []
    for call in recorder.calls:
        outcome = outcomes.get(call.id, Elsewhere())
        if isinstance(outcome, NeedsApproval | Suspended):
            run.wait.calls[call.id] = (call, outcome)
        elif told := told_of(call, outcome):
            results += told
        elif not call.provider_executed:
            run.state["client_side"] = True
    if results:
        recorder.result.content.extend(results)
        message = Message("tool", tuple(results), id=new_id() if leg is None else leg.told_id)
        run.transcript.messages.append(message)
        if leg is not None:
            run.transcript.told = message
    if run.wait.calls:
        run.status = "suspended"
    else:
        # Providers want a call's result right after the call.
        said, run.transcript.said = run.transcript.said, []
        run.transcript.messages += said


def _noted(
    run: AgentRun, recorder: StepRecorder, outcomes: Mapping[str, Outcome]
) -> RecordedLeg | None:
    """Note a step that waits, or has waited; return where it is recorded, if it is."""
    if run.operation is not None:
        return run.operation
    waits = any(isinstance(item, NeedsApproval | Suspended) for item in outcomes.values())
    if not waits and not recorder.is_resumed:
        return None
    leg = run.wait.leg = run.wait.leg or WaitingLeg(run)
    leg.note(recorder.result, recorder.calls, outcomes)
    return leg
