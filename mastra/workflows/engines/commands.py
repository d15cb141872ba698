"""What an engine is told to do: begin one leg of a run.

Nothing here is changed once it is made; it is not frozen, which takes longer for each field to make.
"""

from __future__ import annotations

from typing import Literal

from mastra.dataclass import dataclass
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.storage.base import WorkflowStore
from mastra.workflows.active import FROM_THE_TOP, Reopening
from mastra.workflows.engines.drivers import Hold
from mastra.workflows.spec import WorkflowSpec

__all__ = ["Command", "RunTarget"]


@dataclass(slots=True)
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


@dataclass(slots=True)
class Command:
    """One leg of a run, checked and claimed; only to be driven."""

    kind: Literal["start", "resume", "restart", "travel"]
    target: RunTarget
    resource_id: str | None
    input: Json
    initial_state: dict[str, Json]
    request_context: RequestContext
    reopening: Reopening = FROM_THE_TOP
    per_step: bool = False
    is_created: bool = True
    """Whether the run's head is in storage yet."""
    hold: Hold | None = None
    """Under which claim the run is to be driven, where others have to be kept out."""
    closings: int = 0
    """How often its engine had been closed when it was asked for."""
