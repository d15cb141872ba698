"""A run that ends before its last word: refused, failed, out of time, or told to stop."""

from __future__ import annotations

from mastra.agents.chunks import ErrorPayload, StepStartPayload
from mastra.agents.loop.ending import call_at_end, emit_finish, emit_step_finish
from mastra.agents.loop.model_guard import show_refusal, trip
from mastra.agents.options import AbortEvent, ErrorEvent
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder
from mastra.clock import now_ms
from mastra.errors import (
    AccessDeniedError,
    ConfigError,
    IdTakenError,
    ModelError,
    RunNotFoundError,
    StorageError,
    UsageLimitError,
    ValidationError,
)
from mastra.failures import Guard
from mastra.logs import get_logger
from mastra.processors.base import TripwireSignal

__all__ = ["conclude", "out_of_time"]

_CALLERS = (ConfigError, ValidationError, AccessDeniedError, IdTakenError, RunNotFoundError)
"""What is wrong with the call rather than with the run."""


async def conclude(run: AgentRun, recorder: StepRecorder | None, error: BaseException) -> None:
    """Turn what ended the loop into the run's outcome.

    Args:
        run: The run.
        recorder: The step that it was in, if there was one.
        error: What ended it.

    Raises:
        BaseException: The error itself, where it ends more than the run.
    """
    trace = error.__traceback__
    if isinstance(error, GeneratorExit) and (trace is None or trace.tb_next is None):
        raise error  # the loop is being closed; one that comes out of a model has more frames
    run.switch.is_seen = True
    if run.switch.reason is not None:
        # Told to stop, the loop was cancelled, or its model's connection closed under it.
        if run.switch.reason != "closed":
            await _cut(run, recorder)
        return
    if isinstance(error, TripwireSignal):
        trip(run, error)
        return
    error = Guard(0).contain(error)
    run.error = error
    run.status = "failed"
    if isinstance(error, _CALLERS):
        # The call itself was wrong: its readers get the error raised.
        run.finish_reason = "error"
        run.raises = True
        return
    if isinstance(error, UsageLimitError) and recorder is not None and not recorder.has_asked:
        recorder = None  # refused before it began
    await _fail(run, recorder, error)


async def _fail(run: AgentRun, recorder: StepRecorder | None, error: Exception) -> None:
    """Stream that the run failed."""
    run.error = error
    run.status = "failed"
    if isinstance(error, StorageError):
        # Those who read the run are not told what it says.
        get_logger({"agent": run.spec.id, "run": run.run_id}).error("The run failed: %s", error)
    if recorder is not None and not recorder.has_asked and not recorder.is_finished:
        # The model failed before it said anything: its step is told of like any other.
        run.emit("step-start", StepStartPayload(run.transcript.message_id, now_ms(), {}, []))
    run.emit("error", ErrorPayload(error))
    await _end_early(run, recorder, "error")
    if isinstance(error, UsageLimitError) and error.result is None:
        error.result = run.result()
    await call_at_end(run, "on_error", ErrorEvent(error))


async def _cut(run: AgentRun, recorder: StepRecorder | None) -> None:
    """Stream that the run was told to stop."""
    reason = run.switch.reason
    said = "" if recorder is None or run.transcript.has(recorder.result) else recorder.text
    if reason == "abort":
        run.status = "aborted"
        run.emit("abort", {})
        run.transcript.cut = said
        await _end_early(run, None, "aborted")
        await call_at_end(run, "on_abort", AbortEvent(run.transcript.steps, said))
        return
    await _fail(run, recorder, out_of_time(run))


def out_of_time(run: AgentRun) -> ModelError:
    """Return the error of a run that one of its time limits stopped."""
    reason = run.switch.reason
    seconds = getattr(run.settings.timeout, reason or "", None)
    return ModelError(
        f"Agent {run.spec.id!r} ran out of time: the {reason} limit is {seconds:g} seconds.",
        code="MODEL_TIMEOUT",
        model_id=run.entries[0].name if run.entries else None,
        details={"limit": reason},
    )


async def _end_early(run: AgentRun, recorder: StepRecorder | None, reason: str) -> None:
    run.finish_reason = reason
    if recorder is not None and not recorder.is_finished:
        result = recorder.close()
        result.finish_reason = reason
        await _flush(run)  # processors see what is left of it, too
        recorder.keep_published()
        run.transcript.add(result)
        emit_step_finish(run, recorder, is_continued=False)
    await emit_finish(run)
    await _flush(run)


async def _flush(run: AgentRun) -> None:
    """Pass on what is left; whatever a processor refuses of it, the run has ended as it has."""
    try:
        await run.flush()
    except TripwireSignal as refusal:
        show_refusal(run, refusal)
