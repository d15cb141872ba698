"""A run that somebody else drives, as its readers see it: from its events, here or from storage."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from copy import copy
from typing import Any, cast
from weakref import WeakValueDictionary

from mastra.agents.chunks import AgentChunk, ErrorPayload, TripwirePayload
from mastra.agents.loop.ending import emit_finish
from mastra.agents.loop.loop import LoopSteps
from mastra.agents.records.ledger import STEP, Ledger, model_op
from mastra.agents.records.told_chunks import ToldChunk, chunk_of
from mastra.agents.results import FinishPayload
from mastra.agents.run.agent_run import AgentRun
from mastra.errors import ConfigError, RunStateError, StepError, UsageLimitError, ValidationError
from mastra.models.chunks import Usage
from mastra.tools.tool_step import REFUSED
from mastra.workflows.error_data import error_from_json
from mastra.workflows.events import Event
from mastra.workflows.records import Journal
from mastra.workflows.results import (
    WorkflowFailed,
    WorkflowResult,
    WorkflowSuccess,
    WorkflowSuspended,
    WorkflowTripwire,
)
from mastra.workflows.run import Run
from mastra.workflows.run_stream import RunStream
from mastra.workflows.written import records_in

__all__ = ["Reading", "follow"]

_readers: WeakValueDictionary[tuple[str, str], AgentRun] = WeakValueDictionary()
"""The runs that whoever asked for them reads in this process, by agent and run, as they see them."""


@dataclasses.dataclass(slots=True)
class Reading:
    """What is read."""

    driven: Run[Any]
    """The run."""
    events: RunStream[Any]
    """Its events, from where they are read on."""
    skips: int = 0
    """How many of its chunks are known."""
    is_silent: bool = False
    """Whether only how it ends is told."""
    answers: bool = False
    """Whether it goes on with an answer of this reader's."""
    call_id: str | None = None
    """The call that is answered; `None` for the only one that waits."""
    at: int = 0
    """The seq of the next event."""


async def follow(
    run: AgentRun, agent_id: str, begin: Callable[[], Awaitable[Reading]], *, is_alone: bool = True
) -> LoopSteps:
    """Show the readers a run that somebody else drives, until it ends or waits."""
    key = (agent_id, run.run_id)
    if is_alone and key in _readers:
        run.error, run.raises, run.status = _already_read(run), True, "failed"
        return
    if is_alone:
        _readers[key] = run
    run.listen()
    reading: Reading | None = None
    try:
        run.switch.check()
        reading = await begin()
        run.is_taken = True
        yield
        if not reading.is_silent:
            async with aclosing(_shown(run, reading, reading.events.full_stream)) as chunks:
                async for _ in chunks:
                    yield
        result = await reading.events.result()
        journal = await reading.driven.journal()
        _restore(run, journal)
        _settle(run, result)
        refusal = _refusal(reading, journal) if reading.answers else None
        if refusal is not None:
            run.error, run.status, run.finish_reason, run.raises = refusal, "failed", "error", True
        yield
    except BaseException as error:
        run.switch.is_seen = True
        if isinstance(error, GeneratorExit) or not await _stopped(run, reading, error):
            raise
        yield
    finally:
        if is_alone:
            _readers.pop(key, None)
        run.switch.release()
        if run.status == "running":
            run.status = "canceled"


def _refusal(reading: Reading, journal: Journal) -> BaseException | None:
    """Return why the answer was not taken, where the call that it was for still waits."""
    for record in journal.values():
        waits: Any = record.suspend_payload
        if record.status != "suspended" or not isinstance(waits, Mapping) or REFUSED not in waits:
            continue
        known = cast("Mapping[str, Any]", waits)
        if reading.call_id in (None, known["toolCall"]["tool_call_id"]):
            return error_from_json(known[REFUSED])
    return None


async def _shown(
    run: AgentRun, reading: Reading, events: AsyncIterator[Event]
) -> AsyncGenerator[None, None]:
    """Show the chunks among events."""
    async for event in events:
        reading.at = event.seq + 1
        chunk = _chunk_of(run, event)
        if chunk is None:
            continue
        reading.skips -= 1
        if reading.skips < 0:
            run.publish(chunk)
            yield


def _chunk_of(run: AgentRun, event: Event) -> AgentChunk | None:
    payload = event.payload
    if event.type != "workflow-step-output" or payload is None or payload.step_name != STEP:
        return None
    if isinstance(event.data, ToldChunk):
        known = event.data.chunk
        return AgentChunk(known.type, known.run_id, known.payload, from_=known.from_)
    return chunk_of(run.run_id, cast("dict[str, Any]", payload.output))


def _already_read(run: AgentRun) -> RunStateError:
    return RunStateError(
        f"Run {run.run_id!r} of agent {run.spec.id!r} is read in this process already: use that "
        "stream, or give the run another run_id."
    )


async def _stopped(run: AgentRun, reading: Reading | None, error: BaseException) -> bool:
    """Turn what ended the reading into the readers' outcome; return whether it is one."""
    if run.switch.reason == "abort":
        if reading is not None:
            await reading.driven.cancel()
            rest = reading.driven.observe_stream(offset=reading.at)
            async with aclosing(_shown(run, reading, rest.full_stream)) as chunks:
                async for _ in chunks:
                    pass
            if not _restore(run, await reading.driven.journal()):
                run.transcript.cut = _cut_off(run)
        if not any(chunk.type == "abort" for chunk in run.chunks):
            run.emit("abort", {})
        run.status, run.finish_reason = "aborted", "aborted"
        if run.chunks[-1].type != "finish":
            await emit_finish(run)
        return True
    if run.switch.reason is not None:
        return True  # closed: the run goes on by itself
    if not isinstance(error, Exception):
        return False
    run.error, run.status, run.finish_reason, run.raises = error, "failed", "error", True
    return True


def _cut_off(run: AgentRun) -> str:
    """Return what the step that was cut off had said."""
    said: list[str] = []
    for chunk in run.chunks:
        if chunk.type in {"step-start", "step-finish"}:
            said.clear()
        elif chunk.type == "text-delta":
            said.append(chunk.payload.text)
    return "".join(said)


def _restore(run: AgentRun, journal: Journal) -> bool:
    """Take over what the run has come to, as far as it is recorded and as it was told here.

    Returns:
        Whether it is in a step that the model has answered and whose tools have not.
    """
    is_pending = False
    first = next((op for op in journal if op.endswith(f"/{model_op(1)}")), None)
    if first is not None:
        records = records_in(journal, first.removesuffix(model_op(1)))
        ledger = Ledger.of(run.run_id, records)
        last = records.get(model_op(ledger.turn + 1))
        if last is not None and last.status == "success":
            ledger.add(cast("dict[str, Any]", last.output))
        if ledger.facts.get("messageId") is not None:
            state = ledger.state
            run.transcript = copy(state.transcript)
            run.meter.take(state.meter)
            is_pending = state.pending is not None
            if state.pending is not None:
                run.transcript.steps = [*run.transcript.steps, state.pending]
                run.transcript.count([state.pending])
    for chunk in run.chunks:
        match chunk.payload:
            case FinishPayload() as end if chunk.type == "finish":
                run.finish_reason = end.step_result.reason
                run.object = end.output.object
                run.transcript.retell(end.output.steps, end.messages, end.output.usage)
            case TripwirePayload() as refusal:
                run.tripwire = refusal
            case _:
                pass
    return is_pending


def _settle(run: AgentRun, result: WorkflowResult[Any]) -> None:
    """Take over how the run's leg has ended."""
    run.status = result.status
    match result:
        case WorkflowSuspended():
            payload = cast("dict[str, Any]", result.steps[STEP].suspend_payload)
            run.finish_reason = "suspended"
            run.wait.payload = payload["suspendPayload"]
            run.wait.schema = payload["resumeSchema"]
        case WorkflowSuccess():
            given: Mapping[str, Any] = result.unwrap()
            run.used_fallback = given.get("usedFallback", False)
            if run.finish_reason is None:  # it had ended before anybody read it here
                run.finish_reason, run.object = given["finishReason"], given["object"]
            if not run.transcript.steps:  # of an earlier version
                run.transcript.text = given["text"]
                run.transcript.usage = Usage.from_wire(given["usage"])
        case WorkflowTripwire():
            run.finish_reason = "other"
            if run.tripwire is None:  # as above
                run.tripwire = TripwirePayload(str(result.tripwire.get("reason")))
        case WorkflowFailed():
            _fail(run, result.error)
        case _:
            run.finish_reason = "aborted"


def _fail(run: AgentRun, error: BaseException) -> None:
    if isinstance(error, StepError) and error.__cause__ is not None:
        error = error.__cause__
    run.error, run.finish_reason = error, "error"
    if isinstance(error, UsageLimitError) and error.result is None:
        error.result = run.result()
    run.raises = isinstance(error, (ConfigError, ValidationError))
    if not run.raises and not any(chunk.type == "error" for chunk in run.chunks):
        run.emit("error", ErrorPayload(error))
