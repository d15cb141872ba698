"""One step while it streams: model chunks in, the agent's chunks and the step's result out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mastra.agents.chunks import (
    FilePayload,
    IdPayload,
    ReasoningSignaturePayload,
    RedactedPayload,
    SourcePayload,
    ToolCallPayload,
    ToolDeltaPayload,
    ToolEndPayload,
    ToolResultPayload,
    ToolStartPayload,
)
from mastra.agents.output import OutputReader
from mastra.agents.records.leg import RecordedLeg
from mastra.agents.records.requested_call import RequestedCall
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.clock import iso_from_ms, now_ms
from mastra.errors import ConfigError
from mastra.given import shown
from mastra.ids import new_id
from mastra.jsonable import Json, load_json
from mastra.models.chunks import (
    BlockEnd,
    FileChunk,
    FinishChunk,
    ModelChunk,
    ProviderItem,
    ProviderToolResult,
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
from mastra.models.messages import (
    FilePart,
    ImagePart,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["StepRecorder"]


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
        self.result = LLMStepResult(
            "initial" if not run.transcript.steps else "tool-result", model=model, run_id=run.run_id
        )
        self.calls: list[RequestedCall] = []
        self.finish: FinishChunk | None = None
        self.is_finished = False
        """Whether its `step-finish` has been streamed."""
        self.is_told = False
        """Whether the conversation has what came of its calls."""
        self.is_resumed = False
        """Whether the model answered before the run was suspended."""
        self.has_asked = False
        """Whether the model was asked, so that there is something to tell of the step."""
        self._on_call = on_call
        self._reader = reader
        # Where processors see chunks first, the object is made of what they let through.
        self._is_filtered = run.pipeline is not None and run.pipeline.sees_chunks
        self._texts: list[str] = []
        self._text_id: str | None = None
        self._thoughts: list[str] = []
        self._thought_id: str | None = None
        self._signature: str | None = None
        self._signer: str | None = None
        self._names: dict[str, str] = {}
        self._seen = self._length = 0

    @classmethod
    def resumed(
        cls,
        run: AgentRun,
        leg: RecordedLeg,
        step: LLMStepResult,
        on_call: Callable[[RequestedCall], None],
    ) -> StepRecorder:
        """Return a step that a run goes on in, as the model's answer left it."""
        recorder = cls(run, step.model, on_call)
        recorder.result, recorder.calls = step, leg.calls_of(step)
        recorder.is_resumed = recorder.has_asked = True
        return recorder

    @property
    def own_calls(self) -> list[RequestedCall]:
        """The calls that the provider does not run itself."""
        return [call for call in self.calls if not call.provider_executed]

    def absorb(self, batch: Sequence[ModelChunk]) -> None:
        """Take a batch in and stream what it means."""
        run = self.run
        emit = run.emit_text
        for chunk in batch:
            if chunk.__class__ is TextDelta:
                text: str = chunk.text  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
                text_id = self._text_id or self._open_text()
                self._texts.append(text)  # pyright: ignore[reportUnknownArgumentType]
                emit("text-delta", text_id, text)  # pyright: ignore[reportUnknownArgumentType]
            else:
                self._other(chunk)
        if not self._is_filtered:
            self._show_object(self._texts)

    def show_published(self) -> bool:
        """Stream the object of what processors let through; return whether there was more of it."""
        return self._is_filtered and self._show_object(self.run.published_text)

    def _show_object(self, pieces: Sequence[str]) -> bool:
        reader = self._reader
        if reader is None or len(pieces) <= self._seen:
            return False
        self._length += sum(map(len, pieces[self._seen :]))
        self._seen = len(pieces)
        found = reader.partial("".join(pieces)) if reader.is_due(self._length) else None
        if found is None:
            return False
        self.run.emit("object", found)
        return True

    @property
    def text(self) -> str:
        """What the model has said in this step so far, as far as processors let it through."""
        if self._is_filtered and not self.is_resumed:
            return "".join(self.run.published_text)
        return self.result.text + "".join(self._texts)

    def keep_published(self) -> None:
        """Let the step's text be what processors let through, where they see chunks first."""
        if not self._is_filtered or self.is_resumed:
            return
        result = self.result
        result.text = text = "".join(self.run.published_text)
        others: list[MessagePart] = [
            part for part in result.content if not isinstance(part, TextPart)
        ]
        result.content = [TextPart(text), *others] if text else others

    def _other(self, chunk: ModelChunk) -> None:
        run = self.run
        match chunk:
            case ReasoningDelta():
                thought_id = self._thought_id or self._open_thought()
                self._thoughts.append(chunk.text)
                run.emit_text("reasoning-delta", thought_id, chunk.text)
            case ToolCallStart():
                self._start_call(chunk.tool_call_id, chunk.tool_name, chunk.provider_executed)
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
                self._signer = chunk.provider
                run.emit(
                    "reasoning-signature", ReasoningSignaturePayload(thought_id, chunk.signature)
                )
            case RedactedReasoning():
                self._redacted(chunk)
            case BlockEnd():
                self._end_block(chunk)
            case SourceChunk():
                self._source(chunk)
            case FileChunk():
                self._file(chunk)
            case ProviderToolResult():
                self._provider_result(chunk)
            case ProviderItem():
                self._close_all()
                self.result.content.append(ProviderPart(chunk.provider, chunk.data))
            case RawChunk():
                run.emit("raw", chunk.data)
            case _:
                raise ConfigError(
                    f"Model {self.result.model} streamed {shown(chunk)}, which is none of the chunks "
                    "in mastra.models.chunks: text, for one, is TextDelta(text)."
                )

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

    def _end_block(self, chunk: BlockEnd) -> None:
        own = chunk.provider_metadata
        if chunk.kind == "text":
            if self._text_id is None and own:
                self._open_text()
            self._close_text(own)
        else:
            if self._thought_id is None and own:
                self._open_thought()
            self._close_thought(own)

    def _redacted(self, chunk: RedactedReasoning) -> None:
        self._close_all()
        provider = chunk.provider or self.provider
        own = {provider: {"redactedData": chunk.data}}
        self.run.emit("redacted-reasoning", RedactedPayload(new_id(), chunk.data, own))
        part = ReasoningPart("", provider=provider, provider_metadata=own)
        self.result.content.append(part)

    def _source(self, chunk: SourceChunk) -> None:
        own = chunk.provider_metadata
        kind, title, url = chunk.source_type, chunk.title, chunk.url
        payload = SourcePayload(chunk.id, kind, title, url, chunk.media_type, chunk.filename, own)
        self.result.sources.append(self.run.emit("source", payload))
        part = SourcePart(
            chunk.id,
            url,
            title,
            source_type=kind,
            media_type=chunk.media_type,
            filename=chunk.filename,
            provider_metadata=own,
        )
        self.result.content.append(part)

    def _file(self, chunk: FileChunk) -> None:
        self._close_all()
        kind, own = chunk.media_type, chunk.provider_metadata
        self.result.files.append(self.run.emit("file", FilePayload(chunk.data, kind, own)))
        self.result.content.append(
            ImagePart(data=chunk.data, media_type=kind, provider_metadata=own)
            if kind.startswith("image/")
            else FilePart(kind, data=chunk.data, provider_metadata=own)
        )

    def _provider_result(self, chunk: ProviderToolResult) -> None:
        self._close_all()
        call_id, name, own = chunk.tool_call_id, chunk.tool_name, chunk.provider_metadata
        args = next((call.args for call in reversed(self.calls) if call.id == call_id), None)
        is_error = chunk.is_error
        payload = ToolResultPayload(args, call_id, name, chunk.result, is_error or None, True, own)
        self.result.tool_results.append(self.run.emit("tool-result", payload))
        part = ToolResultPart(
            call_id,
            name,
            chunk.result,
            is_error,
            args,
            provider_executed=True,
            provider_metadata=own,
        )
        self.result.content.append(part)

    @property
    def provider(self) -> str:
        """The provider of the model that answers."""
        return self.result.model.partition("/")[0]

    def _close_all(self) -> None:
        self._close_thought()
        self._close_text()

    def _close_text(self, own: dict[str, Any] | None = None) -> None:
        if self._text_id is None:
            return
        self.run.emit("text-end", IdPayload(self._text_id, own))
        self._text_id = None
        text = "".join(self._texts)
        self._texts.clear()
        if not self._is_filtered:
            self._seen = self._length = 0
        self.result.text += text
        if text or own:
            self.result.content.append(TextPart(text, provider_metadata=own))

    def _close_thought(self, own: dict[str, Any] | None = None) -> None:
        if self._thought_id is None:
            return
        self.run.emit("reasoning-end", IdPayload(self._thought_id, own))
        self._thought_id = None
        thought = "".join(self._thoughts)
        self._thoughts.clear()
        self.result.reasoning_text += thought
        part = ReasoningPart(
            thought,
            self._signature,
            provider=self._signer or self.provider,
            provider_metadata=own,
        )
        self.result.content.append(part)
        self._signature = self._signer = None

    def _start_call(self, call_id: str, name: str, provider_executed: bool) -> None:
        self._close_thought()
        self._names[call_id] = name
        payload = ToolStartPayload(call_id, name, provider_executed or None)
        self.run.emit("tool-call-input-streaming-start", payload)

    def _end_call(self, chunk: ToolCallEnd) -> None:
        call_id = chunk.tool_call_id
        run = self.run
        if call_id not in self._names:
            self._start_call(call_id, chunk.tool_name, chunk.provider_executed)
            if chunk.args_text:
                run.emit(
                    "tool-call-delta",
                    ToolDeltaPayload(chunk.args_text, call_id, chunk.tool_name),
                )
        self._close_text()
        run.emit("tool-call-input-streaming-end", ToolEndPayload(call_id))
        call = _requested(chunk)
        ran_there, own = chunk.provider_executed, chunk.provider_metadata
        payload = ToolCallPayload(call_id, call.name, call.args, ran_there or None, own)
        call.chunk = run.emit("tool-call", payload)
        self.calls.append(call)
        self.result.tool_calls.append(call.chunk)
        part = ToolCallPart(
            call_id, call.name, call.args, provider_executed=ran_there, provider_metadata=own
        )
        self.result.content.append(part)
        if not ran_there:
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

    def close(self) -> LLMStepResult:
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


def _requested(chunk: ToolCallEnd) -> RequestedCall:
    text = chunk.args_text.strip()
    try:
        args: Any = load_json(text) if text else {}
        if isinstance(args, str) and args.lstrip()[:1] == "{":  # an object as JSON text, once more
            with suppress(ValueError):
                args = load_json(args)
    except ValueError:
        args = chunk.args_text
        is_json = False
    else:
        is_json = True
    call = RequestedCall(chunk.tool_call_id, chunk.tool_name, args, is_json=is_json)
    call.provider_executed = chunk.provider_executed
    return call
