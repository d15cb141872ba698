"""Which definition a run goes on by, and what it notes of the one that it goes by."""

from __future__ import annotations

from typing import cast

from mastra.errors import DefinitionChangedError
from mastra.storage.base import RunHead
from mastra.workflows.comparison import Changes, compare, unknown_to
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.graph import is_current, read_graph
from mastra.workflows.places import positional
from mastra.workflows.spec import WorkflowSpec

__all__ = ["check_definition", "spec_for"]


def spec_for(spec: WorkflowSpec, head: RunHead) -> WorkflowSpec:
    """Return the definition that a run goes on by: the version it began with, if that is kept."""
    if head.status == "pending":
        return spec
    version = head.data.get("version")
    own = spec
    if version != spec.version:
        own = next((kept for kept in spec.kept if kept.version == version), spec)
    return own if "graph" in head.data else positional(own)


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
