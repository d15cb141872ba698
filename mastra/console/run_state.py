"""What is known of a run while its events arrive. Nothing here draws."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, cast

import mastra
from mastra.console.api import facts

__all__ = ["ENDED", "RunState", "place_in_code"]

ENDED: Final = frozenset({"success", "failed", "tripwire", "canceled"})
_OWN_FILES: Final = str(Path(mastra.__file__).parent)
_FRAME: Final = re.compile(r'^ *File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
_MOST_WRITTEN: Final = 500_000
"""How many characters of what a step writes are shown; storage has the rest."""
_NAMES: Final = {"stepName", "id", "stepCallId"}


def place_in_code(trace: str) -> str:
    """Return where in the user's own code a traceback begins to be theirs, `file:line in name`."""
    frames = [one for one in _FRAME.findall(trace) if not one[0].startswith(_OWN_FILES)]
    # What a library of theirs raised came from the last line that they wrote themselves.
    theirs = [one for one in frames if "site-packages" not in one[0]] or frames
    if not theirs:
        return ""
    file, line, name = theirs[-1]
    return f"{file.removeprefix(f'{Path.cwd()}/')}:{line} in {name}"


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
        known = [(name, self.steps.get(name, {}).get("progress")) for name in steps]
        self.steps = steps
        for name, progress in known:
            if progress is not None:
                steps[name]["progress"] = progress

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
            case kind if name is not None:
                told = {key: item for key, item in payload.items() if key not in _NAMES}
                if kind != "workflow-step-start":
                    told = {**self.steps.get(name, {}), **told}
                elif not {"resumedAt", "metadata"} & told.keys():
                    self.written.pop(name, None)
                    self._sizes.pop(name, None)
                self.steps[name] = told
            case _:
                pass

    def _write(self, name: str, text: str) -> None:
        if text and self._sizes[name] < _MOST_WRITTEN:
            self.written[name].append(text)
            self._sizes[name] += len(text)

    def _logged(self, path: str, what: str) -> Any:
        """Return what the log told last of a step."""
        ids = {path, path.rpartition(".")[2]}
        told = [one["data"] for one in self.logs if facts(one["data"]).get("step_id") in ids]
        return next((data[what] for data in reversed(told) if what in data), None)

    def trace_of(self, path: str) -> str:
        """Return the traceback of a step's last failure, where the log has it."""
        return self._logged(path, "exception") or ""

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
