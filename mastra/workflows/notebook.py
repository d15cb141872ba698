"""How workflows and results look in a notebook: the data of `_repr_mimebundle_`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mastra.jsonable import dump_wire

if TYPE_CHECKING:
    from mastra.workflows.results import WorkflowResult

__all__ = ["diagram_bundle", "result_bundle"]


def diagram_bundle(text: str, diagram: str) -> dict[str, str]:
    """Return a Mermaid diagram for notebooks that draw it, and for those that show its text.

    Args:
        text: What a plain terminal shows.
        diagram: The Mermaid source.
    """
    return {
        "text/plain": text,
        "text/vnd.mermaid": diagram,
        "text/markdown": f"```mermaid\n{diagram}\n```",
    }


def result_bundle(result: WorkflowResult[Any]) -> dict[str, str]:
    """Return a run's result as a table of its steps, and what came out or went wrong."""
    lines = [
        f"Run `{result.run_id}` of `{result.workflow_id}`: **{result.status}**",
        "",
        "| step | status | seconds |",
        "|---|---|---|",
    ]
    for step_id, step in result.steps.items():
        seconds = ""
        if step.started_at is not None and step.ended_at is not None:
            seconds = f"{(step.ended_at - step.started_at).total_seconds():.3f}"
        lines.append(f"| `{step_id}` | {step.status} | {seconds} |")
    wire = result.to_wire()
    for name in ("result", "error", "suspendPayload", "tripwire"):
        if wire.get(name) is not None:
            shown = json.dumps(json.loads(dump_wire(wire[name])), ensure_ascii=False, indent=2)
            lines += ["", f"{name}:", "", "```json", shown, "```"]
    return {"text/plain": repr(result), "text/markdown": "\n".join(lines)}
