"""A tool: something a model may run, with a schema for what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from mastra.buildable import given_schema, optional_schema
from mastra.errors import ConfigError, ToolApprovalError, ValidationError
from mastra.extras import tell_if_called
from mastra.failures import call_user
from mastra.given import (
    FLAG,
    FUNCTION,
    JSON_SCHEMA,
    MAPPING,
    SCHEMA,
    TEXT,
    check_given,
    either,
    shown,
)
from mastra.jsonable import Json, to_jsonable
from mastra.models.base import ProviderTool, ToolSpec
from mastra.models.schema_dialects import standard
from mastra.models.schema_parts import resolved
from mastra.names import caller_namespace, python_names, python_options
from mastra.schema import Schema, SchemaMismatch
from mastra.tools.approval import asks_approval
from mastra.tools.content import content_to_json
from mastra.tools.execute import as_meant, error_result, is_error_result, load_input
from mastra.tools.signature import Call, describe, name_of, read_signature
from mastra.tools.tool_context import ToolContext

if TYPE_CHECKING:
    from mastra.workflows.step import Step

__all__ = [
    "Approval",
    "Tool",
    "ToolInput",
    "ToolSetInput",
    "as_tool",
    "create_tool",
    "tool",
]

tell_if_called(__name__)

In = TypeVar("In")
Out = TypeVar("Out")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")

Approval: TypeAlias = "bool | Callable[..., bool | Awaitable[bool]]"
"""Whether a person must agree first: always, or by a function of the input (and the context)."""


@python_names
@dataclass(frozen=True, eq=False)
class Tool(Generic[In, Out]):
    """Something that an agent may run. Made by `create_tool` or `@tool`."""

    id: str
    """Its name; the model sees the key it is registered under."""
    description: str
    """What the model reads to decide when to run it."""
    input_schema: Schema[In]
    """What it takes."""
    output_schema: Schema[Out] | None = None
    """What it gives, where that is checked."""
    function: Callable[..., Any] | None = field(default=None, repr=False)
    """As the user wrote it; `None` where the client runs the tool."""
    call: Call | None = field(default=None, repr=False)
    """How to run it."""
    require_approval: Approval = False
    """Whether a person must agree first."""
    suspend_schema: Schema[Any] | None = None
    """What it suspends with."""
    resume_schema: Schema[Any] | None = None
    """What it is resumed with."""
    request_context_schema: Schema[Any] | None = None
    """What the request's values must be."""
    to_model_output: Callable[[Any], Any] | None = field(default=None, repr=False)
    """Makes what the model sees of a result; the application keeps the result itself."""
    strict: bool | None = None
    """Whether the provider must keep to the input schema."""
    title: str | None = None
    """A name for people."""
    provider_options: Mapping[str, Any] | None = None
    """Facts for providers, keyed by provider."""
    mcp: Mapping[str, Any] | None = None
    """Facts for MCP clients, such as `annotations`."""
    has_effect: bool = False
    """Whether it changes something that a conversation must not forget: its step is kept at once."""
    can_suspend: bool = False
    """Whether it says that it may suspend; such tools run one at a time."""
    parameters: dict[str, Json] | None = field(default=None, repr=False)
    """The JSON Schema of the input where it was given as one."""

    def __post_init__(self) -> None:
        """Check what no type checker may have seen."""
        given: Any = self.id
        if not isinstance(given, str) or not given:
            raise ConfigError(f"A tool's id is text that is not empty, not {given!r}.")
        policy: Any = self.require_approval
        if not isinstance(policy, bool) and not callable(policy):
            raise ConfigError(
                f"require_approval of tool {given!r} is {policy!r}: give True, False, or a function "
                "of the input."
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, outside of any run, as a test may want to."""
        if self.function is None:
            raise ConfigError(f"Tool {self.id!r} has no function: its client runs it.")
        return self.function(*args, **kwargs)

    @cached_property
    def input_json_schema(self) -> dict[str, Json]:
        """The JSON Schema of the input."""
        schema = self.parameters
        if schema is None:
            schema = self.input_schema.json_schema()
        if "$ref" in schema:  # of a model that holds itself
            own = {key: part for key, part in schema.items() if key != "$ref"}
            schema = {**resolved(schema, schema), **own}
        if schema.get("type") and not isinstance(schema["type"], list):
            return schema
        # Without a type, or with a list of them: an object is what is given in any case.
        made: dict[str, Json] = {"type": "object", "properties": {}, **schema}
        made["type"] = "object"
        return made

    @cached_property
    def output_json_schema(self) -> dict[str, Json] | None:
        """The JSON Schema of the output, where there is one."""
        return None if self.output_schema is None else self.output_schema.json_schema()

    def spec(self, name: str) -> ToolSpec:
        """Return the tool as a model sees it under a name."""
        return ToolSpec(
            name,
            self.description,
            self.input_json_schema,
            self.strict,
            self.provider_options or {},
        )

    async def execute(self, input_data: Any = None, ctx: ToolContext | None = None) -> Any:
        """Run the tool: check the input, call the function, check the output.

        Args:
            input_data: What the tool takes.
            ctx: The call's context. Without one this is code of your own that calls the tool, as
                a test does, and nobody's approval is asked for.

        Returns:
            What the function returned, as a value of the output type; or, where the input or
            the output does not meet its schema, the error object that a model can read.

        Raises:
            ConfigError: The tool has no function.
            ToolApprovalError: A person must agree first, and the context says of none who did.
            ValidationError: The values of the request are not what the tool needs.
            Exception: Whatever the function raises.
        """
        if self.call is None:
            raise ConfigError(f"Tool {self.id!r} has no function: its client runs it.")
        if ctx is not None and self.request_context_schema is not None:
            self._check_request(self.request_context_schema, ctx)
        value, problem = self.load_input({} if input_data is None else input_data)
        if problem is not None:
            return problem
        if ctx is None:
            ctx = ToolContext(is_approved=True)
        elif (
            self.require_approval and not ctx.is_approved and await asks_approval(self, value, ctx)
        ):
            raise ToolApprovalError(
                f"Tool {self.id!r} needs a person's approval, which cannot be asked for here: call "
                "it through an agent, or as a step of a workflow.",
                details={"tool": self.id},
            )
        result = await call_user(self.call, value, ctx)
        if self.output_schema is None:
            return result
        try:
            return self.output_schema.load(result)
        except SchemaMismatch as mismatch:
            return error_result(self.id, mismatch, result, what="output")

    def load_input(self, given: Any) -> tuple[Any, Json | None]:
        """Return what the tool takes out of what was given, or what is wrong with it."""
        if self.parameters is not None:
            given = as_meant(given, self.parameters)
        return load_input(self.id, self.input_schema, given, lambda: self.input_json_schema)

    def _check_request(self, schema: Schema[Any], ctx: ToolContext) -> None:
        try:
            schema.load(ctx.request_context.to_dict())
        except SchemaMismatch as mismatch:
            raise mismatch.into(
                ValidationError, f"The request context of tool {self.id!r}"
            ) from None

    def dump(self, result: Any) -> Json:
        """Return what the tool returned as plain JSON data; pictures and files as content parts.

        Raises:
            SerializationError: Part of it cannot be JSON.
        """
        what = f"The result of tool {self.id!r}"
        shown = content_to_json(result)
        if shown is not None:
            return shown
        if self.output_schema is None or is_error_result(result):
            return to_jsonable(result, what=what)
        return self.output_schema.dump(result, what=what)

    def as_step(self, **options: Any) -> Step[Any, Out]:
        """Return a workflow step that runs the tool."""
        from mastra.tools.tool_step import tool_as_step  # noqa: PLC0415 - only for workflows

        return tool_as_step(self, options)


ToolInput: TypeAlias = "Tool[Any, Any] | Callable[..., Any]"
"""What may be given as a tool: a tool or a plain function."""

ToolSetInput: TypeAlias = (
    "Mapping[str, ToolInput | ProviderTool] | Sequence[ToolInput | ProviderTool]"
)
"""Tools by name, or a list of them; those that run at a provider may be among them."""


_FORMS: Final = {
    "description": TEXT,
    "to_model_output": FUNCTION,
    "strict": FLAG,
    "title": TEXT,
    "provider_options": MAPPING,
    "mcp": MAPPING,
    "has_effect": FLAG,
}


@python_options
def create_tool(
    id: str,
    description: str,
    input_schema: Any = None,
    output_schema: Any = None,
    execute: Callable[..., Any] | None = None,
    *,
    require_approval: Approval = False,
    suspend_schema: Any = None,
    resume_schema: Any = None,
    request_context_schema: Any = None,
    to_model_output: Callable[[Any], Any] | None = None,
    strict: bool | None = None,
    title: str | None = None,
    provider_options: Mapping[str, Any] | None = None,
    mcp: Mapping[str, Any] | None = None,
    has_effect: bool = False,
) -> Tool[Any, Any]:
    """Make a tool.

    Args:
        id: Its name.
        description: What the model reads to decide when to run it.
        input_schema: A type that pydantic can validate, or a JSON Schema. Default: the
            annotation of `execute`'s first parameter.
        output_schema: Checked where it is given.
        execute: `execute(input)` or `execute(input, ctx)`; a plain `def` runs in a worker
            thread. Without it the client runs the tool.
        require_approval: Whether a person must agree first, or a function of the input that
            says so.
        suspend_schema: What the tool suspends with.
        resume_schema: What it is resumed with.
        request_context_schema: What the request's values must be.
        to_model_output: Makes what the model sees of a result.
        strict: Whether the provider must keep to the input schema.
        title: A name for people.
        provider_options: Facts for providers, keyed by provider.
        mcp: Facts for MCP clients.
        has_effect: Whether it changes something that a conversation must not forget, as a payment
            does: what it did is stored in the agent's memory as soon as its step ends, before the
            model is asked for more.
    """
    check_given(f"Tool {id!r}", locals(), _FORMS)
    call: Call | None = None
    takes = input_schema
    if execute is not None:
        found = read_signature(execute, caller_namespace(), spread=False)
        call = found.call
        takes = found.input_type if input_schema is None else input_schema
    parameters: dict[str, Json] | None = None
    if isinstance(takes, Mapping):
        check_given(f"Tool {id!r}", {"input_schema": takes}, {"input_schema": _TAKES})
        # A JSON Schema is shown to the model and not checked: pydantic cannot read one.
        parameters, takes = standard(cast("Mapping[str, Json]", takes)), None
        _check_object(id, parameters)
    return Tool(
        id=id,
        description=description,
        input_schema=given_schema(takes, f"Input of tool {id!r}"),
        output_schema=optional_schema(output_schema, f"Output of tool {id!r}"),
        function=execute,
        call=call,
        require_approval=require_approval,
        suspend_schema=optional_schema(suspend_schema, f"suspend_schema of tool {id!r}"),
        resume_schema=optional_schema(resume_schema, f"resume_schema of tool {id!r}"),
        request_context_schema=optional_schema(
            request_context_schema, f"request_context_schema of tool {id!r}"
        ),
        to_model_output=to_model_output,
        strict=strict,
        title=title,
        provider_options=provider_options,
        mcp=mcp,
        has_effect=has_effect,
        can_suspend=suspend_schema is not None or resume_schema is not None,
        parameters=parameters,
    )


def _check_object(tool_id: str, schema: Mapping[str, Any]) -> None:
    """Refuse a JSON Schema that no input of a tool can have: models give an object.

    Raises:
        ConfigError: It is one.
    """
    kind, fields, required = (schema.get(key) for key in ("type", "properties", "required"))
    odd = None
    kinds = cast("list[Any]", kind) if isinstance(kind, list | tuple) else [kind]
    if kind is not None and "object" not in kinds:
        odd = f"its type is {kind!r}. A model gives an object: put the value into a property of one"
    elif not isinstance(fields, Mapping | None):
        odd = f"its properties are {shown(fields)}: give schemas by the names of fields"
    elif not isinstance(required, list | tuple | None):
        odd = f"required is {shown(required)}: give the names of fields"
    if odd is not None:
        raise ConfigError(f"Tool {tool_id!r}: input_schema cannot be a tool's, since {odd}.")


class FunctionTool(Tool[Any, Out], Generic[Out, P, R]):
    """What `@tool` gives, as type checkers see it: called, it takes what the function does."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function itself, outside of any run, as a test may want to."""
            ...


class _ToolDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Out]], /
    ) -> FunctionTool[Out, P, Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(self, function: Callable[P, Out], /) -> FunctionTool[Out, P, Out]: ...


@overload
def tool(
    function: Callable[P, Coroutine[Any, Any, Out]], /
) -> FunctionTool[Out, P, Coroutine[Any, Any, Out]]: ...
@overload
def tool(function: Callable[P, Out], /) -> FunctionTool[Out, P, Out]: ...
@overload
def tool(
    *,
    id: str | None = None,
    description: str | None = None,
    output_schema: Any = None,
    require_approval: Approval = False,
    suspend_schema: Any = None,
    resume_schema: Any = None,
    to_model_output: Callable[[Any], Any] | None = None,
    strict: bool | None = None,
    title: str | None = None,
    has_effect: bool = False,
) -> _ToolDecorator: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a tool of the function below, as a decorator, with or without options.

    The docstring is the description and the parameters are the input: one field each, or the
    model itself where the only parameter is one. A parameter annotated `ToolContext` (or named
    `ctx`) gets the context.
    """
    namespace = caller_namespace()
    if function is not None:
        _check_decorated(function)
        return _from_function(function, namespace, options)

    def decorate(function: Callable[..., Any]) -> Tool[Any, Any]:
        _check_decorated(function)
        return _from_function(function, namespace, options)

    return decorate


def _check_decorated(given: Any) -> None:
    if isinstance(given, str):
        raise ConfigError(f"@tool({given!r}) takes no name by position: write @tool(id={given!r}).")
    if isinstance(given, Tool):
        raise ConfigError(f"{given.id!r} is a tool already: one @tool is enough.")
    if isinstance(given, type):
        raise ConfigError(
            f"{given.__name__} is a class, and @tool makes a tool of a function: give one, or a "
            "method of an object as `tool(thing.method)`."
        )


def _from_function(
    function: Callable[..., Any], namespace: Mapping[str, Any], options: dict[str, Any]
) -> Tool[Any, Any]:
    found = read_signature(function, namespace, spread=True)
    given = options.pop("output_schema", None)
    gives = found.output_type if given is None else given
    name: str = options.pop("id", None) or name_of(function)
    made = create_tool(
        name,
        options.pop("description", None) or describe(function)[0] or name,
        found.input_type,
        None if gives is type(None) or gives is Any else gives,
        **options,
    )
    object.__setattr__(made, "function", function)
    object.__setattr__(made, "call", found.call)
    return made


def as_tool(value: ToolInput) -> Tool[Any, Any]:
    """Return a tool for a tool or a plain function.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(value, Tool):
        return cast("Tool[Any, Any]", value)
    if isinstance(value, type):
        _check_decorated(value)
    if callable(value):
        return _from_function(value, {}, {})
    place = _PLACES.get(type(value).__name__, "")
    raise ConfigError(
        f"{shown(value)} is not a tool: give a tool made by create_tool or @tool, or a function."
        f"{place}"
    )


_TAKES: Final = either(SCHEMA, JSON_SCHEMA)
_PLACES: Final = {
    "Agent": " An agent belongs in `agents={…}`, which makes a tool of it.",
    "Workflow": " A workflow belongs in `workflows={…}`, which makes a tool of it.",
    "MCPClient": " The tools of MCP servers are `tools=await client.list_tools()`.",
}
"""Where else things belong that are taken for tools, by their classes."""
