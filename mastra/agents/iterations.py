"""What `on_iteration_complete` looks at, and what it may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from mastra.agents.chunks import AgentChunk
from mastra.models.messages import Message

__all__ = ["IterationContext", "IterationDecision"]


@dataclass(frozen=True, slots=True)
class IterationContext:
    """What `on_iteration_complete` looks at."""

    iteration: int
    """How often the model has been called."""
    max_iterations: int | None
    """How often it may be, where that is limited."""
    text: str
    """What the model just said."""
    tool_calls: Sequence[AgentChunk]
    """What it asked for, as `tool-call` chunks."""
    tool_results: Sequence[AgentChunk]
    """What came of it, as `tool-result` chunks."""
    is_final: bool
    """Whether the loop would end here."""
    finish_reason: str
    """Why the model stopped."""
    run_id: str
    """The run."""
    thread_id: str | None
    """The thread of the conversation, if any."""
    resource_id: str | None
    """Whose thread it is."""
    agent_id: str
    """The agent that runs."""
    agent_name: str
    """Its name."""
    messages: Sequence[Message]
    """The conversation so far, without the system's messages."""


IterationDecision = TypedDict("IterationDecision", {"continue": bool, "feedback": str}, total=False)
"""What `on_iteration_complete` may return.

`continue`: whether another step follows, as far as `max_steps` lets it. `feedback`: what the model
is told before that; together with `continue` false, one more step follows and no further.
"""
