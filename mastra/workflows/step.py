"""A step: a function with what it takes, what it gives, and a name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from mastra.buildable import given_schema, optional_schema, taken_schema
from mastra.dataclass import dataclass
from mastra.errors import WorkflowDefinitionError
from mastra.extras import tell_if_called
from mastra.given import COUNT, MAPPING, TEXT, check_given, shown
from mastra.names import caller_namespace, hint, python_names
from mastra.schema import Schema
from mastra.workflows.adapt import Execute, adapt, no_step, take_given
from mastra.workflows.step_context import StepContext

__all__ = ["Step", "StepLike", "StepSource", "check_id", "clone_step", "create_step", "step"]

tell_if_called(__name__)

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class StepSource(Protocol[In_contra, Out_co]):
    """Something that can stand in a workflow as a step: an agent, a tool, a workflow."""

    def as_step(self) -> Step[In_contra, Out_co]:
        """Return the step it stands for."""
        ...


@python_names
@dataclass(frozen=True, eq=False)
class Step(Generic[In_contra, Out_co]):
    """One unit of a workflow. Made by `create_step` or `@step`; holds nothing of any run.

    Its type parameters are its input (a step that takes more may stand where one that takes less
    may) and its output.
    """

    id: str
    input_schema: Schema[Any]
    output_schema: Schema[Any]
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
    made_of: str | None = None
    """The id of the agent or the tool that it is made of."""
    nested: Any = field(default=None, repr=False)
    """Of a step made of a workflow: its specification."""
    scorers: Mapping[str, Any] | None = field(default=None, repr=False)
    """What scores its outputs once they are given, by key, as of an agent."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, outside of any run, as a test may want to."""
        return self.execute(*args, **kwargs)


class FunctionStep(Step[In_contra, Out_co], Generic[In_contra, Out_co, P, R]):
    """What `@step` gives, as type checkers see it: called, it takes what the function does."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function itself, outside of any run, as a test may want to."""
            ...


StepLike: TypeAlias = Step[In, Out] | StepSource[In, Out]
"""A step, or what stands for one."""


class StepOptions(TypedDict, total=False):
    """What `create_step` and `@step` take beside the function and its two schemas."""

    id: str | None
    description: str | None
    resume_schema: Any
    suspend_schema: Any
    state_schema: Any
    retries: int | None
    metadata: Mapping[str, Any] | None
    scorers: Mapping[str, Any] | None


@overload
def create_step(
    source: Step[In, Out],
    /,
    *,
    input_schema: None = None,
    output_schema: None = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    source: Step[In, Out], /, *, output_schema: type[R], **options: Unpack[StepOptions]
) -> Step[In, R]: ...
@overload
def create_step(
    source: StepSource[In, Any], /, *, structured_output: type[Out], **options: Any
) -> Step[In, Out]: ...
@overload
def create_step(source: StepSource[In, Out], /, **options: Any) -> Step[In, Out]: ...
@overload
def create_step(
    source: Callable[..., Any],
    /,
    *,
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[Any, Any]: ...
@overload
def create_step(
    *,
    execute: Callable[..., Any],
    input_schema: type[In],
    output_schema: type[Out],
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[StepContext[In]], Awaitable[Out]],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[StepContext[In], In], Awaitable[Out]],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[In, StepContext[In]], Awaitable[Out]],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[In], Awaitable[Out]],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[], Awaitable[Out]],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[Any, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[StepContext[In]], Out],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[StepContext[In], In], Out],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[In, StepContext[In]], Out],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[In], Out],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[In, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[[], Out],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[Any, Out]: ...
@overload
def create_step(
    *,
    execute: Callable[..., Any],
    input_schema: Any = None,
    output_schema: Any = None,
    **options: Unpack[StepOptions],
) -> Step[Any, Any]: ...
@overload
def create_step(
    step_id: str, input_schema: type[In], output_schema: type[Out], /, *given: Any, **options: Any
) -> Step[In, Out]: ...
@overload
def create_step(step_id: str, /, *given: Any, **options: Any) -> Step[Any, Any]: ...
def create_step(source: Any = None, /, *given: Any, **options: Any) -> Step[Any, Any]:
    """Make a step of a function, an agent or a tool.

    Args:
        source: An agent, a tool or a committed workflow; options then go to its `as_step`.
        given: Where the source is the step's id, its two schemas and its function.
        options: `execute`, a function whose parameters are filled by annotation: one annotated
            `StepContext` (or named `ctx`) gets the context, the other the input; both, one or
            none are fine, and a plain `def` runs in a worker thread. `id` defaults to the
            function's name. `input_schema` and `output_schema` default to its annotations; a
            schema is any type that pydantic can validate. `resume_schema`, `suspend_schema` and
            `state_schema` are checked where those values pass. `retries` is the number of extra
            tries. `description` and `metadata` are for readers. `scorers` score its outputs, as an
            agent's do.

    Raises:
        WorkflowDefinitionError: There is no function, or one of parameters that nothing can fill.
    """
    if given or isinstance(source, str):
        source = take_given(source, given, options)
    if source is not None:
        if hasattr(source, "as_step"):
            if inspect.isclass(source):
                raise WorkflowDefinitionError(
                    f"{source.__name__} is a class, and a step is made of an object of it."
                )
            return cast("Step[Any, Any]", source.as_step(**options))
        if isinstance(source, Step):
            found = cast("Step[Any, Any]", source)
            return _remade(found, options) if options else found
        if callable(source) and not isinstance(source, type):
            return _make(source, options, caller_namespace())
        raise no_step(source)
    execute = options.pop("execute", None)
    if not callable(execute):
        raise WorkflowDefinitionError(
            f"Step {options.get('id')!r} has no function: pass `execute=` with one."
        )
    return _make(execute, options, caller_namespace())


@overload
def step(
    function: Callable[[StepContext[In]], Awaitable[Out]], /
) -> FunctionStep[In, Out, [StepContext[In]], Awaitable[Out]]: ...
@overload
def step(
    function: Callable[[StepContext[In], In], Awaitable[Out]], /
) -> FunctionStep[In, Out, [StepContext[In], In], Awaitable[Out]]: ...
@overload
def step(
    function: Callable[[In, StepContext[In]], Awaitable[Out]], /
) -> FunctionStep[In, Out, [In, StepContext[In]], Awaitable[Out]]: ...
@overload
def step(
    function: Callable[[In], Awaitable[Out]], /
) -> FunctionStep[In, Out, [In], Awaitable[Out]]: ...
@overload
def step(
    function: Callable[[], Awaitable[Out]], /
) -> FunctionStep[Any, Out, [], Awaitable[Out]]: ...
@overload
def step(
    function: Callable[[StepContext[In]], Out], /
) -> FunctionStep[In, Out, [StepContext[In]], Out]: ...
@overload
def step(
    function: Callable[[StepContext[In], In], Out], /
) -> FunctionStep[In, Out, [StepContext[In], In], Out]: ...
@overload
def step(
    function: Callable[[In, StepContext[In]], Out], /
) -> FunctionStep[In, Out, [In, StepContext[In]], Out]: ...
@overload
def step(function: Callable[[In], Out], /) -> FunctionStep[In, Out, [In], Out]: ...
@overload
def step(function: Callable[[], Out], /) -> FunctionStep[Any, Out, [], Out]: ...
@overload
def step(function: Callable[..., Any], /) -> Step[Any, Any]: ...
@overload
def step(
    *, input_schema: Any = None, output_schema: Any = None, **options: Unpack[StepOptions]
) -> _StepDecorator: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a step of the function below, as a decorator, with or without options.

    The options are those of `create_step`. The docstring's first line is the description, and
    the id defaults to the function's name.
    """
    if function is not None:
        _check_decorated(function)
        return _make(function, options, caller_namespace())
    namespace = caller_namespace()

    def decorate(function: Callable[..., Any]) -> Step[Any, Any]:
        _check_decorated(function)
        return _make(function, options, namespace)

    return decorate


def _check_decorated(given: Any) -> None:
    if isinstance(given, str):
        raise WorkflowDefinitionError(
            f"@step({given!r}) takes no name by position: write @step(id={given!r})."
        )
    if isinstance(given, Step):
        raise WorkflowDefinitionError(f"{given.id!r} is a step already: one @step is enough.")
    if isinstance(given, type) or not callable(given):
        raise WorkflowDefinitionError(f"@step makes a step of a function, and not of {given!r}.")


class _StepDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[[StepContext[In]], Awaitable[Out]], /
    ) -> FunctionStep[In, Out, [StepContext[In]], Awaitable[Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[StepContext[In], In], Awaitable[Out]], /
    ) -> FunctionStep[In, Out, [StepContext[In], In], Awaitable[Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[In, StepContext[In]], Awaitable[Out]], /
    ) -> FunctionStep[In, Out, [In, StepContext[In]], Awaitable[Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[In], Awaitable[Out]], /
    ) -> FunctionStep[In, Out, [In], Awaitable[Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[], Awaitable[Out]], /
    ) -> FunctionStep[Any, Out, [], Awaitable[Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[StepContext[In]], Out], /
    ) -> FunctionStep[In, Out, [StepContext[In]], Out]: ...
    @overload
    def __call__(
        self, function: Callable[[StepContext[In], In], Out], /
    ) -> FunctionStep[In, Out, [StepContext[In], In], Out]: ...
    @overload
    def __call__(
        self, function: Callable[[In, StepContext[In]], Out], /
    ) -> FunctionStep[In, Out, [In, StepContext[In]], Out]: ...
    @overload
    def __call__(self, function: Callable[[In], Out], /) -> FunctionStep[In, Out, [In], Out]: ...
    @overload
    def __call__(self, function: Callable[[], Out], /) -> FunctionStep[Any, Out, [], Out]: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> Step[Any, Any]: ...


def clone_step(source: Step[In, Out], id: str) -> Step[In, Out]:
    """Return the same step under another id (a `WorkflowDefinitionError` where that cannot be)."""
    check_id(id, "Step")
    given: Any = source
    if not isinstance(given, Step):
        raise WorkflowDefinitionError(
            f"clone_step takes a step, not {shown(given)}: of an agent or a tool, its `as_step()`."
        )
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
    "made_of",
    "scorers",
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


_FORMS: Final = {"description": TEXT, "metadata": MAPPING, "scorers": MAPPING, "retries": COUNT}


def _check_options(step_id: Any, options: Mapping[str, Any]) -> None:
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise WorkflowDefinitionError(
            f"create_step has no option {', '.join(map(repr, sorted(unknown)))}."
            f"{hint(unknown, _OPTIONS)}"
        )
    check_id(step_id, "Step")
    check_given(f"Step {step_id!r}", options, _FORMS, WorkflowDefinitionError)


def _make(
    function: Callable[..., Any], options: dict[str, Any], namespace: Mapping[str, Any]
) -> Step[Any, Any]:
    named: Any = function
    while isinstance(named, functools.partial):
        named = named.func
    step_id = options.get("id") or getattr(named, "__name__", "step")
    _check_options(step_id, options)
    call, takes, gives = adapt(function, step_id, namespace)
    given_in, given_out = options.get("input_schema"), options.get("output_schema")
    step = f"step {step_id!r}"
    doc = inspect.getdoc(named) if not isinstance(named, type) else None
    return Step(
        id=step_id,
        input_schema=taken_schema(takes, given_in, f"Input of {step}"),
        output_schema=given_schema(gives if given_out is None else given_out, f"Output of {step}"),
        execute=function,
        call=call,
        description=options.get("description") or (doc.splitlines()[0] if doc else None),
        resume_schema=optional_schema(options.get("resume_schema"), f"resume_schema of {step}"),
        suspend_schema=optional_schema(options.get("suspend_schema"), f"suspend_schema of {step}"),
        state_schema=optional_schema(options.get("state_schema"), f"state_schema of {step}"),
        retries=options.get("retries"),
        metadata=options.get("metadata"),
        component=options.get("component"),
        made_of=options.get("made_of"),
        scorers=options.get("scorers"),
    )


def _remade(source: Step[Any, Any], options: Mapping[str, Any]) -> Step[Any, Any]:
    """Return a step with some of its options changed; those that are `None` stay."""
    _check_options(options.get("id") or source.id, options)
    changes = {
        name: given_schema(given, f"{name} of step {source.id!r}")
        if name.endswith("_schema")
        else given
        for name, given in options.items()
        if given is not None
    }
    return replace(source, **changes)
