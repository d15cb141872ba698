"""Mastra's agents and workflows, in typed Python.

Every name is imported on its first use: a program pays only for what it touches, and
`import mastra` itself loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.agents.agent import Agent
    from mastra.agents.agent_stream import AgentStream
    from mastra.agents.context import AgentContext
    from mastra.agents.limits import UsageLimits
    from mastra.agents.output import StructuredOutput
    from mastra.errors import (
        AccessDeniedError,
        ConfigError,
        DefinitionChangedError,
        IdTakenError,
        InputValidationError,
        MastraError,
        MissingDependencyError,
        ModelError,
        NonRetryableError,
        NotFoundError,
        ResumeClaimedError,
        ResumeValidationError,
        RunClaimedError,
        RunError,
        RunNotFoundError,
        RunStateError,
        ScorerError,
        SerializationError,
        StepError,
        StepValidationError,
        StorageError,
        StreamOverflowError,
        ToolApprovalError,
        ToolError,
        ToolNotFoundError,
        TripwireError,
        UsageLimitError,
        UserCodeError,
        ValidationError,
        WorkflowDefinitionError,
        WorkflowFailedError,
        WorkflowOutputWarning,
    )
    from mastra.models.base import ProviderTool
    from mastra.models.messages import Message
    from mastra.models.resolve import Fallback, ModelConfig
    from mastra.registry import Mastra
    from mastra.request_context import RequestContext
    from mastra.server.config import ServerConfig
    from mastra.storage.in_process import InMemoryStorage
    from mastra.storage.sql import SQLStorage
    from mastra.stream.abort import AbortController, AbortSignal
    from mastra.tools.content import File, Image
    from mastra.tools.tool import Tool, create_tool, tool
    from mastra.tools.tool_context import ToolContext
    from mastra.workflows.engines.inprocess import InProcessEngine
    from mastra.workflows.events import Event
    from mastra.workflows.results import (
        StepResult,
        WorkflowCanceled,
        WorkflowFailed,
        WorkflowPaused,
        WorkflowResult,
        WorkflowSuccess,
        WorkflowSuspended,
        WorkflowTripwire,
    )
    from mastra.workflows.run import Run
    from mastra.workflows.spec import RetryConfig
    from mastra.workflows.step import Step, clone_step, create_step, step
    from mastra.workflows.step_context import StepContext
    from mastra.workflows.workflow import Workflow, clone_workflow, create_workflow

__all__ = [
    "AbortController",
    "AbortSignal",
    "AccessDeniedError",
    "Agent",
    "AgentContext",
    "AgentStream",
    "ConfigError",
    "DefinitionChangedError",
    "Event",
    "Fallback",
    "File",
    "IdTakenError",
    "Image",
    "InMemoryStorage",
    "InProcessEngine",
    "InputValidationError",
    "Mastra",
    "MastraError",
    "Message",
    "MissingDependencyError",
    "ModelConfig",
    "ModelError",
    "NonRetryableError",
    "NotFoundError",
    "ProviderTool",
    "RequestContext",
    "ResumeClaimedError",
    "ResumeValidationError",
    "RetryConfig",
    "Run",
    "RunClaimedError",
    "RunError",
    "RunNotFoundError",
    "RunStateError",
    "SQLStorage",
    "ScorerError",
    "SerializationError",
    "ServerConfig",
    "Step",
    "StepContext",
    "StepError",
    "StepResult",
    "StepValidationError",
    "StorageError",
    "StreamOverflowError",
    "StructuredOutput",
    "Tool",
    "ToolApprovalError",
    "ToolContext",
    "ToolError",
    "ToolNotFoundError",
    "TripwireError",
    "UsageLimitError",
    "UsageLimits",
    "UserCodeError",
    "ValidationError",
    "Workflow",
    "WorkflowCanceled",
    "WorkflowDefinitionError",
    "WorkflowFailed",
    "WorkflowFailedError",
    "WorkflowOutputWarning",
    "WorkflowPaused",
    "WorkflowResult",
    "WorkflowSuccess",
    "WorkflowSuspended",
    "WorkflowTripwire",
    "clone_step",
    "clone_workflow",
    "create_step",
    "create_tool",
    "create_workflow",
    "step",
    "tool",
]

_HOMES = {
    "AbortController": "mastra.stream.abort",
    "AbortSignal": "mastra.stream.abort",
    "Agent": "mastra.agents.agent",
    "AgentContext": "mastra.agents.context",
    "AgentStream": "mastra.agents.agent_stream",
    "Event": "mastra.workflows.events",
    "Fallback": "mastra.models.resolve",
    "File": "mastra.tools.content",
    "Image": "mastra.tools.content",
    "ProviderTool": "mastra.models.base",
    "InMemoryStorage": "mastra.storage.in_process",
    "InProcessEngine": "mastra.workflows.engines.inprocess",
    "Mastra": "mastra.registry",
    "Message": "mastra.models.messages",
    "ModelConfig": "mastra.models.resolve",
    "RequestContext": "mastra.request_context",
    "RetryConfig": "mastra.workflows.spec",
    "Run": "mastra.workflows.run",
    "SQLStorage": "mastra.storage.sql",
    "ServerConfig": "mastra.server.config",
    "Step": "mastra.workflows.step",
    "StepContext": "mastra.workflows.step_context",
    "StepResult": "mastra.workflows.results",
    "StructuredOutput": "mastra.agents.output",
    "Tool": "mastra.tools.tool",
    "ToolContext": "mastra.tools.tool_context",
    "UsageLimits": "mastra.agents.limits",
    "Workflow": "mastra.workflows.workflow",
    "WorkflowCanceled": "mastra.workflows.results",
    "WorkflowFailed": "mastra.workflows.results",
    "WorkflowPaused": "mastra.workflows.results",
    "WorkflowResult": "mastra.workflows.results",
    "WorkflowSuccess": "mastra.workflows.results",
    "WorkflowSuspended": "mastra.workflows.results",
    "WorkflowTripwire": "mastra.workflows.results",
    "clone_step": "mastra.workflows.step",
    "clone_workflow": "mastra.workflows.workflow",
    "create_step": "mastra.workflows.step",
    "create_tool": "mastra.tools.tool",
    "create_workflow": "mastra.workflows.workflow",
    "step": "mastra.workflows.step",
    "tool": "mastra.tools.tool",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - few ask

        try:
            return version("mastra-py")
        except PackageNotFoundError as error:
            raise AttributeError("mastra-py is not installed, so it has no version.") from error
    if name not in __all__:
        from mastra.extras import missing_name, public_package  # noqa: PLC0415 - no name of its own

        package = public_package(f"mastra.{name}")
        if package is None:
            raise missing_name("mastra", name, __all__)
        return package
    # Names without a home of their own are errors.
    from mastra.extras import needs  # noqa: PLC0415 - only where a name is used

    with needs("sql", f"mastra.{name}"):
        value = getattr(import_module(_HOMES.get(name, "mastra.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
