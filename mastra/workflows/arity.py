"""How many arguments the functions of a workflow take, asked before anything calls them."""

from __future__ import annotations

import inspect
from typing import Any

from mastra.errors import WorkflowDefinitionError
from mastra.plain_functions import yields
from mastra.workflows.spec import WorkflowSpec

__all__ = ["check_functions"]

_CONTEXT = "the step context"


def check_functions(spec: WorkflowSpec) -> None:
    """Refuse a condition, map, setting or callback that cannot be called as it will be.

    Raises:
        WorkflowDefinitionError: One takes another number of arguments.
    """
    where = f"workflow {spec.id!r}"
    for node in spec.nodes:
        for function, what in node.functions():
            if callable(function):
                check_callable(function, f"{what} in {where}", _CONTEXT)
    for name in ("on_start", "on_finish", "on_error", "should_persist_snapshot"):
        callback = getattr(spec, name)
        if callback is not None:
            takes = "the question" if name == "should_persist_snapshot" else "how the run stands"
            check_callable(callback, f"`{name}` of {where}", takes)


def check_callable(function: Any, what: str, takes: str) -> None:
    """Refuse a function that cannot be called with one argument, or whose answer nobody would read.

    Judged by binding, so that defaults, partials, bound methods and callable objects count as what
    they are. What tells no signature (some functions written in C) is let through.

    Args:
        function: The function.
        what: What it is for, such as "Condition 0 of the branch at position 1".
        takes: What it is called with, such as "the step context".

    Raises:
        WorkflowDefinitionError: It cannot be called so, or it yields: nothing of it would run.
    """
    if yields(function):
        raise WorkflowDefinitionError(
            f"{what} yields, so that calling it runs nothing of it: write `return` in place of `yield`.",
            code="WORKFLOW_FUNCTION_ARITY",
        )
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
