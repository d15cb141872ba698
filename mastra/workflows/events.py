"""What a run tells while it runs.

An entry of its log (`event_log.py`) is a kind, a record and a value; the public `Event` is made
only where somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any, TypeAlias, cast

from mastra.dataclass import dataclass
from mastra.ids import stable_id
from mastra.jsonable import Json
from mastra.names import python_names
from mastra.workflows.event_payload import EventPayload
from mastra.workflows.forms import PLAIN, Forms
from mastra.workflows.records import StepRecord
from mastra.workflows.results import step_to_wire
from mastra.workflows.written import Written

__all__ = ["Entry", "Event", "EventPayload", "Kind", "LegEnd", "to_event"]


class Kind(IntEnum):
    """What an entry of the log is about."""

    START = 0
    """The run starts or goes on; no record."""
    STEP_START = 1
    STEP_END = 2
    """The step ended, in whatever way its record says."""
    WAITING = 3
    PROGRESS = 4
    OUTPUT = 5
    CUSTOM = 6
    PAUSED = 7
    CANCELED = 8
    FINISH = 9
    PACKED = 10
    """In storage: OUTPUTs that follow each other, in a form of their step's own."""


Entry: TypeAlias = tuple[Kind, StepRecord | None, Any]


@dataclass(slots=True)
class LegEnd:
    """How a leg of a run ended: the value of a FINISH entry. Never changed once it is made."""

    status: str
    result: Json
    has_result: bool
    error: dict[str, Json] | None
    tripwire: Mapping[str, Json] | None
    usage: Mapping[str, int]

    def to_stored(self) -> dict[str, Json]:
        """Return it as JSON data."""
        return {
            "status": self.status,
            "result": self.result,
            "hasResult": self.has_result,
            "error": self.error,
            "tripwire": self.tripwire,
            "usage": dict(self.usage),
        }

    @classmethod
    def from_stored(cls, data: dict[str, Json]) -> LegEnd:
        """Return what `to_stored` gave."""
        return cls(
            data["status"],
            data["result"],
            data["hasResult"],
            data["error"],
            data["tripwire"],
            data["usage"],
        )


@python_names
@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run."""

    type: str
    """`workflow-start`, `workflow-step-result`, `data-…` and so on."""
    run_id: str
    from_: str
    """`WORKFLOW`, or `USER` for what a step wrote."""
    seq: int
    """Its place in the run's stream, from 0."""
    payload: EventPayload | None
    """Its facts; `None` for a `data-…` event, whose facts are in `data`."""
    data: Any = None
    """What a step sent with `writer.custom`, or wrote in a form of its own."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON of the event."""
        wire: dict[str, Json] = {"type": self.type, "runId": self.run_id, "from": self.from_}
        if self.payload is None:
            extra = cast("dict[str, Json]", self.data)
            return {**wire, **{key: value for key, value in extra.items() if key != "type"}}
        wire["payload"] = self.payload.to_wire()
        return wire


_END_TYPES = {
    "suspended": "workflow-step-suspended",
}


def to_event(run_id: str, workflow_id: str, seq: int, entry: Entry, forms: Forms = PLAIN) -> Event:
    """Return the public form of an entry, with values as clients see them."""
    kind, record, value = entry
    source = "WORKFLOW"
    payload: dict[str, Any] | Callable[[], dict[str, Any]]
    if kind is Kind.START:
        name, payload = "workflow-start", {"workflowId": workflow_id}
    elif kind is Kind.FINISH:
        name, payload = "workflow-finish", _finish_payload(value, forms)
    elif kind is Kind.PAUSED:
        name, payload = "workflow-paused", {}
    elif kind is Kind.CANCELED:
        name, payload = "workflow-canceled", {}
    else:
        assert record is not None  # noqa: S101 - every other kind is about a step
        if kind is Kind.CUSTOM:
            return Event(str(value["type"]), run_id, source, seq, None, value)
        if kind is Kind.STEP_START:
            name, payload = "workflow-step-start", partial(_start_payload, run_id, record, forms)
        elif kind is Kind.STEP_END:
            name = _END_TYPES.get(record.status, "workflow-step-result")
            payload = partial(_end_payload, run_id, record, forms)
        elif kind is Kind.WAITING:
            name = "workflow-step-waiting"
            payload = _waiting_payload(record, forms)
        elif kind is Kind.PROGRESS:
            name = "workflow-step-progress"
            payload = _progress_payload(record, value, forms)
        else:
            return _output(run_id, seq, record, value, forms)
    return Event(name, run_id, source, seq, EventPayload(payload))


def _output(run_id: str, seq: int, record: StepRecord, value: Any, forms: Forms) -> Event:
    is_packed = isinstance(value, Written)

    def facts() -> dict[str, Any]:
        told = value.to_wire(run_id, record, forms.unpack_of(record)) if is_packed else value
        return {"stepName": record.step_id, "output": told, "runId": run_id}

    payload = EventPayload(facts if is_packed else facts())
    data = value if is_packed else None
    return Event("workflow-step-output", run_id, "USER", seq, payload, data)


def _names(run_id: str, record: StepRecord) -> dict[str, Json]:
    names: dict[str, Json] = {"stepName": record.step_id, "id": record.step_id}
    if record.kind != "block" or record.total is None:
        # What follows `#` in an operation's id is which try it is: all are one call of the step.
        moment = f"{record.started_at}:{record.resumed_at or 0}"
        turn = f"{record.op_id.partition('#')[0]}@{moment}"
        names["stepCallId"] = stable_id(run_id, turn)
    return names


def _start_payload(run_id: str, record: StepRecord, forms: Forms) -> dict[str, Json]:
    payload = _names(run_id, record)
    record = forms.shown(record)
    payload["payload"] = record.payload
    payload["startedAt"] = record.started_at
    payload["status"] = "running"
    if record.iteration is not None:
        payload["metadata"] = {"iterationCount": record.iteration}
    if record.resumed_at is not None:
        payload["resumePayload"] = record.resume_payload
        payload["resumedAt"] = record.resumed_at
    return payload


def _waiting_payload(record: StepRecord, forms: Forms) -> dict[str, Json]:
    return {
        "stepName": record.step_id,
        "id": record.step_id,
        "payload": forms.shown(record).payload,
        "startedAt": record.started_at,
        "status": "waiting",
    }


def _progress_payload(record: StepRecord, value: Any, forms: Forms) -> dict[str, Json]:
    payload: dict[str, Json] = {"stepName": record.step_id, "id": record.step_id, **value}
    if "iterationOutput" in payload:
        payload["iterationOutput"] = forms.item_of(record, payload["iterationOutput"])
    return payload


def _end_payload(run_id: str, record: StepRecord, forms: Forms) -> dict[str, Json]:
    is_foreach = record.kind == "block" and record.total is not None
    shown = forms.shown(record)
    return {**_names(run_id, record), **step_to_wire(shown, with_payload=not is_foreach)}


def _finish_payload(end: LegEnd, forms: Forms) -> dict[str, Json]:
    payload: dict[str, Json] = {
        "workflowStatus": end.status,
        "metadata": {},
        "output": {"usage": dict(end.usage)},
    }
    if end.error is not None:
        payload["metadata"] = {
            "error": end.error,
            "errorMessage": end.error.get("message"),
        }
    if end.has_result:
        payload["finalWorkflowResult"] = forms.gives.to_wire(end.result)
    if end.tripwire is not None:
        payload["tripwire"] = end.tripwire
    return payload
