"""A remote agent as a model: what it is asked is one message, and what it says is streamed.

Where the conversation goes on is kept with what it said, as any provider's own facts are, so it goes
on from storage too.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.client.errors import A2AClientError
from a2a.types.a2a_pb2 import (
    AgentCard,
    Message,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    TaskState,
    TaskStatus,
)
from a2a.utils.constants import PROTOCOL_VERSION_1_0, VERSION_HEADER
from a2a.utils.errors import A2AError

from mastra.a2a.parts import data_in, data_part, protocol_parts, text_in
from mastra.errors import ModelError
from mastra.failures import text_of
from mastra.given import ADDRESS, check_given
from mastra.ids import new_id
from mastra.jsonable import dump_json, load_json
from mastra.models.base import ModelRequest
from mastra.models.chunks import BlockEnd, FileChunk, FinishChunk, ModelChunk, TextDelta
from mastra.models.messages import Message as OwnMessage
from mastra.models.messages import MessagePart, TextPart, metadata_of

__all__ = ["A2AModel"]

_PROVIDER: Final = "a2a"
_FAILED: Final = {
    TaskState.TASK_STATE_FAILED: "failed",
    TaskState.TASK_STATE_REJECTED: "was rejected",
    TaskState.TASK_STATE_CANCELED: "was cancelled",
}
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_ASKS: Final = frozenset((TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED))


class A2AModel:
    """A remote agent.

    Args:
        url: The agent's address, or that of its card.
        headers: What is sent with each request, such as `authorization`.
        timeout_s: How long the agent may say nothing.

    Raises:
        ConfigError: The address is none.
    """

    provider = _PROVIDER

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> None:
        check_given("A2AAgent", {"url": url}, {"url": ADDRESS}, needed=["url"])
        self.model_name = url
        self._base, _, self._card_path = url.partition("/.well-known/")
        self._headers = dict(headers or {})
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 30.0))
        self._card: AgentCard | None = None

    async def card(self, http: httpx.AsyncClient | None = None) -> AgentCard:
        """Return the agent's card, read once.

        Raises:
            ModelError: It cannot be read.
        """
        if self._card is None:
            async with self._http() as own:
                resolver = A2ACardResolver(http or own, self._base)
                path = f".well-known/{self._card_path}" if self._card_path else None
                try:
                    self._card = await resolver.get_agent_card(relative_card_path=path)
                except (A2AClientError, A2AError, httpx.HTTPError, ValueError) as error:
                    raise self._failure(error) from error
        return self._card

    def _http(self) -> httpx.AsyncClient:
        headers = {VERSION_HEADER: PROTOCOL_VERSION_1_0, **self._headers}
        return httpx.AsyncClient(headers=headers, timeout=self._timeout)

    def _failure(self, error: Exception) -> ModelError:
        status = getattr(error, "status_code", None)
        # What was perhaps begun there is not asked for twice.
        is_retryable = any(isinstance(one, _UNSENT) for one in (error, error.__cause__))
        return ModelError(
            f"The agent at {self.model_name} cannot be asked: {text_of(error)}",
            status_code=status,
            is_retryable=is_retryable,
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Ask the agent, and stream what it says.

        Raises:
            ModelError: It cannot be reached, failed, or refused.
        """
        message = _message_of(request.messages)
        said = _Said()
        async with self._http() as http:
            card = await self.card(http)
            client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
            try:
                answer = cast(
                    "AsyncGenerator[StreamResponse, None]",
                    client.send_message(SendMessageRequest(message=message)),
                )
                async with aclosing(answer) as events:
                    async for event in events:
                        for chunk in said.take(event):
                            yield chunk
            except (A2AClientError, A2AError, httpx.HTTPError) as error:
                raise self._failure(error) from error
        for chunk in said.rest():
            yield chunk
        if said.failure is not None:
            raise ModelError(f"The agent at {self.model_name} {said.failure}")
        yield BlockEnd("text", {_PROVIDER: said.place})
        yield FinishChunk()


class _Said:
    """What an agent has said so far, of which each piece is told once."""

    def __init__(self) -> None:
        self.place: dict[str, str] = {}
        """Where the conversation goes on: its `contextId`, and the `taskId` that waits for more."""
        self.failure: str | None = None
        self._told: dict[str, str] = {}
        self._left: list[ModelChunk] = []

    def take(self, event: StreamResponse) -> list[ModelChunk]:
        """Return what is new in an event."""
        match event.WhichOneof("payload"):
            case "message":
                self._at(event.message.context_id)
                return self._parts(event.message.message_id, event.message.parts, is_whole=True)
            case "artifact_update":
                update = event.artifact_update
                self._at(update.context_id)
                whole = not update.append
                return self._parts(
                    update.artifact.artifact_id, update.artifact.parts, is_whole=whole
                )
            case "status_update":
                update = event.status_update
                return self._status(update.task_id, update.context_id, update.status)
            case _:
                task = event.task
                found: list[ModelChunk] = []
                for one in task.artifacts:
                    found += self._parts(one.artifact_id, one.parts, is_whole=True)
                return [*found, *self._status(task.id, task.context_id, task.status)]

    def _at(self, context_id: str) -> None:
        if context_id:
            self.place["contextId"] = context_id

    def _status(self, task_id: str, context_id: str, status: TaskStatus) -> list[ModelChunk]:
        self._at(context_id)
        self.place.pop("taskId", None)
        parts = status.message.parts
        if status.state in _FAILED:
            self.failure = f"{_FAILED[status.state]}: {text_in(parts) or 'it does not say why.'}"
            return []
        if status.state in _ASKS:
            self.place["taskId"] = task_id
            return self._parts(status.message.message_id, parts, is_whole=True)
        if status.state == TaskState.TASK_STATE_COMPLETED and parts and not self._told:
            self._left = self._parts(status.message.message_id, parts, is_whole=True)
        return []

    def _parts(self, name: str, parts: Sequence[Part], *, is_whole: bool) -> list[ModelChunk]:
        text = text_in(parts)
        if not text and (data := data_in(parts)) is not None:
            text = dump_json(data).decode()
        known = self._told.get(name, "")
        self._told[name] = text if is_whole else known + text
        if is_whole and known:
            # The whole comes once more at the end; only what is new of it was not told.
            text = text.removeprefix(known) if text.startswith(known) else ""
        chunks: list[ModelChunk] = [TextDelta(text)] if text else []
        return chunks + [
            FileChunk(base64.b64encode(part.raw).decode(), part.media_type)
            for part in parts
            if part.WhichOneof("content") == "raw"
        ]

    def rest(self) -> list[ModelChunk]:
        """Return what is told only where nothing else was."""
        return self._left


def _message_of(messages: Sequence[OwnMessage]) -> Message:
    """Return what the agent has not been told yet, and where it goes on."""
    place: Mapping[str, Any] = {}
    fresh: list[OwnMessage] = []
    for message in messages:
        if message.role == "system":
            continue
        found = _place_in(message) if message.role == "assistant" else None
        if found is not None:
            place, fresh = found, []
        else:
            fresh.append(message)
    is_led = any(one.role != "user" for one in fresh)
    parts: list[Part] = []
    for message in fresh:
        parts += [Part(text="\n\n")] if parts else []
        parts += _parts_of(message, is_named=is_led)
    task_id = str(place.get("taskId") or "")
    return Message(
        message_id=new_id(),
        role=Role.ROLE_USER,
        context_id=str(place.get("contextId") or ""),
        task_id=task_id,
        parts=_answer_parts(parts) if task_id else parts,
    )


def _parts_of(message: OwnMessage, *, is_named: bool) -> list[Part]:
    """Return what is said; in a conversation that others led, who said it too."""
    own: Sequence[MessagePart] = message.parts
    parts = protocol_parts(own)
    return [Part(text=f"{message.role}: "), *parts] if is_named and parts else parts


def _answer_parts(parts: list[Part]) -> list[Part]:
    """Return an answer to what a task asks: JSON as data, which alone approves anything."""
    text = text_in(parts).strip()
    if not text.startswith("{"):
        return parts
    try:
        return [data_part(load_json(text))]
    except ValueError:
        return parts


def _place_in(message: OwnMessage) -> Mapping[str, Any] | None:
    for part in message.parts:
        if isinstance(part, TextPart):
            found = metadata_of(part, _PROVIDER)
            if found:
                return found
    return None
