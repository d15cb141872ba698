"""Answers in the form of chat completions."""

from __future__ import annotations

from typing import Final, cast

from mastra.clock import now_ms
from mastra.jsonable import Json, dump_wire
from mastra.models.chunks import Usage
from mastra.server.openai.answers import Ended, Said

__all__ = ["Completion", "CompletionEvents", "error_wire"]

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


class Completion:
    """A whole answer, put together."""

    begin = end = b""

    def __init__(self, run_id: str, model: str) -> None:
        self._head = _head(run_id, model, "chat.completion")
        self._texts: list[str] = []
        self._calls: dict[str, dict[str, Json]] = {}
        self.ended = Ended("stop", Usage())
        """How it ended."""

    def text(self, text_id: str, piece: str) -> bytes:
        """Add a piece of a text."""
        del text_id  # all of them are one
        self._texts.append(piece)
        return b""

    def take(self, said: Said | Ended) -> bytes:
        """Add a piece; there is nothing to send before the end."""
        match said:
            case Ended():
                self.ended = said
            case Said("call"):
                function: dict[str, Json] = {"name": said.text, "arguments": ""}
                self._calls[said.id] = {"id": said.id, "type": "function", "function": function}
            case Said("call-end"):
                cast("dict[str, Json]", self._calls[said.id]["function"])["arguments"] = said.text
            case _:
                pass
        return b""

    def to_wire(self) -> dict[str, Json]:
        """Return it as OpenAI's clients read it."""
        texts, calls = self._texts, self._calls
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
            "finish_reason": _finish(self.ended, has_calls=bool(calls)),
            "logprobs": None,
        }
        return {**self._head, "choices": [choice], "usage": _usage(self.ended.usage)}


def _finish(ended: Ended, *, has_calls: bool) -> str:
    # Of the agent's own calls the client knows nothing.
    if ended.reason == "tool-calls" or has_calls:
        return "tool_calls" if has_calls else "stop"
    return _REASONS.get(ended.reason, ended.reason)


class CompletionEvents:
    """Makes the server-sent events of an answer."""

    end = b"data: [DONE]\n\n"

    def __init__(self, run_id: str, model: str, *, with_usage: bool) -> None:
        self._head = _head(run_id, model, "chat.completion.chunk")
        self._with_usage = with_usage
        self._places: dict[str, int] = {}
        # Of nearly all events only the text differs, so the rest is encoded once.
        before, empty, after = self._event({"content": ""}).rpartition(b'{"content":""}')
        self._before, self._after = before + empty[:-3], b"}" + after
        self.begin = self._event({"role": "assistant", "content": ""})

    def _event(self, delta: dict[str, Json], reason: str | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return _sse({**self._head, "choices": [choice]})

    def text(self, text_id: str, piece: str) -> bytes:
        """Return the event of a piece of a text."""
        del text_id  # all of them are one
        return self._before + dump_wire(piece) + self._after

    def take(self, said: Said | Ended) -> bytes:
        """Return the events of a piece: none, one or more."""
        places = self._places
        match said:
            case Said("call"):
                place = places[said.id] = len(places)
                function: Json = {"name": said.text, "arguments": ""}
                call = {"index": place, "id": said.id, "type": "function", "function": function}
                return self._event({"tool_calls": [call]})
            case Said("args"):
                part: Json = {"index": places[said.id], "function": {"arguments": said.text}}
                return self._event({"tool_calls": [part]})
            case Ended(error=str(message)):
                return _sse(error_wire(message, 500, said.code))
            case Ended():
                made = self._event({}, _finish(said, has_calls=bool(places)))
                if self._with_usage:
                    made += _sse({**self._head, "choices": [], "usage": _usage(said.usage)})
                return made
            case _:
                return b""


def _sse(data: Json) -> bytes:
    return b"data: " + dump_wire(data) + b"\n\n"
