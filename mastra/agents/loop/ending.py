"""The chunks that end a step and a run, and the object a run was asked for."""

from __future__ import annotations

from typing import Any, cast

from mastra.agents.loop.scoring import offer_scores
from mastra.agents.output import OutputReader, StructuredOutput
from mastra.agents.results import StepOutcome, step_payload
from mastra.agents.run.agent_run import AgentRun, tell_callback
from mastra.agents.run.recorder import StepRecorder
from mastra.errors import ModelError
from mastra.logs import get_logger

__all__ = ["call_at_end", "emit_finish", "emit_step_finish", "finish_output", "show_object"]


def emit_step_finish(
    run: AgentRun, recorder: StepRecorder, *, is_continued: bool, outcome: StepOutcome | None = None
) -> None:
    """Stream the end of a step."""
    recorder.is_finished = True
    result = recorder.result
    outcome = outcome or StepOutcome(result.finish_reason, result.raw_reason, is_continued)
    payload = step_payload(run.transcript.message_id, outcome, result)
    run.state["last_metadata"] = payload.metadata
    run.emit("step-finish", payload)


async def emit_finish(run: AgentRun) -> None:
    """Stream the end of the run, unless it goes on another day."""
    if run.status in {"suspended", "parked"}:
        return
    if run.status == "running":
        run.status = "success"
    metadata: dict[str, Any] = run.state.pop("last_metadata", {})
    steps = run.transcript.steps
    reason = run.finish_reason or "unknown"
    outcome = StepOutcome(reason, steps[-1].raw_reason if steps else None, is_continued=False)
    run.emit("finish", run.transcript.finish_payload(outcome, metadata, run.object))
    if run.status == "success":
        if run.options.get("on_finish") is not None:
            await call_at_end(run, "on_finish", run.result())
        await offer_scores(run)


async def call_at_end(run: AgentRun, name: str, value: Any) -> None:
    """Call a user's function with how the run has ended; what it raises changes that no more."""
    await tell_callback(run, name, cast("Any", run.options.get(name)), value)


async def finish_output(
    run: AgentRun,
    output: StructuredOutput[Any] | None,
    reader: OutputReader | None,
    recorder: StepRecorder,
) -> None:
    """Read the object out of the step that gave the answer.

    Raises:
        ModelError: The answer does not fit, and the caller wants that to be an error.
    """
    result = recorder.result
    if output is None or reader is None or recorder.own_calls or result.finish_reason == "error":
        return
    show_object(run, output, reader, result.text)
    result.object = run.object


def show_object(
    run: AgentRun, output: StructuredOutput[Any], reader: OutputReader, text: str
) -> None:
    """Stream the object that a whole answer is, which may be `None`.

    Raises:
        ModelError: The answer does not fit, and the caller wants that to be an error.
    """
    try:
        value = reader.final(text)
    except ModelError as error:
        if output.error_strategy == "strict":
            raise
        get_logger({"agent": run.spec.id, "run": run.run_id}).warning("%s", error)
        if output.error_strategy == "warn":
            return
        run.used_fallback = True
        value = output.fallback_value
    run.object = value
    run.emit("object-result", value)
