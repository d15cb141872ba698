"""`ag_ui_route`: an agent or a workflow answers pages of AG-UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mastra.errors import ConfigError
from mastra.extras import needs
from mastra.pages.paths import check_path
from mastra.server.config import ApiRoute

__all__ = ["ag_ui_route"]


def ag_ui_route(
    path: str = "/ag-ui/{agent_id}",
    *,
    agent: str | None = None,
    workflow: str | None = None,
    send_reasoning: bool = True,
    on_error: Callable[[Mapping[str, Any]], str] | None = None,
) -> ApiRoute:
    """Return the route by which pages of AG-UI talk to agents, or to workflows.

    A page's thread is a thread of the agent's memory of the same id. What its runs wait for is an
    interrupt, which a later request answers; what runs then is what is stored. The answer ends
    where its reader leaves.

    Args:
        path: Where; `{agent_id}` or `{workflow_id}` in it is a key or an id.
        agent: The agent, where the path names none.
        workflow: The workflow, where the path names none.
        send_reasoning: Whether pages see what the model thinks.
        on_error: Says what a page is told of an error, given as JSON with `message` and `name`.

    Raises:
        ConfigError: It is not clear who answers.
    """
    is_workflow = workflow is not None or "{workflow_id}" in path
    if agent is not None and is_workflow:
        raise ConfigError(f"Path {path!r} is for an agent or for a workflow, not for both.")
    check_path(path, "workflow_id" if is_workflow else "agent_id", workflow or agent)

    def endpoint(_: Any) -> Any:
        with needs("ag-ui", "ag_ui_route"):
            if is_workflow:
                from mastra.ag_ui.workflow_endpoint import workflow_endpoint  # noqa: PLC0415 - as below

                return workflow_endpoint(workflow, on_error)
            from mastra.ag_ui.agent_endpoint import agent_endpoint  # noqa: PLC0415 - loads a framework

            return agent_endpoint(agent, on_error, send_reasoning=send_reasoning)

    return ApiRoute(path=path, method="POST", create_handler=endpoint)
