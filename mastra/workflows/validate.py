"""Checks of a graph at `commit()`: what cannot run is refused before anything runs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import TypedDict

from mastra.buildable import Unchecked
from mastra.errors import WorkflowDefinitionError, WorkflowOutputWarning
from mastra.schema import Schema, schema_of
from mastra.workflows.arity import check_functions
from mastra.workflows.compatibility import Clash, Flow, Keyed, Listed, find_clash
from mastra.workflows.spec import LoopNode, Node, Unit, WorkflowSpec

__all__ = ["check_spec", "flow_of", "outputs_of"]


def flow_of(nodes: Sequence[Node], before: Schema[Any]) -> Schema[Any]:
    """Return what flows out of a chain of nodes, given what flows in."""
    for node in reversed(nodes):
        if node.shape == "keyed":
            return _keyed({unit.id: unit.gives for unit in node.units})
        if node.shape != "none":
            gives = node.units[0].gives
            return gives if node.shape == "one" else schema_of(list[gives.type])
    return before


def _keyed(outputs: dict[str, Schema[Any]]) -> Schema[Any]:
    # A branch gives only what ran, so no key is required.
    fields = {name: schema.type for name, schema in outputs.items()}
    return Schema(cast("Any", TypedDict)("Outputs", fields, total=False))


def outputs_of(nodes: Sequence[Node]) -> dict[str, Schema[Any]]:
    """Return what each step of a graph gives, by its id."""
    outputs: dict[str, Schema[Any]] = {}
    for node in nodes:
        for unit in node.units:
            is_list = node.shape == "list"
            outputs[unit.id] = schema_of(list[unit.gives.type]) if is_list else unit.gives
    return outputs


def check_spec(spec: WorkflowSpec, *, stacklevel: int) -> None:
    """Refuse a graph that cannot run.

    Raises:
        WorkflowDefinitionError: Empty, an empty block, the same id twice in a block, a function
            that cannot be called as it will be, or a step that cannot take what the one before
            it gives.
        ConfigError: pydantic cannot validate what a step takes, and inputs are checked.
    """
    where = f"Workflow {spec.id!r}"
    if not spec.nodes:
        raise WorkflowDefinitionError(
            f"{where} has no steps: add some before `commit()`.", code="WORKFLOW_EMPTY"
        )
    if spec.validate_inputs:
        for unit in (unit for node in spec.nodes for unit in node.units):
            if isinstance(unit.takes, Unchecked):
                unit.takes.refuse()
    for place, node in enumerate(spec.nodes):
        if node.shape == "keyed":
            _check_block(node.units, f"{where} has %s in a {node.kind} at position {place}")
    check_functions(spec)
    _check_chain(spec, where, stacklevel + 1)


def _check_block(units: Sequence[Unit], text: str) -> None:
    if not units:
        raise WorkflowDefinitionError(f"{text % 'nothing'}.", code="WORKFLOW_BLOCK_EMPTY")
    seen: set[str] = set()
    for unit in units:
        if unit.id in seen:
            raise WorkflowDefinitionError(
                f"{text % f'step {unit.id!r} twice'}; outputs are kept by id, so give one of them "
                "another with `clone_step`.",
                code="WORKFLOW_STEP_DUPLICATE",
            )
        seen.add(unit.id)


# -- what flows from node to node --------------------------------------------------------------


def _flow(unit: Unit) -> Flow:
    """Return what a unit gives, as far as that is known."""
    if unit.kind == "map":
        return None
    schema = unit.gives
    return None if schema.is_any else schema


def _named(unit: Unit) -> str:
    return f"{'step' if unit.inner is None else 'workflow'} {unit.id!r}"


def _check_chain(spec: WorkflowSpec, where: str, stacklevel: int) -> None:
    """Check what each node takes against what flows into it, and the last value at the end."""
    value: Flow = None if spec.input_schema.is_any else spec.input_schema
    source = "the workflow's input"
    for node in spec.nodes:
        if node.shape == "none":
            continue
        if spec.validate_inputs:
            _check_node(node, value, source, where)
        value, source = _after(node)
    clash = find_clash(value, spec.output_schema)
    if clash is None:
        return
    text = f"{where}: its output_schema needs {_needs(clash)}, which {_gives(clash, source)}."
    if spec.strict:
        raise WorkflowDefinitionError(text, code="WORKFLOW_SCHEMA_MISMATCH")
    warnings.warn(
        f"{text} A run gives the value as it is; with strict=True it fails.",
        WorkflowOutputWarning,
        stacklevel=stacklevel,
    )


def _after(node: Node) -> tuple[Flow, str]:
    """Return what flows out of a node that holds something, and how to name where it comes from."""
    units = node.units
    if node.shape == "keyed":
        names = ", ".join(repr(unit.id) for unit in units)
        parts = {unit.id: _flow(unit) for unit in units}
        # Of a branch only what ran is there.
        return Keyed(parts, is_complete=node.kind != "branch"), f"the {node.kind} of {names}"
    if node.shape == "list":
        return Listed(_flow(units[0])), f"the {node.kind} over {_named(units[0])}"
    return _flow(units[0]), _named(units[0])


def _check_node(node: Node, value: Flow, source: str, where: str) -> None:
    for unit in node.units:
        if node.shape == "list":
            _check_items(node, unit, value, source, where)
        else:
            _check_unit(unit, value, source, where)
        if isinstance(node, LoopNode):
            _check_unit(unit, _flow(unit), "its own turn before", where)


def _check_unit(unit: Unit, value: Flow, source: str, where: str) -> None:
    if unit.kind == "map" or (unit.inner is not None and not unit.inner.validate_inputs):
        return
    _refuse(find_clash(value, unit.takes), _named(unit), source, where)


def _check_items(node: Node, unit: Unit, value: Flow, source: str, where: str) -> None:
    if value is None:
        return
    listed = schema_of(list[unit.takes.type])
    _refuse(find_clash(value, listed), f"the {node.kind} over {_named(unit)}", source, where)


def _refuse(clash: Clash | None, name: str, source: str, where: str) -> None:
    if clash is not None:
        raise WorkflowDefinitionError(
            f"{where}: {name} needs {_needs(clash)}, which {_gives(clash, source)}.",
            code="WORKFLOW_SCHEMA_MISMATCH",
            details={"path": clash.path},
        )


def _needs(clash: Clash) -> str:
    return f"{clash.path!r} ({clash.wanted})" if clash.path else clash.wanted


def _gives(clash: Clash, source: str) -> str:
    if clash.given is None:
        return f"{source} does not give"
    return f"{source} gives as {clash.given}"
