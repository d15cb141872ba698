"""What an agent streams: one chunk class, with a small payload class for each type.

Attributes are snake_case; `to_wire()` gives Mastra's JSON, and so does `payload["toolName"]`. They are made for every token, so
neither is a pydantic model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mastra.agents.wire import error_to_wire, plain
from mastra.jsonable import Json
from mastra.models.messages import DataPart
from mastra.names import FieldsByName, camel

__all__ = [
    "AgentChunk",
    "ErrorPayload",
    "FilePayload",
    "IdPayload",
    "Payload",
    "ReasoningSignaturePayload",
    "RedactedPayload",
    "SourcePayload",
    "StartPayload",
    "StepStartPayload",
    "TextPayload",
    "ToolApprovalPayload",
    "ToolCallPayload",
    "ToolDeltaPayload",
    "ToolDeniedPayload",
    "ToolEndPayload",
    "ToolErrorPayload",
    "ToolOutputPayload",
    "ToolResultPayload",
    "ToolStartPayload",
    "ToolSuspendedPayload",
    "TripwirePayload",
    "data_in",
    "error_to_wire",
]


def data_in(chunk: AgentChunk) -> list[DataPart]:
    """Return what of a chunk of somebody's own is kept with the conversation."""
    if not chunk.type.startswith("data-") or chunk.payload.get("transient"):
        return []
    return [DataPart(chunk.type, plain(chunk.data))]


class Payload(FieldsByName):
    """Base of all payloads: written by their fields, without those that are `None`."""

    __slots__ = ()

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        names: tuple[str, ...] = type(self).__slots__
        wire: dict[str, Json] = {}
        for name in names:
            value = getattr(self, name)
            if value is not None:
                wire[_CAMEL.get(name) or _remember(name)] = plain(value)
        return wire


_CAMEL: dict[str, str] = {}


def _remember(name: str) -> str:
    _CAMEL[name] = camel(name)
    return _CAMEL[name]


class AgentChunk:
    """One thing that an agent streams.

    Attributes:
        type: What it is, such as `text-delta`.
        run_id: The agent's run.
        payload: What it carries; its class depends on the type.
        from_: Who made it: `AGENT`, or `USER` for what a tool wrote.
        seq: Its place in the run, from 0.
    """

    __slots__ = ("from_", "payload", "run_id", "seq", "type")

    def __init__(
        self, type: str, run_id: str, payload: Any, seq: int = 0, from_: str = "AGENT"  # noqa: A002
    ) -> None:  # fmt: skip
        self.type = type
        self.run_id = run_id
        self.payload = payload
        self.seq = seq
        self.from_ = from_

    def __repr__(self) -> str:
        return f"AgentChunk({self.type!r}, {self.payload!r})"

    @property
    def object(self) -> Any:
        """Of `object` and `object-result`: the object."""
        return self.payload if self.type in {"object", "object-result"} else None

    @property
    def data(self) -> Any:
        """Of `data-…`: what was written."""
        return self.payload.get("data") if self.type.startswith("data-") else None

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        kind = self.type
        if kind.startswith("data-"):
            return {"type": kind, **plain(self.payload)}
        wire: dict[str, Json] = {"type": kind, "runId": self.run_id, "from": self.from_}
        if kind in {"object", "object-result"}:
            wire["object"] = plain(self.payload)
        else:
            wire["payload"] = plain(self.payload)
        return wire


@dataclass(slots=True)
class StartPayload(Payload):
    """`start`."""

    id: str
    """The agent's id."""
    message_id: str
    """The id of the message being made."""


@dataclass(slots=True)
class StepStartPayload(Payload):
    """`step-start`."""

    message_id: str
    """The id of the message being made."""
    started_at: int
    """Milliseconds since 1970."""
    request: Any
    """What was sent to the model: for this process alone, as it is the whole prompt each time."""
    warnings: list[Any]
    """What the provider did not like."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        return {
            "messageId": self.message_id,
            "startedAt": self.started_at,
            "request": {},
            "warnings": self.warnings,
        }


@dataclass(slots=True)
class IdPayload(Payload):
    """`text-start`, `text-end`, `reasoning-start`, `reasoning-end`."""

    id: str
    """Pairs the chunks of one text."""
    provider_metadata: dict[str, Any] | None = None
    """At the end: what has to go back with it, keyed by provider."""


class TextPayload(Payload):
    """`text-delta`, `reasoning-delta`."""

    # Written out, since one is made for every token.
    __slots__ = ("id", "text")

    def __init__(self, id: str, text: str) -> None:
        self.id = id
        self.text = text

    def __repr__(self) -> str:
        return f"TextPayload(text={self.text!r})"


@dataclass(slots=True)
class ReasoningSignaturePayload(Payload):
    """`reasoning-signature`."""

    id: str
    """Pairs the chunks of one thought."""
    signature: str
    """The provider's proof."""


@dataclass(slots=True)
class RedactedPayload(Payload):
    """`redacted-reasoning`."""

    id: str
    """Pairs the chunks of one thought."""
    data: str
    """What only the provider can read."""
    provider_metadata: dict[str, Any] | None = None
    """The same, keyed by provider."""


@dataclass(slots=True)
class SourcePayload(Payload):
    """`source`."""

    id: str
    """The provider's id."""
    source_type: str = "url"
    """What it is."""
    title: str | None = None
    """What it is called."""
    url: str | None = None
    """Where it is."""
    media_type: str | None = None
    """The kind of file."""
    filename: str | None = None
    """The name of the file."""
    provider_metadata: dict[str, Any] | None = None
    """Further facts, such as the passage that is cited, keyed by provider."""


@dataclass(slots=True)
class FilePayload(Payload):
    """`file`."""

    data: str
    """The bytes in base64."""
    mime_type: str
    """The kind of file."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with it, keyed by provider."""


@dataclass(slots=True)
class ToolStartPayload(Payload):
    """`tool-call-input-streaming-start`."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What is called."""
    provider_executed: bool | None = None
    """Whether the provider runs it."""


@dataclass(slots=True)
class ToolDeltaPayload(Payload):
    """`tool-call-delta`."""

    args_text_delta: str
    """The next piece of the arguments."""
    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What is called."""


@dataclass(slots=True)
class ToolEndPayload(Payload):
    """`tool-call-input-streaming-end`."""

    tool_call_id: str
    """The call's id."""


@dataclass(slots=True)
class ToolCallPayload(Payload):
    """`tool-call`."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What is called."""
    args: Json
    """With what; text where the model wrote no JSON."""
    provider_executed: bool | None = None
    """Whether the provider runs it."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with the call, keyed by provider."""


@dataclass(slots=True)
class ToolResultPayload(Payload):
    """`tool-result`."""

    args: Json
    """With what it was called."""
    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What was called."""
    result: Json
    """What it gave, as JSON data."""
    is_error: bool | None = None
    """Whether the result says that the input was not valid."""
    provider_executed: bool | None = None
    """Whether the provider ran it."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with the result, keyed by provider."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON; a result of nothing is kept."""
        wire = Payload.to_wire(self)
        wire.setdefault("result", None)
        return wire


@dataclass(slots=True)
class ToolErrorPayload(Payload):
    """`tool-error`."""

    args: Json
    """With what it was called."""
    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What was called."""
    error: BaseException
    """What it raised."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        return {
            "args": self.args,
            "toolCallId": self.tool_call_id,
            "toolName": self.tool_name,
            "error": error_to_wire(self.error),
        }


@dataclass(slots=True)
class ToolOutputPayload(Payload):
    """`tool-output`."""

    output: Any
    """What the tool wrote; of a sub-agent, its whole chunk."""
    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What was called."""


@dataclass(slots=True)
class ToolApprovalPayload(Payload):
    """`tool-call-approval`."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What waits for a person."""
    args: Json
    """With what it would be called."""
    resume_schema: str
    """The JSON Schema of the answer, as text."""


@dataclass(slots=True)
class ToolSuspendedPayload(Payload):
    """`tool-call-suspended`."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What waits."""
    args: Json
    """With what it was called."""
    suspend_payload: Any
    """What it suspended with."""
    resume_schema: str | None
    """The JSON Schema of the answer, as text."""


@dataclass(slots=True)
class ToolDeniedPayload(Payload):
    """`tool-output-denied`."""

    tool_call_id: str
    """The call's id."""
    tool_name: str
    """What was not run."""
    args: Json
    """With what it would have been called."""
    approval: dict[str, Json]
    """The answer."""


@dataclass(slots=True)
class TripwirePayload(Payload):
    """`tripwire`."""

    reason: str
    """Why a processor refused."""
    retry: bool | None = None
    """Whether the model was to be asked again."""
    metadata: Any = None
    """Facts for the application."""
    processor_id: str | None = None
    """Which processor."""


@dataclass(slots=True)
class ErrorPayload(Payload):
    """`error`."""

    error: BaseException
    """What went wrong."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        return {"error": error_to_wire(self.error)}
