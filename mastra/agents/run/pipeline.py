"""Runs an agent's processors, each at its moment."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mastra.agents.chunks import AgentChunk, data_in
from mastra.agents.prompt import system_messages
from mastra.agents.records.requested_call import RequestedCall
from mastra.agents.records.transcript import Transcript
from mastra.agents.run.chunk_log import ChunkLog
from mastra.errors import ConfigError, SerializationError
from mastra.jsonable import Json, to_jsonable
from mastra.logs import get_logger
from mastra.models.base import ModelRequest
from mastra.models.history import acceptable
from mastra.models.message_forms import messages_from
from mastra.models.messages import DataPart, Message
from mastra.processors.base import (
    METHODS,
    ApiErrorContext,
    InputContext,
    InputStepContext,
    OutputResultContext,
    OutputStepContext,
    OutputStreamContext,
    RequestContextOfModel,
    ResponseContext,
    ToolResultContext,
    TripwireSignal,
    changed,
    method_of,
    processor_id,
    shown_to,
)
from mastra.stream.writer import custom_type

__all__ = ["Pipeline", "is_called"]


class ShownRun(Protocol):
    """A run, as its processors see and change it."""

    run_id: str
    transcript: Transcript
    chunks: ChunkLog
    finish_reason: str | None

    def publish(self, chunk: AgentChunk) -> None:
        """Stream a chunk."""
        ...

    def for_processors(self) -> dict[str, Any]:
        """Return what every processor is told of the run."""
        ...


class _StreamWriter:
    """Sends a processor's own chunks into the agent's stream."""

    __slots__ = ("_run", "_written")

    def __init__(self, run: ShownRun, written: list[DataPart] | None = None) -> None:
        self._run = run
        self._written = written

    async def write(self, value: Any) -> None:
        """Send a value as a `data-processor` chunk."""
        await self.custom({"type": "data-processor", "data": value})

    async def custom(self, chunk: Mapping[str, Any]) -> None:
        """Send a chunk of your own, `{"type": "data-<name>", "data": …}`, as it is."""
        kind = custom_type(chunk, "A processor")
        payload = {key: value for key, value in chunk.items() if key != "type"}
        shown = AgentChunk(kind, self._run.run_id, payload, 0, "SYSTEM")
        written = self._run.transcript.written if self._written is None else self._written
        written += data_in(shown)
        self._run.publish(shown)


@dataclass(frozen=True, slots=True)
class _Method:
    """One method of a processor."""

    processor: Any
    state_key: str
    call: Any

    def show(self, context: Any) -> Awaitable[Any]:
        return shown_to(self.processor, self.call, context)


def _log_refusal(run: ShownRun, refusal: BaseException) -> None:
    get_logger({"run": run.run_id}).warning(
        "of a run that ended early, only what its tools did is kept, without words: %s", refusal
    )


def is_called(name: str, *, at_output: bool) -> bool:
    """Return whether a method is called of a processor of the output, or of the input."""
    return name in _BOTH or name.startswith(("process_output", "process_llm_response")) == at_output


def _state_keys(processors: Sequence[Any]) -> list[str]:
    """Return what the state of each is kept by: its id, with a number where others have it too."""
    counts: dict[str, int] = {}
    keys: list[str] = []
    for item in processors:
        name = processor_id(item)
        counts[name] = counts.get(name, 0) + 1
        keys.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return keys


class Pipeline:
    """The processors of one run, in the order in which they look."""

    def __init__(self, run: ShownRun, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self._run = run
        self._states: dict[str, dict[str, Any]] = {}
        self._writer = _StreamWriter(run)
        self._verdict: bool | None = None
        """Whether all have let the end through; `None` where they have not been shown it."""
        self._judges = 0
        """How many have been shown the end."""
        everything = [*inputs, *(item for item in outputs if item not in inputs)]
        keys = _state_keys(everything)
        self._methods: dict[str, list[_Method]] = {name: [] for name in METHODS}
        for name in METHODS:
            at_output = is_called(name, at_output=True)
            for item in everything if name in _BOTH else (outputs if at_output else inputs):
                method = method_of(item, name)
                if method is not None:
                    key = keys[everything.index(item)]
                    self._methods[name].append(_Method(item, key, method))
        self.sees_whole_thread = any(
            getattr(item, "sees_whole_thread", False) for item in everything
        )
        self.sees_chunks = bool(self._methods["process_output_stream"])
        self.sees_steps = bool(self._methods["process_output_step"])
        self.sees_results = bool(self._methods["process_output_result"])

    def load_states(self, states: Mapping[str, Any]) -> None:
        """Give the processors the state that they had in another operation."""
        self._states = {name: dict(state) for name, state in states.items()}

    def dump_states(self) -> dict[str, Json]:
        """Return the state of each processor as JSON data.

        Raises:
            ConfigError: One keeps something that JSON cannot hold.
        """
        dumped: dict[str, Json] = {}
        for name, state in self._states.items():
            try:
                dumped[name] = to_jsonable(state, what=f"The state of processor {name!r}")
            except SerializationError as error:
                raise ConfigError(
                    f"A durable agent stores the state of its processors between two operations. "
                    f"{error.message} Keep JSON values in `ctx.state`."
                ) from error
        return dumped

    def _common(self, method: _Method) -> dict[str, Any]:
        return {
            **self._run.for_processors(),
            "processor_id": processor_id(method.processor),
            "state": self._states.setdefault(method.state_key, {}),
            "writer": self._writer,
        }

    def _take(self, value: Any) -> None:
        """Use the messages that a processor returned."""
        changes = changed(value)
        if "messages" in changes:
            messages = messages_from(changes["messages"])
            self._run.transcript.messages = [item for item in messages if item.role != "system"]
            self._run.transcript.system += [item for item in messages if item.role == "system"]
        if "system_messages" in changes:
            self._run.transcript.system = [
                Message("system", item) if isinstance(item, str) else item
                for item in changes["system_messages"]
            ]

    async def input(self) -> None:
        """Show the input, once."""
        for method in self._methods["process_input"]:
            self._take(await method.show(InputContext(**self._common(method))))

    @property
    def at_steps(self) -> Sequence[_Method]:
        """Those that see the next request, in order; each is shown what those before it want."""
        return self._methods["process_input_step"]

    async def input_step(
        self, method: _Method, changes: Mapping[str, Any], model: str, tools: Sequence[str]
    ) -> dict[str, Any]:
        """Show the next request to one of `at_steps`; return what is to be changed for it."""
        run = self._run
        context = InputStepContext(
            **self._common(method),
            step_number=len(run.transcript.steps),
            steps=run.transcript.steps,
            model=model,
            tools=tools,
        )
        changes = dict(changes)
        if "messages" in changes:
            messages = messages_from(changes["messages"])
            context.messages = [item for item in messages if item.role != "system"]
            changes["messages"] = context.messages
        if "system" in changes:
            context.system_messages = changes["system"] = system_messages(changes["system"])
        changes.update(changed(await method.show(context)))
        return changes

    async def request(self, request: ModelRequest, model: str) -> tuple[list[Message], str | None]:
        """Show the whole prompt; return it, and an answer where a processor has one."""
        prompt = [*request.messages]
        is_changed = False
        for method in self._methods["process_llm_request"]:
            context = RequestContextOfModel(
                **self._common(method), prompt=prompt, model=model, request=request
            )
            given: Mapping[str, Any] = await method.show(context) or {}
            if given.get("response") is not None:
                return prompt, str(given["response"])
            if given.get("prompt") is not None:
                prompt = messages_from(given["prompt"])
                is_changed = True
        # Whatever they left out, providers want every call with its result.
        return (acceptable(prompt) if is_changed else prompt), None

    async def response(self, prompt: list[Message], text: str, *, from_cache: bool) -> None:
        """Show the answer."""
        for method in self._methods["process_llm_response"]:
            context = ResponseContext(
                **self._common(method), text=text, prompt=prompt, from_cache=from_cache
            )
            await method.show(context)

    async def chunk(self, chunk: AgentChunk) -> list[AgentChunk]:
        """Show a chunk; return what is to be streamed in its place."""
        parts = [chunk]
        for method in self._methods["process_output_stream"]:
            shown: list[AgentChunk] = []
            for part in parts:
                context = OutputStreamContext(
                    **self._common(method), part=part, stream_parts=self._run.chunks
                )
                given: AgentChunk | None = await method.show(context)
                shown += context.extra
                if given is not None:
                    shown.append(given)
            parts = shown
        return parts

    async def output_step(
        self, text: str, tool_calls: Sequence[Any], finish_reason: str, usage: Any
    ) -> None:
        """Show what the model said, before its tools run."""
        for method in self._methods["process_output_step"]:
            context = OutputStepContext(
                **self._common(method),
                text=text,
                tool_calls=tool_calls,
                finish_reason=finish_reason,
                usage=usage,
                step_number=len(self._run.transcript.steps),
            )
            await method.show(context)

    async def tool_result(self, call: RequestedCall, result: Json) -> Json:
        """Show a tool's result; return the one to use."""
        for method in self._methods["process_tool_result"]:
            context = ToolResultContext(
                **self._common(method),
                tool_name=call.name,
                tool_call_id=call.id,
                args=call.args,
                result=result,
            )
            context.writer = _StreamWriter(self._run, call.written)
            given = await method.show(context)
            result = result if given is None else given
        return result

    async def output_result(self) -> None:
        """Show the end, once."""
        try:
            await self._show_result()
        except (Exception, TripwireSignal):
            self._verdict = False
            raise
        self._verdict = True

    async def judge(self) -> bool:
        """Show the end to those who have not seen it; return whether none refused it.

        Where one did, those after it may still take out what is not to be kept.
        """
        if self._verdict is None:
            try:
                await self.output_result()
            except (Exception, TripwireSignal) as refusal:  # noqa: BLE001 - no leave to keep words
                _log_refusal(self._run, refusal)
        while not self._verdict and self._judges < len(self._methods["process_output_result"]):
            try:
                await self._show_result(self._judges)
            except (Exception, TripwireSignal) as refusal:  # noqa: BLE001 - as above
                _log_refusal(self._run, refusal)
        return self._verdict is True

    async def _show_result(self, since: int = 0) -> None:
        run = self._run
        for at, method in enumerate(self._methods["process_output_result"][since:], since):
            self._judges = at + 1
            context = OutputResultContext(
                **self._common(method),
                text=run.transcript.text,
                usage=run.transcript.usage,
                finish_reason=run.finish_reason or "unknown",
                steps=run.transcript.steps,
            )
            self._take(await method.show(context))

    async def shown_result(self) -> list[Message]:
        """Show what there is so far as the end will be shown; return the messages to keep of it.

        The run itself goes on with what it has.
        """
        run = self._run
        before = run.transcript.messages, run.transcript.system
        try:
            await self._show_result()
            return run.transcript.messages
        finally:
            run.transcript.messages, run.transcript.system = before

    async def api_error(self, error: BaseException) -> bool:
        """Show what a provider refused; return whether to ask it again."""
        for method in self._methods["process_api_error"]:
            context = ApiErrorContext(
                **self._common(method), error=error, step_number=len(self._run.transcript.steps)
            )
            given = await method.show(context)
            if isinstance(given, Mapping):
                self._take(given)
                given = given.get("retry")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if given is True:
                return True
        return False


_BOTH = ("process_tool_result", "process_api_error", "process_llm_request", "process_llm_response")
