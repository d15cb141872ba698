"""`to_ui_message_stream(stream)`: an agent's answer, or a workflow's run, for a page of the AI SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from mastra.agents.agent_stream import AgentStream
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chunks import StreamOptions, UIChunk, Version
from mastra.ai_sdk.run_translator import RunTranslator
from mastra.errors import ConfigError, MastraError
from mastra.pages.facts import framed
from mastra.workflows.run_stream import RunStream

__all__ = ["HEADERS", "UIMessageStream", "to_ui_message_stream"]

HEADERS: Final = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-vercel-ai-ui-message-stream": "v1",
    "x-accel-buffering": "no",
}
"""What an answer to a page says of itself."""

DONE: Final = b"data: [DONE]\n\n"


class UIMessageStream:
    """One message for a page of the AI SDK: iterate its chunks, or send `sse()`.

    Attributes:
        headers: Of the answer that carries it.
    """

    headers: Mapping[str, str] = HEADERS

    def __init__(self, stream: Any, options: StreamOptions) -> None:
        self._stream = stream
        self._options = options

    def __aiter__(self) -> AsyncIterator[UIChunk]:
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[UIChunk, None]:
        if isinstance(self._stream, RunStream):
            events = cast("RunStream[Any]", self._stream)
            run = RunTranslator(self._options)
            for chunk in run.begin(events.run_id):
                yield chunk
            async for event in events:
                for chunk in run.translate(event):
                    yield chunk
            for chunk in run.end():
                yield chunk
            return
        agent = AgentTranslator(self._options)
        async with aclosing(agent_chunks(self._stream, agent)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def sse(self) -> AsyncGenerator[bytes, None]:
        """Yield the message as server-sent events."""
        async for chunk in self:
            yield framed(chunk)
        yield DONE


async def agent_chunks(
    stream: AgentStream[Any], translator: AgentTranslator
) -> AsyncGenerator[UIChunk, None]:
    """Yield what an agent's stream becomes, to the end of the message."""
    try:
        async with aclosing(stream.full_stream) as chunks:
            async for chunk in chunks:
                for made in translator.translate(chunk):
                    yield made
    except MastraError as error:
        for made in translator.fail(error):
            yield made
    for made in translator.end(stream.status, await usage_of(stream)):
        yield made


async def usage_of(stream: AgentStream[Any]) -> dict[str, Any] | None:
    """Return what a run has used that waits; others say so themselves."""
    return (await stream.usage()).to_wire() if stream.status == "suspended" else None


def to_ui_message_stream(
    stream: AgentStream[Any] | RunStream[Any],
    *,
    version: Version = "v7",
    send_start: bool = True,
    send_finish: bool = True,
    send_reasoning: bool = False,
    send_sources: bool = False,
    message_id: str | None = None,
    client_tools: Collection[str] | None = None,
    on_error: Callable[[Mapping[str, Any]], str] | None = None,
    message_metadata: Callable[[UIChunk], Mapping[str, Any] | None] | None = None,
) -> UIMessageStream:
    """Return an agent's answer, or a workflow's run, as a page of the AI SDK reads it.

    Args:
        stream: What `agent.stream(...)`, `run.stream(...)` and those that resume return.
        version: Of the AI SDK that the page has: `v6` or `v7`.
        send_start: Whether the message is opened.
        send_finish: Whether it is finished; where two streams make one message, by the last.
        send_reasoning: Whether the page sees what the model thinks.
        send_sources: Whether it sees what the model drew on.
        message_id: The page's message that goes on, as after an approval.
        client_tools: Of a durable agent, which asks for one call after the other: the tools that the
            page runs. Other calls that it has not come to are then taken back where it asks, since a
            page sends an answer once no other call of the step is open.
        on_error: Says what the page is told of an error, given as JSON with `message`, `name`.
        message_metadata: Facts for the message, given its `start` and its `finish`.

    Raises:
        ConfigError: The version is unknown, or it is no such stream.
    """
    if not isinstance(stream, AgentStream | RunStream):
        raise ConfigError(
            f"to_ui_message_stream takes an AgentStream or a RunStream, not {type(stream).__name__}: "
            "pass what agent.stream(...) or run.stream(...) returns."
        )
    return UIMessageStream(
        stream,
        StreamOptions(
            version=version_of(version),
            send_start=send_start,
            send_finish=send_finish,
            send_reasoning=send_reasoning,
            send_sources=send_sources,
            message_id=message_id,
            client_tools=client_tools,
            on_error=on_error,
            message_metadata=message_metadata,
        ),
    )


def version_of(given: Any) -> Version:
    """Return a version as it is spelt here, given `v7`, `7` or so.

    Raises:
        ConfigError: It is unknown.
    """
    text = str(given).strip().lower().removeprefix("v").partition(".")[0]
    if text not in {"6", "7"}:
        raise ConfigError(f"Version {given!r} of the AI SDK is not known here: say 'v6' or 'v7'.")
    return cast("Version", f"v{text}")
