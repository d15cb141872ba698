"""How a user's function is called, whatever parameters it takes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from mastra.errors import WorkflowDefinitionError
from mastra.schema import ANY, Schema, schema_of
from mastra.workflows.step_context import StepContext

__all__ = ["Execute", "adapt"]

Execute: TypeAlias = Callable[[StepContext[Any]], Awaitable[Any]]
"""What engines call, whatever parameters the user's function takes."""


def adapt(
    function: Callable[..., Any], step_id: str, namespace: Mapping[str, Any]
) -> tuple[Execute, Schema[Any], Schema[Any]]:
    """Return how to call the function with a context, and the schemas of its annotations.

    The signature is read here, once: a run never looks at it.
    """
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.default is parameter.empty or _is_context_like(parameter))
    ]
    hints = _hints(function, namespace)
    context = [p for p in parameters if _is_context(p, hints.get(p.name))]
    data = [p for p in parameters if p not in context]
    if len(context) > 1 or len(data) > 1:
        names = ", ".join(p.name for p in parameters)
        raise WorkflowDefinitionError(
            f"Step {step_id!r} takes ({names}): a step's function takes its input, a parameter "
            "annotated `StepContext` (or named `ctx`), both or neither."
        )
    takes: Any = None
    if data:
        takes = hints.get(data[0].name)
    elif context:
        arguments = typing.get_args(hints.get(context[0].name))
        takes = arguments[0] if arguments else None
    gives = hints.get("return")
    input_schema = ANY if isinstance(takes, TypeVar) else schema_of(takes)
    output_schema = schema_of(type(None)) if _returns_none(hints) else schema_of(gives)
    return _caller(function, context, data), input_schema, output_schema


def _returns_none(hints: Mapping[str, Any]) -> bool:
    return "return" in hints and hints["return"] in (None, type(None))


def _is_context_like(parameter: inspect.Parameter) -> bool:
    return parameter.name in ("ctx", "context")


def _is_context(parameter: inspect.Parameter, hint: Any) -> bool:
    if hint is None or hint is Any:
        return parameter.name == "ctx"
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, StepContext)


def _hints(function: Callable[..., Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    target: Any = function if inspect.isroutine(function) else type(function).__call__
    # Names of the enclosing function's own scope are not among the module's: tried with both.
    with contextlib.suppress(Exception):
        return typing.get_type_hints(target, include_extras=True)
    try:
        return typing.get_type_hints(target, localns=dict(namespace), include_extras=True)
    except Exception as error:
        raise WorkflowDefinitionError(
            f"The annotations of {getattr(target, '__qualname__', target)!r} cannot be read: "
            f"{error}. Import what they name at run time, or pass input_schema and output_schema."
        ) from error


def _caller(
    function: Callable[..., Any],
    context: list[inspect.Parameter],
    data: list[inspect.Parameter],
) -> Execute:
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - a callable object with async __call__
    )
    bound = _bind(function, context, data)
    if is_async:
        return bound

    async def in_thread(ctx: StepContext[Any]) -> Any:
        result = await asyncio.to_thread(bound, ctx)
        return await result if inspect.isawaitable(result) else result

    return in_thread


def _bind(
    function: Callable[..., Any],
    context: list[inspect.Parameter],
    data: list[inspect.Parameter],
) -> Callable[[StepContext[Any]], Any]:
    if not context and not data:
        return lambda _: function()
    if not data:
        if context[0].kind is not inspect.Parameter.KEYWORD_ONLY:
            return function
        name = context[0].name
        return lambda ctx: function(**{name: ctx})
    keyword = inspect.Parameter.KEYWORD_ONLY
    if not context:
        if data[0].kind is not keyword:
            return lambda ctx: function(ctx.input_data)
        name = data[0].name
        return lambda ctx: function(**{name: ctx.input_data})
    first, second = context[0], data[0]
    if keyword in (first.kind, second.kind):
        return lambda ctx: function(**{first.name: ctx, second.name: ctx.input_data})
    names = list(inspect.signature(function).parameters)
    if names.index(first.name) < names.index(second.name):
        return lambda ctx: function(ctx, ctx.input_data)
    return lambda ctx: function(ctx.input_data, ctx)
