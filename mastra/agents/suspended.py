"""Runs that wait for a person: what is kept of them, and where.

A record is plain JSON data and holds only what a resume needs. It is claimed before a run goes
on, so that two answers to one question never run a tool twice, and deleted when the run ends.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.services import Services

__all__ = [
    "AgentRunStore",
    "InMemoryAgentRuns",
    "SuspendedRun",
    "SuspendedRuns",
    "WaitingCall",
    "agent_run_store",
]


class AgentRunStore(Protocol):
    """Keeps the records of agents' runs that wait."""

    async def save_agent_run(self, run_id: str, agent_id: str, record: Mapping[str, Json]) -> None:
        """Store a record as waiting, in place of an older one of the run.

        `record` has `createdAt` (milliseconds), `threadId` and `resourceId` to search by.
        """
        ...

    async def claim_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record that waits and mark it as taken, in one step.

        Returns:
            `None` where there is none, or somebody else took it first.
        """
        ...

    async def release_agent_run(self, run_id: str) -> None:
        """Mark a record that was taken as waiting again."""
        ...

    async def delete_agent_run(self, run_id: str) -> None:
        """Delete a record, if there is one."""
        ...

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait, the latest first."""
        ...


class InMemoryAgentRuns:
    """Keeps the records in this process."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Json]] = {}
        self._waiting: set[str] = set()

    async def save_agent_run(self, run_id: str, agent_id: str, record: Mapping[str, Json]) -> None:
        """Store a record as waiting."""
        self._records.pop(run_id, None)
        self._records[run_id] = copy.deepcopy({**record, "agentId": agent_id, "runId": run_id})
        self._waiting.add(run_id)

    async def claim_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record that waits and mark it as taken."""
        if run_id not in self._waiting:
            return None
        self._waiting.discard(run_id)
        return copy.deepcopy(self._records[run_id])

    async def release_agent_run(self, run_id: str) -> None:
        """Mark a record that was taken as waiting again."""
        if run_id in self._records:
            self._waiting.add(run_id)

    async def delete_agent_run(self, run_id: str) -> None:
        """Delete a record."""
        self._records.pop(run_id, None)
        self._waiting.discard(run_id)

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait."""
        return [
            copy.deepcopy(record)
            for run_id, record in reversed(self._records.items())
            if run_id in self._waiting and record["agentId"] == agent_id
        ]


def agent_run_store(services: Services | None, own: AgentRunStore) -> AgentRunStore:
    """Return the application's store, where its storage has one, or the agent's own."""
    storage: Any = None if services is None else services.storage
    found: AgentRunStore | None = getattr(storage, "agent_runs", None)
    return own if found is None else found


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

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        return {
            "runId": self.run_id,
            "agentId": self.agent_id,
            "threadId": self.thread_id,
            "resourceId": self.resource_id,
            "suspendedAt": iso_from_ms(self.created_at),
            "toolCalls": [call.to_wire() for call in self.tool_calls],
        }


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


def run_from_record(record: Mapping[str, Any]) -> SuspendedRun:
    """Return a record as its readers see it."""
    return SuspendedRun(
        record["runId"],
        record["agentId"],
        record["createdAt"],
        [WaitingCall(**call) for call in record["waiting"]],
        record.get("threadId"),
        record.get("resourceId"),
    )
