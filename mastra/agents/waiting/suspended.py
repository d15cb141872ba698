"""Runs that wait for a person, as their readers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict, cast

from mastra.clock import iso_from_ms
from mastra.failures import error_to_json
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunHead
from mastra.storage.damage import UNREADABLE, unreadable

__all__ = [
    "SuspendedRun",
    "SuspendedRuns",
    "WaitingCall",
    "Wanted",
    "run_from_head",
    "unreadable_run",
]


class Wanted(TypedDict, total=False):
    """Which runs that wait are asked for; as `WorkflowStore.list_waiting` takes it."""

    thread_id: str | None
    resource_id: str | None
    from_ms: int | None
    to_ms: int | None
    offset: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A tool call that waits."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What is called."""
    args: Json
    """With what."""
    kind: str
    """`approval` or `suspended`."""
    suspend_payload: Json = None
    """What the tool suspended with."""
    resume_schema: str | None = None
    """The JSON Schema of the answer, as text."""
    written: list[Any] = field(default_factory=list[Any])
    """What it has written so far for those who read the conversation, as message parts."""

    def to_stored(self) -> dict[str, Json]:
        """Return it as JSON data, which are the arguments of the class."""
        stored = asdict(self)
        if not self.written:
            del stored["written"]
        return stored

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        wire: dict[str, Json] = {
            "toolCallId": self.tool_call_id,
            "toolName": self.tool_name,
            "args": self.args,
            "requiresApproval": self.kind == "approval",
        }
        if self.kind != "approval":
            wire["suspendPayload"] = self.suspend_payload
        if self.resume_schema is not None:
            wire["resumeSchema"] = self.resume_schema
        return wire


@dataclass(frozen=True, slots=True)
class SuspendedRun:
    """A run that waits."""

    run_id: str
    """The run's id."""
    agent_id: str
    """Whose run it is."""
    created_at: int
    """Since when it waits, in milliseconds since 1970."""
    tool_calls: list[WaitingCall]
    """What it waits for."""
    thread_id: str | None = None
    """The thread it belongs to."""
    resource_id: str | None = None
    """Whose thread it is."""
    error: Mapping[str, Json] | None = None
    """Why the run cannot be read, as JSON with the code `ROW_UNREADABLE`; it is then not resumed."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        wire: dict[str, Json] = {
            "runId": self.run_id,
            "agentId": self.agent_id,
            "threadId": self.thread_id,
            "resourceId": self.resource_id,
            "status": "suspended",
            "suspendedAt": iso_from_ms(self.created_at),
            "toolCalls": [call.to_wire() for call in self.tool_calls],
        }
        if self.error is not None:
            wire["error"] = self.error
        return wire


@dataclass(frozen=True, slots=True)
class SuspendedRuns:
    """A page of runs that wait."""

    runs: list[SuspendedRun]
    """The page."""
    total: int
    """How many there are."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        return {"runs": [run.to_wire() for run in self.runs], "total": self.total}


def run_from_head(head: RunHead) -> SuspendedRun:
    """Return a stored run that waits, as its readers see it."""
    record = cast("dict[str, Any]", head.data.get("waiting") or {})
    agent_id = str(head.data.get("agentId") or head.workflow_id.partition(":")[2])
    if head.damage is not None:
        cause = ValueError(head.damage)
        return unreadable_run(head.run_id, agent_id, cause, created_at=head.updated_at)
    try:
        return SuspendedRun(
            head.run_id,
            agent_id,
            int(record["createdAt"]),
            [WaitingCall(**call) for call in record["waiting"]],
            record["threadId"],
            head.resource_id,
        )
    except UNREADABLE as error:
        return unreadable_run(head.run_id, agent_id, error, created_at=head.updated_at)


def unreadable_run(
    run_id: str, agent_id: str, cause: Exception, *, created_at: int = 0
) -> SuspendedRun:
    """Return a run of which nothing more can be told, and say so in the log."""
    error = unreadable(f"Run {run_id!r} of agent {agent_id!r}", f"it holds {cause!r}")
    get_logger({"run_id": run_id, "agent": agent_id}).error("%s", error.message)
    return SuspendedRun(run_id, agent_id, created_at, [], error=error_to_json(error))
