"""What an agent streams, as far as clients of OpenAI's API see it.

They see what the model says and the calls of their own tools. The agent's own tools run unseen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk, error_to_wire
from mastra.errors import MastraError
from mastra.models.chunks import Usage
from mastra.server.errors import message_of
from mastra.server.streaming import OPENED

__all__ = ["Ended", "Form", "Said", "answered"]


class Said(NamedTuple):
    """A piece of the answer, but for those of a text."""

    kind: Literal["text-end", "call", "args", "call-end"]
    id: str
    """Of the text, or of the call."""
    text: str = ""
    """Of `args` the piece; of `call` the tool, of `call-end` all of the arguments."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an answer has ended."""

    reason: str
    """`stop`, `length`, `content-filter`, `tool-calls`, or `error`."""
    usage: Usage
    error: str | None = None
    """What went wrong."""
    code: str | None = None


class Form(Protocol):
    """What an answer is sent as."""

    @property
    def begin(self) -> bytes:
        """What opens it."""
        ...

    def text(self, text_id: str, piece: str) -> bytes:
        """Return what is sent for a piece of a text, which nearly all pieces are."""
        ...

    def take(self, said: Said | Ended) -> bytes:
        """Return what is sent for any other piece, which may be nothing. How it ended comes last."""
        ...

    @property
    def end(self) -> bytes:
        """What closes it."""
        ...


_BATCH: Final = 64
_WAITS: Final = (
    "The agent waits for a person's answer, which this API cannot give: run {run_id!r} of agent "
    "{agent!r} goes on by the agent's own routes."
)


async def answered(
    stream: AgentStream[Any],
    agent_id: str,
    client_tools: Collection[str],
    form: Form,
) -> AsyncGenerator[bytes, None]:
    """Yield what a client is sent of an answer, what is there together in one. It ends the stream.

    Args:
        stream: The agent's.
        agent_id: The agent, for what is told of one that waits.
        client_tools: The tools that the client runs.
        form: Makes of its pieces what is sent.
    """
    seen, text, take = _Seen(client_tools), form.text, form.take
    failure: tuple[str, str | None] | None = None
    try:
        yield OPENED
        if form.begin:
            yield form.begin
        try:
            async with aclosing(stream.batches(_BATCH)) as batches:
                async for batch in batches:
                    made = b""
                    for chunk in batch:
                        if chunk.type == "text-delta":  # nearly all of them
                            piece = chunk.payload
                            made += text(piece.id, piece.text)
                        elif (said := seen.of(chunk)) is not None:
                            made += take(said)
                    if made:
                        yield made
            failure = seen.failure
        except MastraError as error:
            failure = message_of(error), error.code
        if failure is None and stream.status == "suspended":
            failure = _WAITS.format(run_id=stream.run_id, agent=agent_id), "run_suspended"
        if failure is not None:
            ended = Ended("error", Usage(), *failure)
        else:
            ended = Ended(_reason(await stream.finish_reason(), stream), await stream.usage())
        yield take(ended) + form.end
    finally:
        await stream.aclose()


def _reason(reason: str, stream: AgentStream[Any]) -> str:
    if stream.status == "tripwire":
        return "content-filter"
    return reason if reason in {"length", "content-filter", "tool-calls"} else "stop"


class _Seen:
    """Tells the client's calls from the agent's own."""

    def __init__(self, client_tools: Collection[str]) -> None:
        self._client_tools = client_tools
        self._calls: dict[str, list[str]] = {}
        self.failure: tuple[str, str | None] | None = None
        """What went wrong, and its code."""

    def of(self, chunk: AgentChunk) -> Said | None:
        """Return what a client sees of a chunk, but for a piece of the text."""
        payload = chunk.payload
        match chunk.type:
            case "error":
                told = error_to_wire(payload.error)
                self.failure = str(told.get("message")), told.get("code")
                return None
            case "text-end":
                return Said("text-end", payload.id)
            case "tool-call-input-streaming-start" if payload.tool_name in self._client_tools:
                self._calls[payload.tool_call_id] = []
                return Said("call", payload.tool_call_id, payload.tool_name)
            case "tool-call-delta" if payload.tool_call_id in self._calls:
                self._calls[payload.tool_call_id].append(payload.args_text_delta)
                return Said("args", payload.tool_call_id, payload.args_text_delta)
            case "tool-call-input-streaming-end" if payload.tool_call_id in self._calls:
                whole = "".join(self._calls[payload.tool_call_id])
                return Said("call-end", payload.tool_call_id, whole)
            case _:
                return None
