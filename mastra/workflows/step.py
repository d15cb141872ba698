"""A step: a function with what it takes, what it gives, and a name."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, overload

from mastra.dataclass import dataclass
from mastra.errors import WorkflowDefinitionError
from mastra.schema import ANY, Schema, schema_of
from mastra.workflows.step_context import StepContext

__all__ = ["Execute", "Step", "StepSource", "check_id", "clone_step", "create_step", "step"]

In = TypeVar("In")
Out = TypeVar("Out")

Execute: TypeAlias = Callable[[StepContext[Any]], Awaitable[Any]]
"""What engines call, whatever parameters the user's function takes."""


class StepSource(Protocol):
    """Something that can stand in a workflow as a step: an agent, a tool, a workflow."""

    def as_step(self) -> Step[Any, Any]:
        """Return the step it stands for."""
        ...


@dataclass(frozen=True, eq=False)
class Step(Generic[In, Out]):
    """One unit of a workflow. Made by `create_step` or `@step`; holds nothing of any run."""

    id: str
    input_schema: Schema[In]
    output_schema: Schema[Out]
    execute: Callable[..., Any]
    """The function as the user wrote it."""
    call: Execute = field(repr=False)
    description: str | None = None
    resume_schema: Schema[Any] | None = None
    suspend_schema: Schema[Any] | None = None
    state_schema: Schema[Any] | None = None
    retries: int | None = None
    """Extra tries after the first; `None` means as the workflow says."""
    metadata: Mapping[str, Any] | None = None
    component: str | None = None
    """`AGENT`, `TOOL` or `WORKFLOW` where the step is made of one."""
    nested: Any = field(default=None, repr=False)
    """Of a step made of a workflow: its specification."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, outside of any run, as a test may want to."""
        return self.execute(*args, **kwargs)


@overload
def create_step(source: StepSource, /, **options: Any) -> Step[Any, Any]: ...
@overload
def create_step(
    *,
    execute: Callable[..., Any],
    input_schema: type[In],
    output_schema: type[Out],
    id: str | None = None,
    description: str | None = None,
    resume_schema: Any = None,
    suspend_schema: Any = None,
    state_schema: Any = None,
    retries: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[StepContext[In]], Awaitable[Out]],
    id: str | None = None,
    input_schema: Any = None,
    output_schema: Any = None,
    description: str | None = None,
    resume_schema: Any = None,
    suspend_schema: Any = None,
    state_schema: Any = None,
    retries: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[..., Any],
    id: str | None = None,
    input_schema: Any = None,
    output_schema: Any = None,
    description: str | None = None,
    resume_schema: Any = None,
    suspend_schema: Any = None,
    state_schema: Any = None,
    retries: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Step[Any, Any]: ...
def create_step(source: Any = None, /, **options: Any) -> Step[Any, Any]:
    """Make a step of a function, an agent or a tool.

    Args:
        source: An agent, a tool or a committed workflow; options then go to its `as_step`.
        options: `execute`, a function whose parameters are filled by annotation: one annotated
            `StepContext` (or named `ctx`) gets the context, the other the input; both, one or
            none are fine, and a plain `def` runs in a worker thread. `id` defaults to the
            function's name. `input_schema` and `output_schema` default to its annotations; a
            schema is any type that pydantic can validate. `resume_schema`, `suspend_schema` and
            `state_schema` are checked where those values pass. `retries` is the number of extra
            tries. `description` and `metadata` are for readers.

    Raises:
        WorkflowDefinitionError: The function takes parameters that cannot be filled, or there
            is none.
    """
    if source is not None:
        if hasattr(source, "as_step"):
            return cast("Step[Any, Any]", source.as_step(**options))
        if isinstance(source, Step):
            found = cast("Step[Any, Any]", source)
            return replace(found, **options) if options else found
        if callable(source):
            return _make(source, options, sys._getframe(1).f_locals)  # noqa: SLF001
        raise WorkflowDefinitionError(
            f"create_step cannot make a step of {type(source).__name__!r}: give it an agent, a "
            "tool, or `execute=` with a function."
        )
    execute = options.pop("execute", None)
    if not callable(execute):
        raise WorkflowDefinitionError(
            f"Step {options.get('id')!r} has no function: pass `execute=` with one."
        )
    return _make(execute, options, sys._getframe(1).f_locals)  # noqa: SLF001


@overload
def step(function: Callable[[StepContext[In]], Awaitable[Out]], /) -> Step[In, Out]: ...
@overload
def step(function: Callable[[In], Awaitable[Out]], /) -> Step[In, Out]: ...
@overload
def step(function: Callable[..., Any], /) -> Step[Any, Any]: ...
@overload
def step(
    *,
    id: str | None = None,
    description: str | None = None,
    input_schema: Any = None,
    output_schema: Any = None,
    resume_schema: Any = None,
    suspend_schema: Any = None,
    state_schema: Any = None,
    retries: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> _StepDecorator: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a step of the function below, as a decorator, with or without options.

    The options are those of `create_step`. The docstring's first line is the description, and
    the id defaults to the function's name.
    """
    if function is not None:
        return _make(function, options, sys._getframe(1).f_locals)  # noqa: SLF001
    namespace = sys._getframe(1).f_locals  # noqa: SLF001

    def decorate(function: Callable[..., Any]) -> Step[Any, Any]:
        return _make(function, options, namespace)

    return decorate


class _StepDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[[StepContext[In]], Awaitable[Out]], /
    ) -> Step[In, Out]: ...
    @overload
    def __call__(self, function: Callable[[In], Awaitable[Out]], /) -> Step[In, Out]: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> Step[Any, Any]: ...


def clone_step(source: Step[In, Out], *, id: str) -> Step[In, Out]:
    """Return the same step under another id."""
    check_id(id, "Step")
    return replace(source, id=id)


_OPTIONS = {
    "id",
    "description",
    "input_schema",
    "output_schema",
    "resume_schema",
    "suspend_schema",
    "state_schema",
    "retries",
    "metadata",
    "component",
}


def check_id(value: Any, what: str) -> None:
    """Refuse the id of a step or a workflow that could not be told from a path.

    Raises:
        WorkflowDefinitionError: It is no text, or holds what separates nested ids.
    """
    if not isinstance(value, str) or not value or set(value) & set("./[]"):
        raise WorkflowDefinitionError(
            f"{what} id {value!r} must be text without '.', '/', '[' and ']', which stand between "
            "nested ids and items.",
            code="WORKFLOW_ID_INVALID",
        )
    if value == "input":
        raise WorkflowDefinitionError(
            f"{what} id 'input' is taken: it is where results keep the run's input.",
            code="WORKFLOW_ID_INVALID",
        )


def _make(
    function: Callable[..., Any], options: dict[str, Any], namespace: Mapping[str, Any]
) -> Step[Any, Any]:
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise WorkflowDefinitionError(
            f"create_step has no option {', '.join(map(repr, sorted(unknown)))}."
        )
    step_id = options.get("id") or getattr(function, "__name__", "step")
    check_id(step_id, "Step")
    retries = options.get("retries")
    if retries is not None and (not isinstance(retries, int) or retries < 0):
        raise WorkflowDefinitionError(f"Step {step_id!r}: retries must be 0 or more.")
    call, takes, gives = _adapt(function, step_id, namespace)
    given_in, given_out = options.get("input_schema"), options.get("output_schema")
    doc = inspect.getdoc(function) if not isinstance(function, type) else None
    return Step(
        id=step_id,
        input_schema=takes if given_in is None else schema_of(given_in),
        output_schema=gives if given_out is None else schema_of(given_out),
        execute=function,
        call=call,
        description=options.get("description") or (doc.splitlines()[0] if doc else None),
        resume_schema=_optional(options.get("resume_schema")),
        suspend_schema=_optional(options.get("suspend_schema")),
        state_schema=_optional(options.get("state_schema")),
        retries=retries,
        metadata=options.get("metadata"),
        component=options.get("component"),
    )


def _optional(type_: Any) -> Schema[Any] | None:
    return None if type_ is None else schema_of(type_)


def _adapt(
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
