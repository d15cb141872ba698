"""A run, as far as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mastra.agents.options import AgentOptions
from mastra.agents.records.meter import Meter
from mastra.agents.records.transcript import Transcript
from mastra.jsonable import Json

__all__ = ["Recordable"]


class StatefulProcessors(Protocol):
    """The processors of a run, each of which may keep something between two steps."""

    def load_states(self, states: Mapping[str, Any]) -> None:
        """Give them what they kept."""
        ...

    def dump_states(self) -> dict[str, Json]:
        """Return what they keep, as JSON data."""
        ...


class Recordable(Protocol):
    """What is recorded of a run, and put back into it where it goes on."""

    run_id: str
    options: AgentOptions
    transcript: Transcript
    meter: Meter
    state: dict[str, Any]

    @property
    def pipeline(self) -> StatefulProcessors | None:
        """Its processors, where it has some."""
        ...
