"""Messages and their parts: what is said to a model and what it said.

Everything that a caller may write (text, lists, dicts of several dialects) is turned into
`Message` objects once, at the door; the rest of the library sees nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias, cast

from mastra.clock import now_ms
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.names import python_names

__all__ = [
    "DataPart",
    "FilePart",
    "ImagePart",
    "Message",
    "MessageInput",
    "MessagePart",
    "ProviderMetadata",
    "ProviderPart",
    "ReasoningPart",
    "Role",
    "SourcePart",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "metadata_of",
    "text_of",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
"""Who speaks."""


ProviderMetadata: TypeAlias = Mapping[str, Any]
"""What a provider says of a part and wants back with it, or is to do with it, keyed by provider.

Spelt as the AI SDK spells it: `{"anthropic": {"cacheControl": {"type": "ephemeral"}}}`. Only the
provider named reads its own, so a conversation may go on with another.
"""


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text."""

    text: str
    """What is said."""
    _: KW_ONLY
    cache: bool = False
    """Whether the provider is to keep the conversation as far as this part, for later calls."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own, such as the signature of the text."""


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture: its bytes as base64, or where to fetch it."""

    url: str | None = None
    """A web address or a `data:` URL."""
    data: str | None = None
    """The bytes in base64."""
    media_type: str = "image/png"
    """The kind of picture."""
    _: KW_ONLY
    cache: bool = False
    """Whether the provider is to keep the conversation as far as this part, for later calls."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own, such as how closely to look."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file: its bytes as base64, where to fetch it, or its id at the provider."""

    media_type: str
    """The kind of file, such as `application/pdf`."""
    url: str | None = None
    """A web address or a `data:` URL."""
    data: str | None = None
    """The bytes in base64."""
    filename: str | None = None
    """The name to show the model."""
    file_id: str | None = None
    """The id of a file uploaded to the provider."""
    _: KW_ONLY
    cache: bool = False
    """Whether the provider is to keep the conversation as far as this part, for later calls."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own."""


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What a model thought before it answered."""

    text: str
    """The thought, where the provider shows it."""
    signature: str | None = None
    """The provider's proof, sent back with the message."""
    _: KW_ONLY
    provider: str | None = None
    """Who thought it, the only one to whom the signature means anything. `None`: not known."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own: thinking that it does not show, the item that has to go back."""


@dataclass(frozen=True, slots=True)
class SourcePart:
    """Something that the model drew on. Not sent back as such."""

    id: str
    """The provider's id, or one made up."""
    url: str | None = None
    """Where it is."""
    title: str | None = None
    """What it is called."""
    _: KW_ONLY
    source_type: Literal["url", "document"] = "url"
    """Whether it is a page or a file."""
    media_type: str | None = None
    """The kind of file."""
    filename: str | None = None
    """The name of the file."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own, such as the passage that is cited."""


@dataclass(frozen=True, slots=True)
class ProviderPart:
    """An item of a provider's own that only goes back to it, such as a list of its tools."""

    provider: str
    """Whose it is."""
    data: Json
    """As it came."""


@dataclass(frozen=True, slots=True)
class DataPart:
    """What a tool or a processor wrote for those who read the conversation. No model sees it."""

    type: str
    """`data-` and a name."""
    data: Json
    """As it was written."""


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A model's request to run a tool."""

    tool_call_id: str
    """Pairs the call with its result."""
    tool_name: str
    """The name the model knows the tool by."""
    args: Json
    """The arguments; text where what the model wrote is not JSON."""
    _: KW_ONLY
    provider_executed: bool = False
    """Whether the provider runs the tool itself."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own, such as the signature of the call or the item that has to go back."""


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool gave back, or why it failed."""

    tool_call_id: str
    """The call this answers."""
    tool_name: str
    """The name the model knows the tool by."""
    result: Json
    """Plain JSON data."""
    is_error: bool = False
    """Whether the tool failed."""
    args: Json = None
    """The arguments of the call, kept for display."""
    _: KW_ONLY
    content: tuple[TextPart | ImagePart | FilePart, ...] | None = None
    """What the model is shown in place of `result`: text, pictures and files."""
    provider_executed: bool = False
    """Whether the provider ran the tool; the result then stands in the assistant's message."""
    cache: bool = False
    """Whether the provider is to keep the conversation as far as this part, for later calls."""
    provider_metadata: ProviderMetadata | None = None
    """The provider's own."""


MessagePart: TypeAlias = (
    TextPart
    | ImagePart
    | FilePart
    | ReasoningPart
    | SourcePart
    | ProviderPart
    | DataPart
    | ToolCallPart
    | ToolResultPart
)
"""One piece of a message."""

MessageInput: TypeAlias = (
    "str | Message | Mapping[str, Any] | Sequence[str | Message | Mapping[str, Any]]"
)
"""What a caller may pass as messages."""


@python_names
@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Args:
        role: Who speaks.
        content: Text, or parts.
    """

    role: Role
    """Who speaks."""
    content: str | tuple[MessagePart, ...]
    """Text, or parts."""
    id: str = field(default_factory=new_id)
    """Set when the message is made; the same in storage."""
    created_at: int = field(default_factory=now_ms)
    """Milliseconds since 1970."""
    metadata: Mapping[str, Any] | None = None
    """Facts for the application."""

    @property
    def parts(self) -> tuple[MessagePart, ...]:
        """The content as parts."""
        content = self.content
        if isinstance(content, str):
            return (TextPart(content),) if content else ()
        return content

    @property
    def text(self) -> str:
        """The text of the message, without its other parts."""
        return text_of(self.content)

    @property
    def tool_calls(self) -> list[ToolCallPart]:
        """The tool calls among the parts."""
        return [part for part in self.parts if isinstance(part, ToolCallPart)]

    @classmethod
    def system(cls, text: str) -> Message:
        """Return a message of the system."""
        return cls("system", text)

    @classmethod
    def user(cls, *content: str | MessagePart) -> Message:
        """Return a message of the user, of text and parts."""
        return cls("user", _as_content(content))

    @classmethod
    def assistant(cls, *content: str | MessagePart) -> Message:
        """Return a message of the model, of text and parts."""
        return cls("assistant", _as_content(content))

    @classmethod
    def tool(cls, *results: ToolResultPart) -> Message:
        """Return the message that answers tool calls."""
        return cls("tool", results)


def _as_content(content: tuple[str | MessagePart, ...]) -> str | tuple[MessagePart, ...]:
    if len(content) == 1 and isinstance(content[0], str):
        return content[0]
    return tuple(TextPart(part) if isinstance(part, str) else part for part in content)


def text_of(content: str | Iterable[MessagePart]) -> str:
    """Return the text in a message's content."""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, TextPart))


def metadata_of(part: MessagePart, *providers: str) -> Mapping[str, Any]:
    """Return what a part has for a provider, which may go by several names."""
    known = getattr(part, "provider_metadata", None)
    if known:
        for provider in providers:
            found = known.get(provider)
            if isinstance(found, Mapping):
                return cast("Mapping[str, Any]", found)
    return {}


def is_message_like(value: object) -> bool:
    """Return whether a value is one message rather than a list of them."""
    return isinstance(value, (str, Message)) or (
        isinstance(value, Mapping) and "role" in cast("Mapping[str, Any]", value)
    )
