"""Server-sent events of a model's answer, from bytes to each event's JSON.

A network read is decoded as one batch, with `orjson`. Whatever the standard of event streams or
Python's `json` allow is read: a byte order mark, empty and split data, any line ends, NaN, halves
of characters. An error in any of its forms is an error.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from mastra.errors import ModelError
from mastra.models.chunks import ModelChunk, RawChunk
from mastra.models.foreign_json import objects_in, read_json, sendable, words_of

__all__ = ["SseDecoder", "may_pass"]

_BOM: Final = b"\xef\xbb\xbf"
_FOREIGN_LIMIT: Final = 4096
"""Bytes kept of a body that is no event stream, for the error."""
_ANSWER_LIMIT: Final = 1 << 26
"""Bytes of an answer that comes whole, in place of a stream."""
_FIELDS: Final = (b"id", b"retry", b"data", b"event")


def may_pass(code: object) -> bool:
    """Return whether an error with this HTTP status, or name, may pass."""
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    if isinstance(code, int):
        return code in {408, 409, 429} or code >= 500
    return code in {
        "api_error",
        "overloaded",
        "overloaded_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "server_error",
        "timeout_error",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    }


class SseDecoder(ABC):
    """Splits a body of server-sent events and hands each event's JSON to `event`.

    Subclasses say what an event means. `done` is true once the answer is complete.
    """

    __slots__ = (
        "_event", "_foreign", "_foreign_size", "_held", "_is_first", "_rest", "done", "include_raw",
        "model_id", "raw_event",
    )  # fmt: skip

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        self.model_id = model_id
        self.include_raw = include_raw
        self.done = False
        self.raw_event = b""
        """The JSON of the event at hand, for what the parser rounds."""
        self._rest = b""
        self._is_first = True
        self._event = b""
        self._held = b""
        """Data of an event under way that is not whole yet."""
        self._foreign: list[bytes] = []
        """Lines that are no event stream: all of an answer that is not streamed, or the beginning
        of something else."""
        self._foreign_size = 0

    @property
    def provider(self) -> str:
        """Who answers."""
        return self.model_id.partition("/")[0]

    def feed(self, data: bytes) -> list[ModelChunk]:
        """Return the chunks of one network read.

        Raises:
            ModelError: The provider sent something that cannot be read, or an error.
        """
        rest = self._rest
        if rest:
            data = rest + data
        if self._is_first:
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return []
            self._is_first = False
            data = data.removeprefix(_BOM)
        if b"\r" in data:
            # A line end may be cut between its two bytes.
            tail = b"\r" if data[-1:] == b"\r" else b""
            data = data[: len(data) - len(tail)]
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
        lines = data.split(b"\n")
        self._rest = lines.pop()
        out: list[ModelChunk] = []
        for line in lines:
            if line[:5] == b"data:":
                self._data(line[5:], out)
                if self.done:
                    break
            elif not line:
                if self._held:
                    self._broken()
                self._event = b""
            else:
                self._other(line)
        return out

    def _data(self, body: bytes, out: list[ModelChunk]) -> None:
        if self._held:
            body = self._held + b"\n" + body
        elif body[:7].strip() == b"[DONE]":
            self.finish(out)
            return
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            if not body.strip():
                return
            try:
                parsed = read_json(body)
            except (ValueError, RecursionError):
                # It may go on in the next line of the same event.
                self._held = body
                return
        self._held = b""
        self.raw_event = body
        if self.include_raw:
            out.append(RawChunk(parsed))
        if self._event == b"error":
            raise self.fail(parsed)
        if parsed.__class__ is dict:
            self.event(parsed, out)
        elif parsed:  # with nothing in it, a sign of life
            raise self.fail(parsed)

    def _other(self, line: bytes) -> None:
        """Take a line in that is no data: an event's name, or no event stream at all."""
        name, _, value = line.partition(b":")
        if name == b"event":
            self._event = value.strip()
        elif name and name not in _FIELDS:
            first = (self._foreign or [line])[0].lstrip()[:1]
            limit = _ANSWER_LIMIT if first in (b"{", b"[") else _FOREIGN_LIMIT
            if self._foreign_size < limit:
                self._foreign.append(line[:limit])
                self._foreign_size += len(line)

    def _broken(self) -> None:
        held = self._held.strip()
        if self._event == b"error":
            raise self.fail(held.decode("utf-8", "replace"))
        raise ModelError(
            f"{self.model_id} sent a chunk that is not JSON: {_cut(held)}",
            model_id=self.model_id,
            code="MODEL_RESPONSE_INVALID",
        )

    def end(self) -> list[ModelChunk]:
        """Return what is left when the body ends.

        Raises:
            ModelError: The body ended in the middle of the answer, or was none.
        """
        out: list[ModelChunk] = []
        if self._rest:
            self._is_first = False
            out = self.feed(b"\n")
        if self.done:
            return out
        if self._held.lstrip()[:1] not in {b"", b"{"} and not self.is_complete():
            self._broken()  # words, and not the beginning of a chunk
        if not self.is_complete():
            if not self._foreign:
                raise self.cut()
            self._not_streamed(out)
        if not self.done:
            self.finish(out)
        return out

    def _not_streamed(self, out: list[ModelChunk]) -> None:
        """Take in a body that is no event stream: an answer that came whole, an error, a web page.

        Raises:
            ModelError: It is no answer.
        """
        body = b"\n".join(self._foreign)
        try:
            parsed: Any = json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            parsed = None
        for item in objects_in(parsed):
            said = sendable(item)
            self.raw_event = json.dumps(item).encode()
            self.event(said, out)
            if self.include_raw:
                out.append(RawChunk(said))
        if self.done or self.is_complete():
            return
        found = next(objects_in(parsed), None)
        if found is not None:
            raise self.fail(found)
        raise ModelError(
            f"{self.model_id} did not stream an answer. It said: {_cut(body)}",
            model_id=self.model_id,
            code="MODEL_RESPONSE_INVALID",
        )

    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether the model said that it had finished."""
        ...

    @abstractmethod
    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one event in."""
        ...

    @abstractmethod
    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in."""
        ...

    def fail(self, error: Any) -> ModelError:
        """Return the error for one that the provider sent inside the stream.

        Args:
            error: What it sent: text, the error itself, or what holds it under `error`.
        """
        said = words_of(error)
        for field in ("error", "errors"):
            if isinstance(error, Mapping):
                error = cast("Mapping[str, Any]", error).get(field) or cast("Any", error)
            if isinstance(error, list) and error:
                error = cast("list[Any]", error)[0]
        known = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {})
        code = known.get("code")
        kind = known.get("type") or known.get("status")
        return ModelError(
            f"{self.model_id} failed while it answered: {said}",
            model_id=self.model_id,
            status_code=code if isinstance(code, int) and 400 <= code < 600 else None,
            is_retryable=may_pass(code) or may_pass(kind),
            details={"code": code, "type": kind},
        )

    def nameless(self) -> ModelError:
        """Return the error for a tool call without a tool."""
        return ModelError(
            f"{self.model_id} asked for a tool without saying which.",
            model_id=self.model_id,
            code="MODEL_RESPONSE_INVALID",
        )

    def empty(self) -> ModelError:
        """Return the error for an answer that ends without having begun."""
        return ModelError(
            f"{self.model_id} ended its answer without saying anything.",
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_RESPONSE_INVALID",
        )

    def cut(self) -> ModelError:
        """Return the error for a body that ends in the middle of the answer."""
        return ModelError(
            f"The answer of {self.model_id} was cut off: the connection ended before the model "
            "said that it had finished.",
            model_id=self.model_id,
            is_retryable=True,
            code="MODEL_STREAM_CUT",
        )


def _cut(body: bytes) -> str:
    text = body.strip().decode("utf-8", "replace")
    return text if len(text) <= 200 else text[:200] + "…"
