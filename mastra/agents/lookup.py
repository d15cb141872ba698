"""One run that waits, by its id."""

from __future__ import annotations

from mastra.agents.agent import Agent
from mastra.agents.waiting.suspended import SuspendedRun

__all__ = ["find_suspended"]


async def find_suspended(
    agent: Agent, run_id: str, resource_id: str | None = None
) -> SuspendedRun | None:
    """Return a run of an agent that waits for somebody's answer, without looking at others.

    Args:
        agent: The agent.
        run_id: The run.
        resource_id: Whose run it has to be; `None` for anybody's.

    Returns:
        The run; `None` where there is none of that id and resource, or it does not wait.
    """
    found = await agent.waiting_runs.suspended(run_id)
    return found if found is not None and resource_id in {None, found.resource_id} else None
