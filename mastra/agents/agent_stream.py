"""`AgentStream`: an agent's answer while it arrives, for any number of readers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, cast

from typing_extensions import TypeVar

from mastra.agents.chunks import AgentChunk, TripwirePayload
from mastra.agents.loop.loop import LoopSteps, run_agent
from mastra.agents.loop.puller import Puller
from mastra.agents.options import output_of
from mastra.agents.output import StructuredOutput
from mastra.agents.results import AgentResult, LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.errors import RunStateError
from mastra.models.chunks import Usage
from mastra.models.messages import Message
from mastra.names import python_names
from mastra.schema import ANY, SchemaMismatch
from mastra.stream.writer import Writer

__all__ = ["AgentStream"]

_TOGETHER = 64
"""How many chunks are looked at together for a reader who takes them one by one."""

Obj = TypeVar("Obj", default=Any)


@python_names
class AgentStream(Generic[Obj]):
    """An agent's answer while it arrives.

    Reading drives it: nothing happens before the first read or `await`, and nothing between
    reads. Several readers may read at once, and a late one gets everything from the start.
    Leave an `async with` block, or call `aclose`, to end the model call early.
    """

    __slots__ = ("__weakref__", "_puller", "_run")

    def __init__(self, run: AgentRun, loop: LoopSteps | None = None) -> None:
        self._run = run
        self._puller = Puller(run, run_agent(run) if loop is None else loop)

    # -- reading -------------------------------------------------------------------------------

    @property
    def full_stream(self) -> AsyncGenerator[AgentChunk, None]:
        """Every chunk."""
        return self._chunks()

    @property
    def text_stream(self) -> AsyncGenerator[str, None]:
        """The text, piece by piece."""
        return self._texts()

    @property
    def object_stream(self) -> AsyncGenerator[Any, None]:
        """The structured output as far as it goes, again with each piece; the last is checked."""
        return self._objects()

    @property
    def element_stream(self) -> AsyncGenerator[Any, None]:
        """Of structured output that is a list: each element, a value of its type, once it is whole.

        An answer that is not the last (it asks for tools as well, or a processor refuses it) has
        been given by then; the elements of the next follow it.
        """
        return self._elements()

    async def batches(self, limit: int = 64) -> AsyncGenerator[list[AgentChunk], None]:
        """Yield what `full_stream` does, chunks that are there already together.

        Args:
            limit: How many at most.
        """
        chunks, puller = self._run.chunks, self._puller
        at = 0
        while True:
            while at < len(chunks):
                start, at = at, min(at + limit, len(chunks))
                yield chunks[start:at]  # not kept here while the reader is busy with it
            if puller.is_done:
                self._raise_if_wrong()
                return
            await puller.pull()

    async def _chunks(self) -> AsyncGenerator[AgentChunk, None]:
        run, puller = self._run, self._puller
        chunks = run.chunks
        at = 0
        while True:
            while at < len(chunks):
                for chunk in chunks[at : at + _TOGETHER]:
                    at += 1
                    yield chunk
            if puller.is_done:
                self._raise_if_wrong()
                return
            await puller.pull()

    async def _texts(self) -> AsyncGenerator[str, None]:
        run, puller = self._run, self._puller
        chunks = run.chunks
        at = 0
        while True:
            while at < len(chunks):
                for chunk in chunks[at : at + _TOGETHER]:
                    at += 1
                    if chunk.type == "text-delta":
                        yield chunk.payload.text
            if puller.is_done:
                self._raise_if_wrong()
                return
            await puller.pull()

    async def _objects(self) -> AsyncGenerator[Any, None]:
        async for chunk in self._chunks():
            if chunk.type in {"object", "object-result"}:
                yield chunk.payload

    async def _elements(self) -> AsyncGenerator[Any, None]:
        output = output_of(self._run.options)
        element = ANY if output is None else output.element
        given = 0
        async for chunk in self._chunks():
            if chunk.type == "step-start":
                given = 0  # what an earlier step said is not the answer
            elif chunk.type == "object-result":
                for value in StructuredOutput.elements(chunk.payload)[given:]:
                    given += 1
                    yield value
            elif chunk.type == "object" and isinstance(chunk.payload, list) and element is not None:
                # The last element of a partial list may still grow.
                for found in cast("list[Any]", chunk.payload)[given:-1]:
                    # What does not fit is told at the end, or the whole is read otherwise.
                    try:
                        value = element.load(found)
                    except SchemaMismatch:
                        break
                    given += 1
                    yield value

    def _raise_if_wrong(self) -> None:
        run = self._run
        if run.raises and run.error is not None:
            raise run.error

    def __aiter__(self) -> AsyncIterator[AgentChunk]:
        return self._chunks()

    if not TYPE_CHECKING:  # who forgets the `async` is told so

        def __iter__(self) -> NoReturn:
            raise TypeError(
                "A stream arrives: write `async for chunk in ….stream(…)`, or in a script without "
                "a loop `for chunk in ….stream_sync(…)`."
            )

    def __await__(self) -> Generator[Any, None, Self]:
        return self._begun().__await__()

    async def _begun(self) -> Self:
        # `start` says nothing of the model: the answer has begun with what comes after it.
        while len(self._run.chunks) < 2 and not self._puller.is_done:
            await self._puller.pull()
        self._raise_if_wrong()
        return self

    async def taken(self) -> Self:
        """Return once the call was found in order, before the model has said anything.

        Raises:
            MastraError: What was wrong with it. Of a durable run only what was known before it began.
        """
        while not (self._run.is_taken or self._puller.is_done):
            await self._puller.pull()
        self._raise_if_wrong()
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the model call and the tools; what was read can still be read."""
        await self._puller.aclose()

    async def consume(self) -> None:
        """Read to the end."""
        puller = self._puller
        while not puller.is_done:
            await puller.pull()

    async def pipe_to(self, writer: Writer) -> None:
        """Write every chunk, as Mastra's JSON, to a writer such as a step's or a tool's."""
        async for chunk in self._chunks():
            await writer.write(chunk.to_wire())

    # -- facts ---------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    @property
    def message_id(self) -> str:
        """The id of the message being made."""
        return self._run.transcript.message_id

    @property
    def status(self) -> str:
        """`running`, `success`, `suspended`, `failed`, `aborted`, `tripwire` or `canceled`."""
        return self._run.status

    @property
    def error(self) -> BaseException | None:
        """What went wrong, as far as was read."""
        return self._run.error

    @property
    def tripwire(self) -> TripwirePayload | None:
        """A processor's refusal, as far as was read."""
        return self._run.tripwire

    @property
    def used_fallback_value(self) -> bool:
        """Whether the structured output is the fallback value."""
        return self._run.used_fallback

    # -- everything, in the end ----------------------------------------------------------------

    async def result(self) -> AgentResult[Obj]:
        """Read to the end and return everything.

        Raises:
            ModelError: The model failed.
            RunStateError: The stream was closed before its end.
        """
        await self.consume()
        run = self._run
        if run.error is not None:
            raise run.error
        if run.status == "canceled":
            raise RunStateError(
                f"The stream of agent {run.spec.id!r} was closed before its end.",
                details={"run_id": run.run_id},
            )
        return run.result()

    async def text(self) -> str:
        """Return the whole text, of all steps."""
        return (await self.result()).text

    async def reasoning(self) -> str:
        """Return what the model thought, in all steps."""
        return (await self.result()).reasoning_text

    async def object(self) -> Obj:
        """Return the structured output, a value of its type."""
        return (await self.result()).object

    async def tool_calls(self) -> list[AgentChunk]:
        """Return every `tool-call` chunk."""
        return (await self.result()).tool_calls

    async def tool_results(self) -> list[AgentChunk]:
        """Return every `tool-result` chunk."""
        return (await self.result()).tool_results

    async def usage(self) -> Usage:
        """Return the tokens of the whole run."""
        return (await self.result()).usage

    async def total_usage(self) -> Usage:
        """Return the tokens of the whole run."""
        return (await self.result()).usage

    async def cost_usd(self) -> float | None:
        """Return what the run cost, in US dollars; `None` where no price is known."""
        return (await self.result()).cost_usd

    async def finish_reason(self) -> str:
        """Return why the run ended; of one that failed, `error`."""
        await self.consume()
        self._raise_if_wrong()
        return self._run.finish_reason or "unknown"

    async def steps(self) -> list[LLMStepResult]:
        """Return the steps."""
        return (await self.result()).steps

    async def messages(self) -> list[Message]:
        """Return the conversation: what came in, what was said, tool calls and results."""
        return (await self.result()).messages

    async def suspend_payload(self) -> Any:
        """Return what the run waits for, if it does."""
        return (await self.result()).suspend_payload
