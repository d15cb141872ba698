"""Schedules: workflows and agents that are started again and again, by cron expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.schedules.service import Schedules
    from mastra.schedules.settings import SchedulerConfig
    from mastra.schedules.views import Schedule, ScheduleTrigger
    from mastra.workflows.schedule import WorkflowSchedule

__all__ = ["Schedule", "ScheduleTrigger", "SchedulerConfig", "Schedules", "WorkflowSchedule"]

_HOMES = {
    "Schedule": "mastra.schedules.views",
    "ScheduleTrigger": "mastra.schedules.views",
    "SchedulerConfig": "mastra.schedules.settings",
    "Schedules": "mastra.schedules.service",
    "WorkflowSchedule": "mastra.workflows.schedule",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
