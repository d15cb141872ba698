"""How many arguments the functions of a workflow take, asked before anything calls them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mastra.errors import WorkflowDefinitionError
from mastra.workflows.spec import (
    BranchNode,
    ForeachNode,
    LoopNode,
    Node,
    SleepNode,
    StepNode,
    WorkflowSpec,
)

__all__ = ["check_functions"]

_CONTEXT = "the step context"


def check_functions(spec: WorkflowSpec) -> None:
    """Refuse a condition, map, setting or callback that cannot be called as it will be.

    Raises:
        WorkflowDefinitionError: One takes another number of arguments.
    """
    where = f"workflow {spec.id!r}"
    for node in spec.nodes:
        for function, what in _functions_of(node):
            check_callable(function, f"{what} in {where}", _CONTEXT)
    for name in ("on_start", "on_finish", "on_error", "should_persist_snapshot"):
        callback = getattr(spec, name)
        if callback is not None:
            takes = "the question" if name == "should_persist_snapshot" else "how the run stands"
            check_callable(callback, f"`{name}` of {where}", takes)


def _functions_of(node: Node) -> Iterator[tuple[Any, str]]:
    match node:
        case BranchNode():
            for position, (condition, unit) in enumerate(node.arms):
                yield condition, f"Condition {position} of a branch (of step {unit.id!r})"
        case LoopNode():
            yield node.condition, f"The condition of the {node.kind} over {node.unit.id!r}"
        case ForeachNode():
            if callable(node.concurrency):
                yield node.concurrency, f"`concurrency` of the foreach over {node.unit.id!r}"
        case SleepNode():
            if callable(node.duration):
                yield node.duration, f"The function of {node.id!r}"
        case StepNode() if node.kind == "map":
            yield from _sources_of(node.config, f"Map {node.id!r}")
        case _:
            return


def _sources_of(config: Any, what: str) -> Iterator[tuple[Any, str]]:
    if callable(config):
        yield config, what
    elif isinstance(config, Mapping):
        for key, source in cast("Mapping[Any, Any]", config).items():
            function: Any = source
            if isinstance(source, Mapping):
                function = cast("Mapping[Any, Any]", source).get("fn")
            if callable(function):
                yield function, f"{what}, key {key!r}"


def check_callable(function: Any, what: str, takes: str) -> None:
    """Refuse a function that cannot be called with one argument.

    Judged by binding, so that defaults, partials, bound methods and callable objects count as what
    they are. What tells no signature (some functions written in C) is let through.

    Args:
        function: The function.
        what: What it is for, such as "Condition 0 of the branch at position 1".
        takes: What it is called with, such as "the step context".

    Raises:
        WorkflowDefinitionError: It cannot be called so.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(object())
    except TypeError as error:
        name = getattr(function, "__qualname__", None) or repr(function)
        raise WorkflowDefinitionError(
            f"{what} is called with one argument, {takes}, and {name}{signature} cannot be: {error}. "
            f"Write `lambda ctx: ...`, or `def {getattr(function, '__name__', 'function').strip('<>')}(ctx)`.",
            code="WORKFLOW_FUNCTION_ARITY",
        ) from None
