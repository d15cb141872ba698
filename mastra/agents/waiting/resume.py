"""A run stops to wait for a person, and goes on with the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mastra.agents.calls.outcomes import APPROVAL_SCHEMA
from mastra.agents.calls.runner import CallRunner, Resumption
from mastra.agents.chunks import plain
from mastra.agents.limits import UsageLimits
from mastra.agents.records.client_tools import described, from_description, results_by_call
from mastra.agents.records.earlier_waits import rows_of_earlier
from mastra.agents.records.requested_call import (
    Done,
    Elsewhere,
    NeedsApproval,
    Outcome,
    RequestedCall,
    Suspended,
)
from mastra.agents.records.step_records import written_from
from mastra.agents.records.waiting_leg import WaitingLeg
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder
from mastra.agents.run.wait import Resume
from mastra.agents.waiting.held_run import HeldRun
from mastra.agents.waiting.stored_runs import StoredRuns, stored_runs
from mastra.agents.waiting.suspended import WaitingCall
from mastra.clock import now_ms
from mastra.errors import (
    InputValidationError,
    ResumeValidationError,
    RunStateError,
    StorageError,
)
from mastra.jsonable import Json, to_jsonable
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import ToolResultPart
from mastra.request_context import RESOURCE_ID, RequestContext
from mastra.schema import SchemaMismatch
from mastra.storage.damage import UNREADABLE

__all__ = [
    "begin_resumed",
    "put_to_wait",
    "restore",
    "resumption_of",
    "runs_of",
    "take",
    "waiting_call",
    "what_to_answer",
]

_KEPT = ("max_steps", "tool_choice", "active_tools", "memory")
"""Options that a run goes on with. A function is not stored; whoever goes on gives it again."""


async def take(run: AgentRun, resume: Resume) -> dict[str, Any]:
    """Claim a run, take over what the call does not say itself, and return what it waits for.

    Raises:
        StorageError: The run cannot be read (`ROW_UNREADABLE`).
    """
    run.wait.held = held = HeldRun(runs_of(run), run)
    # Where a server knows who calls, only their own runs go on.
    loaded = await held.take(run.request_context.get(RESOURCE_ID))
    waiting = cast("dict[str, Any]", loaded.head.data["waiting"])
    try:
        _chosen_call(run.run_id, waiting, resume.tool_call_id)
        kept = RequestContext(waiting.get("requestContext", loaded.head.request_context))
        thread_id, options = waiting["threadId"], dict(waiting["options"])
        if "client_tools" in options:
            options["client_tools"] = from_description(options["client_tools"])
        rows = rows_of_earlier(waiting) if "messages" in waiting else []
        if rows:
            waiting = {**waiting, "used": None}  # they have it
        journal = loaded.journal | {row.op_id: row for row in rows}
        run.wait.leg = WaitingLeg(run, journal, waiting)
        run.wait.leg.rows = rows
    except UNREADABLE as error:
        raise _unreadable(run, error) from error
    for key, value in run.request_context.items():
        kept.set(key, value)
    run.request_context = kept
    run.thread_id = thread_id
    run.resource_id = loaded.head.resource_id
    for key, value in options.items():
        run.options.setdefault(key, value)
    return waiting


def _unreadable(run: AgentRun, cause: Exception) -> StorageError:
    return runs_of(run).unreadable(run.run_id, f"it holds {cause!r}")


def _chosen_call(
    run_id: str, waiting: Mapping[str, Any], tool_call_id: str | None
) -> Mapping[str, Any]:
    """Return the waiting call that an answer is for.

    Raises:
        RunStateError: It is not among those that wait, or it is not clear which is meant.
    """
    calls: list[Mapping[str, Any]] = waiting["waiting"]
    if tool_call_id is None and len(calls) == 1:
        return calls[0]
    for call in calls:
        if call["tool_call_id"] == tool_call_id:
            return call
    listed = ", ".join(repr(call["tool_call_id"]) for call in calls)
    raise RunStateError(
        f"Run {run_id!r} waits for the tool calls {listed}: say which with tool_call_id."
    )


def restore(run: AgentRun) -> LLMStepResult:
    """Put a run that was taken to where it waits; return the step that it is in.

    Raises:
        StorageError: The run cannot be read (`ROW_UNREADABLE`).
    """
    try:
        run.meter.limits = UsageLimits.of(run.options.get("limits"))
        return _leg_of(run).restore()
    except (InputValidationError, *UNREADABLE) as error:
        raise _unreadable(run, error) from error


def _leg_of(run: AgentRun) -> WaitingLeg:
    leg = run.wait.leg
    assert leg is not None  # noqa: S101 - it was taken, or its calls wait, so their step was noted
    return leg


def begin_resumed(
    run: AgentRun,
    resume: Resume,
    waiting: Mapping[str, Any],
    step: LLMStepResult,
    runner: CallRunner,
) -> StepRecorder:
    """Go on in the step that a run stopped in: start the calls that may.

    Args:
        run: The run, as `restore` has left it.
        resume: The answer.
        waiting: What it waits for.
        step: The step.
        runner: Runs the calls.

    Raises:
        InputValidationError: What the caller's own tools gave is no result.
        ResumeValidationError: The answer is not what the tool waits for.
        StorageError: The run cannot be read (`ROW_UNREADABLE`).
    """
    chosen = _chosen_call(run.run_id, waiting, resume.tool_call_id)
    told = results_by_call(run.options.get("client_results"))
    leg = _leg_of(run)
    try:
        recorder = StepRecorder.resumed(run, leg, step, runner.start)
        settled = run.state["settled"] = leg.recall(step, recorder.calls)
    except (InputValidationError, *UNREADABLE) as error:
        raise _unreadable(run, error) from error
    resumption = resumption_of(
        runner,
        chosen,
        resume.data,
        approved=resume.approved,
        reason=resume.reason,
        args=resume.args,
    )
    waits = {call["tool_call_id"]: call for call in waiting["waiting"]}
    for call in recorder.calls:
        if call.id in waits:
            call.written = written_from(waits[call.id].get("written", ()))
        if call.id == chosen["tool_call_id"]:
            runner.resumptions[call.id] = resumption
            runner.start(call)
        elif call.id in waits:
            # It goes on waiting, and its readers know already.
            settled[call.id] = _still(waits[call.id])
    _take_elsewhere(told, recorder, runner, settled)
    return recorder


def _take_elsewhere(
    told: Mapping[str, ToolResultPart],
    recorder: StepRecorder,
    runner: CallRunner,
    settled: dict[str, Outcome],
) -> None:
    """Take in what the calls of the step have given that whoever asked runs, as far as it is known.

    Without it the run ends with the step, as it does where nothing waited.
    """
    for call in list(recorder.calls):
        if not isinstance(settled.get(call.id), Elsewhere):
            continue
        del settled[call.id]
        if not runner.runs_elsewhere(call.name):
            recorder.calls.remove(call)
        elif call.id in told:
            runner.know(call.id, Done(told[call.id].result, told[call.id].is_error))


def _still(call: Mapping[str, Any]) -> NeedsApproval | Suspended:
    return NeedsApproval() if call["kind"] == "approval" else Suspended(call["suspend_payload"])


def resumption_of(
    runner: CallRunner,
    call: Mapping[str, Any],
    data: Any = None,
    *,
    approved: bool | None = None,
    reason: str | None = None,
    args: Mapping[str, Any] | None = None,
) -> Resumption:
    """Return what a waiting call is resumed with.

    Raises:
        ResumeValidationError: It is not what the tool waits for.
        SerializationError: JSON cannot hold it.
    """
    to_jsonable([reason, args], what="The reason or the arguments of an answer")
    if call["kind"] == "approval":
        # `resume_stream({"approved": …})` answers an approval as well.
        if approved is None and isinstance(data, Mapping):
            known = cast("Mapping[str, Any]", data)
            # Only `true` is leave: the text "false" is not.
            approved, reason = known.get("approved") is True, known.get("reason")
        return Resumption(approved=approved is True, reason=reason, args=args)
    if approved is False:
        return Resumption(approved=False, reason=reason)
    if data is None and approved is not None:
        data = {"approved": approved}
    return Resumption(
        # It goes on with the arguments that it was approved with.
        args=call["args"],
        data=_checked(runner, call["tool_name"], data),
        suspend_payload=call["suspend_payload"],
    )


def _checked(runner: CallRunner, tool_name: str, data: Any) -> Any:
    schema = runner.schema_of_resume(tool_name)
    if schema is None:
        return data
    try:
        return schema.load(data)
    except SchemaMismatch as mismatch:
        raise mismatch.into(
            ResumeValidationError, f"What tool {tool_name!r} is resumed with", tool=tool_name
        ) from None


def waiting_call(
    runner: CallRunner, call: RequestedCall, outcome: NeedsApproval | Suspended
) -> WaitingCall:
    """Return a call that waits, as it is stored."""
    written = [part_to_wire(part) for part in call.written]
    if isinstance(outcome, NeedsApproval):
        schema = APPROVAL_SCHEMA
        return WaitingCall(
            call.id, call.name, call.args, "approval", resume_schema=schema, written=written
        )
    payload = to_jsonable(outcome.payload, what=f"What tool {call.name!r} suspended with")
    schema = runner.resume_schema(call.name)
    return WaitingCall(call.id, call.name, call.args, "suspended", payload, schema, written)


def what_to_answer(call: WaitingCall) -> Json:
    """Return what whoever answers a call needs to know."""
    if call.kind == "suspended":
        return call.suspend_payload
    return {"toolCallId": call.tool_call_id, "toolName": call.tool_name, "args": call.args}


def runs_of(run: AgentRun) -> StoredRuns:
    """Return the stored runs of a run's agent."""
    return stored_runs(run.services, run.spec.runs, run.spec.id)


async def put_to_wait(run: AgentRun, runner: CallRunner) -> None:
    """Store what a resume needs, and say what the run waits for."""
    calls = [waiting_call(runner, call, outcome) for call, outcome in run.wait.calls.values()]
    first = calls[0]
    run.wait.payload = what_to_answer(first)
    run.wait.schema = first.resume_schema
    waiting: dict[str, Json] = {
        "createdAt": now_ms(),
        "threadId": run.thread_id,
        "waiting": [call.to_stored() for call in calls],
        "options": _kept_options(run),
        **_leg_of(run).to_waiting(),
    }
    await (run.wait.held or HeldRun(runs_of(run), run)).wait(waiting)


def _kept_options(run: AgentRun) -> dict[str, Json]:
    options = run.options
    kept: dict[str, Json] = {key: plain(options.get(key)) for key in _KEPT if key in options}
    if options.get("client_tools"):
        kept["client_tools"] = described(options.get("client_tools"))
    if "limits" in options:
        kept["limits"] = UsageLimits.of(options.get("limits")).to_json()
    if options.get("require_tool_approval") is True:
        kept["require_tool_approval"] = True
    return kept
