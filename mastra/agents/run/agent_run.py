"""The state of one run of an agent: what it has streamed, and how it can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mastra.agents.chunks import AgentChunk, TextPayload, TripwirePayload, data_in
from mastra.agents.context import AgentContext
from mastra.agents.options import AgentOptions, AgentSpec
from mastra.agents.records.meter import Meter, meter_around
from mastra.agents.records.operation import Operation
from mastra.agents.records.transcript import Transcript
from mastra.agents.results import AgentResult
from mastra.agents.run.chunk_log import ChunkLog
from mastra.agents.run.pipeline import Pipeline
from mastra.agents.run.stop_switch import StopSwitch
from mastra.agents.run.wait import Wait
from mastra.failures import call_user
from mastra.ids import new_id
from mastra.logs import get_logger
from mastra.models.base import ChunkSource, ProviderTool
from mastra.models.calling import ModelEntry
from mastra.models.messages import DataPart, MessageInput
from mastra.models.settings import ModelSettings
from mastra.request_context import RESOURCE_ID, THREAD_ID, RequestContext
from mastra.services import Services, surroundings
from mastra.tools.tool import Tool

if TYPE_CHECKING:
    from mastra.memory.memory import Memory
    from mastra.observability.spans import Span

__all__ = ["AgentRun"]


class AgentRun:
    """One run of an agent. The loop writes it, the stream's readers read it."""

    def __init__(  # noqa: PLR0915 - a run's state, told in one place
        self,
        spec: AgentSpec,
        services: Services | None,
        messages: MessageInput,
        options: AgentOptions,
    ) -> None:
        self.spec = spec
        self.services = services
        self.given = messages
        self.options = options
        with surroundings(services):
            self.transcript = Transcript()
            self.run_id: str = options.get("run_id") or new_id()
        self.request_context = RequestContext.of(options.get("request_context"))
        memory = options.get("memory") or {}
        thread: Any = memory.get("thread")
        named = thread if isinstance(thread, str) or thread is None else thread["id"]
        # What the server says goes before what a client asks for.
        self.thread_id: str | None = self.request_context.get(THREAD_ID) or named
        self.resource_id: str | None = self.request_context.get(RESOURCE_ID) or memory.get(
            "resource"
        )

        self.chunks = ChunkLog(self.run_id)
        """What has been streamed; readers go through it by index."""
        self.pending: list[tuple[AgentChunk, list[DataPart] | None]] = []
        """What still has to pass hooks and processors, and to what it is added then."""
        self.has_hooks = options.get("on_chunk") is not None
        self.source: ChunkSource | None = None
        """Where whoever pulls reads next; `None` where the loop itself has work to do."""
        self.task: asyncio.Task[None] | None = None
        """The loop at work, if it is."""
        self.wake: asyncio.Future[None] | None = None
        """Set while the loop waits for tools."""
        self.switch = StopSwitch()
        """How it is told to stop."""
        self.wait = Wait()
        """What it waits for, and with what it goes on."""

        self.status = "running"
        self.is_taken = False
        """Whether the call was found in order: a new run is set up, an answer was taken."""
        self.span: Span | None = None
        """The span of the run, where somebody traces."""
        self.entries: list[ModelEntry] = []
        self.settings = ModelSettings()
        self.tools: dict[str, Tool[Any, Any]] = {}
        self.provider_tools: dict[str, ProviderTool] = {}
        self.meter = Meter(meter_around(), spec.id)
        """What it has used, with all that it asks others to do, and how much it may use."""
        self.finish_reason: str | None = None
        self.error: BaseException | None = None
        self.raises = False
        """Whether readers get the error raised: the call itself was wrong."""
        self.object: Any = None
        self.used_fallback = False
        self.memory: Memory | None = None
        """The agent's memory, where the run belongs to a thread."""
        self.pipeline: Pipeline | None = None
        """The run's processors, where there are some."""
        self.published_text: list[str] = []
        """The text of this step as processors let it through."""
        self.tripwire: TripwirePayload | None = None
        self.operation: Operation | None = None
        """Of a durable run: which of its operations this is, and what those before it gave."""
        self.raised_in: set[str] = set()
        """Which callbacks have raised."""
        self.state: dict[str, Any] = {}
        """What processors and memory keep for the run."""

    # -- what everybody needs ------------------------------------------------------------------

    @property
    def context(self) -> AgentContext:
        """What dynamic settings see."""
        return AgentContext(
            self.request_context,
            self.services,
            self.spec.id,
            self.run_id,
            self.thread_id,
            self.resource_id,
        )

    def for_processors(self) -> dict[str, Any]:
        """Return what every processor is told of the run."""
        return {
            "agent_id": self.spec.id,
            "run_id": self.run_id,
            "messages": self.transcript.messages,
            "system_messages": self.transcript.system,
            "request_context": self.request_context,
            "retry_count": self.transcript.retry_count,
            "abort_signal": self.switch.signal,
            "mastra": self.services,
            "thread_id": self.thread_id,
            "resource_id": self.resource_id,
            "memory": self.memory,
        }

    @property
    def goes_on(self) -> bool:
        """Whether it goes on with what an earlier call, or an earlier operation, has left."""
        operation = self.operation
        return self.wait.resume is not None or (operation is not None and not operation.is_first)

    def emit(
        self,
        kind: str,
        payload: Any,
        from_: str = "AGENT",
        written: list[DataPart] | None = None,
    ) -> AgentChunk:
        """Stream a chunk, and add it to what was written, as far as processors let it through."""
        if self.has_hooks:
            chunk = AgentChunk(kind, self.run_id, payload, from_=from_)
            self.pending.append((chunk, written))
        else:
            chunk = AgentChunk(kind, self.run_id, payload, self._next_seq, from_)
            self.chunks.append(chunk)
            if written is not None:
                written += data_in(chunk)
        return chunk

    @property
    def _next_seq(self) -> int:
        return self.chunks.first_seq + len(self.chunks)

    def emit_text(self, kind: str, text_id: str, text: str) -> None:
        """Stream a chunk that is a piece of text."""
        if self.has_hooks:
            self.emit(kind, TextPayload(text_id, text))
        else:
            self.chunks.append_text(kind, text_id, text)

    def publish(self, chunk: AgentChunk) -> None:
        """Stream a chunk that has passed hooks and processors."""
        chunk.seq = self._next_seq
        self.chunks.append(chunk)

    async def flush(self) -> None:
        """Pass what is pending through hooks and processors, to the readers."""
        on_chunk, pipeline = self.options.get("on_chunk"), self.pipeline
        while self.pending:
            waiting, self.pending = self.pending, []
            for chunk, written in waiting:
                shown = [chunk]
                if pipeline is not None and pipeline.sees_chunks:
                    shown = await pipeline.chunk(chunk)
                for part in shown:
                    if part.type == "text-delta":
                        self.published_text.append(part.payload.text)
                    self.publish(part)
                    if written is not None or part is not chunk:  # else it is nobody's own
                        kept = self.transcript.written if written is None else written
                        kept += data_in(part)
                    await tell_callback(self, "on_chunk", on_chunk, part)

    def notify(self) -> None:
        """Wake the loop where it waits for tools: one of them wrote something or ended."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    async def tools_told(self) -> None:
        """Wait until a tool writes something or ends."""
        self.wake = asyncio.get_running_loop().create_future()
        try:
            await self.wake
        except asyncio.CancelledError:
            self.switch.check()
            raise
        finally:
            self.wake = None

    # -- stopping ------------------------------------------------------------------------------

    def listen(self) -> None:
        """Watch the caller's abort signal and the total time-out."""
        signal = self.options.get("abort_signal")
        if signal is not None:
            self.switch.listen(signal, partial(self.stop, "abort"))
        limit = self.settings.timeout
        if limit is not None and limit.total is not None:
            self.switch.start_timer(limit.total, partial(self.stop, "total"))

    def stop(self, reason: str) -> None:
        """Tell the run to stop, wherever it is."""
        if self.status != "running" or not self.switch.throw(reason):
            return
        if self.source is not None:
            self.source.interrupt()
        # The loop itself, where it calls what stops it, looks at `check` next.
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    # -- results -------------------------------------------------------------------------------

    def result(self) -> AgentResult[Any]:
        """Return everything that came of the run."""
        transcript = self.transcript
        steps = transcript.steps
        return AgentResult(
            text=transcript.text + transcript.cut,
            usage=transcript.usage,
            steps=steps,
            finish_reason=self.finish_reason or "unknown",
            run_id=self.run_id,
            messages=[*transcript.messages],
            reasoning_text="".join(step.reasoning_text for step in steps),
            tool_calls=[call for step in steps for call in step.tool_calls],
            tool_results=[result for step in steps for result in step.tool_results],
            object=self.object,
            used_fallback_value=self.used_fallback,
            error=self.error,
            tripwire=self.tripwire,
            suspend_payload=self.wait.payload,
            resume_schema=self.wait.schema,
            remembered_messages=transcript.remembered,
            spending=[*self.meter.spent],
            trace=None if self.span is None else self.span.to_stored(),
            scoring_data=transcript.to_scoring(self.thread_id, self.resource_id)
            if self.options.get("return_scorer_data")
            else None,
        )


async def tell_callback(
    run: AgentRun, name: str, function: Callable[..., Any] | None, value: Any
) -> None:
    """Call a user's function that is told of the run and has no say in it.

    What it raises is in the log, once a run, and the run goes on as if it were not there.
    """
    if function is None:
        return
    try:
        await call_user(function, value)
    except Exception:  # noqa: BLE001 - a user's function may raise anything
        if name not in run.raised_in:
            run.raised_in.add(name)
            get_logger({"agent": run.spec.id, "run": run.run_id}).exception(
                "%s raised; the run goes on as if it were not there, or stays as it has ended", name
            )
