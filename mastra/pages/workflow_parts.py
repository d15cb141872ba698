"""From the events of a run of a workflow to parts of a message that update in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mastra.jsonable import Json

__all__ = ["ENDED_STEP", "WorkflowParts"]

ENDED_STEP: Final = frozenset(("workflow-step-result", "workflow-step-suspended"))
_STEP: Final = ENDED_STEP | {"workflow-step-start", "workflow-step-waiting"}


class WorkflowParts:
    """What pages see of runs of workflows.

    One part is the whole run, by its id: each step with its input and how far it is; what the
    steps gave comes with the run's end. One part a step, once it has ended or waits, carries what
    that step gave, or asks for.

    Args:
        is_nested: Whether a tool has started the runs.
    """

    def __init__(self, *, is_nested: bool = False) -> None:
        self._kind = "data-tool-workflow" if is_nested else "data-workflow"
        self._runs: dict[str, tuple[str, dict[str, dict[str, Json]]]] = {}

    def know(self, run_id: str, name: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in what is stored of a run that goes on.

        Args:
            run_id: The run.
            name: Its workflow.
            steps: What is known of its steps, as Mastra's JSON.
        """
        known = {
            step_id: _step(None, {**step, "id": step_id}, is_new=True)
            for step_id, step in steps.items()
        }
        self._runs[run_id] = (name, known)

    def translate(self, kind: str, run_id: str, payload: Any) -> list[dict[str, Json]]:
        """Return what an event becomes."""
        if kind == "workflow-start":
            # A run that goes on keeps what is known of it.
            _, known = self._runs.get(run_id, ("", {}))
            self._runs[run_id] = (str(payload["workflowId"]), known)
            return [self._whole(run_id, "running")]
        name, steps = self._runs.setdefault(run_id, ("", {}))
        if kind in _STEP:
            step_id = str(payload["id"])
            step = steps[step_id] = _step(
                steps.get(step_id), payload, is_new=kind not in ENDED_STEP
            )
            status = "suspended" if kind == "workflow-step-suspended" else "running"
            if kind not in ENDED_STEP:
                return [self._whole(run_id, status)]
            data: Json = {"name": name, "status": status, "stepId": step_id, "step": dict(step)}
            part: dict[str, Json] = {
                "type": f"{self._kind}-step",
                "id": f"{run_id}:{step_id}",
                "data": data,
            }
            return [self._whole(run_id, status), part]
        if kind == "workflow-finish":
            output = payload.get("output")
            return [self._whole(run_id, payload["workflowStatus"], output, is_over=True)]
        if kind in {"workflow-canceled", "workflow-paused"}:
            return [self._whole(run_id, kind.removeprefix("workflow-"))]
        return []

    def _whole(
        self, run_id: str, status: str, output: Json = None, *, is_over: bool = False
    ) -> dict[str, Json]:
        name, steps = self._runs[run_id]
        shown: Json = {
            step_id: dict(step) if is_over else {**step, "output": None}
            for step_id, step in steps.items()
        }
        data: Json = {"name": name, "status": status, "steps": shown, "output": output}
        return {"type": self._kind, "id": run_id, "data": data}


def _step(
    known: Mapping[str, Json] | None, payload: Mapping[str, Any], *, is_new: bool
) -> dict[str, Json]:
    step: dict[str, Json] = {
        "name": payload["id"],
        "status": payload.get("status"),
        "input": payload.get("payload") if is_new or known is None else known["input"],
        "output": payload.get("output"),
        "suspendPayload": payload.get("suspendPayload"),
        "resumePayload": payload.get("resumePayload"),
    }
    error: Any = payload.get("error")
    if isinstance(error, Mapping):
        step["error"] = {"message": error.get("message")}  # pyright: ignore[reportUnknownMemberType]
    return step
