"""Whether the task is done: checks that look at an answer before the loop ends.

Where they do not pass, the agent is told why and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast

from mastra.agents.chunks import AgentChunk, Payload
from mastra.agents.wire import plain
from mastra.clock import current_clock, timeout
from mastra.errors import ConfigError
from mastra.failures import call_user, text_of
from mastra.jsonable import Json
from mastra.models.messages import Message
from mastra.request_context import RequestContext

__all__ = [
    "CheckResult",
    "CompletionResult",
    "TaskCheck",
    "TaskCompletePayload",
    "TaskCompletion",
    "TaskState",
    "check_task",
    "feedback_of",
]

_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a check looks at."""

    iteration: int
    """How often the model has been called, this time included."""
    max_iterations: int | None
    """How often it may be, where that is limited."""
    original_task: str
    """The text of the first message."""
    text: str
    """What the model just said."""
    tool_calls: Sequence[AgentChunk]
    """What it asked for, as `tool-call` chunks."""
    tool_results: Sequence[AgentChunk]
    """What came of it, as `tool-result` chunks."""
    messages: Sequence[Message]
    """The conversation so far, without the system's messages."""
    agent_id: str
    """The agent that runs."""
    agent_name: str
    """Its name."""
    run_id: str
    """Its run."""
    thread_id: str | None
    """The thread of the conversation, if any."""
    resource_id: str | None
    """Whose thread it is."""
    request_context: RequestContext
    """Values of the request."""


TaskCheck: TypeAlias = "Callable[[TaskState], Any] | Any"
"""A function of the `TaskState`, sync or async, or an object with such a `run`.

It gives whether the task is done, a score (1 is done), or a dict with `score` or `passed` and a
`reason` for the model.
"""


class TaskCompletion(TypedDict, total=False):
    """When a task is done; the loop goes on until then, or until it may not."""

    scorers: Sequence[TaskCheck]
    """The checks."""
    strategy: Literal["all", "any"]
    """Whether all have to pass (the default) or one is enough."""
    parallel: bool
    """Whether they run at once (the default), or one by one until the verdict is clear."""
    timeout: float
    """Seconds for all of them; what has not ended by then has not passed. Default: 600."""
    on_complete: Callable[[CompletionResult], Awaitable[None] | None]
    """Called with every verdict."""
    suppress_feedback: bool
    """Mark what the model is told as not for showing to people."""


@dataclass(slots=True)
class CheckResult(Payload):
    """What one check found."""

    score: float
    """1 where it passed."""
    passed: bool
    """Whether it passed."""
    scorer_id: str
    """Which check."""
    scorer_name: str
    """Its name for people."""
    duration: float
    """How long it took, in seconds."""
    reason: str | None = None
    """Why, for the model."""
    errored: bool | None = None
    """Whether it raised, or ran out of time."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON, with the duration in milliseconds."""
        return {**Payload.to_wire(self), "duration": round(self.duration * 1000)}


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """What all checks found."""

    complete: bool
    """Whether the task is done."""
    scorers: list[CheckResult]
    """Each check, in order; those that were not needed are left out."""
    total_duration: float
    """How long all of them took, in seconds."""
    timed_out: bool
    """Whether time ran out."""

    @property
    def completion_reason(self) -> str | None:
        """Why the first check that passed did so, or why the first did not."""
        best = [check for check in self.scorers if check.passed] or self.scorers
        return best[0].reason if best else None


@dataclass(slots=True)
class TaskCompletePayload(Payload):
    """`is-task-complete`."""

    iteration: int
    """How often the model has been called."""
    passed: bool
    """Whether the task is done."""
    results: list[CheckResult]
    """Each check."""
    duration: float
    """How long all of them took, in seconds."""
    timed_out: bool
    """Whether time ran out."""
    max_iteration_reached: bool
    """Whether the model may not be called again."""
    suppress_feedback: bool
    """Whether what the model is told is not for showing to people."""
    reason: str | None = None
    """Why it is, or is not."""

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON, with the duration in milliseconds."""
        return {
            **Payload.to_wire(self),
            "results": plain(self.results),
            "duration": round(self.duration * 1000),
        }


async def check_task(wanted: TaskCompletion, state: TaskState) -> CompletionResult:
    """Run the checks.

    Raises:
        ConfigError: There are none, or there is no such strategy.
    """
    checks = list(wanted.get("scorers") or ())
    strategy = wanted.get("strategy", "all")
    if not checks or strategy not in ("all", "any"):
        raise ConfigError(
            "is_task_complete needs scorers (a list of functions) and a strategy of 'all' or "
            f"'any'; it has {len(checks)} scorers and the strategy {strategy!r}."
        )
    began = time.perf_counter()
    left_s = wanted.get("timeout", _TIMEOUT_S)
    if wanted.get("parallel", True):
        found = await _at_once(checks, state, left_s)
    else:
        found = await _one_by_one(checks, state, left_s, strategy)
    passed = [check.passed for check in found]
    complete = any(passed) if strategy == "any" else len(found) == len(checks) and all(passed)
    timed_out = any(check.reason == _LATE for check in found)
    return CompletionResult(complete, found, time.perf_counter() - began, timed_out)


async def _at_once(
    checks: Sequence[TaskCheck], state: TaskState, left_s: float
) -> list[CheckResult]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_checked(check, state)) for check in checks]
        with contextlib.suppress(TimeoutError):
            async with timeout(left_s):
                await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
    return [
        _unfinished(check, left_s) if task.cancelled() else task.result()
        for check, task in zip(checks, tasks, strict=True)
    ]


async def _one_by_one(
    checks: Sequence[TaskCheck], state: TaskState, left_s: float, strategy: str
) -> list[CheckResult]:
    found: list[CheckResult] = []
    clock = current_clock.get()
    until = clock.monotonic() + left_s
    for check in checks:
        try:
            async with timeout(max(0.0, until - clock.monotonic())):
                found.append(await _checked(check, state))
        except TimeoutError:
            found.append(_unfinished(check, left_s))
            break
        if found[-1].passed == (strategy == "any"):
            break
    return found


_LATE: Final = "Scorer did not finish before the completion timeout"


def _unfinished(check: TaskCheck, seconds: float) -> CheckResult:
    return _failed(check, seconds, _LATE)


def _failed(check: TaskCheck, seconds: float, reason: str) -> CheckResult:
    name, shown = _names(check)
    return CheckResult(0.0, False, name, shown, seconds, reason, errored=True)


def _names(check: TaskCheck) -> tuple[str, str]:
    name = getattr(check, "__name__", None) or type(check).__name__
    found = str(getattr(check, "id", None) or name)
    return found, str(getattr(check, "name", None) or found)


async def _checked(check: TaskCheck, state: TaskState) -> CheckResult:
    began = time.perf_counter()
    function = check if callable(check) else check.run
    try:
        score, reason = _read(await call_user(function, state))
    except Exception as error:  # noqa: BLE001 - a check is the user's, and may raise anything
        reason = f"Scorer threw an error: {text_of(error)}"
        return _failed(check, time.perf_counter() - began, reason)
    return CheckResult(score, score == 1, *_names(check), time.perf_counter() - began, reason)


def _read(verdict: Any) -> tuple[float, str | None]:
    """Return the score and the reason in what a check gave."""
    if isinstance(verdict, (bool, int, float)):
        return float(verdict), None
    fields: Any = verdict
    if not isinstance(verdict, Mapping):
        names = ("score", "passed", "reason")
        fields = {name: getattr(verdict, name) for name in names if hasattr(verdict, name)}
    known = cast("Mapping[str, Any]", fields)
    score = known.get("score", known.get("passed"))
    if not isinstance(score, (bool, int, float)):
        raise TypeError(
            f"it gave {verdict!r}, which is neither a truth value, a score nor a dict with one"
        )
    reason = known.get("reason")
    return float(score), None if reason is None else str(reason)


def feedback_of(result: CompletionResult, *, is_last: bool) -> str:
    """Return what the model is told of checks that did not pass."""
    lines = ["#### Completion Check Results", ""]
    lines += [f"Overall: {'✅ COMPLETE' if result.complete else '❌ NOT COMPLETE'}"]
    lines += [f"Duration: {round(result.total_duration * 1000)}ms"]
    if result.timed_out:
        lines.append("⚠️ Scoring timed out")
    for check in result.scorers:
        mark = "✅" if check.passed else "❌"
        lines += ["", f"**{check.scorer_name}** ({check.scorer_id})"]
        lines.append(f"Score: {check.score:g} {mark}")
        if check.reason:
            lines.append(f"Reason: {check.reason}")
    lines.append("")
    if is_last:
        lines.append("⚠️ Max iterations reached.")
    else:
        lines.append(
            "🔄 The task is not yet complete. Please continue working based on the feedback above."
        )
    return "\n".join(lines)
