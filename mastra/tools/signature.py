"""How a tool's function takes its input, read from its signature once, when the tool is made."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pydantic

from mastra.errors import ConfigError
from mastra.threads import run_in_thread
from mastra.tools.tool_context import ToolContext

__all__ = ["Call", "Signature", "describe", "hints_of", "read_signature"]

Call: TypeAlias = Callable[[Any, ToolContext], Awaitable[Any]]
"""Runs the user's function with a validated input and a context."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What was read from a function."""

    call: Call
    """How to run it."""
    input_type: Any
    """What it takes; `None` where the function does not say."""
    output_type: Any
    """What it says it gives; `None` where it does not say."""


def hints_of(function: Callable[..., Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's annotations as types.

    Raises:
        ConfigError: A name in them is not known.
    """
    target: Any = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(target, localns=dict(namespace), include_extras=True)
    except Exception as error:
        name = getattr(target, "__qualname__", target)
        raise ConfigError(
            f"The annotations of tool {name!r} cannot be read: {error}. Import what they name at "
            "run time, or use create_tool with input_schema."
        ) from error


def describe(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a function and, in its `Args:`, of each parameter."""
    text = inspect.getdoc(function) or ""
    head, *sections = re.split(
        r"\n\s*(?=(?:Args|Arguments|Returns|Raises|Yields|Examples?):\n)", text
    )
    found: dict[str, str] = {}
    for section in sections:
        if section.lstrip().startswith("Arg"):
            for match in re.finditer(
                r"^ {1,8}(\w+)(?:\s*\([^)]*\))?:\s*(.+(?:\n {8,}.+)*)", section, re.MULTILINE
            ):
                found[match[1]] = " ".join(match[2].split())
    return " ".join(head.split()), found


def read_signature(
    function: Callable[..., Any], namespace: Mapping[str, Any], *, spread: bool
) -> Signature:
    """Read how to call a function.

    Args:
        function: What the user wrote.
        namespace: Names its annotations may use beside its module's.
        spread: Whether each parameter is a field of the input (`@tool`, plain functions), or
            the first parameter takes all of it (`create_tool`).

    Raises:
        ConfigError: The function takes something that cannot be filled.
    """
    hints = hints_of(function, namespace)
    parameters = list(inspect.signature(function).parameters.values())
    context = [item for item in parameters if _is_context(item, hints.get(item.name))]
    data = [item for item in parameters if item not in context and not _is_variadic(item)]
    if not spread:
        if not context and len(data) == 2:
            context = [data.pop()]
        if len(data) > 1 or len(context) > 1:
            names = ", ".join(item.name for item in parameters)
            raise ConfigError(
                f"Tool function {function!r} takes ({names}): execute takes the input and, where "
                "it wants one, a ToolContext."
            )
    elif len(data) != 1 or not _is_model(hints.get(data[0].name)):
        model = _model_of(function, data, hints)
        return Signature(_spread(function, data, context), model, hints.get("return"))
    input_type = hints.get(data[0].name) if data else _nothing(function, spread=spread)
    return Signature(_whole(function, data, context), input_type, hints.get("return"))


def _nothing(function: Callable[..., Any], *, spread: bool) -> Any:
    return _model_of(function, [], {}) if spread else None


def _is_context(parameter: inspect.Parameter, hint: Any) -> bool:
    if hint is None:
        return parameter.name in {"ctx", "context"}
    if isinstance(hint, type) and issubclass(hint, ToolContext):
        return True
    return ToolContext in typing.get_args(hint)


def _is_variadic(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}


def _is_model(hint: Any) -> bool:
    """Return whether a type is an object of named fields by itself."""
    if not isinstance(hint, type):
        return False
    kind: type[Any] = hint
    is_plain = dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)
    return is_plain or issubclass(kind, pydantic.BaseModel)


def _model_of(
    function: Callable[..., Any], data: list[inspect.Parameter], hints: Mapping[str, Any]
) -> type[pydantic.BaseModel]:
    described = describe(function)[1]
    fields: dict[str, Any] = {}
    for item in data:
        default: Any = ... if item.default is item.empty else item.default
        if item.name in described:
            default = pydantic.Field(default, description=described[item.name])
        fields[item.name] = (hints.get(item.name, Any), default)
    name = "".join(word.title() for word in function.__name__.split("_")) + "Input"
    config = pydantic.ConfigDict(extra="forbid")
    return pydantic.create_model(name, __config__=config, **fields)


def _spread(
    function: Callable[..., Any], data: list[inspect.Parameter], context: list[inspect.Parameter]
) -> Call:
    names = [item.name for item in data]
    context_name = context[0].name if context else None

    def call(value: Any, ctx: ToolContext) -> Any:
        arguments = {name: getattr(value, name) for name in names}
        if context_name is not None:
            arguments[context_name] = ctx
        return function(**arguments)

    return _awaited(function, call)


def _whole(
    function: Callable[..., Any], data: list[inspect.Parameter], context: list[inspect.Parameter]
) -> Call:
    context_name = context[0].name if context else None
    data_name = data[0].name if data else None

    def call(value: Any, ctx: ToolContext) -> Any:
        arguments: dict[str, Any] = {}
        if data_name is not None:
            arguments[data_name] = value
        if context_name is not None:
            arguments[context_name] = ctx
        return function(**arguments)

    return _awaited(function, call)


def _awaited(function: Callable[..., Any], call: Callable[[Any, ToolContext], Any]) -> Call:
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - a callable object with async __call__
    )
    if is_async:
        return call

    async def in_thread(value: Any, ctx: ToolContext) -> Any:
        result = await run_in_thread(call, value, ctx)
        return await result if inspect.isawaitable(result) else result

    return in_thread
