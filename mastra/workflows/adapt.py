"""How a user's function is called, whatever parameters it takes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from mastra.errors import WorkflowDefinitionError
from mastra.plain_functions import called_by, given_by, is_async, run_plain
from mastra.schema import ANY, Schema, schema_of
from mastra.workflows.step_context import StepContext

__all__ = ["Execute", "OnInput", "adapt", "no_step", "take_given"]

Execute: TypeAlias = Callable[[StepContext[Any]], Awaitable[Any]]
"""What engines call, whatever parameters the user's function takes."""


class OnInput:
    """Calls a function that takes a step's input and nothing else.

    A class, so that engines can tell, and call the function without a context.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, ctx: StepContext[Any]) -> Any:
        """Call the function on the input that a context has."""
        return self.function(ctx.input_data)


def adapt(
    function: Callable[..., Any], step_id: str, namespace: Mapping[str, Any]
) -> tuple[Execute, Schema[Any], Schema[Any]]:
    """Return how to call the function with a context, and the schemas of its annotations.

    The signature is read here, once: a run never looks at it.
    """
    whole = _parameters(function, step_id)
    hints = _hints(function, namespace)
    bound = _bound_names(function)
    parameters = [p for p in whole if p.kind is not p.VAR_KEYWORD and p.name not in bound]
    context = [p for p in parameters if _is_context(p, hints.get(p.name))]
    data = _input_of([p for p in parameters if p not in context], hints, has_context=bool(context))
    if len(context) > 1 or len(data) > 1:
        names = ", ".join(p.name for p in parameters if p in context or p in data)
        raise WorkflowDefinitionError(
            f"Step {step_id!r} takes ({names}): a step's function takes its input, a parameter "
            "annotated `StepContext` (or named `ctx`), both or neither. To take several values, "
            "make one model or dict of them."
        )
    if not context and not data:
        _refuse_only_keywords(whole, step_id)
    takes: Any = None
    if data:
        takes = hints.get(data[0].name)
    elif context:
        arguments = typing.get_args(_context_class(hints.get(context[0].name)))
        takes = arguments[0] if arguments else None
    gives = given_by(function, hints.get("return"))
    input_schema = ANY if isinstance(takes, TypeVar) else schema_of(takes)
    output_schema = schema_of(type(None)) if _returns_none(hints) else schema_of(gives)
    return _caller(function, whole, context, data), input_schema, output_schema


_ANY_ARGUMENTS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _parameters(function: Callable[..., Any], step_id: str) -> list[inspect.Parameter]:
    """Return the parameters that a function can really be called with.

    A decorator's function that takes anything passes it to the one that it wraps; one that says
    what it takes is called as it says, whatever it wraps. What tells nothing (some functions written
    in C) is called with the input.

    Raises:
        WorkflowDefinitionError: What the function says of itself makes no sense.
    """
    try:
        inspect.unwrap(function)  # one that wraps itself has no end
        own = list(inspect.signature(function, follow_wrapped=False).parameters.values())
        if own and not any(p.kind in _ANY_ARGUMENTS for p in own):
            told = list(inspect.signature(function).parameters.values())
            # Names that are told may be annotated; they stand for those at their places.
            is_same = len(told) == len(own) and not any(p.name == "ctx" for p in own)
            return told if is_same and all(_takes_place(p) for p in (*own, *told)) else own
        return list(inspect.signature(function).parameters.values())
    except TypeError as error:
        raise WorkflowDefinitionError(
            f"Step {step_id!r}: the signature of its function cannot be read: {error}."
        ) from error
    except ValueError as error:
        if "wrapper loop" in str(error):
            raise WorkflowDefinitionError(
                f"Step {step_id!r}: its function wraps itself (`__wrapped__`), so that nothing can "
                "be known of it."
            ) from error
        return [inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)]


def _takes_place(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _refuse_only_keywords(parameters: list[inspect.Parameter], step_id: str) -> None:
    """Refuse a function that its input would never reach, unless it says that it drops it."""
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD and not parameter.name.startswith("_"):
            raise WorkflowDefinitionError(
                f"Step {step_id!r} takes only **{parameter.name}, and a step's input is one value: "
                "name a parameter for it."
            )


def _bound_names(function: Any) -> set[str]:
    """Return the parameters that a `functools.partial` has filled by name."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names |= set(function.keywords)
        function = function.func
    return names


def _input_of(
    parameters: list[inspect.Parameter], hints: Mapping[str, Any], *, has_context: bool
) -> list[inspect.Parameter]:
    """Return the parameters that ask for the input: one, or more than a step can fill.

    What has no default must be filled. Where nothing must, a parameter with a default may be meant:
    the only one; beside a context only where it is annotated, since `lambda ctx, n=n: …` keeps the
    `n` of a loop.
    """
    named = [p for p in parameters if p.kind is not p.VAR_POSITIONAL]
    required = [p for p in named if p.default is p.empty]
    if required:
        return required
    optional = [p for p in named if not has_context or p.name in hints]
    if optional:
        by_place = [p for p in optional if p.kind is not p.KEYWORD_ONLY]
        return by_place if len(by_place) == 1 else optional
    return [] if named else parameters


def _returns_none(hints: Mapping[str, Any]) -> bool:
    return "return" in hints and hints["return"] in (None, type(None))


def _is_context(parameter: inspect.Parameter, hint: Any) -> bool:
    if hint is None or hint is Any:
        return parameter.name == "ctx"
    return _context_class(hint) is not None


def _context_class(hint: Any) -> Any:
    """Return the `StepContext[...]` that an annotation names, in `Annotated` or a union too."""
    origin = typing.get_origin(hint) or hint
    if isinstance(origin, type) and issubclass(origin, StepContext):
        return hint
    if origin is typing.Annotated or origin in (typing.Union, types.UnionType):
        found = (_context_class(part) for part in typing.get_args(hint))
        return next((part for part in found if part is not None), None)
    return None


def _hints(function: Callable[..., Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    target = called_by(function)
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
    whole: list[inspect.Parameter],
    context: list[inspect.Parameter],
    data: list[inspect.Parameter],
) -> Execute:
    bound = _bind(function, whole, context, data)
    return bound if is_async(function) else functools.partial(run_plain, bound)


def _bind(
    function: Callable[..., Any],
    whole: list[inspect.Parameter],
    context: list[inspect.Parameter],
    data: list[inspect.Parameter],
) -> Callable[[StepContext[Any]], Any]:
    filled = {p.name: place for place, found in enumerate((context, data)) for p in found}
    by_place: list[int] = []
    by_name: dict[str, int] = {}
    has_gap = False
    for parameter in whole:
        place = filled.get(parameter.name)
        if place is None:
            has_gap = True
        elif parameter.kind is parameter.KEYWORD_ONLY or (
            has_gap and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ):
            by_name[parameter.name] = place
        else:
            by_place.append(place)
    if not by_name and by_place == [0]:
        return function
    if not by_name and by_place == [1]:
        return OnInput(function)
    return lambda ctx: function(
        *[ctx.input_data if place else ctx for place in by_place],
        **{name: ctx.input_data if place else ctx for name, place in by_name.items()},
    )


_MEANT: Final = {
    "list": " Several at once are for `.parallel([…])`.",
    "coroutine": " It was called already: give the step itself, without `(…)`.",
}


_BY_POSITION: Final = ("id", "input_schema", "output_schema", "execute")


def take_given(source: Any, given: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Take what `create_step` was given by position among its options.

    Raises:
        WorkflowDefinitionError: It is too much, or there already.
    """
    names = ", ".join(_BY_POSITION)
    if not isinstance(source, str) or len(given) >= len(_BY_POSITION):
        raise WorkflowDefinitionError(
            f"create_step takes {names} by position, and after an agent, a tool or a function "
            "nothing: give the rest by name."
        )
    for name, value in zip(_BY_POSITION, (source, *given), strict=False):
        if name in options:
            raise WorkflowDefinitionError(f"create_step({source!r}, …) was given {name} twice.")
        options[name] = value


def no_step(given: object) -> WorkflowDefinitionError:
    """Return the error for what is given as a step and is none."""
    kind, advice = type(given).__name__, _MEANT.get(type(given).__name__, "")
    if isinstance(given, type):
        kind = given.__name__
        advice = f" {kind} is a class, and no step, though it may be the schema of one."
    return WorkflowDefinitionError(
        f"create_step cannot make a step of {kind!r}: give it an agent, a tool, or `execute=` with "
        f"a function.{advice}"
    )
