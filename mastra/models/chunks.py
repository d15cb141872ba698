"""What a model streams: small slotted classes, told apart by `type`.

They are made for every token, so none is a pydantic model and none does work when made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeAlias

from mastra.jsonable import Json
from mastra.names import camel

__all__ = [
    "TOKEN_COUNTS",
    "BlockEnd",
    "FileChunk",
    "FinishChunk",
    "FinishReason",
    "ModelChunk",
    "ProviderItem",
    "ProviderToolResult",
    "RawChunk",
    "ReasoningDelta",
    "ReasoningSignature",
    "RedactedReasoning",
    "ResponseMetadata",
    "SourceChunk",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "Usage",
]

FinishReason: TypeAlias = Literal[
    "stop", "length", "content-filter", "tool-calls", "error", "other", "unknown"
]
"""Why a model stopped."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call took, or that several took together."""

    input_tokens: int | None = None
    """Tokens of the prompt."""
    output_tokens: int | None = None
    """Tokens of the answer."""
    total_tokens: int | None = None
    """Both together."""
    reasoning_tokens: int | None = None
    """Tokens of the answer spent on thinking."""
    cached_input_tokens: int | None = None
    """Tokens of the prompt that the provider had kept."""
    cache_creation_input_tokens: int | None = None
    """Tokens of the prompt that the provider kept for later."""
    raw: Json = None
    """What the provider said."""

    def __add__(self, other: Usage) -> Usage:
        counts = (_sum(getattr(self, name), getattr(other, name)) for name in TOKEN_COUNTS)
        return Usage(*counts, raw=other.raw if other.raw is not None else self.raw)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Usage:
        """Return what `to_wire` gave."""
        return cls(*(wire.get(camel(name)) for name in TOKEN_COUNTS), raw=wire.get("raw"))

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON; what the provider did not say is left out."""
        wire: dict[str, Json] = {
            camel(name): getattr(self, name) for name in (*TOKEN_COUNTS, "raw")
        }
        return {key: value for key, value in wire.items() if value is not None}


TOKEN_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "reasoning_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
)
"""The counts of a `Usage`, in the order in which what is stored lists them."""


def _sum(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


@dataclass(slots=True)
class ResponseMetadata:
    """Who answers; comes first, where the provider says it."""

    type: ClassVar[Literal["response-metadata"]] = "response-metadata"
    id: str | None = None
    """The provider's id of the answer."""
    model_id: str | None = None
    """The exact model that answers."""
    timestamp_ms: int | None = None
    """When the provider began, in milliseconds since 1970."""
    headers: dict[str, str] | None = None
    """The response's HTTP headers."""


@dataclass(slots=True)
class TextDelta:
    """The next piece of text."""

    type: ClassVar[Literal["text-delta"]] = "text-delta"
    text: str
    """Never empty."""


@dataclass(slots=True)
class ReasoningDelta:
    """The next piece of the model's thinking."""

    type: ClassVar[Literal["reasoning-delta"]] = "reasoning-delta"
    text: str
    """Never empty."""


@dataclass(slots=True)
class ReasoningSignature:
    """The provider's proof of the thinking, to be sent back with it."""

    type: ClassVar[Literal["reasoning-signature"]] = "reasoning-signature"
    signature: str
    """Opaque."""
    provider: str | None = None
    """Who signed, where it is not the model's provider."""


@dataclass(slots=True)
class RedactedReasoning:
    """Thinking that the provider does not show."""

    type: ClassVar[Literal["redacted-reasoning"]] = "redacted-reasoning"
    data: str
    """Opaque."""
    provider: str | None = None
    """Whose it is, where it is not the model's provider's."""


@dataclass(slots=True)
class BlockEnd:
    """The text or the thought under way is complete; what follows is another.

    With `provider_metadata` and nothing under way, it stands for an empty one: a provider may sign
    nothing at all, or think without showing it.
    """

    type: ClassVar[Literal["block-end"]] = "block-end"
    kind: Literal["text", "reasoning"]
    """What is complete."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with it, keyed by provider."""


@dataclass(slots=True)
class ToolCallStart:
    """A tool call begins; its arguments follow."""

    type: ClassVar[Literal["tool-call-start"]] = "tool-call-start"
    tool_call_id: str
    """Pairs the chunks of one call."""
    tool_name: str
    """What the model wants to run."""
    provider_executed: bool = False
    """Whether the provider runs the tool itself."""


@dataclass(slots=True)
class ToolCallDelta:
    """The next piece of a call's arguments, as JSON text."""

    type: ClassVar[Literal["tool-call-delta"]] = "tool-call-delta"
    tool_call_id: str
    """Pairs the chunks of one call."""
    args_text_delta: str
    """Never empty."""


@dataclass(slots=True)
class ToolCallEnd:
    """A call's arguments are complete: it can be run while the model goes on."""

    type: ClassVar[Literal["tool-call-end"]] = "tool-call-end"
    tool_call_id: str
    """Pairs the chunks of one call."""
    tool_name: str
    """What the model wants to run."""
    args_text: str
    """All of the arguments, as JSON text; empty means none."""
    provider_executed: bool = False
    """Whether the provider runs the tool itself."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with the call, keyed by provider."""


@dataclass(slots=True)
class ProviderToolResult:
    """What came of a tool that the provider ran."""

    type: ClassVar[Literal["provider-tool-result"]] = "provider-tool-result"
    tool_call_id: str
    """Of a call that ended before, with `provider_executed`."""
    tool_name: str
    """What was run."""
    result: Json
    """What it gave."""
    is_error: bool = False
    """Whether it failed."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with the result, keyed by provider."""


@dataclass(slots=True)
class ProviderItem:
    """An item that means nothing here and has to go back as it came."""

    type: ClassVar[Literal["provider-item"]] = "provider-item"
    provider: str
    """Whose it is."""
    data: Json
    """As it came."""


@dataclass(slots=True)
class SourceChunk:
    """Something the model draws on."""

    type: ClassVar[Literal["source"]] = "source"
    id: str
    """The provider's id, or one made up."""
    url: str | None = None
    """Where it is."""
    title: str | None = None
    """What it is called."""
    source_type: Literal["url", "document"] = "url"
    """Whether it is a page or a file."""
    media_type: str | None = None
    """The kind of file."""
    filename: str | None = None
    """The name of the file."""
    provider_metadata: dict[str, Any] | None = None
    """Further facts, such as the passage that is cited, keyed by provider."""


@dataclass(slots=True)
class FileChunk:
    """A file that the model made."""

    type: ClassVar[Literal["file"]] = "file"
    data: str
    """The bytes in base64."""
    media_type: str
    """The kind of file."""
    provider_metadata: dict[str, Any] | None = None
    """What has to go back with it, keyed by provider."""


@dataclass(slots=True)
class RawChunk:
    """The provider's own event, where they were asked for."""

    type: ClassVar[Literal["raw"]] = "raw"
    data: Any
    """As the provider sent it."""


@dataclass(slots=True)
class FinishChunk:
    """The model stopped; always last."""

    type: ClassVar[Literal["finish"]] = "finish"
    reason: FinishReason = "stop"
    """Why."""
    raw_reason: str | None = None
    """In the provider's word."""
    usage: Usage = field(default_factory=Usage)
    """Tokens the call took."""
    provider_metadata: dict[str, Json] | None = None
    """Further facts, keyed by provider."""
    continues: bool = False
    """Whether the provider only paused: asked again with what it said, it goes on."""


ModelChunk: TypeAlias = (
    TextDelta
    | ReasoningDelta
    | ReasoningSignature
    | RedactedReasoning
    | BlockEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | ProviderToolResult
    | ProviderItem
    | SourceChunk
    | FileChunk
    | RawChunk
    | ResponseMetadata
    | FinishChunk
)
"""What a model streams."""
