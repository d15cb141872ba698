"""Versions of one workflow, as they are registered together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias, cast

from mastra.errors import ConfigError
from mastra.workflows.workflow import Workflow

__all__ = ["last_version", "newest", "with_versions"]

AnyWorkflow: TypeAlias = Workflow[Any, Any, Any]


def newest(item: Any) -> Any:
    """Return what a list of versions is registered by: the last of them."""
    if isinstance(item, list) and item:
        return cast("list[Any]", item)[-1]
    return cast("Any", item)


def with_versions(given: Iterable[Any]) -> list[Any]:
    """Return what a list has, with those that are versions of one workflow in a list of theirs."""
    items = [*given]
    families: dict[Any, list[Any]] = {}
    for item in items:
        if isinstance(item, Workflow):
            families.setdefault(cast("AnyWorkflow", item).id, []).append(item)
    several = {
        name: family
        for name, family in families.items()
        if 1 < len(family) == len({workflow.version for workflow in family})
    }
    found: list[Any] = []
    for item in items:
        family = several.get(item.id) if isinstance(item, Workflow) else None
        if family is None or item is family[-1]:
            found.append(family or item)
    return found


def last_version(versions: list[AnyWorkflow], key: str | None) -> AnyWorkflow:
    """Return the last of the versions of a workflow.

    Raises:
        ConfigError: There are none, or they are not versions of one workflow.
    """
    if not versions:
        raise ConfigError(f"Workflow {key!r} has an empty list of versions.")
    last, seen = versions[-1], set[str | None]()
    for workflow in versions:
        if workflow.id != last.id:
            raise ConfigError(
                f"Workflows {workflow.id!r} and {last.id!r} under the key {key!r} are no versions "
                "of one workflow: their ids differ."
            )
        if workflow.version in seen:
            raise ConfigError(
                f"Workflow {last.id!r} is registered twice as version {workflow.version!r}. Say "
                "which is which with `create_workflow(version=…)`."
            )
        seen.add(workflow.version)
    return last
