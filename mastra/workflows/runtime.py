"""Where a workflow runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mastra.dataclass import dataclass
from mastra.services import AS_AROUND, Services, surroundings
from mastra.storage.base import WorkflowStore
from mastra.workflows.engines.base import Engine
from mastra.workflows.spec import WorkflowSpec

__all__ = ["Runtime", "in_surroundings", "within"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a workflow runs: its engine, its store, and what its steps may ask for."""

    engine: Engine
    store: WorkflowStore
    services: Services | None
    versions: dict[str, tuple[WorkflowSpec, ...]] = field(
        default_factory=dict[str, tuple[WorkflowSpec, ...]]
    )
    """Of each workflow of which several are registered, all of them, by id."""

    def surroundings(self) -> AbstractContextManager[None]:
        """Return a block in which its clock and ids are the current ones."""
        services, clock = self.services, self.engine.clock
        return AS_AROUND if services is clock is None else surroundings(services, clock)


def in_surroundings(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Call a method of what has a runtime by the clock and with the ids of that."""

    @wraps(method)
    def called(self: Any, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        around, called_now = self.runtime.surroundings(), method(self, *args, **kwargs)
        return called_now if around is AS_AROUND else within(around, called_now)

    return called


async def within(around: AbstractContextManager[None], work: Coroutine[Any, Any, T]) -> T:
    """Await something in surroundings."""
    with around:
        return await work
