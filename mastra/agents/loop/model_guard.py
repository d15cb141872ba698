"""What processors make of a model call: another prompt, another try, or the run's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from mastra.agents.chunks import AgentChunk, TripwirePayload
from mastra.agents.loop.ending import emit_step_finish
from mastra.agents.loop.setup import StepPlan, replanned
from mastra.agents.results import StepOutcome
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.pipeline import Pipeline
from mastra.agents.run.recorder import StepRecorder
from mastra.errors import ModelError
from mastra.models.calling import Answer, IteratorSource, open_answer
from mastra.models.chunks import FinishChunk, ModelChunk, TextDelta
from mastra.models.messages import Message
from mastra.processors.base import TripwireSignal

__all__ = ["ask", "show_answer", "show_refusal", "trip"]

_ANSWER_RETRIES = 3
_ERROR_RETRIES = 10


async def ask(run: AgentRun, plan: StepPlan) -> Answer:
    """Ask the model, or the processor that answers in its place."""
    pipeline = run.pipeline
    if pipeline is None:
        return await _open(run, plan)
    planned = plan.request
    while True:
        prompt, cached = await pipeline.request(planned, plan.model_name)
        plan.request = replace(planned, messages=prompt)
        if cached is not None:
            plan.is_cached = True
            return Answer(plan.entries[0], IteratorSource(_said(cached)), [], is_resumable=False)
        try:
            return await _open(run, plan)
        except ModelError as error:
            limit = run.spec.max_processor_retries
            if run.transcript.retry_count >= (_ERROR_RETRIES if limit is None else limit):
                raise
            system, messages = [*run.transcript.system], [*run.transcript.messages]
            if not await pipeline.api_error(error):
                raise
            run.transcript.retry_count += 1
            is_told_anew = run.transcript.system != system
            if is_told_anew or run.transcript.messages != messages:
                planned = replanned(run, plan, is_told_anew=is_told_anew)


async def _open(run: AgentRun, plan: StepPlan) -> Answer:
    return await open_answer(
        plan.entries,
        plan.request,
        max_retries=plan.request.settings.max_retries,
        default_retries=run.spec.max_retries,
        before=run.meter.before_request,
    )


async def _said(text: str) -> AsyncIterator[ModelChunk]:
    yield TextDelta(text)
    yield FinishChunk("stop")


async def show_answer(
    run: AgentRun, pipeline: Pipeline, recorder: StepRecorder, plan: StepPlan
) -> bool:
    """Show what the model said to the processors; return whether it stands.

    Where one of them wants the model asked again, the step ends as a retry, its reason becomes
    a system message of the next one, and what was said is not part of the conversation.
    """
    result = recorder.result
    recorder.keep_published()
    await pipeline.response(list(plan.request.messages), result.text, from_cache=plan.is_cached)
    try:
        await pipeline.output_step(
            result.text, result.tool_calls, result.finish_reason, result.usage
        )
    except TripwireSignal as signal:
        limit = run.options.get("max_processor_retries", run.spec.max_processor_retries)
        if not signal.retry or run.transcript.retry_count >= (
            _ANSWER_RETRIES if limit is None else limit
        ):
            raise
        run.transcript.retry_count += 1
        result.tripwire = _payload(signal)
        result.finish_reason = "retry"
        run.transcript.add(result)
        run.transcript.system = [*run.transcript.system, Message("system", signal.reason)]
        outcome = StepOutcome(
            "retry",
            None,
            is_continued=True,
            retry_reason=signal.reason,
            retry_processor_id=signal.processor_id,
        )
        emit_step_finish(run, recorder, is_continued=True, outcome=outcome)
        return False
    return True


def trip(run: AgentRun, signal: TripwireSignal) -> None:
    """End the run as a processor's refusal."""
    run.status = "tripwire"
    run.finish_reason = "other"
    show_refusal(run, signal)


def show_refusal(run: AgentRun, signal: TripwireSignal) -> None:
    """Stream a processor's refusal, in place of what it has not seen yet."""
    run.tripwire = _payload(signal)
    run.pending.clear()
    run.publish(AgentChunk("tripwire", run.run_id, run.tripwire))


def _payload(signal: TripwireSignal) -> TripwirePayload:
    return TripwirePayload(
        signal.reason, signal.retry or None, signal.metadata, signal.processor_id
    )
