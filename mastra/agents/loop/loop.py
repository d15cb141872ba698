"""Model, tools, model, until a stop: one run of an agent.

The loop is an asynchronous generator that is moved on by whoever reads the stream (see
`puller`). It yields whenever there may be chunks to hand out. Where it sets `run.source` before
it yields, the reader reads that source and sends the batch in: so a token costs no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from mastra.agents.calls.outcomes import settle_calls
from mastra.agents.calls.parked import park, take_up
from mastra.agents.calls.runner import CallRunner
from mastra.agents.chunks import StartPayload, StepStartPayload
from mastra.agents.loop.acts import keep_acts, keep_step, leave_step, log_unkept
from mastra.agents.loop.decision import is_run_over
from mastra.agents.loop.early_end import conclude
from mastra.agents.loop.ending import emit_finish, emit_step_finish, finish_output
from mastra.agents.loop.model_guard import ask, show_answer
from mastra.agents.loop.recall import keep
from mastra.agents.loop.setup import StepPlan, plan_step, plan_to_settle, set_up
from mastra.agents.loop.structure import structure
from mastra.agents.output import StructuredOutput
from mastra.agents.records.requested_call import RequestedCall
from mastra.agents.run.agent_run import AgentRun, tell_callback
from mastra.agents.run.recorder import StepRecorder
from mastra.agents.run.tracing import (
    close_agent_span,
    close_model_span,
    open_agent_span,
    open_model_span,
)
from mastra.agents.waiting.message_answer import answered_run
from mastra.agents.waiting.resume import begin_resumed, put_to_wait, restore, runs_of, take
from mastra.agents.waiting.stored_runs import check_run_id
from mastra.clock import Timer, current_clock, now_ms
from mastra.errors import ConfigError
from mastra.models.calling import Answer
from mastra.models.chunks import ModelChunk
from mastra.observability.spans import Span

__all__ = ["LoopSteps", "run_agent"]

LoopSteps = AsyncGenerator[None, "Sequence[ModelChunk] | None"]
"""Yields where there may be chunks; takes the batch that was read from `run.source`."""


async def run_agent(run: AgentRun) -> LoopSteps:
    """Run an agent from its input to its end, whatever that is."""
    step: _Step | None = None
    second: StructuredOutput[Any] | None = None
    try:
        first = step = await _begin(run)
        yield
        is_over = False
        while not is_over:
            run.switch.check()
            step, first = first or await _next_step(run), None
            if not step.is_read:
                await step.open()
                yield
            while not step.is_read:
                run.switch.check()
                if step.hands_over():
                    batch = yield
                    step.absorb(batch or ())
                    if step.has_work():
                        # A reader brought the batch; what may take long is a task that is its own.
                        yield
                else:
                    await step.advance()
                    yield
            if not await step.close_answer():
                yield
                continue
            while await step.settle():
                yield
            is_over, second = await step.end(), step.plan.second
            yield
        async with aclosing(_wind_up(run, second)) as winding:
            async for _ in winding:
                yield
        yield
    except BaseException as error:  # noqa: BLE001 - `_conclude` raises what is not its own
        await conclude(run, None if step is None else step.recorder, error)
        yield
    finally:
        await _clean_up(run, step)


async def _wind_up(
    run: AgentRun, second: StructuredOutput[Any] | None
) -> AsyncGenerator[None, None]:
    """Do what is left after the last step, and stream the run's end."""
    if run.status == "running":
        if run.pipeline is not None:
            await run.pipeline.output_result()
            run.transcript.keep_written()
        if run.memory is not None:
            await keep(run, run.memory)
        if second is not None:
            async with aclosing(structure(run, second)) as structuring:
                async for _ in structuring:
                    yield
    await emit_finish(run)
    await run.flush()


async def _clean_up(run: AgentRun, step: _Step | None) -> None:
    """Leave nothing behind, however the run ended."""
    if step is not None:
        await step.aclose()
    try:
        if step is not None and not step.has_ended:
            await leave_step(run, step.recorder, step.runner)
        if run.memory is not None:
            await keep_acts(run, run.memory)
    except Exception as error:  # noqa: BLE001 - what ended the run is told, and the rest cleaned up
        log_unkept(run, error)
    if run.status == "running":
        run.status = "canceled"
    if run.wait.held is not None:
        await run.wait.held.end()
    close_agent_span(run)
    run.meter.close()
    run.switch.release()


async def _begin(run: AgentRun) -> _Step | None:
    """Work out what holds for the run; of one that goes on, return the step that it is in."""
    goes_on = await _set_up(run)
    step = None if goes_on is None else await _next_step(run, goes_on)
    run.is_taken = True
    return step


async def _set_up(run: AgentRun) -> Callable[[CallRunner], StepRecorder] | None:
    """Work out what holds for the run; of one that goes on, return how."""
    resume, operation = run.wait.resume, run.operation
    waiting = None if resume is None else await take(run, resume)
    open_agent_span(run)
    if resume is None and "client_results" in run.options:
        raise ConfigError(
            f"Agent {run.spec.id!r} was asked anew with client_results, which go with the answer to "
            "a run that waits: tell what your own tools gave as a message of role 'tool'."
        )
    if resume is None and operation is None and "run_id" in run.options:
        await check_run_id(run, runs_of(run))
    await set_up(run)
    run.switch.check()
    if resume is not None and waiting is not None:
        return partial(begin_resumed, run, resume, waiting, restore(run))
    if operation is not None and not operation.is_first:
        return partial(take_up, run, operation, operation.restore())
    if run.options.get("auto_resume_suspended_tools"):
        if operation is not None:
            raise ConfigError(
                f"Agent {run.spec.id!r} is durable, where auto_resume_suspended_tools is not "
                "possible: a new message begins a run of its own. Leave the option out, and answer "
                "a call that waits by resuming its run."
            )
        answered = await answered_run(run)
        if answered is not None:
            run.wait.resume, waiting = answered
            return partial(begin_resumed, run, run.wait.resume, waiting, restore(run))
    run.emit("start", StartPayload(run.spec.id, run.transcript.message_id))
    return None


async def _next_step(
    run: AgentRun, goes_on: Callable[[CallRunner], StepRecorder] | None = None
) -> _Step:
    if run.wait.held is not None:
        await run.wait.held.confirm()
    if goes_on is None:
        return _Step(run, await plan_step(run))
    # An operation of a durable run settles what another has asked for, so nothing is planned.
    step = _Step(run, await plan_step(run) if run.operation is None else plan_to_settle(run))
    step.resume(goes_on(step.runner))
    return step


class _Step:
    """One model call and its tools."""

    def __init__(self, run: AgentRun, plan: StepPlan) -> None:
        self.run = run
        self.plan = plan
        self.runner = CallRunner(run, plan.tools)
        self._late: list[RequestedCall] = []
        # Where processors look at an answer first, its tools wait for them.
        waits = run.pipeline is not None and run.pipeline.sees_steps
        # So they do where the answer may have used up all that there is.
        waits = waits or run.meter.is_limited
        start = self._late.append if waits else self.runner.start
        if run.operation is not None:
            start = _leave
        self.recorder = StepRecorder(run, plan.model_name, start, plan.reader)
        self.is_read = False
        self.has_ended = False
        """Whether what came of it is part of the run."""
        self._answer: Answer | None = None
        self._read: asyncio.Task[Sequence[ModelChunk]] | None = None
        self._timer: Timer | None = None
        self._span: Span | None = None

    async def open(self) -> None:
        """Ask the model and stream its first chunks."""
        run, plan = self.run, self.plan
        started_at, since = now_ms(), current_clock.get().monotonic()
        run.published_text = []
        if run.span is not None:
            self._span = open_model_span(run, plan.model_name, plan.request)
        answer = await ask(run, plan)
        self._answer = answer
        self.recorder.has_asked = True
        self.recorder.result.model = answer.entry.name
        self.recorder.result.request = answer.source.request
        limit = plan.request.settings.timeout
        if limit is not None and limit.step is not None:
            left = limit.step - (current_clock.get().monotonic() - since)
            self._timer = run.switch.start_timer(max(left, 0.0), partial(run.stop, "step"))
        run.emit(
            "step-start",
            StepStartPayload(run.transcript.message_id, started_at, answer.source.request, []),
        )
        if answer.first:
            self.absorb(answer.first)
        await self._flush()

    def resume(self, recorder: StepRecorder) -> None:
        """Go on in the step that a run stopped in."""
        self.recorder = recorder
        self.is_read = True

    def hands_over(self) -> bool:
        """Let the reader read, where nothing but the next batch can happen."""
        answer = self._opened
        if not answer.is_resumable or self.run.has_hooks or self.runner.is_busy:
            return False
        if self._read is not None:
            return False
        self.run.source = answer.source
        return True

    @property
    def _opened(self) -> Answer:
        """The answer, of a step whose model was asked."""
        assert self._answer is not None  # noqa: S101 - it is read after `open` alone
        return self._answer

    def absorb(self, batch: Sequence[ModelChunk]) -> None:
        """Take a batch in; an empty one ends the answer."""
        recorder = self.recorder
        recorder.absorb(batch)
        if not batch or recorder.finish is not None:
            self.is_read = True

    def has_work(self) -> bool:
        """Return whether there is more to do now than to read the next batch."""
        return self.is_read or self.runner.is_busy

    async def advance(self) -> None:
        """Read the next batch here, or see what tools wrote meanwhile."""
        answer = self._opened
        if self._read is None and not self.runner.is_busy:
            self.absorb(await answer.source.read())
        else:
            # Tools run while the model streams: wait for whichever is first.
            if self._read is None:
                loop = asyncio.get_running_loop()
                self._read = loop.create_task(_read(answer))
                self._read.add_done_callback(lambda _: self.run.notify())
            if not self._read.done():
                await self.run.tools_told()
            if self._read.done():
                read, self._read = self._read, None
                self.absorb(read.result())
        await self._flush()

    async def _flush(self) -> None:
        await self.run.flush()
        if self.recorder.show_published():
            await self.run.flush()

    async def close_answer(self) -> bool:
        """Close the answer; return whether it stands: from here on there are only tools."""
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None:
            await self._answer.source.aclose()
        recorder = self.recorder
        if recorder.is_resumed:
            return True
        recorder.close()
        if self._span is not None:
            close_model_span(self._span, recorder.result)
        await self._flush()
        if recorder.finish is not None and not self.plan.is_cached:
            result = recorder.result
            self.run.meter.answered(result.model, result.usage, result.response.get("modelId"))
        pipeline = self.run.pipeline
        if pipeline is not None and not await show_answer(self.run, pipeline, recorder, self.plan):
            await self.run.flush()
            return False
        self.run.meter.calls(len(recorder.own_calls))
        for call in self._late:
            self.runner.start(call)
        return True

    async def settle(self) -> bool:
        """Stream outcomes as they come, in order; return whether more will."""
        operation = self.run.operation
        if operation is not None and park(self.run, operation, self.recorder, self.runner):
            return False
        more = await settle_calls(self.run, self.recorder, self.runner)
        await self.run.flush()
        return more

    async def end(self) -> bool:
        """Finish the step; return whether the run is over."""
        run, result = self.run, self.recorder.result
        if run.status == "parked":
            return True
        run.meter.check()
        run.transcript.add(result)
        run.finish_reason = result.finish_reason
        run.wait.is_over = self.has_ended = True
        if run.status == "suspended":
            run.finish_reason = result.finish_reason = "suspended"
        if run.memory is not None:
            await keep_step(run, run.memory, self.recorder, self.plan.tools)
        if run.status == "suspended":
            await put_to_wait(run, self.runner)
            await run.flush()
            return True
        if self.recorder.is_resumed and run.wait.held is not None:
            # What a call did that somebody has answered is kept before the model is asked for more.
            await run.wait.held.forget()
        finish = self.recorder.finish
        wants_more = bool(self.recorder.own_calls)
        # A provider that paused goes on when it is asked again with what it said.
        wants_more = wants_more or (finish is not None and finish.continues)
        wants_more = wants_more and result.finish_reason != "error"
        wants_more = wants_more and not run.state.pop("client_side", False)
        is_over = await is_run_over(run, result, wants_more=wants_more)
        if is_over:
            await finish_output(run, self.plan.output, self.plan.reader, self.recorder)
        emit_step_finish(run, self.recorder, is_continued=not is_over)
        await self.run.flush()
        await tell_callback(run, "on_step_finish", run.options.get("on_step_finish"), result)
        return is_over

    async def aclose(self) -> None:
        """Release whatever the step still holds."""
        if self._span is not None and self._span.ended_ms is None:
            error = self.run.error
            self._span.fail(error or {"name": "Interrupted", "message": "The run was stopped."})
            self._span.end()
        if self._timer is not None:
            self._timer.cancel()
        if self._read is not None:
            self._read.cancel()
            await asyncio.wait([self._read])
        await self.runner.aclose()
        if self._answer is not None:
            await self._answer.source.aclose()


def _leave(_: RequestedCall) -> None:
    # The calls of a durable run are operations of their own.
    pass


async def _read(answer: Answer) -> Sequence[ModelChunk]:
    return await answer.source.read()
