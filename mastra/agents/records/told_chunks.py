"""A durable agent's chunks as they are stored: what a record has is not stored with a chunk again.

What came of a call, a step that ended and the whole at the end are in the records of the model
calls and the tool calls; their chunks name those. Any other is stored as it is, without the ids
that are those of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.agents.chunks import (
    AgentChunk,
    ErrorPayload,
    FilePayload,
    IdPayload,
    ReasoningSignaturePayload,
    RedactedPayload,
    SourcePayload,
    StartPayload,
    StepStartPayload,
    TextPayload,
    ToolApprovalPayload,
    ToolCallPayload,
    ToolDeltaPayload,
    ToolDeniedPayload,
    ToolEndPayload,
    ToolErrorPayload,
    ToolOutputPayload,
    ToolResultPayload,
    ToolStartPayload,
    ToolSuspendedPayload,
    TripwirePayload,
    plain,
)
from mastra.agents.completion import TaskCompletePayload
from mastra.agents.records.ledger import Ledger, added_messages
from mastra.agents.records.leg import RecordedLeg
from mastra.agents.records.step_records import step_from_record
from mastra.agents.results import FinishPayload, StepOutcome, step_payload
from mastra.ids import stable_id
from mastra.jsonable import Json, to_jsonable
from mastra.names import FieldsByName, camel
from mastra.workflows.error_data import error_from_json
from mastra.workflows.records import StepRecord
from mastra.workflows.written import Unpack, Written

__all__ = ["ToldChunk", "chunk_of", "message_id_of", "unpacked"]


_SHORT: Final[Mapping[str, type[Any]]] = {
    "text-start": IdPayload,
    "text-delta": TextPayload,
    "text-end": IdPayload,
    "reasoning-start": IdPayload,
    "reasoning-delta": TextPayload,
    "reasoning-end": IdPayload,
    "tool-call-input-streaming-start": ToolStartPayload,
    "tool-call-delta": ToolDeltaPayload,
    "tool-call-input-streaming-end": ToolEndPayload,
    "tool-call": ToolCallPayload,
}
"""Payloads that are stored as their fields alone, in order: there are many of them."""

_PAYLOADS: Final[Mapping[str, type[Any]]] = {
    **_SHORT,
    "start": StartPayload,
    "step-start": StepStartPayload,
    "tool-result": ToolResultPayload,
    "tool-error": ToolErrorPayload,
    "tool-output": ToolOutputPayload,
    "tool-call-approval": ToolApprovalPayload,
    "tool-call-suspended": ToolSuspendedPayload,
    "tool-output-denied": ToolDeniedPayload,
    "source": SourcePayload,
    "file": FilePayload,
    "tripwire": TripwirePayload,
    "error": ErrorPayload,
    "reasoning-signature": ReasoningSignaturePayload,
    "redacted-reasoning": RedactedPayload,
}

_BARE: Final = ("abort", "raw")
"""Chunks whose payload is JSON data in the process that makes them, too."""

_AS_TOLD: Final[Mapping[str, type[Any]]] = {
    "step-finish": FinishPayload,
    "finish": FinishPayload,
    "is-task-complete": TaskCompletePayload,
}
"""Payloads whose JSON says less than they hold: whoever did not make one sees what it says."""


def message_id_of(run_id: str) -> str:
    """Return the id of the message that a durable run makes."""
    return stable_id(run_id, "message")


class ToldChunk(Written):
    """A chunk, for readers here as it is."""

    __slots__ = ("_stored", "chunk")

    def __init__(self, chunk: AgentChunk, leg: RecordedLeg | None) -> None:
        self.chunk = chunk
        self._stored = _packed(chunk, leg)

    @property
    def usage(self) -> Mapping[str, Any]:
        """The tokens that the answer has used, where it ends with this."""
        stored = cast("list[Any]", self._stored)
        return stored[2] if len(stored) > 2 else {}

    def to_stored(self) -> Json:
        """Return it as it is stored."""
        return self._stored

    def to_wire(self, run_id: str, block: StepRecord, unpack: Unpack | None) -> Json:
        """Return Mastra's JSON."""
        del run_id, block, unpack
        return self.chunk.to_wire()


def _packed(chunk: AgentChunk, leg: RecordedLeg | None) -> Json:
    kind, payload = chunk.type, chunk.payload
    if leg is not None:
        match kind:
            case "tool-result" if (
                payload.tool_call_id in leg.places and not payload.provider_executed
            ):
                return [[leg.places[payload.tool_call_id]], [kind, None]]
            case "step-finish" if payload.output.steps[0] is leg.settled:
                return [[leg.asked_by], [kind, payload.step_result.to_wire()]]
            case "finish":
                return [1, [kind, _end(payload, leg)], plain(payload.output.usage)]
            case _:
                pass
    if kind == "step-start" and _is_usual(chunk):
        return [0, [kind, payload.started_at]]
    if type(payload) is _SHORT.get(kind):
        names = cast("tuple[str, ...]", cast("Any", _SHORT[kind]).__slots__)
        fields: list[Json] = [getattr(payload, name) for name in names]
        while fields[-1] is None:
            fields.pop()
        return [0, [kind, fields]]
    told: Json = [kind, to_jsonable(plain(payload), what="An agent's chunk")]
    if chunk.from_ != "AGENT":
        told.append(chunk.from_)
    return [0, told]


def _is_usual(chunk: AgentChunk) -> bool:
    payload: StepStartPayload = chunk.payload
    return payload.message_id == message_id_of(chunk.run_id) and not payload.warnings


def _end(payload: FinishPayload, leg: RecordedLeg) -> dict[str, Json]:
    return {
        "reply": leg.growth(),
        "outcome": payload.step_result.to_wire(),
        "metadata": payload.metadata,
        "object": plain(payload.output.object),
    }


class WirePayload(FieldsByName):
    """A payload of another process: Mastra's JSON, by attributes; what it may leave out is `None`."""

    __slots__ = ("_facts", "_type")

    def __init__(self, kind: str, facts: Mapping[str, Any]) -> None:
        self._type = kind
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        key = camel(name)
        known = getattr(_AS_TOLD.get(self._type), "__slots__", ())
        if key not in self._facts and name not in known:
            raise AttributeError(f"The payload of a chunk {self._type!r} has no {name!r}.")
        return self._facts.get(key)

    def to_wire(self) -> Mapping[str, Any]:
        """Return Mastra's JSON."""
        return self._facts


def chunk_of(run_id: str, wire: Mapping[str, Any]) -> AgentChunk:
    """Return a chunk as whoever did not make it sees it."""
    kind, source = wire["type"], wire.get("from", "AGENT")
    if kind.startswith("data-"):
        payload: Any = {key: value for key, value in wire.items() if key != "type"}
    elif kind in {"object", "object-result"}:
        payload = wire["object"]
    else:
        payload = _payload_of(kind, wire["payload"])
    return AgentChunk(kind, run_id, payload, from_=source)


def _payload_of(kind: str, facts: Mapping[str, Any]) -> Any:
    made_as: Any = _PAYLOADS.get(kind)
    if made_as is None:
        return facts if kind in _BARE else WirePayload(kind, facts)
    values = {name: facts.get(camel(name)) for name in made_as.__slots__}
    if "error" in values:
        values["error"] = error_from_json(cast("Any", values["error"]))
    return made_as(**values)


def unpacked(body: Any, run_id: str, records: Mapping[str, StepRecord]) -> dict[str, Json]:
    """Return a chunk that was stored, as Mastra's JSON.

    Args:
        body: What was stored.
        run_id: The agent's run.
        records: The records that it is read with, by their operations.
    """
    kind, told, *more = body
    if kind in _SHORT and isinstance(told, list):
        payload: Any = _SHORT[kind](*cast("list[Any]", told))
    elif kind == "step-start" and isinstance(told, int):
        payload = StepStartPayload(message_id_of(run_id), told, {}, [])
    elif kind == "tool-result" and told is None:
        payload = _result(next(iter(records.values())))
    elif kind == "step-finish" and records:
        payload = _step(run_id, told, next(iter(records.values())))
    elif kind == "finish" and "reply" in told:
        payload = _whole(run_id, told, records)
    else:
        payload = told
    return AgentChunk(kind, run_id, payload, 0, more[0] if more else "AGENT").to_wire()


def _result(record: StepRecord) -> ToolResultPayload:
    asked, given = cast("dict[str, Any]", record.payload), cast("dict[str, Any]", record.output)
    is_error = given.get("isError") or None
    call_id, name = asked["toolCallId"], asked["toolName"]
    return ToolResultPayload(asked["args"], call_id, name, given["result"], is_error)


def _step(run_id: str, outcome: Mapping[str, Any], record: StepRecord) -> FinishPayload:
    reply = cast("dict[str, Any]", record.output)
    step = step_from_record(run_id, reply["steps"]["add"][-1], added_messages(reply, run_id, 0))
    return step_payload(message_id_of(run_id), _outcome(outcome), step)


def _whole(
    run_id: str, told: Mapping[str, Any], records: Mapping[str, StepRecord]
) -> FinishPayload:
    ledger = Ledger.of(run_id, records)
    ledger.add({**told["reply"], "output": None})
    transcript = ledger.state.transcript
    return transcript.finish_payload(_outcome(told["outcome"]), told["metadata"], told["object"])


def _outcome(wire: Mapping[str, Any]) -> StepOutcome:
    return StepOutcome(
        wire["reason"],
        wire.get("rawReason"),
        bool(wire.get("isContinued")),
        wire.get("retryReason"),
        wire.get("retryProcessorId"),
    )
