"""Models for tests: one that plays a script, one that is a function, and a block on real ones."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, cast

from mastra.clock import sleep
from mastra.errors import ConfigError, MastraError, ModelError
from mastra.given import shown
from mastra.models.base import ModelRequest
from mastra.models.chunks import (
    FinishChunk,
    FinishReason,
    ModelChunk,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.guard import RequestBlock
from mastra.models.http_errors import may_pass
from mastra.models.messages import ToolCallPart
from mastra.names import hint

__all__ = ["FunctionModel", "ScriptedModel", "ToolCall", "Turn", "block_model_requests"]

_USAGE = Usage(10, 5, 15, 0, 0)


@dataclass(frozen=True)
class ToolCall:
    """A tool call for a script.

    Args:
        name: What to call.
        args: With what; text is streamed as it is, also where it is not JSON.
    """

    name: str
    args: Any = None
    id: str | None = None
    """Default: `call_1`, `call_2`, … in the order of the script; of a
    `FunctionModel` after those of the request's messages."""


@dataclass(frozen=True)
class Turn:
    """One answer of a script.

    Args:
        text: What the model says: whole (streamed word by word), or its pieces.
        tool_calls: What it asks for, after the text.
        error: What it raises: in place of the answer, or after what comes before.
        delay: Seconds before each chunk.
    """

    text: str | Sequence[str] = ()
    tool_calls: Sequence[ToolCall | Mapping[str, Any]] = ()
    reasoning: str | Sequence[str] = ()
    error: BaseException | None = None
    delay: float = 0.0
    finish_reason: FinishReason | None = None
    """Default: `tool-calls` where there are some, else `stop`."""
    usage: Usage = _USAGE
    chunks: Sequence[ModelChunk] | None = None
    """Exactly these chunks, in place of everything else."""


TurnInput: TypeAlias = (
    "Turn | str | ToolCall | BaseException | Mapping[str, Any] | Sequence[str | ToolCall]"
)
"""A turn; text; one tool call; an error to raise; `Turn`'s arguments; texts and calls together."""


def _turn(value: TurnInput) -> Turn:
    match value:
        case Turn():
            return value
        case str():
            return Turn(value)
        case ToolCall():
            return Turn(tool_calls=(value,))
        case BaseException():
            return Turn(error=value)
        case Mapping():
            unknown = value.keys() - _FIELDS
            if unknown:
                raise ConfigError(
                    f"A turn has {', '.join(map(repr, sorted(map(str, unknown))))}, which no turn "
                    f"has.{hint(unknown, _FIELDS)}"
                )
            return Turn(**value)
        case list() | tuple() if all(isinstance(item, (str, ToolCall)) for item in value):
            texts = tuple(item for item in value if isinstance(item, str))
            calls = tuple(item for item in value if isinstance(item, ToolCall))
            return Turn(texts, calls)
        case _:
            raise ConfigError(
                f"A turn is {shown(value)}. It takes text, a ToolCall, an error to raise, a Turn, a "
                "dict of what a Turn takes, or a list of texts and ToolCalls."
            )


_FIELDS = frozenset(Turn.__dataclass_fields__)


def _pieces(text: str | Sequence[str]) -> Sequence[str]:
    if not isinstance(text, str):
        return text
    words = text.split(" ")
    pieces = [word + " " for word in words[:-1]] + words[-1:]
    return [piece for piece in pieces if piece]


class ScriptedModel:
    """Plays a script: one turn a call.

    A call that the script does not have fails, and so does leaving an `async with` (or
    `assert_done`) with turns left over.

    Args:
        turns: In order; see `TurnInput` for short forms.
    """

    provider = "scripted"
    model_name = "model"

    def __init__(self, *turns: TurnInput) -> None:
        if len(turns) == 1 and isinstance(turns[0], list):
            turns = tuple(cast("list[TurnInput]", turns[0]))
        self.turns = [_turn(turn) for turn in turns]
        self.requests: list[ModelRequest] = []
        """What was asked, call by call."""
        self._numbers = itertools.count(1)

    @property
    def calls(self) -> int:
        """How often the model was called."""
        return len(self.requests)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Play the next turn.

        Raises:
            MastraError: There is none.
        """
        self.requests.append(request)
        if self.calls > len(self.turns):
            raise MastraError(
                f"ScriptedModel was called {self.calls} times and has {len(self.turns)} turns.",
                code="SCRIPT_EXHAUSTED",
            )
        async with aclosing(_played(self.turns[self.calls - 1], self._numbers)) as chunks:
            async for chunk in chunks:
                yield chunk

    def assert_done(self) -> None:
        """Check that the whole script was played.

        Raises:
            AssertionError: Some of it was not.
        """
        left = len(self.turns) - self.calls
        if left > 0:
            raise AssertionError(f"ScriptedModel has {left} unused turns of {len(self.turns)}.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self.assert_done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self.assert_done()


async def _played(turn: Turn, numbers: Iterator[int]) -> AsyncGenerator[ModelChunk]:
    """Stream a turn; calls without an id of their own get the next number."""
    for chunk in _chunks_of(turn, numbers):
        if turn.delay:
            await sleep(turn.delay)
        yield chunk
    if turn.error is not None:
        if turn.delay:
            await sleep(turn.delay)
        raise turn.error
    if turn.chunks is None:
        reason: FinishReason = "tool-calls" if turn.tool_calls else "stop"
        yield FinishChunk(turn.finish_reason or reason, None, turn.usage)


def _chunks_of(turn: Turn, numbers: Iterator[int]) -> list[ModelChunk]:
    if turn.chunks is not None:
        return list(turn.chunks)
    chunks: list[ModelChunk] = [ReasoningDelta(piece) for piece in _pieces(turn.reasoning)]
    chunks += [TextDelta(piece) for piece in _pieces(turn.text)]
    for given in turn.tool_calls:
        call = given if isinstance(given, ToolCall) else ToolCall(**given)
        number = next(numbers)
        chunks += _call_chunks(call, call.id or f"call_{number}")
    return chunks


def _call_chunks(call: ToolCall, call_id: str) -> list[ModelChunk]:
    args = call.args if isinstance(call.args, str) else json.dumps(call.args or {})
    half = len(args) // 2
    chunks: list[ModelChunk] = [ToolCallStart(call_id, call.name)]
    chunks += [ToolCallDelta(call_id, piece) for piece in (args[:half], args[half:]) if piece]
    return [*chunks, ToolCallEnd(call_id, call.name, args)]


Answer: TypeAlias = "TurnInput | Awaitable[TurnInput] | AsyncIterator[ModelChunk | str]"


class FunctionModel:
    """A model that is a function of the request.

    Args:
        function: Takes the `ModelRequest` (its `messages`, `tools`, …) and gives a turn in any
            form that `ScriptedModel` takes, sync or async; or, as an async generator, the
            chunks themselves, where text stands for a piece of text.
    """

    provider = "function"
    model_name = "model"

    def __init__(self, function: Callable[[ModelRequest], Any]) -> None:
        self._function = function
        self.requests: list[ModelRequest] = []
        """What was asked, call by call."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        """Stream what the function gives."""
        self.requests.append(request)
        answer = self._function(request)
        if inspect.isasyncgen(answer):
            last: Any = None
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    last = TextDelta(chunk) if isinstance(chunk, str) else chunk
                    yield last
            if not isinstance(last, FinishChunk):
                yield FinishChunk("stop", None, _USAGE)
            return
        if inspect.isawaitable(answer):
            answer = await answer
        turn, made = _turn(answer), 0
        if any(isinstance(call, Mapping) or not call.id for call in turn.tool_calls):
            # By what it is shown, so that the calls of a conversation differ and those of two are
            # alike. It takes longer with each turn, so only where it is asked for.
            parts = (part for one in request.messages for part in one.content)
            made = sum(isinstance(part, ToolCallPart) for part in parts)
        async with aclosing(_played(turn, itertools.count(made + 1))) as chunks:
            async for chunk in chunks:
                yield chunk


def block_model_requests(*, allow_loopback: bool = True) -> RequestBlock:
    """Refuse requests to real models, from here on or within a `with` block.

    Args:
        allow_loopback: Whether servers on this machine, such as a test's own, may be called.
    """
    return RequestBlock(allow_loopback=allow_loopback)


def model_failure(message: str = "the model failed", *, status: int | None = None) -> ModelError:
    """Return an error as a provider's, for a script."""
    return ModelError(
        message, status_code=status, is_retryable=status is not None and may_pass(status)
    )
