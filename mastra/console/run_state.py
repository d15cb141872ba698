"""What is known of a run while its events arrive. Nothing here draws."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final, cast

from mastra.console.api import facts

__all__ = ["ENDED", "RunState"]

ENDED: Final = frozenset({"success", "failed", "tripwire", "canceled"})
_MOST_WRITTEN: Final = 500_000
"""How many characters of what a step writes are shown; storage has the rest."""
_NAMES: Final = {"stepName", "id", "stepCallId"}


class RunState:
    """One run, as its page knows it."""

    def __init__(self, status: str, steps: dict[str, dict[str, Any]]) -> None:
        self.status = status
        self.steps = steps
        """What is known of each step, by path."""
        self.written: dict[str, list[str]] = defaultdict(list)
        """What each step wrote, in pieces."""
        self.logs: list[dict[str, Any]] = []
        """Log records, the earliest first."""
        self.seq = 0
        """The event that comes next."""
        self._sizes: dict[str, int] = defaultdict(int)

    def know(self, steps: dict[str, dict[str, Any]]) -> None:
        """Take what is stored of the steps for true; of a foreach it does not tell how far it is."""
        for name, known in self.steps.items():
            if name in steps and "progress" in known:
                steps[name]["progress"] = known["progress"]
        self.steps = steps

    def take(self, event: dict[str, Any]) -> None:
        """Note what an event tells."""
        self.seq = event.get("seq", self.seq) + 1
        payload = facts(event.get("payload"))
        name = payload.get("stepName")
        match event["type"]:
            case "workflow-start":
                self.status = "running"
            case "workflow-finish":
                self.status = payload["workflowStatus"]
            case "workflow-paused" | "workflow-canceled" as kind:
                self.status = kind.removeprefix("workflow-")
            case "workflow-step-output":
                self._write(cast("str", name), _text_of(payload.get("output")))
            case "workflow-step-progress":
                done = f"{payload.get('completedCount')}/{payload.get('totalCount')}"
                self.steps.setdefault(cast("str", name), {})["progress"] = done
            case kind:
                if name is None:
                    return
                told = {key: item for key, item in payload.items() if key not in _NAMES}
                if kind != "workflow-step-start":
                    told = {**self.steps.get(name, {}), **told}
                elif not {"resumedAt", "metadata"} & told.keys():
                    self.written.pop(name, None)
                    self._sizes.pop(name, None)
                self.steps[name] = told

    def _write(self, name: str, text: str) -> None:
        if text and self._sizes[name] < _MOST_WRITTEN:
            self.written[name].append(text)
            self._sizes[name] += len(text)

    def _logged(self, path: str, what: str) -> Any:
        """Return what the log told last of a step."""
        ids = {path, path.rpartition(".")[2]}
        told = [one["data"] for one in self.logs if facts(one["data"]).get("step_id") in ids]
        return next((data[what] for data in reversed(told) if what in data), None)

    def raised_in(self, path: str) -> tuple[str, str]:
        """Return the traceback of a step's last failure, and where in users' code that was."""
        return self._logged(path, "exception") or "", self._logged(path, "place") or ""

    def attempt_of(self, path: str) -> str:
        """Return which attempt, turn or item of a step is or was the last."""
        step = self.steps.get(path, {})
        told = {
            "attempt": self._logged(path, "attempt") if self.logs else None,
            "turn": facts(step.get("metadata")).get("iterationCount"),
            "items": step.get("progress"),
        }
        return ", ".join(f"{key} {item}" for key, item in told.items() if item is not None)


def _text_of(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, dict) and "type" in output:  # a chunk of an agent's
        return str(facts(facts(output).get("payload")).get("text", ""))
    return f"{output}\n"
