"""What an engine is told to do: begin one leg of a run."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.storage.base import WorkflowStore
from mastra.workflows.active import Reopening
from mastra.workflows.engines.drivers import Hold
from mastra.workflows.spec import WorkflowSpec

__all__ = ["Command", "RunTarget"]


@dataclass(frozen=True, slots=True)
class RunTarget:
    """Which run of which workflow, and where it is kept."""

    spec: WorkflowSpec
    store: WorkflowStore
    run_id: str
    services: Services | None

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.spec.id


@dataclass(frozen=True, slots=True)
class Command:
    """One leg of a run, checked and claimed; only to be driven."""

    kind: Literal["start", "resume", "restart", "travel"]
    target: RunTarget
    resource_id: str | None
    input: Json
    initial_state: dict[str, Json]
    request_context: RequestContext
    reopening: Reopening = field(default_factory=Reopening)
    per_step: bool = False
    is_created: bool = True
    """Whether the run's head is in storage yet."""
    hold: Hold | None = None
    """Under which claim the run is to be driven, where others have to be kept out."""
