"""The types of a committed workflow's values, for whoever shows them."""

from __future__ import annotations

from collections.abc import Iterator

from mastra.schema import ANY, Schema, schema_of
from mastra.workflows.forms import Forms, StepForms
from mastra.workflows.spec import (
    Node,
    StepNode,
    Unit,
    WorkflowSpec,
)
from mastra.workflows.validate import flow_of

__all__ = ["forms_of"]


def forms_of(spec: WorkflowSpec) -> Forms:
    """Return the types of a workflow's values. Put together when first asked for."""
    found = spec.forms
    if found is None:
        steps = dict(_steps_of(spec, ""))
        found = Forms(steps, spec.input_schema, spec.output_schema, spec.state_schema or ANY)
        object.__setattr__(spec, "forms", found)  # worked out from what is frozen
    return found


def _steps_of(spec: WorkflowSpec, prefix: str) -> Iterator[tuple[str, StepForms]]:
    flow: Schema[object] = spec.input_schema
    for node in spec.nodes:
        if not node.units:
            yield prefix + node.id, StepForms(flow, flow, flow, flow)
        for unit in node.units:
            yield prefix + unit.id, _forms_of_unit(node, unit, flow)
            if unit.inner is not None:
                yield from _steps_of(unit.inner, f"{prefix}{unit.id}.")
        flow = flow_of((node,), flow)


def _forms_of_unit(node: Node, unit: Unit, flow: Schema[object]) -> StepForms:
    if isinstance(unit, StepNode):
        step = unit.step
        takes, output = step.input_schema, step.output_schema
        resume, suspend = step.resume_schema or ANY, step.suspend_schema or ANY
        unpack = None
    else:
        takes, output = unit.spec.input_schema, unit.spec.value or unit.spec.output_schema
        resume = suspend = ANY
        unpack = unit.spec.unpack
    outputs = schema_of(list[output.type]) if node.shape == "list" else output
    if flow.is_any:
        flow = takes
    return StepForms(flow, takes, output, outputs, resume, suspend, unpack)
