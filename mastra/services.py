"""What a step, a tool or an agent may ask of the `Mastra` object it runs under.

Protocols only, so that nothing below the registry imports it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol, Self

from mastra.storage.base import Storage
from mastra.stream.writer import Writer

__all__ = ["AgentHandle", "AgentStreamHandle", "Services", "WorkflowHandle"]


class AgentStreamHandle(Protocol):
    """An agent's answer while it arrives, as a step sees it."""

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        ...

    @property
    def full_stream(self) -> AsyncIterator[Any]:
        """Every chunk."""
        ...

    def __await__(self) -> Any: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[Any]: ...

    async def text(self) -> str:
        """Return the whole text."""
        ...

    async def object(self) -> Any:
        """Return the structured output."""
        ...

    async def result(self) -> Any:
        """Return everything that `generate()` returns."""
        ...

    async def pipe_to(self, writer: Writer) -> None:
        """Write every chunk to a step's writer."""
        ...

    async def aclose(self) -> None:
        """Close the model call."""
        ...


class AgentHandle(Protocol):
    """An agent, as a step sees it."""

    @property
    def id(self) -> str:
        """The agent's id."""
        ...

    @property
    def name(self) -> str:
        """The agent's name."""
        ...

    def stream(self, messages: Any, **options: Any) -> AgentStreamHandle:
        """Start an answer and return it at once."""
        ...

    async def generate(self, messages: Any, **options: Any) -> Any:
        """Return the whole answer."""
        ...


class WorkflowHandle(Protocol):
    """A workflow, as a step sees it."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        ...

    async def create_run(self, run_id: str | None = None, *, resource_id: str | None = None) -> Any:
        """Return a run of it."""
        ...


class Services(Protocol):
    """The part of `Mastra` that running code uses."""

    def get_agent(self, key: str) -> AgentHandle:
        """Return the agent registered under a key.

        Raises:
            NotFoundError: There is none; the message lists the keys there are.
        """
        ...

    def get_agent_by_id(self, agent_id: str) -> AgentHandle:
        """Return the agent with an id."""
        ...

    def get_workflow(self, key: str) -> WorkflowHandle:
        """Return the workflow registered under a key."""
        ...

    def get_workflow_by_id(self, workflow_id: str) -> WorkflowHandle:
        """Return the workflow with an id."""
        ...

    def get_tool(self, key: str) -> Any:
        """Return the tool registered under a key."""
        ...

    def list_agents(self) -> Mapping[str, AgentHandle]:
        """Return the agents by key."""
        ...

    @property
    def storage(self) -> Storage:
        """The storage of runs and memory."""
        ...

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """The application's logger."""
        ...
