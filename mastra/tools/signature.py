"""How a tool's function takes its input, read from its signature once, when the tool is made."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import pydantic
import typing_extensions
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from mastra.errors import ConfigError
from mastra.names import CONTEXT_NAMES, defining_namespace
from mastra.plain_functions import called_by, given_by, inner_of, is_async, run_plain
from mastra.tools.docstrings import describe
from mastra.tools.tool_context import ToolContext

__all__ = [
    "Call",
    "Signature",
    "describe",
    "hints_of",
    "name_of",
    "read_signature",
]

Call: TypeAlias = Callable[[Any, ToolContext], Awaitable[Any]]
"""Runs the user's function with a validated input and a context."""

_UNPACK: Final = (typing.Unpack, typing_extensions.Unpack)


@dataclass(frozen=True, slots=True)
class Signature:
    """What was read from a function."""

    call: Call
    """How to run it."""
    input_type: Any
    """What it takes; `None` where the function does not say."""
    output_type: Any
    """What it says it gives; `None` where it does not say."""


def name_of(function: Callable[..., Any]) -> str:
    """Return what a tool of a function is called: as the function, or as the class of an object."""
    inner = inner_of(function)
    name: str | None = getattr(inner, "__name__", None)
    if name is None:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(inner).__name__).lower()
    return name


def hints_of(function: Callable[..., Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's annotations as types.

    Raises:
        ConfigError: A name in them is not known.
    """
    target = called_by(function)
    tries: list[Mapping[str, Any]] = [{}, namespace]
    if "<locals>" in getattr(target, "__qualname__", ""):
        # The names of the function around it are known to nobody else, and only while that runs.
        tries = [{**namespace, **defining_namespace(target)}]
    failure: Exception | None = None
    for names in tries:
        try:
            return typing.get_type_hints(target, localns=dict(names), include_extras=True)
        except Exception as error:  # noqa: BLE001 - annotations are code of the user's
            failure = error
    raise ConfigError(
        f"The annotations of tool {name_of(function)!r} cannot be read: {failure}. Import what "
        "they name at run time, or use create_tool with input_schema."
    ) from failure


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
    parameters = _parameters(function)
    hints = hints_of(function, namespace)
    context = _contexts(parameters, hints)
    data = [item for item in parameters if item not in context]
    _refuse_step_context(function, data, hints)
    if spread:
        return _spread(function, parameters, context, hints)
    data = _taking_all(function, data, context)
    takes = hints.get(data[0].name) if data else None
    filled = _in_order(parameters, {**_filled_by_context(context), **_filled_whole(data)})
    return Signature(
        _awaited(function, filled, None), takes, given_by(function, hints.get("return"))
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return what is still to be filled, without what a partial has filled by name."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{function!r} cannot be a tool: {error}. Give a function, or a method of an object "
            "or a class as `thing.method`."
        ) from error
    if (
        found
        and found[0].name in ("self", "cls")
        and found[0].annotation is inspect.Parameter.empty
    ):
        raise ConfigError(
            f"{name_of(function)!r} is a method that nobody is bound to: make the tool of "
            f"`thing.{name_of(function)}`, of an object or a class."
        )
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound |= set(function.keywords)
        function = function.func
    return [item for item in found if item.name not in bound]


def _contexts(
    parameters: list[inspect.Parameter], hints: Mapping[str, Any]
) -> list[inspect.Parameter]:
    """Return the parameters that get the context: annotated so, or else named so."""
    single = [item for item in parameters if not _is_variadic(item)]
    annotated = [item for item in single if _is_context(hints.get(item.name))]
    if annotated:
        return annotated
    return [item for item in single if item.name in CONTEXT_NAMES and item.name not in hints]


def _is_context(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated or origin in (typing.Union, types.UnionType):
        return any(_is_context(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, ToolContext)


def _refuse_step_context(
    function: Callable[..., Any], data: list[inspect.Parameter], hints: Mapping[str, Any]
) -> None:
    for item in data:
        hint = hints.get(item.name)
        kind = typing.get_origin(hint) or hint
        if isinstance(kind, type) and kind.__name__ == "StepContext":
            raise ConfigError(
                f"Tool {name_of(function)!r} takes a StepContext as {item.name!r}: a tool is given "
                "a ToolContext."
            )


def _is_variadic(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}


def _is_model(hint: Any) -> bool:
    """Return whether a type is an object of named fields by itself."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if not isinstance(hint, type):
        return False
    kind: type[Any] = hint
    is_plain = dataclasses.is_dataclass(kind) or typing_extensions.is_typeddict(kind)
    return is_plain or issubclass(kind, pydantic.BaseModel)


# -- the input as a whole ------------------------------------------------------------------------


def _taking_all(
    function: Callable[..., Any], data: list[inspect.Parameter], context: list[inspect.Parameter]
) -> list[inspect.Parameter]:
    """Return the one parameter that takes the input, if there is one."""
    single = [item for item in data if not _is_variadic(item)]
    if not single:
        several = [item for item in data if item.kind is item.VAR_POSITIONAL]
        named = [item.name for item in data if not item.name.startswith("_")]
        if named and not several and not context:
            raise ConfigError(
                f"Tool function {name_of(function)!r} takes only **{named[0]}, and execute takes the "
                "input as one value: name a parameter for it, or use @tool, which spreads it."
            )
        return several
    # What has a default keeps it, as the `n` of a loop in `lambda value, n=n: …`.
    needed = [item for item in single if item.default is item.empty] or single[:1]
    if not context and len(needed) == 2:
        context.append(needed.pop())
    if len(needed) > 1 or len(context) > 1:
        names = ", ".join(item.name for item in [*needed, *context])
        raise ConfigError(
            f"Tool function {name_of(function)!r} takes ({names}): execute takes the input and, "
            "where it wants one, a ToolContext."
        )
    return needed


_Source: TypeAlias = Callable[[Any, ToolContext], Any]


def _filled_whole(data: list[inspect.Parameter]) -> dict[str, _Source]:
    return {
        item.name: (lambda value, _: [value])
        if item.kind is item.VAR_POSITIONAL
        else (lambda value, _: value)
        for item in data
    }


def _filled_by_context(context: list[inspect.Parameter]) -> dict[str, _Source]:
    return {item.name: lambda _, ctx: ctx for item in context}


# -- a field for each parameter ------------------------------------------------------------------


def _spread(
    function: Callable[..., Any],
    parameters: list[inspect.Parameter],
    context: list[inspect.Parameter],
    hints: Mapping[str, Any],
) -> Signature:
    gives = given_by(function, hints.get("return"))
    data = [item for item in parameters if item not in context]
    by_context = _filled_by_context(context)
    if len(data) == 1 and not _is_variadic(data[0]) and _is_model(hints.get(data[0].name)):
        filled = _in_order(parameters, {**by_context, **_filled_whole(data)})
        return Signature(_awaited(function, filled, None), hints[data[0].name], gives)
    model, names, more = _model_of(function, data, hints)
    sources = {name: _field_of(attribute) for name, attribute in names.items()}
    filled = _in_order(parameters, {**by_context, **sources})
    return Signature(_awaited(function, filled, more), model, gives)


def _field_of(attribute: str) -> _Source:
    return lambda value, _: getattr(value, attribute)


def _model_of(
    function: Callable[..., Any], data: list[inspect.Parameter], hints: Mapping[str, Any]
) -> tuple[type[pydantic.BaseModel], dict[str, str], _More | None]:
    """Return a model of some parameters, its attribute for each, and what further fields become."""
    described = describe(function)[1]
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    more: _More | None = None
    further: Any = None
    for item in data:
        hint: Any = hints.get(item.name, Any)
        if item.kind is item.VAR_POSITIONAL:
            if item.name not in hints:
                continue  # what it may be given, nobody says
            default: Any = pydantic.Field(default_factory=list)
            _add(fields, names, item.name, list[hint], default, described)
        elif item.kind is item.VAR_KEYWORD:
            if typing.get_origin(hint) in _UNPACK:
                keys = dict(_keys_of(typing.get_args(hint)[0]))
                inner: dict[str, str] = {}
                for name, (kind, default) in keys.items():
                    _add(fields, inner, name, kind, default, described)
                more = _More(inner)
            else:
                more, further = _More({}), hint
        else:
            default = ... if item.default is item.empty else item.default
            _add(fields, names, item.name, hint, default, described)
    name = "".join(word.title() for word in name_of(function).split("_")) + "Input"
    base = _Closed if further is None else _open_to(further)
    try:
        model = cast("Any", pydantic).create_model(name, __base__=base, **fields)
    except (PydanticUserError, TypeError) as error:
        raise ConfigError(
            f"Tool {name_of(function)!r} takes something that cannot be validated: "
            f"{getattr(error, 'message', error)}. Annotate its parameters with types that pydantic "
            "knows, or use create_tool with input_schema."
        ) from error
    return model, names, more


def _keys_of(kind: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the keys of a `TypedDict`, each with its type and default."""
    for name, hint in typing_extensions.get_type_hints(kind, include_extras=True).items():
        needed = name in kind.__required_keys__
        while (mark := typing.get_origin(hint)) in _MARKS:
            # The class itself knows nothing of marks in annotations that are text.
            if mark is not typing_extensions.ReadOnly:
                needed = mark in _REQUIRED
            hint = typing.get_args(hint)[0]  # noqa: PLW2901
        yield name, (hint, ... if needed else pydantic.Field(default_factory=_nothing))


def _nothing() -> None:
    """Stand for what is not given, in a field that shows no default."""


_REQUIRED: Final = (typing.Required, typing_extensions.Required)
_MARKS: Final = (
    *_REQUIRED,
    typing.NotRequired,
    typing_extensions.NotRequired,
    typing_extensions.ReadOnly,
)


def _add(
    fields: dict[str, Any],
    names: dict[str, str],
    name: str,
    hint: Any,
    default: Any,
    described: Mapping[str, str],
) -> None:
    """Add a field for a parameter, with what is known of it from its default and the docstring."""
    attribute = name
    if name.startswith("_") or hasattr(pydantic.BaseModel, name):
        attribute = f"{name.strip('_') or 'field'}_"
    while attribute in fields or hasattr(pydantic.BaseModel, attribute):
        attribute += "_"  # another parameter is called so, or stands for one
    changes: dict[str, Any] = {}
    if name in described and not _has_description(hint, default):
        changes["description"] = described[name]
    if attribute != name and not (isinstance(default, FieldInfo) and default.alias):
        changes["alias"] = name
    if changes:
        # Beside the type rather than as the default, which may have limits of its own.
        hint = typing.Annotated[hint, cast("Any", pydantic.Field)(**changes)]
    fields[attribute] = (hint, default)
    names[name] = attribute


def _has_description(hint: Any, default: Any) -> bool:
    own = [default, *getattr(hint, "__metadata__", ())]
    return any(isinstance(item, FieldInfo) and item.description for item in own)


@dataclass(frozen=True, slots=True)
class _More:
    """What a function's `**kwargs` get."""

    names: Mapping[str, str]
    """Fields for it, with the model's attributes."""

    def of(self, value: Any) -> dict[str, Any]:
        given = value.model_fields_set
        found = {name: getattr(value, key) for name, key in self.names.items() if key in given}
        return {**found, **(value.__pydantic_extra__ or {})}


class _Closed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", protected_namespaces=())


def _open_to(hint: Any) -> type[pydantic.BaseModel]:
    """Return the base of a model that takes further fields of a type."""
    body: dict[str, Any] = {
        "__annotations__": {} if hint is Any else {"__pydantic_extra__": dict[str, hint]},
        "__module__": __name__,
        "model_config": pydantic.ConfigDict(extra="allow", protected_namespaces=()),
    }
    return types.new_class("_Open", (pydantic.BaseModel,), exec_body=lambda made: made.update(body))


# -- the call ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Filled:
    positional: tuple[_Source, ...]
    named: Mapping[str, _Source]
    rest: _Source | None
    """Of `*args`."""


def _in_order(parameters: list[inspect.Parameter], sources: Mapping[str, _Source]) -> _Filled:
    used = [item for item in parameters if item.name in sources]
    rest = next((item for item in used if item.kind is item.VAR_POSITIONAL), None)
    by_place = {inspect.Parameter.POSITIONAL_ONLY}
    if rest is not None:
        by_place.add(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [sources[item.name] for item in used if item.kind in by_place]
    named = {
        item.name: sources[item.name] for item in used if item.kind not in by_place and item != rest
    }
    return _Filled(tuple(positional), named, None if rest is None else sources[rest.name])


def _awaited(function: Callable[..., Any], filled: _Filled, more: _More | None) -> Call:
    positional, named, rest = filled.positional, filled.named, filled.rest

    def call(value: Any, ctx: ToolContext) -> Any:
        arguments = [source(value, ctx) for source in positional]
        if rest is not None:
            arguments += rest(value, ctx)
        keywords = {name: source(value, ctx) for name, source in named.items()}
        if more is not None:
            keywords.update(more.of(value))
        return function(*arguments, **keywords)

    return call if is_async(function) else functools.partial(run_plain, call)
