"""From the events of a run of a workflow to the events of AG-UI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from ag_ui.core import CustomEvent, StepFinishedEvent, StepStartedEvent, TokenUsage

from mastra.ag_ui.agent_teller import AgentTeller, Telling, put_data
from mastra.ag_ui.usage import usage_of_model
from mastra.jsonable import Json
from mastra.workflows.events import Event

__all__ = ["RunTeller"]

_ENDED_STEP: Final = frozenset(("workflow-step-result", "workflow-step-suspended"))
_ENDS: Final = frozenset(("finish", "abort"))
"""What ends an agent's own answer: as a step it has none."""


class RunTeller:
    """Tells of one run, or of legs of it.

    What an agent as a step streams is the run's own text, thoughts and calls.
    """

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._outbox = telling.outbox
        self._steps: dict[str, None] = {}
        """Those that run, in order. Each has a name of its own, also where one runs many times."""
        self._agents: dict[str, AgentTeller] = {}
        self.usage: list[TokenUsage] = []
        """What the models of its steps have used."""
        self.error: Json = None
        """Why it failed."""
        self.has_new_state = False
        """Whether a step has ended, which may have changed the state."""

    def tell(self, event: Event) -> None:
        """Tell of an event."""
        if event.payload is None:
            put_data(self._outbox, event.type, cast("Mapping[str, Any]", event.data))
            return
        kind, payload = event.type, event.payload.to_wire()
        if kind == "workflow-step-output":
            self._output(str(payload.get("stepName")), payload.get("output"))
        elif kind == "workflow-step-start":
            name = str(payload["id"])
            self._end_step(name, {})  # of a step that begins again without having ended
            self._steps[name] = None
            self._outbox.put(StepStartedEvent(step_name=name))
        elif kind in _ENDED_STEP:
            self.has_new_state = True
            self._end_step(str(payload["id"]), payload)
        elif kind == "workflow-finish":
            self.error = payload["metadata"].get("error")

    def close(self) -> None:
        """Close whatever is open, and take in what agents have used."""
        for agent in self._agents.values():
            agent.close()
            self.usage += agent.usage
        self._agents.clear()
        for name in [*self._steps]:
            self._end_step(name, {})

    def _end_step(self, name: str, payload: Mapping[str, Any]) -> None:
        if name in self._steps:
            del self._steps[name]
            told = {key: payload[key] for key in ("status", "output", "error") if key in payload}
            self._outbox.put(StepFinishedEvent(step_name=name, metadata=told or None))

    def _output(self, step_id: str, output: Any) -> None:
        known = cast("Mapping[str, Any]", output if isinstance(output, Mapping) else {})
        kind, is_agents = str(known.get("type") or ""), known.get("from") in ("AGENT", "USER")
        if kind.startswith("data-") and "data" in known:
            put_data(self._outbox, kind, known)
        elif kind and is_agents and "runId" in known:
            self._of_agent(kind, str(known["runId"]), known)
        else:
            value: dict[str, Any] = {"stepId": step_id, "output": output}
            self._outbox.put(CustomEvent(name="step-output", value=value))

    def _of_agent(self, kind: str, run_id: str, chunk: Mapping[str, Any]) -> None:
        agent = self._agents.get(run_id)
        if agent is None:
            agent = self._agents[run_id] = AgentTeller(self._telling)
        if kind in _ENDS:
            agent.close()
        elif kind not in {"error", "tripwire"}:  # the step says whether the run fails of it
            if kind == "step-finish":
                payload: Any = chunk.get("payload")
                metadata: Any = payload.get("metadata") or {}
                self.usage += usage_of_model(metadata, payload["output"].get("usage"))
            agent.take(chunk)
