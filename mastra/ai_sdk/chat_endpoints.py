"""Answers to a page's chat with an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from mastra.agents.agent import Agent
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chunks import StreamOptions, UIChunk
from mastra.ai_sdk.endpoints import ChatId, Endpoints, asked_options, nothing, stream_response
from mastra.ai_sdk.page import ChatBody
from mastra.ai_sdk.turns import client_tools, turn_of
from mastra.ai_sdk.ui_stream import DONE, usage_of
from mastra.errors import MastraError
from mastra.jsonable import Json
from mastra.pages.chats import Chat, ChatNote, cancel, status_of
from mastra.pages.facts import framed
from mastra.pages.who import agent_of
from mastra.server.context import Server, ServerDep
from mastra.server.streaming import OPENED

__all__ = ["chat_endpoints"]

_BATCH = 64
_UNDER_WAY = frozenset(("running", "waiting"))
_SHOWN = _UNDER_WAY | {"suspended"}
"""What a page that comes back is shown: also what waits for its answer."""


def chat_endpoints(fixed: str | None, options: StreamOptions) -> Endpoints:
    """Return what answers.

    Args:
        fixed: The agent, where the path names none.
        options: How answers are shown.
    """
    found = agent_of(fixed)

    async def chat(
        server: ServerDep, request: Request, body: ChatBody, agent: Agent = found
    ) -> Response:
        """Answer a page's chat."""
        shown = asked_options(request, options)
        chat_of_page = Chat.of(server, request, f"ai-sdk:agent:{agent.id}", body.id or "")
        turn = await turn_of(chat_of_page, request, agent, body, shown)
        await turn.begin(request)
        return stream_response(server, turn.frames())

    async def chat_stream(
        server: ServerDep, request: Request, chat_id: ChatId, agent: Agent = found
    ) -> Response:
        """Go on with the answer to a page's chat, from its beginning, if one is under way."""
        shown = asked_options(request, options)
        note = await _under_way(
            Chat.of(server, request, f"ai-sdk:agent:{agent.id}", chat_id), agent
        )
        if note is None:
            return nothing()
        shown = replace(shown, client_tools=await client_tools(server, request, agent))
        return stream_response(server, _replayed(server, agent, note, shown))

    async def chat_stop(
        server: ServerDep, request: Request, chat_id: ChatId, agent: Agent = found
    ) -> dict[str, Json]:
        """Stop the answer to a page's chat."""
        chat_of_page = Chat.of(server, request, f"ai-sdk:agent:{agent.id}", chat_id)
        is_stopped = chat_of_page.stop()
        note = await _under_way(chat_of_page, agent)
        run_id = None if note is None else str(note.runs[-1]["id"])
        if run_id is not None and await status_of(agent, run_id) in _UNDER_WAY:
            await cancel(agent, run_id)
            is_stopped = True
        return {"stopped": is_stopped}

    return Endpoints(chat, chat_stream, chat_stop)


async def _under_way(chat: Chat, agent: Agent) -> ChatNote | None:
    """Return what is known of an answer that goes on without its reader, or waits."""
    note = await chat.noted() if agent.spec.durable else None
    if note is None or not note.runs:
        return None
    return note if await status_of(agent, str(note.runs[-1]["id"])) in _SHOWN else None


async def _replayed(
    server: Server, agent: Agent, note: ChatNote, options: StreamOptions
) -> AsyncGenerator[bytes, None]:
    translator = AgentTranslator(replace(options, message_id=note.message_id))
    ended: list[UIChunk] = []
    yield OPENED
    try:
        for run in note.runs:
            for result in run.get("results") or ():
                yield _framed(translator.answered(result["toolCallId"], result["output"]))
            async with agent.observe(str(run["id"])) as stream:
                async with aclosing(stream.batches(_BATCH)) as batches:
                    async for batch in batches:
                        await server.turns.next()
                        # Of all but the last run the message goes on where the run ends.
                        shown = [
                            made
                            for chunk in batch
                            if chunk.type != "finish" or run is note.runs[-1]
                            for made in translator.translate(chunk)
                        ]
                        if shown:
                            yield _framed(shown)
                for result in run.get("given") or ():
                    yield _framed(translator.answered(result["toolCallId"], result["output"]))
                if run is note.runs[-1]:
                    ended = translator.end(stream.status, await usage_of(stream))
    except MastraError as error:
        ended = translator.fail(error)
    yield _framed(ended) + DONE


def _framed(chunks: list[UIChunk]) -> bytes:
    return b"".join(map(framed, chunks))
