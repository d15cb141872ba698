"""Answers in the form of chat completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from mastra.clock import now_ms
from mastra.jsonable import Json, dump_wire
from mastra.models.chunks import Usage
from mastra.server.openai.answers import Ended, Said

__all__ = ["completion", "completion_events", "error_wire"]

_REASONS: Final = {"tool-calls": "tool_calls", "content-filter": "content_filter"}


def error_wire(message: str, status: int, code: str | None = None) -> dict[str, Json]:
    """Return an error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _usage(usage: Usage) -> dict[str, Json]:
    return {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def _head(run_id: str, model: str, kind: str) -> dict[str, Json]:
    return {"id": f"chatcmpl-{run_id}", "object": kind, "created": now_ms() // 1000, "model": model}


async def completion(
    answer: AsyncIterator[Said | Ended], run_id: str, model: str
) -> tuple[dict[str, Json], Ended]:
    """Return a whole answer, and how it ended."""
    texts: list[str] = []
    calls: dict[str, dict[str, Json]] = {}
    ended = Ended("stop", Usage())
    async for said in answer:
        match said:
            case Ended():
                ended = said
            case Said("text"):
                texts.append(said.text)
            case Said("call"):
                function: dict[str, Json] = {"name": said.text, "arguments": ""}
                calls[said.id] = {"id": said.id, "type": "function", "function": function}
            case Said("call-end"):
                calls[said.id]["function"]["arguments"] = said.text
            case _:
                pass
    message: dict[str, Json] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not calls else None,
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = [*calls.values()]
    choice: Json = {
        "index": 0,
        "message": message,
        "finish_reason": _finish(ended, has_calls=bool(calls)),
        "logprobs": None,
    }
    head = _head(run_id, model, "chat.completion")
    return {**head, "choices": [choice], "usage": _usage(ended.usage)}, ended


def _finish(ended: Ended, *, has_calls: bool) -> str:
    # Of the agent's own calls the client knows nothing.
    if ended.reason == "tool-calls" or has_calls:
        return "tool_calls" if has_calls else "stop"
    return _REASONS.get(ended.reason, ended.reason)


async def completion_events(
    answer: AsyncIterator[Said | Ended], run_id: str, model: str, *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    """Yield an answer as server-sent events."""
    head = _head(run_id, model, "chat.completion.chunk")
    places: dict[str, int] = {}

    def event(delta: dict[str, Json], reason: str | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return _sse({**head, "choices": [choice]})

    # Of nearly all events only the text differs, so the rest is encoded once.
    before, empty, after = event({"content": ""}).rpartition(b'{"content":""}')
    before, after = before + empty[:-3], b"}" + after
    yield event({"role": "assistant", "content": ""})
    async for said in answer:
        if isinstance(said, Said) and said.kind == "text":
            yield before + dump_wire(said.text) + after
            continue
        match said:
            case Said("call"):
                place = places[said.id] = len(places)
                function: Json = {"name": said.text, "arguments": ""}
                call = {"index": place, "id": said.id, "type": "function", "function": function}
                yield event({"tool_calls": [call]})
            case Said("args"):
                part: Json = {"index": places[said.id], "function": {"arguments": said.text}}
                yield event({"tool_calls": [part]})
            case Ended(error=str(message)):
                yield _sse(error_wire(message, 500, said.code))
            case Ended():
                yield event({}, _finish(said, has_calls=bool(places)))
                if with_usage:
                    yield _sse({**head, "choices": [], "usage": _usage(said.usage)})
            case _:
                pass
    yield b"data: [DONE]\n\n"


def _sse(data: Json) -> bytes:
    return b"data: " + dump_wire(data) + b"\n\n"
