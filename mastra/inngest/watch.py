"""Events as readers of the original's packages know them, on the channel and topic of a run."""

from __future__ import annotations

from mastra.jsonable import Json
from mastra.workflows.events import Event

__all__ = ["to_watch"]


def to_watch(event: Event) -> dict[str, Json]:
    """Return the message that tells readers of the original of an event."""
    wire = {**event.to_wire(), "seq": event.seq}
    if event.type != "workflow-finish" or event.payload is None:
        return wire
    # They take how a run ended from here, under names of their own.
    payload = event.payload.to_wire()
    told: dict[str, Json] = {"status": payload["workflowStatus"]}
    if "finalWorkflowResult" in payload:
        told["result"] = payload["finalWorkflowResult"]
    metadata = payload["metadata"]
    if isinstance(metadata, dict) and "error" in metadata:
        told["error"] = metadata["error"]
    return {**wire, "payload": {**payload, **told}}
