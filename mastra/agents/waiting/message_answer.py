"""A user's next message as the answer to a tool that waits for one.

The model is asked which waiting call the message answers, if any, and for the data to resume it
with. Approvals are not among them: that somebody agrees is never left to a model to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson
from pydantic import BaseModel, Field

from mastra.agents.calls.delegation import without_tools
from mastra.agents.calls.outcomes import APPROVAL_SCHEMA
from mastra.agents.limits import UsageLimits
from mastra.agents.output import OutputReader, StructuredOutput
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.wait import Resume
from mastra.agents.waiting.resume import runs_of, take
from mastra.agents.waiting.suspended import WaitingCall
from mastra.errors import ModelError, RunNotFoundError
from mastra.jsonable import dump_json
from mastra.logs import get_logger
from mastra.models.base import ModelRequest
from mastra.models.collect import collect
from mastra.models.messages import Message
from mastra.schema import SchemaMismatch
from mastra.tools.tool_step import APPROVAL_KEY

__all__ = ["answered_run"]


class _Answer(BaseModel):
    tool_call_id: str | None = Field(description="Which waiting call is answered; null for none")
    resume_data: str | None = Field(description="The data to resume it with, as JSON text")


_OUTPUT: Final = StructuredOutput(_Answer)

_INSTRUCTIONS: Final = (
    "Tool calls wait for somebody's answer. Decide whether the user's last message answers one of "
    "them, and if it does, make the data that this call is resumed with: take it from the "
    "messages, make nothing up, and keep to the call's resumeSchema. Where the message answers "
    "none of them, or does not say enough, both fields are null."
)


async def answered_run(run: AgentRun) -> tuple[Resume, dict[str, Any]] | None:
    """Claim the run of this thread that the user's message answers; return the answer, and to what.

    `None` where it answers none.

    Raises:
        ModelError: The model could not be asked.
    """
    if run.thread_id is None:
        return None
    here = (run.thread_id, run.resource_id)
    calls: dict[str, tuple[str, WaitingCall]] = {}
    waiting = await runs_of(run).list_suspended({"thread_id": run.thread_id})
    for found in waiting.runs:
        if found.error is None and (found.thread_id, found.resource_id) == here:
            answerable = filter(_is_answerable, found.tool_calls)
            calls |= {call.tool_call_id: (found.run_id, call) for call in answerable}
    if not calls:
        return None
    answer = await _ask(run, [call for _, call in calls.values()])
    if answer is None or answer[0] not in calls:
        return None
    run_id, call = calls[answer[0]]
    if not _fits(run, call, answer[1]):
        return None
    return await _take(run, Resume(answer[0], data=answer[1]), run_id)


def _is_answerable(call: WaitingCall) -> bool:
    # An approval inside of a sub-agent or a workflow waits as its tool's suspension.
    return (
        call.kind == "suspended"
        and _schema_of(call) != APPROVAL_SCHEMA
        and not _holds_approval(call.suspend_payload)
    )


def _holds_approval(payload: Any) -> bool:
    if not isinstance(payload, Mapping):
        return False
    known = cast("Mapping[str, Any]", payload)
    return (
        APPROVAL_KEY in known
        or known.get("resumeSchema") == APPROVAL_SCHEMA
        or any(map(_holds_approval, known.values()))
    )


def _schema_of(call: WaitingCall) -> str | None:
    payload: Any = call.suspend_payload
    nested = cast("Mapping[str, Any]", payload if isinstance(payload, Mapping) else {})
    return call.resume_schema or nested.get("resumeSchema")


async def _ask(run: AgentRun, waiting: Sequence[WaitingCall]) -> tuple[str, Any] | None:
    """Return the call that is answered, and the data."""
    listed = [
        {
            "toolCallId": call.tool_call_id,
            "toolName": call.tool_name,
            "args": call.args,
            "suspendPayload": call.suspend_payload,
            "resumeSchema": _schema_of(call),
        }
        for call in waiting
    ]
    told = f"{_INSTRUCTIONS}\n{_OUTPUT.prompt()}\n\nWaiting:\n{dump_json(listed).decode()}"
    request = ModelRequest(
        messages=[Message("system", told), *without_tools(run.transcript.messages)],
        response_format=_OUTPUT.response_format(),
        settings=run.settings,
    )
    response = await collect(
        run.entries,
        request,
        default_retries=run.spec.max_retries,
        before=run.meter.before_request,
    )
    usage = response.finish.usage
    run.transcript.usage = run.transcript.usage + usage
    run.meter.answered(response.model, usage, response.metadata.model_id)
    try:
        answer: _Answer = OutputReader(_OUTPUT).final(response.text)
        if answer.tool_call_id is None or answer.resume_data is None:
            return None
        data: Any = orjson.loads(answer.resume_data)
    except (ModelError, orjson.JSONDecodeError) as error:
        _log(run, f"the model gave no readable answer: {error}")
        return None
    return answer.tool_call_id, data


def _fits(run: AgentRun, call: WaitingCall, data: Any) -> bool:
    """Return whether a tool may be resumed with what the model made."""
    tool = run.tools.get(call.tool_name)
    if tool is None or tool.resume_schema is None:
        return tool is not None and data not in (None, {})
    try:
        tool.resume_schema.load(data)
    except SchemaMismatch as mismatch:
        _log(run, f"what the model made of it does not fit {tool.id!r}: {mismatch}")
        return False
    return True


async def _take(run: AgentRun, resume: Resume, run_id: str) -> tuple[Resume, dict[str, Any]] | None:
    own, run.run_id = run.run_id, run_id
    try:
        waiting = await take(run, resume)
    except RunNotFoundError:
        # Somebody else has answered meanwhile, so this is a message like any other.
        run.run_id = own
        return None
    limits = waiting["options"].get("limits")
    if limits is not None:
        # A message that happens to answer a run gives it no more than it had.
        own_limits = UsageLimits.of(run.options.get("limits"))
        run.options["limits"] = own_limits.within(UsageLimits.of(limits))
    before = run.transcript.shown | {message.id for message in run.transcript.remembered}
    run.transcript.said = [
        message for message in run.transcript.messages if message.id not in before
    ]
    return resume, waiting


def _log(run: AgentRun, why: str) -> None:
    get_logger({"agent": run.spec.id, "thread": run.thread_id}).warning(
        "the message is not taken for the answer to a waiting tool: %s", why
    )
