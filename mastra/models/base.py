"""The `Model` protocol and what a call of it carries.

A model is one method, `stream(request)`. A model that reads a network may also offer `open`,
whose source hands out all the chunks of one read together and can be left in the middle of a
wait; the agent then needs no task for each chunk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from mastra.jsonable import Json
from mastra.models.chunks import ModelChunk
from mastra.models.messages import Message
from mastra.models.settings import NO_SETTINGS, ModelSettings

__all__ = [
    "ChunkSource",
    "Model",
    "ModelRequest",
    "ProviderTool",
    "ResponseFormat",
    "SourceModel",
    "ToolChoice",
    "ToolSpec",
    "drained",
    "model_name_of",
]

ToolChoice: TypeAlias = "Literal['auto', 'none', 'required'] | Mapping[str, str]"
"""Whether the model may, must not or must call tools; `{"type": "tool", "tool_name": …}` one."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it."""

    name: str
    """The name to call it by."""
    description: str
    """What it is for."""
    parameters: dict[str, Json]
    """The JSON Schema of its input."""
    strict: bool | None = None
    """Whether the provider must keep to the schema."""
    provider_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the declaration, keyed by provider."""


@dataclass(frozen=True, slots=True)
class ProviderTool:
    """A tool that runs at the provider, such as a search of the web.

    Put it among an agent's `tools`. What it does is reported as calls and results that are
    `provider_executed`. A model of another provider, in a fallback list, is not offered it.
    """

    provider: str
    """Where it runs, such as `openai`."""
    name: str
    """What the provider calls it, such as `web_search`."""
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its settings, as the provider spells them."""


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The JSON that an answer must be."""

    schema: dict[str, Json]
    """A JSON Schema."""
    name: str = "response"
    """What the provider calls it."""
    strict: bool = True
    """Whether the provider must keep to it."""
    given: dict[str, Json] | None = None
    """The schema before it was put into the form that OpenAI holds a model to, for those with other
    rules."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """All that a model needs for one answer."""

    messages: Sequence[Message]
    """The conversation, system messages first."""
    tools: Sequence[ToolSpec] = ()
    """What the model may call."""
    provider_tools: Sequence[ProviderTool] = ()
    """What the provider may run itself. A model leaves out those of other providers."""
    tool_choice: ToolChoice = "auto"
    """Whether it may, must not or must."""
    response_format: ResponseFormat | None = None
    """The JSON the answer must be, if any."""
    settings: ModelSettings = NO_SETTINGS
    """Sampling and limits."""
    provider_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request, keyed by provider."""
    include_raw: bool = False
    """Whether to stream the provider's own events as well."""


@runtime_checkable
class Model(Protocol):
    """Something that answers."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Answer, chunk by chunk; a `FinishChunk` comes last.

        The agent calls this for each step of a run. Raise `ModelError` on failure, with
        `is_retryable` set where the same call may succeed later.
        """
        ...


@runtime_checkable
class ChunkSource(Protocol):
    """An answer under way, read batch by batch."""

    request: Mapping[str, Any]
    """What was sent, for those who want to see it."""

    async def read(self) -> Sequence[ModelChunk]:
        """Return the next chunks, at least one; an empty sequence ends the answer.

        Being cancelled here must lose nothing: another call goes on where this one was.
        """
        ...

    def interrupt(self) -> None:
        """Make a `read` that waits raise at once. The source is of no use afterwards."""
        ...

    async def aclose(self) -> None:
        """Release the connection."""
        ...


@runtime_checkable
class SourceModel(Protocol):
    """A model whose answers can be read in batches."""

    async def open(self, request: ModelRequest) -> ChunkSource:
        """Send the request and return the answer, once its head is there."""
        ...


async def drained(model: SourceModel, request: ModelRequest) -> AsyncIterator[ModelChunk]:
    """Answer, chunk by chunk."""
    source = await model.open(request)
    try:
        while batch := await source.read():
            for chunk in batch:
                yield chunk
    finally:
        await source.aclose()


def model_name_of(model: object) -> str:
    """Return `provider/model` for messages and metadata, or the class's name."""
    name = getattr(model, "model_name", None) or getattr(model, "model_id", None)
    if name is None:
        return type(model).__name__
    provider = getattr(model, "provider", None)
    return f"{provider}/{name}" if provider else str(name)
