"""Who answers at a path: the agent or the workflow that it names, or the one of a route."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path

from mastra.agents.agent import Agent
from mastra.errors import NotFoundError
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal

__all__ = ["agent_of", "workflow_key_of"]


def agent_of(fixed: str | None) -> Any:
    """Return the dependency that gives the agent.

    Args:
        fixed: The agent, where the path names none.
    """

    async def find(server: ServerDep) -> Agent:
        return _agent(server, str(fixed))

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
    return _agent(server, agent_id)


async def _named_workflow(
    workflow_id: Annotated[str, Path(description="A workflow's key or id.")],
) -> str:
    return workflow_id


def _agent(server: Server, agent_id: str) -> Agent:
    try:
        return server.mastra.get_agent_by_id(agent_id)
    except NotFoundError:
        raise Refusal(404, f"Agent with id {agent_id} not found") from None
