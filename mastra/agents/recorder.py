"""One step while it streams: model chunks in, the agent's chunks and the step's result out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from mastra.agents.chunks import (
    AgentChunk,
    FilePayload,
    IdPayload,
    ReasoningSignaturePayload,
    RedactedPayload,
    SourcePayload,
    TextPayload,
    ToolCallPayload,
    ToolDeltaPayload,
    ToolEndPayload,
    ToolStartPayload,
)
from mastra.agents.output import OutputReader
from mastra.agents.results import StepResult
from mastra.agents.run import AgentRun
from mastra.clock import iso_from_ms, now_ms
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.models.chunks import (
    FileChunk,
    FinishChunk,
    ModelChunk,
    RawChunk,
    ReasoningDelta,
    ReasoningSignature,
    RedactedReasoning,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from mastra.models.messages import ReasoningPart, TextPart, ToolCallPart

__all__ = ["RequestedCall", "StepRecorder"]


class RequestedCall:
    """A tool call that the model completed.

    Attributes:
        id: Pairs the call with its result.
        name: What the model wants to run.
        args: With what; the text itself where it is not JSON.
        is_json: Whether it is.
        provider_executed: Whether the provider runs it.
        chunk: Its `tool-call` chunk.
    """

    __slots__ = ("args", "chunk", "id", "is_json", "name", "provider_executed")

    def __init__(self, id: str, name: str, args: Json, *, is_json: bool = True) -> None:
        self.id = id
        self.name = name
        self.args = args
        self.is_json = is_json
        self.provider_executed = False
        self.chunk: AgentChunk | None = None


class StepRecorder:
    """Turns what a model streams into what the agent streams, and remembers it."""

    def __init__(
        self,
        run: AgentRun,
        model: str,
        on_call: Callable[[RequestedCall], None],
        reader: OutputReader | None = None,
    ) -> None:
        self.run = run
        self.result = StepResult(
            "initial" if not run.steps else "tool-result", model=model, run_id=run.run_id
        )
        self.calls: list[RequestedCall] = []
        self.finish: FinishChunk | None = None
        self.is_finished = False
        """Whether its `step-finish` has been streamed."""
        self.is_resumed = False
        """Whether the model answered before the run was suspended."""
        self._on_call = on_call
        self._reader = reader
        self._texts: list[str] = []
        self._text_id: str | None = None
        self._thoughts: list[str] = []
        self._thought_id: str | None = None
        self._signature: str | None = None
        self._names: dict[str, str] = {}
        self._seen = 0

    def absorb(self, batch: Sequence[ModelChunk]) -> None:
        """Take a batch in and stream what it means."""
        run = self.run
        run_id = run.run_id
        out = run.pending if run.has_hooks else run.chunks
        for chunk in batch:
            if chunk.__class__ is TextDelta:
                text: str = chunk.text  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
                text_id = self._text_id or self._open_text()
                self._texts.append(text)  # pyright: ignore[reportUnknownArgumentType]
                out.append(AgentChunk("text-delta", run_id, TextPayload(text_id, text), len(out)))  # pyright: ignore[reportUnknownArgumentType]
            else:
                self._other(chunk)
        if self._reader is not None and len(self._texts) > self._seen:
            self._seen = len(self._texts)
            found = self._reader.partial("".join(self._texts))
            if found is not None:
                run.emit("object", found)

    @property
    def text(self) -> str:
        """What the model has said in this step so far."""
        return self.result.text + "".join(self._texts)

    def _other(self, chunk: ModelChunk) -> None:
        run = self.run
        match chunk:
            case ReasoningDelta():
                thought_id = self._thought_id or self._open_thought()
                self._thoughts.append(chunk.text)
                run.emit("reasoning-delta", TextPayload(thought_id, chunk.text))
            case ToolCallStart():
                self._start_call(chunk.tool_call_id, chunk.tool_name)
            case ToolCallDelta():
                name = self._names[chunk.tool_call_id]
                run.emit(
                    "tool-call-delta",
                    ToolDeltaPayload(chunk.args_text_delta, chunk.tool_call_id, name),
                )
            case ToolCallEnd():
                self._end_call(chunk)
            case ResponseMetadata():
                self._metadata(chunk)
            case FinishChunk():
                self.finish = chunk
            case _:
                self._rare(chunk)

    def _rare(self, chunk: ModelChunk) -> None:
        run = self.run
        match chunk:
            case ReasoningSignature():
                thought_id = self._thought_id or self._open_thought()
                self._signature = chunk.signature
                run.emit(
                    "reasoning-signature", ReasoningSignaturePayload(thought_id, chunk.signature)
                )
            case RedactedReasoning():
                run.emit("redacted-reasoning", RedactedPayload(new_id(), chunk.data))
            case SourceChunk():
                payload = SourcePayload(chunk.id, title=chunk.title, url=chunk.url)
                self.result.sources.append(run.emit("source", payload))
            case FileChunk():
                file = FilePayload(chunk.data, chunk.media_type)
                self.result.files.append(run.emit("file", file))
            case RawChunk():
                run.emit("raw", chunk.data)
            case _:
                pass

    def _open_text(self) -> str:
        self._close_thought()
        self._text_id = new_id()
        self.run.emit("text-start", IdPayload(self._text_id))
        return self._text_id

    def _open_thought(self) -> str:
        self._close_text()
        self._thought_id = new_id()
        self.run.emit("reasoning-start", IdPayload(self._thought_id))
        return self._thought_id

    def _close_text(self) -> None:
        if self._text_id is None:
            return
        self.run.emit("text-end", IdPayload(self._text_id))
        self._text_id = None
        text = "".join(self._texts)
        self._texts.clear()
        self._seen = 0
        self.result.text += text
        self.result.content.append(TextPart(text))

    def _close_thought(self) -> None:
        if self._thought_id is None:
            return
        self.run.emit("reasoning-end", IdPayload(self._thought_id))
        self._thought_id = None
        thought = "".join(self._thoughts)
        self._thoughts.clear()
        self.result.reasoning_text += thought
        self.result.content.append(ReasoningPart(thought, self._signature))
        self._signature = None

    def _start_call(self, call_id: str, name: str) -> None:
        self._close_thought()
        self._names[call_id] = name
        self.run.emit("tool-call-input-streaming-start", ToolStartPayload(call_id, name))

    def _end_call(self, chunk: ToolCallEnd) -> None:
        call_id = chunk.tool_call_id
        run = self.run
        if call_id not in self._names:
            self._start_call(call_id, chunk.tool_name)
            if chunk.args_text:
                run.emit(
                    "tool-call-delta",
                    ToolDeltaPayload(chunk.args_text, call_id, chunk.tool_name),
                )
        self._close_text()
        run.emit("tool-call-input-streaming-end", ToolEndPayload(call_id))
        call = _requested(chunk)
        payload = ToolCallPayload(call_id, call.name, call.args, chunk.provider_executed or None)
        call.chunk = run.emit("tool-call", payload)
        self.calls.append(call)
        self.result.tool_calls.append(call.chunk)
        self.result.content.append(ToolCallPart(call_id, call.name, call.args))
        if not call.provider_executed:
            self._on_call(call)

    def _metadata(self, chunk: ResponseMetadata) -> None:
        response: dict[str, Json] = {}
        if chunk.id is not None:
            response["id"] = chunk.id
        response["timestamp"] = iso_from_ms(chunk.timestamp_ms or now_ms())
        response["modelId"] = chunk.model_id or self.result.model.partition("/")[2]
        if chunk.headers is not None:
            response["headers"] = chunk.headers
        self.result.response = response

    def close(self) -> StepResult:
        """Stream the ends of what is open and return the step's result."""
        self._close_thought()
        self._close_text()
        result = self.result
        if not result.response:
            self._metadata(ResponseMetadata())
        if self.finish is not None:
            result.finish_reason = self.finish.reason
            result.raw_reason = self.finish.raw_reason
            result.usage = self.finish.usage
            result.provider_metadata = self.finish.provider_metadata
        return result

    def metadata(self) -> dict[str, Any]:
        """Return who answered, as `step-finish` tells it."""
        provider, _, model = self.result.model.partition("/")
        return {
            **self.result.response,
            "modelMetadata": {"modelId": model or provider, "modelProvider": provider},
        }


def _requested(chunk: ToolCallEnd) -> RequestedCall:
    text = chunk.args_text.strip()
    try:
        args: Any = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return RequestedCall(chunk.tool_call_id, chunk.tool_name, chunk.args_text, is_json=False)
    call = RequestedCall(chunk.tool_call_id, chunk.tool_name, args)
    call.provider_executed = chunk.provider_executed
    return call
