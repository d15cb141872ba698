"""What tools have done is remembered, whoever left meanwhile.

A run may end before its last word: its reader goes, it is told to stop, its model fails. What its
tools did by then has happened all the same. So it is told to the conversation, and the
conversation is kept, as far as the last result of a tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mastra.agents.calls.outcomes import tell_outcomes
from mastra.agents.calls.runner import CallRunner
from mastra.agents.loop.recall import new_messages
from mastra.agents.options import MemoryOption
from mastra.agents.records.requested_call import Denied, Done, Outcome, Raised
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.recorder import StepRecorder
from mastra.agents.waiting.resume import put_to_wait
from mastra.logs import get_logger
from mastra.memory.memory import Memory
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.tools.tool import Tool

__all__ = ["keep_acts", "keep_step", "leave_step", "log_unkept"]

_CUT_OFF: Final = RuntimeError(
    "The run was stopped before this call had ended: whether it acted is not known."
)


async def leave_step(run: AgentRun, recorder: StepRecorder, runner: CallRunner) -> None:
    """End a step that nobody reads on, where a tool of it has acted; its calls run no more.

    Calls that still wait for a person go on waiting, without those that have acted.
    """
    if run.operation is not None or not recorder.calls:
        return
    settled: dict[str, Outcome] | None = run.state.pop("settled", None)
    if not recorder.is_told:
        outcomes = _outcomes(recorder, runner, settled or {})
        # Of a step that goes on, others may have acted before: that is kept in any case.
        now = runner.resumptions.keys() if recorder.is_resumed else outcomes.keys()
        if not any(isinstance(outcomes.get(one), Done | Raised | Denied) for one in now):
            return
        if not recorder.is_finished and not recorder.is_resumed:
            recorder.close()
            recorder.keep_published()
        for call in recorder.calls:
            # Providers want a result for every call.
            if call.id not in outcomes and call.id in runner.tasks:
                outcomes[call.id] = Raised(_CUT_OFF)
        tell_outcomes(run, recorder, outcomes)
    run.transcript.add(recorder.result)
    run.wait.is_over = True
    if run.wait.calls:
        run.status = recorder.result.finish_reason = "suspended"
        await put_to_wait(run, runner)


def _outcomes(
    recorder: StepRecorder, runner: CallRunner, settled: dict[str, Outcome]
) -> dict[str, Outcome]:
    outcomes = dict(settled)
    for call in recorder.calls:
        task = runner.tasks.get(call.id)
        if call.id in outcomes or task is None or not task.done() or task.cancelled():
            continue
        if task.exception() is None:
            outcomes[call.id] = task.result()
    return outcomes


async def keep_acts(run: AgentRun, memory: Memory) -> None:
    """Store the conversation as far as the last result of a tool, if there is one to store."""
    if memory.read_only or run.status == "parked" or run.state.get("kept"):
        return
    fresh = _acts(run)
    if not fresh:
        return
    if run.pipeline is not None:
        # What processors do to a result they do to what is kept of it: they take secrets out.
        is_let_through = await run.pipeline.judge()
        fresh = _acts(run)
        if not is_let_through:
            fresh = [acted for message in fresh if (acted := _without_words(message)) is not None]
    await _add(run, memory, fresh)


def _without_words(message: Message) -> Message | None:
    """Return what tools did of an answer that a processor refused."""
    if message.role != "assistant":
        return message
    kept = tuple(part for part in message.parts if isinstance(part, ToolCallPart | ToolResultPart))
    return replace(message, content=kept) if kept else None


def _acts(run: AgentRun) -> list[Message]:
    fresh = new_messages(run)
    while fresh and fresh[-1].role != "tool":
        fresh.pop()
    return fresh


async def keep_step(
    run: AgentRun, memory: Memory, recorder: StepRecorder, tools: Mapping[str, Tool[Any, Any]]
) -> None:
    """Store the conversation as a step leaves it, where it is not to be forgotten.

    Were the process killed now, nobody could ask for it again. Called for every step of a run
    that asks for it (`save_per_step`), and else for those in which a tool ran that somebody has
    answered, or that has an effect.
    """
    if memory.read_only:
        return
    option = run.options.get("memory") or MemoryOption()
    asked = option.get("save_per_step")
    pipeline = run.pipeline
    if asked:
        messages = run.transcript.messages
        if pipeline is not None and pipeline.sees_results:
            messages = await pipeline.shown_result()
        await _add(run, memory, new_messages(run, messages))
    elif asked is None and (pipeline is None or not pipeline.sees_results):
        # Else processors of results see all of them first, once, at the end.
        names = {call.name for call in recorder.calls}
        acted = any(tools[name].has_effect for name in names & tools.keys())
        if recorder.is_resumed or acted:
            await _add(run, memory, _acts(run))


async def _add(run: AgentRun, memory: Memory, messages: Sequence[Message]) -> None:
    await memory.add_messages(
        _paired(messages), thread_id=run.thread_id or "", resource_id=run.resource_id or ""
    )


def _paired(messages: Sequence[Message]) -> list[Message]:
    """Return messages without calls that still wait: they are stored with what comes of them."""
    told = {
        part.tool_call_id
        for message in messages
        for part in message.parts
        if isinstance(part, ToolResultPart)
    }
    paired: list[Message] = []
    for message in messages:
        kept = tuple(
            part
            for part in message.parts
            if not isinstance(part, ToolCallPart)
            or part.provider_executed
            or part.tool_call_id in told
        )
        if len(kept) == len(message.parts):
            paired.append(message)
        elif kept:
            paired.append(replace(message, content=kept))
    return paired


def log_unkept(run: AgentRun, error: BaseException) -> None:
    """Say that what a run's tools did could not be stored."""
    get_logger({"agent": run.spec.id, "run": run.run_id}).error(
        "what its tools did could not be kept: %s", error, exc_info=error
    )
