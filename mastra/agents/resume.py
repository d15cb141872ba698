"""A run stops to wait for a person, and goes on with the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mastra.agents.claim import Claim
from mastra.agents.client_tools import from_description, results_by_call, unanswered
from mastra.agents.recorder import RequestedCall, StepRecorder
from mastra.agents.run import AgentRun
from mastra.agents.run_record import chosen_call, restore, to_record
from mastra.agents.stored_runs import StoredRuns, stored_runs
from mastra.agents.suspended import WaitingCall
from mastra.agents.tool_calls import CallRunner, Done, NeedsApproval, Resumption, Suspended
from mastra.agents.tool_outcomes import APPROVAL_SCHEMA
from mastra.errors import InputValidationError, ResumeValidationError, StorageError
from mastra.jsonable import Json, to_jsonable
from mastra.request_context import RESOURCE_ID, RequestContext
from mastra.schema import SchemaMismatch
from mastra.storage.damage import UNREADABLE, unreadable

__all__ = [
    "Resume",
    "begin_resumed",
    "put_to_wait",
    "resumption_of",
    "runs_of",
    "take",
    "waiting_call",
    "what_to_answer",
]


@dataclass(frozen=True, slots=True)
class Resume:
    """An answer to a run that waits."""

    runs: StoredRuns
    """Where the run is kept."""
    tool_call_id: str | None = None
    """Which call is answered, where several wait."""
    approved: bool | None = None
    """The answer to an approval."""
    reason: str | None = None
    """Why not."""
    args: Mapping[str, Any] | None = None
    """In place of the arguments of a call that is approved."""
    data: Any = None
    """The answer to a suspended tool."""


async def take(run: AgentRun, resume: Resume) -> dict[str, Any]:
    """Claim the run's record and take over what the call does not say itself.

    Raises:
        StorageError: The run cannot be read (`ROW_UNREADABLE`).
    """
    run.wait.claim = Claim(resume.runs, run.run_id)
    # Where a server knows who calls, only their own runs go on.
    record = await run.wait.claim.take(run.request_context.get(RESOURCE_ID))
    try:
        chosen_call(record, resume.tool_call_id)
        kept = RequestContext(record["requestContext"])
        thread_id, resource_id = record["threadId"], record["resourceId"]
        options = dict(record["options"])
        if "client_tools" in options:
            options["client_tools"] = from_description(options["client_tools"])
    except UNREADABLE as error:
        raise _unreadable(run, error) from error
    for key, value in run.request_context.items():
        kept.set(key, value)
    run.request_context = kept
    run.thread_id = thread_id
    run.resource_id = resource_id
    for key, value in options.items():
        run.options.setdefault(key, value)
    return record


def _unreadable(run: AgentRun, cause: Exception) -> StorageError:
    return unreadable(f"Run {run.run_id!r} of agent {run.spec.id!r}", f"it holds {cause!r}")


def begin_resumed(
    run: AgentRun, resume: Resume, record: Mapping[str, Any], runner: CallRunner
) -> StepRecorder:
    """Put the run back into the step it stopped in and start the calls that may go on.

    Raises:
        ResumeValidationError: The answer is not what the tool waits for.
        StorageError: The run cannot be read (`ROW_UNREADABLE`).
    """
    chosen = chosen_call(record, resume.tool_call_id)
    try:
        result, calls = restore(run, record)
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
    recorder = StepRecorder(run, result.model, runner.start)
    recorder.result = result
    recorder.is_resumed = True
    recorder.calls = calls
    for call in calls:
        if call.id == chosen["tool_call_id"]:
            runner.resumptions[call.id] = resumption
            runner.start(call)
        else:
            # It goes on waiting, and its readers know already.
            run.wait.calls[call.id] = (call, _still(record, call))
            run.state.setdefault("settled", {})[call.id] = run.wait.calls[call.id][1]
    _take_elsewhere(run, recorder, runner)
    return recorder


def _take_elsewhere(run: AgentRun, recorder: StepRecorder, runner: CallRunner) -> None:
    """Take in the calls of the step that whoever asked runs, and what they are known to have given.

    Without it the run ends with the step, as it does where nothing waited.
    """
    told = results_by_call(run.options.get("client_results"))
    waiting = {call.id for call in recorder.calls}
    left = unanswered(recorder.result)
    for chunk in recorder.result.tool_calls:
        asked = chunk.payload
        call_id = asked.tool_call_id
        is_theirs = call_id in left and runner.runs_elsewhere(asked.tool_name)
        if not is_theirs or call_id in waiting:
            continue
        call = RequestedCall(call_id, asked.tool_name, asked.args)
        recorder.calls.append(call)
        if call_id in told:
            runner.know(call, Done(told[call_id].result, told[call_id].is_error))


def _still(record: Mapping[str, Any], call: RequestedCall) -> NeedsApproval | Suspended:
    found = chosen_call(record, call.id)
    return NeedsApproval() if found["kind"] == "approval" else Suspended(found["suspend_payload"])


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
    """
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
    if isinstance(outcome, NeedsApproval):
        schema = APPROVAL_SCHEMA
        return WaitingCall(call.id, call.name, call.args, "approval", resume_schema=schema)
    payload = to_jsonable(outcome.payload, what=f"What tool {call.name!r} suspended with")
    schema = runner.resume_schema(call.name)
    return WaitingCall(call.id, call.name, call.args, "suspended", payload, schema)


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
    waiting = [waiting_call(runner, call, outcome) for call, outcome in run.wait.calls.values()]
    first = waiting[0]
    run.wait.payload = what_to_answer(first)
    run.wait.schema = first.resume_schema
    record = to_record(run, waiting)
    if run.wait.claim is not None:
        await run.wait.claim.save(run, record)
    else:
        await runs_of(run).save(run, record, None)
