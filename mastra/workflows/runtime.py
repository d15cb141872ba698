"""Where a workflow runs."""

from __future__ import annotations

from dataclasses import dataclass

from mastra.services import Services
from mastra.storage.base import WorkflowStore
from mastra.workflows.engines.base import Engine

__all__ = ["Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a workflow runs: its engine, its store, and what its steps may ask for."""

    engine: Engine
    store: WorkflowStore
    services: Services | None
