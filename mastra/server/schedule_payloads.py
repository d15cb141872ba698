"""What requests about schedules carry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints, model_validator

from mastra.server.payloads import Identifier
from mastra.wire import WireModel

__all__ = ["ScheduleBody", "ScheduleChangesBody", "ScheduleStatusName"]

ScheduleStatusName = Literal["active", "paused"]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Options(WireModel):
    """What both bodies take. What they do not know is refused, since nothing would come of it."""

    model_config = ConfigDict(extra="forbid")

    timezone: Annotated[str, StringConstraints(max_length=100)] | None = None
    """An IANA name; left out, UTC."""
    input_data: Any = None
    """Of a workflow: the input of its runs."""
    initial_state: Any = None
    """Of a workflow: the state that they begin with."""
    request_context: dict[str, Any] | None = None
    """Of a workflow: values for steps, tools and agents."""
    resource_id: Identifier | None = None
    """Whose it is, and whose runs it starts."""
    name: Annotated[str, StringConstraints(max_length=255)] | None = None
    """Of an agent: what it is called."""
    provider_options: dict[str, Any] | None = None
    """Of an agent: options for its provider."""
    metadata: dict[str, Any] | None = None
    """Facts of the caller's own."""
    catch_up: Literal["one", "all", "none"] = "one"
    """What becomes of moments that passed while nothing was there to start anything."""

    def options(self) -> dict[str, Any]:
        """Return what was given, by the names of `mastra.schedules`."""
        given = self.model_dump(by_alias=False, exclude_unset=True)
        return {name: value for name, value in given.items() if name not in _TARGET}


class ScheduleBody(_Options):
    """Of the route that makes a schedule."""

    id: Identifier | None = None
    """Its id, to which `schedule_` or `agent_` is added; left out, a random one."""
    workflow_id: Identifier | None = None
    """The workflow that it starts."""
    agent_id: Identifier | None = None
    """Or the agent that it asks."""
    cron: Expression
    """Five fields, or six with seconds first."""
    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    """What an agent is asked."""
    thread_id: Identifier | None = None
    """The conversation that it answers in."""

    @model_validator(mode="after")
    def _starts_one_thing(self) -> ScheduleBody:
        if (self.workflow_id is None) == (self.agent_id is None):
            raise ValueError("either workflowId or agentId is needed")
        return self


class ScheduleChangesBody(_Options):
    """Of the route that changes one."""

    cron: Expression | None = None
    """In place of the expression."""
    status: ScheduleStatusName = "active"
    """Whether it starts anything."""
    prompt: Annotated[str, StringConstraints(min_length=1)] = "?"
    """In place of what an agent is asked."""


_TARGET = frozenset({"id", "workflow_id", "agent_id", "cron"})
