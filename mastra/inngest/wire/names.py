"""What things are called on an Inngest server: the names of the original, so that both share one."""

from __future__ import annotations

import hashlib
import socket
from typing import Final

from mastra.ids import random_id

__all__ = [
    "ERROR_RETRIES",
    "FUNCTION_RETRIES",
    "OUR_TOPIC",
    "PROCESS",
    "RUN_ENDED",
    "TOPIC",
    "cancel_event",
    "channel",
    "cron_id",
    "function_id",
    "hash_of",
    "step_hash",
    "step_name",
]

TOPIC: Final = "watch"
"""The realtime topic of a run's channel that has its events for readers of the original."""

OUR_TOPIC: Final = "mastra"
"""The topic of what only this library's readers know: inboxes, and what the steps of a run write."""

FUNCTION_RETRIES: Final = 10
"""How often a request that was lost, such as with its worker, is sent again: with the waits of a
server as it comes, for some hours."""

ERROR_RETRIES: Final = 3
"""From which attempt on an error outside of the steps, such as a storage's, is final."""

RUN_ENDED: Final = "mastra.run-ended"
"""The id of the function that hears of runs that the server ended by itself."""

PROCESS: Final = f"{socket.gethostname()}:{random_id()}"
"""Tells this process from all others."""


def function_id(workflow_id: str) -> str:
    """Return the id of a workflow's function, which is the name of its trigger event too."""
    return f"workflow.{workflow_id}"


def cancel_event(workflow_id: str) -> str:
    """Return the name of the event that cancels a run, matched on its `data.runId`."""
    return f"cancel.workflow.{workflow_id}"


def cron_id(workflow_id: str) -> str:
    """Return the id of the function that starts runs on a schedule."""
    return f"workflow.{workflow_id}.cron"


def channel(workflow_id: str, run_id: str) -> str:
    """Return the realtime channel of a run."""
    return f"workflow:{workflow_id}:{run_id}"


def step_name(workflow_id: str, op_id: str) -> str:
    """Return the id that an operation has on the server: that of the run, after the workflow's."""
    return f"workflow.{workflow_id}.step.{op_id}"


def step_hash(workflow_id: str, op_id: str) -> str:
    """Return the form in which the server keeps an operation's id."""
    return hash_of(step_name(workflow_id, op_id))


def hash_of(name: str) -> str:
    """Return the form in which the server keeps the id of a step."""
    return hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - the SDK's
