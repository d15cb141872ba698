"""One run that waits, by its id."""

from __future__ import annotations

from mastra.agents.agent import Agent
from mastra.agents.waiting.stored_runs import StoredRuns
from mastra.agents.waiting.suspended import SuspendedRun, run_from_head

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
    if agent.spec.durable:
        found = await agent.durable_runs.suspended(run_id)
    else:
        runs = StoredRuns(agent.stored_runs.runtime.store, agent.id)
        head = await runs.find_waiting(run_id)
        found = None if head is None else run_from_head(head)
    if found is None or found.agent_id != agent.id:
        return None
    return found if resource_id in {None, found.resource_id} else None
