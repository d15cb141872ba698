"""Answers in the form of responses: a list of items, each opened, filled and closed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

from mastra.clock import now_ms
from mastra.jsonable import Json, dump_wire
from mastra.models.chunks import Usage
from mastra.server.openai.answers import Ended, Said
from mastra.server.openai.bodies import ResponsesBody

__all__ = ["ResponseEvents", "WholeResponse"]

_INCOMPLETE = {"length": "max_output_tokens", "content-filter": "content_filter"}


class ResponseMaker:
    """Puts one response together, and tells each change as an event.

    Attributes:
        response: As far as it has come.
    """

    def __init__(self, run_id: str, body: ResponsesBody) -> None:
        self._run_id = run_id
        self._output: list[dict[str, Any]] = []
        self._places: dict[str, int] = {}
        # Put together when they are shown: to add to a text costs as much as it is long.
        self._pieces: dict[int, list[str]] = {}
        self.response: dict[str, Any] = {
            "id": f"resp_{run_id}",
            "object": "response",
            "created_at": now_ms() // 1000,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": body.model,
            "output": self._output,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.temperature,
            "text": body.text or {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
            "metadata": body.metadata or {},
        }

    def begin(self) -> Generator[dict[str, Any]]:
        """Yield the events that open it."""
        for kind in ("response.created", "response.in_progress"):
            yield {"type": kind, "response": self._shown()}

    def text(self, text_id: str, piece: str) -> Generator[dict[str, Any]]:
        """Yield the events that a piece of a text makes."""
        if text_id not in self._places:
            yield from self._open_text(text_id)
        place = self._places[text_id]
        self._pieces.setdefault(place, []).append(piece)
        yield self._part("response.output_text.delta", place, delta=piece, logprobs=[])

    def take(self, said: Said | Ended) -> Generator[dict[str, Any]]:
        """Yield the events that any other piece of the answer makes."""
        match said:
            case Ended():
                yield from self._end(said)
            case Said("text-end") if said.id in self._places:
                yield from self._close_text(self._places[said.id])
            case Said("call"):
                item = {
                    "id": f"fc_{self._run_id}_{len(self._output)}",
                    "type": "function_call",
                    "status": "in_progress",
                    "call_id": said.id,
                    "name": said.text,
                    "arguments": "",
                }
                yield self._add(said.id, item)
            case Said("args"):
                place = self._places[said.id]
                self._pieces.setdefault(place, []).append(said.text)
                yield self._about("response.function_call_arguments.delta", place, delta=said.text)
            case Said("call-end"):
                place = self._places[said.id]
                item = self._output[place]
                item |= {"status": "completed", "arguments": said.text}
                self._pieces.pop(place, None)
                done = "response.function_call_arguments.done"
                yield self._about(done, place, arguments=said.text, name=item["name"])
                yield self._item("response.output_item.done", place)
            case _:
                pass

    def _said(self, place: int) -> str:
        return "".join(self._pieces.pop(place, ()))

    # -- events --------------------------------------------------------------------------------

    def _shown(self) -> dict[str, Any]:
        return {**self.response, "output": [dict(item) for item in self._output]}

    def _item(self, kind: str, place: int) -> dict[str, Any]:
        return {"type": kind, "output_index": place, "item": dict(self._output[place])}

    def _about(self, kind: str, place: int, **facts: Any) -> dict[str, Any]:
        return {"type": kind, "item_id": self._output[place]["id"], "output_index": place, **facts}

    def _part(self, kind: str, place: int, **facts: Any) -> dict[str, Any]:
        return self._about(kind, place, content_index=0, **facts)

    def _add(self, said_id: str, item: dict[str, Any]) -> dict[str, Any]:
        self._places[said_id] = len(self._output)
        self._output.append(item)
        return self._item("response.output_item.added", self._places[said_id])

    def _open_text(self, text_id: str) -> Generator[dict[str, Any]]:
        item: dict[str, Any] = {
            "id": f"msg_{self._run_id}_{len(self._output)}",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        yield self._add(text_id, item)
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
        part["logprobs"] = []
        yield self._part("response.content_part.added", self._places[text_id], part=dict(part))
        item["content"] = [part]

    def _close_text(self, place: int) -> Generator[dict[str, Any]]:
        item = self._output[place]
        if item["status"] != "in_progress":
            return
        item["status"] = "completed"
        part = item["content"][0]
        part["text"] = self._said(place)
        yield self._part("response.output_text.done", place, text=part["text"], logprobs=[])
        yield self._part("response.content_part.done", place, part=dict(part))
        yield self._item("response.output_item.done", place)

    def _end(self, ended: Ended) -> Generator[dict[str, Any]]:
        for place, item in enumerate(self._output):
            if item["type"] == "message":
                yield from self._close_text(place)
            elif item["status"] == "in_progress":  # cut off
                item["arguments"] = self._said(place)
        response, usage = self.response, ended.usage
        response["usage"] = {
            "input_tokens": usage.input_tokens or 0,
            "input_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
            "output_tokens": usage.output_tokens or 0,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
            "total_tokens": usage.total_tokens or 0,
        }
        if ended.error is not None:
            response |= {"status": "failed", "usage": None}
            response["error"] = {"code": ended.code or "server_error", "message": ended.error}
        elif ended.reason in _INCOMPLETE:
            response["status"] = "incomplete"
            response["incomplete_details"] = {"reason": _INCOMPLETE[ended.reason]}
        else:
            response["status"] = "completed"
        yield {"type": f"response.{response['status']}", "response": self._shown()}


class ResponseEvents:
    """Makes the server-sent events of a response, each with its number."""

    end = b""

    def __init__(self, run_id: str, body: ResponsesBody) -> None:
        self._maker = ResponseMaker(run_id, body)
        self._number = 0
        self.begin = b"".join(map(self._framed, self._maker.begin()))

    def text(self, text_id: str, piece: str) -> bytes:
        """Return the events of a piece of a text: one, and before it those that open it."""
        return b"".join(map(self._framed, self._maker.text(text_id, piece)))

    def take(self, said: Said | Ended) -> bytes:
        """Return the events of a piece: none, one or more."""
        return b"".join(map(self._framed, self._maker.take(said)))

    def _framed(self, event: dict[str, Any]) -> bytes:
        data = dump_wire(cast("Json", {**event, "sequence_number": self._number}))
        self._number += 1
        return b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"


class WholeResponse:
    """A whole response, put together."""

    begin = end = b""

    def __init__(self, run_id: str, body: ResponsesBody) -> None:
        self._maker = ResponseMaker(run_id, body)
        self.ended = Ended("stop", Usage())
        """How it ended."""

    def text(self, text_id: str, piece: str) -> bytes:
        """Add a piece of a text."""
        for _ in self._maker.text(text_id, piece):
            pass
        return b""

    def take(self, said: Said | Ended) -> bytes:
        """Add a piece; there is nothing to send before the end."""
        for _ in self._maker.take(said):
            pass
        if isinstance(said, Ended):
            self.ended = said
        return b""

    def to_wire(self) -> dict[str, Json]:
        """Return it as OpenAI's clients read it."""
        return self._maker.response
