"""Mastra's agents and workflows, in typed Python.

Every name is imported on its first use: a program pays only for what it touches, and
`import mastra` itself loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.errors import MastraError as MastraError

_HOMES: dict[str, str] = {
    "Agent": "mastra.agents.agent",
    "AgentContext": "mastra.agents.context",
    "AgentStream": "mastra.agents.agent_stream",
    "Fallback": "mastra.models.resolve",
    "InMemoryStorage": "mastra.storage.memory",
    "InProcessEngine": "mastra.workflows.engines.inprocess",
    "Mastra": "mastra.registry",
    "Message": "mastra.models.messages",
    "ModelConfig": "mastra.models.resolve",
    "RequestContext": "mastra.request_context",
    "RetryConfig": "mastra.workflows.spec",
    "SQLStorage": "mastra.storage.sql",
    "StepContext": "mastra.workflows.step_context",
    "StructuredOutput": "mastra.agents.output",
    "Tool": "mastra.tools.tool",
    "ToolContext": "mastra.tools.tool_context",
    "Workflow": "mastra.workflows.workflow",
    "clone_step": "mastra.workflows.step",
    "clone_workflow": "mastra.workflows.workflow",
    "create_step": "mastra.workflows.step",
    "create_tool": "mastra.tools.tool",
    "create_workflow": "mastra.workflows.workflow",
    "step": "mastra.workflows.step",
    "tool": "mastra.tools.tool",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'mastra' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
