"""Processors: see, change or refuse what goes to a model and what comes from it.

A processor is any object with an `id` and some of the methods of `Processor`. It refuses with
`ctx.abort(reason)`, which never returns; that is an outcome of the run and not an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from mastra.failures import Signal, call_user
from mastra.models.base import ModelRequest
from mastra.models.messages import Message
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.stream.abort import AbortSignal
from mastra.stream.writer import NullWriter, Writer

if TYPE_CHECKING:
    from mastra.workflows.step import Step

__all__ = [
    "METHODS",
    "ApiErrorContext",
    "InputContext",
    "InputStepContext",
    "OutputResultContext",
    "OutputStepContext",
    "OutputStreamContext",
    "Processor",
    "ProcessorContext",
    "RequestContextOfModel",
    "ResponseContext",
    "ToolResultContext",
    "TripwireSignal",
]


class TripwireSignal(Signal):
    """Ends the run, or the step where the model is to be asked again.

    It derives from `BaseException`, so that a processor's own `except Exception` lets it through.
    """

    def __init__(self, reason: str, *, retry: bool, metadata: Any, processor_id: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.metadata = metadata
        self.processor_id = processor_id
        self.is_told = False
        """Whether the processor's `on_violation` has been called."""


@dataclass(slots=True, kw_only=True)
class ProcessorContext:
    """What every method of a processor gets."""

    processor_id: str
    """The processor's own id."""
    agent_id: str
    """The agent that runs."""
    run_id: str
    """Its run."""
    messages: list[Message]
    """The conversation so far, without the system's messages."""
    system_messages: list[Message]
    """The instructions."""
    state: dict[str, Any]
    """The processor's own, for as long as the run lasts."""
    request_context: RequestContext
    """Values of the request."""
    retry_count: int = 0
    """How often processors have asked the model again."""
    abort_signal: AbortSignal = field(default_factory=AbortSignal)
    """Tells when to stop."""
    writer: Writer = field(default_factory=NullWriter)
    """Sends `data-…` chunks to whoever reads the stream."""
    mastra: Services | None = None
    """The application, where there is one."""
    thread_id: str | None = None
    """The thread of the conversation, if any."""
    resource_id: str | None = None
    """Whose thread it is."""
    memory: Any = None
    """The agent's `Memory`, where the run belongs to a thread."""

    def abort(
        self, reason: str = "Refused by a processor", *, retry: bool = False, metadata: Any = None
    ) -> NoReturn:
        """Refuse: end the run here.

        Args:
            reason: Why, for the application; with `retry`, for the model.
            retry: Ask the model again with the reason, if it may still be asked.
            metadata: Facts for the application.
        """
        raise TripwireSignal(reason, retry=retry, metadata=metadata, processor_id=self.processor_id)


@dataclass(slots=True, kw_only=True)
class InputContext(ProcessorContext):
    """For `process_input`."""


@dataclass(slots=True, kw_only=True)
class InputStepContext(ProcessorContext):
    """For `process_input_step`."""

    step_number: int
    """From 0."""
    steps: Sequence[Any]
    """The steps so far."""
    model: str
    """`provider/model` to be called."""
    tools: Sequence[str]
    """The tools to be offered."""


@dataclass(slots=True, kw_only=True)
class RequestContextOfModel(ProcessorContext):
    """For `process_llm_request`."""

    prompt: list[Message]
    """Everything that goes to the model."""
    model: str
    """`provider/model` to be called."""
    request: ModelRequest | None = None
    """The request as it was planned: the tools it offers, the form of the answer, the settings."""


@dataclass(slots=True, kw_only=True)
class ResponseContext(ProcessorContext):
    """For `process_llm_response`."""

    text: str
    """What the model said."""
    prompt: list[Message]
    """What it was asked."""
    from_cache: bool
    """Whether a processor answered in its place."""


@dataclass(slots=True, kw_only=True)
class OutputStreamContext(ProcessorContext):
    """For `process_output_stream`."""

    part: Any
    """The chunk."""
    stream_parts: Sequence[Any]
    """The chunks before it."""
    extra: list[Any] = field(default_factory=list[Any])
    """Chunks to stream before the one that is returned."""


@dataclass(slots=True, kw_only=True)
class OutputStepContext(ProcessorContext):
    """For `process_output_step`."""

    text: str
    """What the model said in this step."""
    tool_calls: Sequence[Any]
    """What it asked for."""
    finish_reason: str
    """Why it stopped."""
    usage: Any
    """Tokens of this step."""
    step_number: int
    """From 0."""


@dataclass(slots=True, kw_only=True)
class ToolResultContext(ProcessorContext):
    """For `process_tool_result`."""

    tool_name: str
    """What was called."""
    tool_call_id: str
    """The call's id."""
    args: Any
    """With what."""
    result: Any
    """What it gave, as JSON data."""


@dataclass(slots=True, kw_only=True)
class OutputResultContext(ProcessorContext):
    """For `process_output_result`."""

    text: str
    """What the model said in all steps."""
    usage: Any
    """Tokens of the run."""
    finish_reason: str
    """Why it ended."""
    steps: Sequence[Any]
    """The steps."""


@dataclass(slots=True, kw_only=True)
class ApiErrorContext(ProcessorContext):
    """For `process_api_error`."""

    error: BaseException
    """What the provider said."""
    step_number: int
    """From 0."""


class Processor:
    """Base of processors; override what you need. A method that is not overridden is not called.

    All of them may be sync or async.
    """

    id: str = ""
    """Its name, in tripwires; the class's name where it is left empty."""
    on_violation: Any = None
    """Called with a dict of `processor_id`, `message` and `detail` where the processor refuses; sync
    or async."""

    def as_step(self, **options: Any) -> Step[Any, Any]:
        """Return it as a step of a workflow of processors, as `create_step(processor)` does."""
        from mastra.processors.steps import processor_step  # noqa: PLC0415 - only for workflows

        return processor_step(self, **options)

    def process_input(self, ctx: InputContext) -> Any:
        """See the input, once, before the first step.

        Returns:
            `None`, the messages to use, or a dict with `messages` and `system_messages`.
        """

    def process_input_step(self, ctx: InputStepContext) -> Any:
        """See each request before it is made.

        Returns:
            `None`, or a dict with what `prepare_step` may change.
        """

    def process_llm_request(self, ctx: RequestContextOfModel) -> Any:
        """See the whole prompt.

        Returns:
            `None`, `{"prompt": messages}`, or `{"response": text}` to answer from a cache.
        """

    def process_llm_response(self, ctx: ResponseContext) -> Any:
        """See the answer, for side effects such as writing a cache."""

    def process_output_stream(self, ctx: OutputStreamContext) -> Any:
        """See each chunk.

        Returns:
            The chunk, another one, or `None` to drop it.
        """

    def process_output_step(self, ctx: OutputStepContext) -> Any:
        """See each answer of the model, before its tools run; `abort(retry=True)` asks again."""

    def process_tool_result(self, ctx: ToolResultContext) -> Any:
        """See each tool's result.

        Returns:
            `None`, or the result to use.
        """

    def process_output_result(self, ctx: OutputResultContext) -> Any:
        """See the end, once.

        Returns:
            `None`, or the messages to keep.
        """

    def process_api_error(self, ctx: ApiErrorContext) -> Any:
        """See what a provider refused.

        Returns:
            `None`, or `{"retry": True}`, with `messages` where they are to be changed.
        """


async def shown_to(processor: Any, method: Any, context: Any) -> Any:
    """Call a processor's method, and its `on_violation` where it refuses.

    Raises:
        TripwireSignal: It refuses.
    """
    try:
        return await call_user(method, context)
    except TripwireSignal as signal:
        if not signal.is_told:
            signal.is_told = True
            await tell_violation(processor, signal.reason, signal.metadata)
        raise


def refuse(ctx: ProcessorContext, reason: str, metadata: Any) -> NoReturn:
    """Refuse, where the processor's `on_violation` has been called already."""
    signal = TripwireSignal(reason, retry=False, metadata=metadata, processor_id=ctx.processor_id)
    signal.is_told = True
    raise signal


async def tell_violation(processor: Any, message: str, detail: Any) -> None:
    """Call a processor's `on_violation`, if it has one."""
    hook = getattr(processor, "on_violation", None)
    if hook is not None:
        told = {"processor_id": processor_id(processor), "message": message, "detail": detail}
        await call_user(hook, told)


def processor_id(processor: Any) -> str:
    """Return a processor's id, or its class's name."""
    return getattr(processor, "id", "") or type(processor).__name__


METHODS: Final = (
    "process_input",
    "process_input_step",
    "process_llm_request",
    "process_llm_response",
    "process_output_stream",
    "process_output_step",
    "process_tool_result",
    "process_output_result",
    "process_api_error",
)
"""What a processor may have, each called at its moment."""


def method_of(processor: Any, name: str) -> Any:
    """Return a processor's method, or `None` where it does not have its own."""
    find = getattr(processor, "method_for", None)
    if find is not None:
        # A workflow of processors has what its steps have.
        return find(name)
    method = getattr(processor.__class__, name, None)
    if method is None or method is getattr(Processor, name):
        return None
    return getattr(processor, name)


def text_of_last_user(messages: Sequence[Message]) -> str:
    """Return what the user said last."""
    for message in reversed(messages):
        if message.role == "user":
            return message.text
    return ""


def changed(value: Any) -> Mapping[str, Any]:
    """Return what a method returned as a dict of changes."""
    if value is None:
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {"messages": value}
