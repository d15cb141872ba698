"""When an agent's loop ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mastra.agents.results import LLMStepResult
from mastra.failures import call_user

__all__ = ["StopCondition", "StopState", "has_tool_call", "step_count_is"]

DEFAULT_MAX_STEPS = 5


@dataclass(frozen=True, slots=True)
class StopState:
    """What a stop condition looks at."""

    steps: Sequence[LLMStepResult]
    """The steps so far; the last has just ended."""


StopCondition: TypeAlias = Callable[[StopState], "bool | Awaitable[bool]"]
"""Whether the loop ends here."""


def step_count_is(count: int) -> StopCondition:
    """Return a condition that ends the loop after so many steps."""
    return lambda state: len(state.steps) >= count


def has_tool_call(tool_name: str) -> StopCondition:
    """Return a condition that ends the loop after a step that called a tool."""
    return lambda state: any(
        call.payload.tool_name == tool_name for call in state.steps[-1].tool_calls
    )


async def should_stop(
    steps: Sequence[LLMStepResult],
    max_steps: int | None,
    conditions: StopCondition | Sequence[StopCondition] | None,
) -> bool:
    """Return whether the loop ends after these steps; any one condition is enough."""
    if conditions is None:
        return len(steps) >= (DEFAULT_MAX_STEPS if max_steps is None else max_steps)
    if max_steps is not None and len(steps) >= max_steps:
        return True
    state = StopState(steps)
    for condition in [conditions] if callable(conditions) else conditions:
        if await call_user(condition, state):
            return True
    return False
