"""Which definition a run goes on by, and what it notes of the one that it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast
from weakref import WeakKeyDictionary

from mastra.errors import DefinitionChangedError
from mastra.storage.base import RunHead
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.places import followed, positional, with_units
from mastra.workflows.spec import StepNode, Unit, WorkflowSpec
from mastra.workflows.versions.changes import Changes
from mastra.workflows.versions.comparison import compare, unknown_to
from mastra.workflows.versions.graph import Part, is_current, read_graph

__all__ = ["check_definition", "spec_for"]

_SWAPPED: Final[WeakKeyDictionary[WorkflowSpec, dict[str, WorkflowSpec]]] = WeakKeyDictionary()
"""Definitions with other versions inside, by the graph of the runs that go on by them."""


def spec_for(spec: WorkflowSpec, head: RunHead) -> WorkflowSpec:
    """Return the definition that a run goes on by: the version it began with, if that is kept.

    So with the workflows inside of it.
    """
    if head.status == "pending":
        return spec
    version = head.data.get("version")
    own = spec
    if version != spec.version:
        own = next((kept for kept in spec.kept if kept.version == version), spec)
    if "graph" not in head.data:
        return positional(own)
    return own if is_current(own, head) or not spec.beside else _with_nested(own, spec, head)


def _with_nested(own: WorkflowSpec, spec: WorkflowSpec, head: RunHead) -> WorkflowSpec:
    """Return a definition with those versions of the workflows inside that a run began with."""
    text = cast("str", head.data["graph"])
    known = _SWAPPED.setdefault(own, {})
    if text not in known:
        old = read_graph(text, None)
        known[text] = own if old is None else _swapped(own, old.parts, spec.beside)
    return known[text]


def _swapped(
    spec: WorkflowSpec, parts: list[Part], versions: Mapping[str, tuple[WorkflowSpec, ...]]
) -> WorkflowSpec:
    before = {unit.op: unit for part in parts for unit in part.units}
    changed: dict[str, WorkflowSpec] = {}

    def swap(unit: Unit) -> Unit:
        part = before.get(unit.op)
        if isinstance(unit, StepNode) or part is None or part.kind != "workflow":
            return unit
        inner = unit.spec
        if part.version != inner.version:
            kept = versions.get(inner.id, ())
            inner = next((one for one in kept if one.version == part.version), inner)
        inner = _swapped(inner, part.parts, versions)
        if inner is unit.spec:
            return unit
        changed[unit.id] = inner
        return replace(unit, spec=inner)

    nodes = [with_units(node, swap) for node in spec.nodes]
    if not changed:
        return spec
    steps = {name: inner.output_schema for name, inner in changed.items()}
    return replace(spec, nodes=followed(nodes), steps={**spec.steps, **steps})


def check_definition(
    spec: WorkflowSpec,
    loaded: LoadedRun,
    *,
    goes_back_to: str | None = None,
    has_begun: bool = True,
) -> None:
    """Refuse to go on with a run whose way so far is another one by this definition.

    Args:
        spec: The definition, as `spec_for` gave it.
        loaded: The run.
        goes_back_to: The operation that the run goes back to; what stands after it may differ.
        has_begun: Whether the step after the last finished one may be under way.

    Raises:
        DefinitionChangedError: Something was added, removed, moved or changed before the place
            that the run has reached.
    """
    head = loaded.head
    if spec.is_positional:
        changes = unknown_to(spec, loaded)
    elif is_current(spec, head):
        return
    else:
        text, version = (
            cast("str", head.data["graph"]),
            cast("str | None", head.data.get("version")),
        )
        old = read_graph(text, version)
        if old is None:
            return
        changes = compare(old, spec, loaded, goes_back_to=goes_back_to, has_begun=has_begun)
    if changes:
        raise _refused(spec, head, changes)


def _refused(spec: WorkflowSpec, head: RunHead, changes: Changes) -> DefinitionChangedError:
    version = cast("str | None", head.data.get("version"))
    began = "another definition" if version is None else f"version {version!r}"
    now = "" if spec.version is None else f" (now {spec.version!r})"
    return DefinitionChangedError(
        f"Run {head.run_id!r} of workflow {head.workflow_id!r} began with {began}{now}, and cannot "
        f"go on by this one: {changes}. Nothing was run and no answer was taken. Put the "
        "definition back, or keep both: give each a `version` and register them as "
        f"`Mastra(workflows={{{head.workflow_id!r}: [old, new]}})`.",
        details={
            "runId": head.run_id,
            "workflowId": head.workflow_id,
            "version": version,
            **changes.to_json(),
        },
    )
