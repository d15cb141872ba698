"""Who answers at a path: the agent or the workflow that it names, or the one of a route."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path

from mastra.agents.agent import Agent
from mastra.server.context import ServerDep

__all__ = ["agent_of", "workflow_key_of"]


def agent_of(fixed: str | None) -> Any:
    """Return the dependency that gives the agent.

    Args:
        fixed: The agent, where the path names none.
    """

    async def find(server: ServerDep) -> Agent:
        return server.agent(str(fixed))

    return Depends(_named_agent if fixed is None else find)


def workflow_key_of(fixed: str | None) -> Any:
    """Return the dependency that gives the workflow's key or id.

    Args:
        fixed: The workflow, where the path names none.
    """

    async def find() -> str:
        return str(fixed)

    return Depends(_named_workflow if fixed is None else find)


async def _named_agent(
    server: ServerDep, agent_id: Annotated[str, Path(description="An agent's key or id.")]
) -> Agent:
    return server.agent(agent_id)


async def _named_workflow(
    workflow_id: Annotated[str, Path(description="A workflow's key or id.")],
) -> str:
    return workflow_id
