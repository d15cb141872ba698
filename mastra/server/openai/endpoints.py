"""OpenAI's routes: which agents there are, and what they answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.errors import MastraError, NotFoundError
from mastra.jsonable import Json
from mastra.server.caller_messages import plain_messages
from mastra.server.caller_options import call_options
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal, message_of, status_of
from mastra.server.handling import WireResponse
from mastra.server.hanging_up import begin_answer, unless_gone
from mastra.server.openai.answers import Ended, answered
from mastra.server.openai.bodies import (
    ChatCompletionBody,
    ResponsesBody,
    chat_call,
    client_tools_of,
    responses_call,
)
from mastra.server.openai.chat_completions import Completion, CompletionEvents, error_wire
from mastra.server.openai.responses import ResponseEvents, WholeResponse
from mastra.server.payloads import AgentBody
from mastra.server.streaming import EVENT_STREAM, EventStreamResponse

__all__ = ["openai_chat_completions", "openai_model", "openai_models", "openai_responses"]


def _model_wire(key: str) -> dict[str, Json]:
    return {"id": key, "object": "model", "created": 0, "owned_by": "mastra"}


async def openai_models(server: ServerDep) -> Response:
    """List the agents as models."""
    data: Json = [_model_wire(key) for key in server.mastra.list_agents()]
    return WireResponse({"object": "list", "data": data})


async def openai_model(server: ServerDep, model: str) -> Response:
    """Return an agent as a model."""
    if _found(server, model) is None:
        return _unknown(model)
    return WireResponse(_model_wire(model))


async def openai_chat_completions(
    server: ServerDep, request: Request, body: ChatCompletionBody
) -> Response:
    """Let an agent answer, in the form of a chat completion."""
    agent = _found(server, body.model)
    if agent is None:
        return _unknown(body.model)
    try:
        tools = await _client_tools(server, request, agent, body.tools)
        stream = await _begun(server, request, agent, chat_call(body))
        if body.stream:
            with_usage = bool((body.stream_options or {}).get("include_usage"))
            events = CompletionEvents(stream.run_id, body.model, with_usage=with_usage)
            return _streamed(server, answered(stream, agent.id, tools, events))
        whole = Completion(stream.run_id, body.model)
        await unless_gone(request, _to_its_end(answered(stream, agent.id, tools, whole)))
        return WireResponse(whole.to_wire()) if whole.ended.error is None else _failed(whole.ended)
    except (Refusal, MastraError) as error:
        return _refused(error)


async def openai_responses(server: ServerDep, request: Request, body: ResponsesBody) -> Response:
    """Let an agent answer, in the form of a response."""
    agent = _found(server, body.model)
    if agent is None:
        return _unknown(body.model)
    try:
        tools = await _client_tools(server, request, agent, body.tools)
        stream = await _begun(server, request, agent, responses_call(body))
        if body.stream:
            events = ResponseEvents(stream.run_id, body)
            return _streamed(server, answered(stream, agent.id, tools, events))
        whole = WholeResponse(stream.run_id, body)
        await unless_gone(request, _to_its_end(answered(stream, agent.id, tools, whole)))
        return WireResponse(whole.to_wire()) if whole.ended.error is None else _failed(whole.ended)
    except (Refusal, MastraError) as error:
        return _refused(error)


# -- what both do ------------------------------------------------------------------------------


def _found(server: Server, model: str) -> Agent | None:
    try:
        return server.mastra.get_agent_by_id(model)
    except NotFoundError:
        return None


async def _begun(
    server: Server, request: Request, agent: Agent, call: AgentBody
) -> AgentStream[Any]:
    options = await call_options(server, request, agent, call)
    stream = agent.stream(plain_messages(call.messages), **options)
    await begin_answer(request, stream)
    return stream


async def _client_tools(
    server: Server, request: Request, agent: Agent, given: list[dict[str, Any]] | None
) -> set[str]:
    """Return the tools that the client runs: its own, and those that the agent leaves to clients."""
    tools = await agent.list_tools(server.request_context(request))
    return {name for name, tool in tools.items() if tool.call is None} | {*client_tools_of(given)}


async def _to_its_end(answer: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(answer):
        async for _ in answer:
            pass


def _streamed(server: Server, events: AsyncGenerator[bytes, None]) -> Response:
    return EventStreamResponse(events, EVENT_STREAM, server.config.keep_alive)


def _answer(status: int, message: str, code: str | None = None) -> Response:
    return WireResponse(error_wire(message, status, code), status)


def _unknown(model: str) -> Response:
    return _answer(404, f"The model {model[:60]!r} does not exist.", "model_not_found")


def _refused(error: Refusal | MastraError) -> Response:
    if isinstance(error, Refusal):
        return _answer(error.status, error.message)
    return _answer(status_of(error), message_of(error), error.code)


def _failed(ended: Ended) -> Response:
    status = 409 if ended.code == "run_suspended" else 502
    return _answer(status, ended.error or "The answer failed.", ended.code)
