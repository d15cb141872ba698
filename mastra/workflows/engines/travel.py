"""Where a walk begins that goes back in time."""

from __future__ import annotations

from mastra.jsonable import Json
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Walk
from mastra.workflows.places import place_of
from mastra.workflows.spec import WorkflowSpec

__all__ = ["travel_input", "travel_start"]


def travel_start(walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json) -> tuple[int, Json]:
    """Return the index of the first node to walk in this scope, and what flows into it."""
    travel = walk.run.reopening.travel
    if travel is None or not travel.op_id.startswith(scope.prefix):
        return 0, value
    index = place_of(spec, travel.op_id[len(scope.prefix) :].partition("/")[0])
    if index is None:
        return 0, value
    return index, _value_before(walk, scope, spec, index, value)


def travel_input(walk: Walk, op_id: str, value: Json) -> Json:
    """Return what flows into an operation or a block: what was given for it, or a value."""
    travel = walk.run.reopening.travel
    return travel.input if travel and travel.has_input and travel.op_id == op_id else value


def _value_before(walk: Walk, scope: Scope, spec: WorkflowSpec, index: int, value: Json) -> Json:
    """Return what the node before a place gave, as far as the run's results tell."""
    latest = walk.run.latest
    for node in reversed(spec.nodes[:index]):
        if node.shape == "none":
            continue
        found = {unit.id: latest.get(scope.names + unit.id) for unit in node.units}
        if node.shape == "keyed":
            return {key: record.output for key, record in found.items() if record is not None}
        record = found[node.units[0].id]
        return None if record is None else record.output
    return value
