"""One run that waits, by its id."""

from __future__ import annotations

from mastra.agents.agent import Agent
from mastra.agents.stored_runs import MOST_UNLED
from mastra.agents.suspended import SuspendedRun, run_from_head
from mastra.storage.base import RunHead, WorkflowStore

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
        workflow = agent.stored_runs
        store = workflow.runtime.store
        head = await store.get_run(workflow.id, run_id)
        is_waiting = head is not None and await _is_waiting(store, head)
        found = run_from_head(head) if head is not None and is_waiting else None
    if found is None or found.agent_id != agent.id:
        return None
    return found if resource_id in {None, found.resource_id} else None


async def _is_waiting(store: WorkflowStore, head: RunHead) -> bool:
    if head.status == "suspended":
        return True
    if head.status != "running" or "waiting" not in head.data:
        return False
    # It was claimed by whoever answered; where they are gone, it waits again.
    lost = await store.list_unled([head.workflow_id], limit=MOST_UNLED)
    return any(run.run_id == head.run_id for run in lost)
