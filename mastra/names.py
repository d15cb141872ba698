"""Answers to whoever writes a name of TypeScript or of another library, misspells one, or forgets `await`.

Costs nothing where a name is right: attributes are looked at when they are missing, and options when
Python has refused them.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from types import CodeType, CoroutineType, FunctionType
from typing import Any, Final, NoReturn, TypeVar, cast

__all__ = [
    "CONTEXT_NAMES",
    "FieldsByName",
    "caller_namespace",
    "camel",
    "hint",
    "missing_attribute",
    "python_name",
    "python_names",
    "python_options",
    "snake",
    "takes_context",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_OTHER = {
    "runtime_context": "request_context",
    "get_workflows": "list_workflows",
    "get_agents": "list_agents",
    "get_tools": "list_tools",
    "get_workflow_runs": "list_runs",
    "list_workflow_runs": "list_runs",
    "get_workflow_run_by_id": "get_run",
    "get_runs": "list_runs",
    "stream_v_next": "stream",
    "generate_v_next": "generate",
    "on_step_finished": "on_step_finish",
    "inngest_id": "id",
    "output": "structured_output",
    "experimental_output": "structured_output",
    "output_type": "structured_output",
    "response_format": "structured_output",
    "response_model": "structured_output",
    "schema": "structured_output",
    "system_prompt": "instructions",
    "prompt": "messages",
    "llm": "model",
    "base_url": "url",
    "name": "id",
    "storage": "store",
    "parameters": "input_schema",
    "args_schema": "input_schema",
    "handler": "execute",
    "func": "execute",
    "lib_sql_store": "SQLStorage",
    "postgres_store": "SQLStorage",
    "thread": "memory",
    "thread_id": "memory",
    "resource": "memory",
    "resource_id": "memory",
}
"""Names that differ by more than their spelling."""

_HABITS: dict[str, tuple[str, ...]] = {
    "run": ("generate", "create_run"),
    "run_sync": ("generate_sync", "create_run_sync"),
    "run_stream": ("stream",),
    "arun": ("generate", "create_run"),
    "call": ("generate", "create_run"),
    "execute": ("generate", "create_run"),
    "invoke": ("generate", "create_run"),
    "ainvoke": ("generate", "create_run"),
    "chat": ("generate",),
    "start": ("create_run",),
    "start_sync": ("create_run_sync",),
    "stream": ("create_run",),
    "build": ("commit",),
    "compile": ("commit",),
    "add_node": ("then",),
    "add_step": ("then",),
    "content": ("text",),
    "entries": ("items",),
    "data": ("object", "result"),
    "output": ("object", "result"),
    "value": ("result", "object"),
    "instructions": ("get_instructions",),
    "tools": ("list_tools",),
    "agents": ("list_agents",),
    "workflows": ("list_workflows",),
    "get_storage": ("storage",),
    "get_logger": ("logger",),
    "get_server": ("server",),
    "shutdown": ("aclose",),
    "close": ("aclose",),
    "list_workflow_runs": ("list_runs",),
    "get_workflow_run_by_id": ("get_run",),
    "delete_workflow_run_by_id": ("delete_run",),
    "consume_stream": ("consume", "result"),
    "get_full_output": ("result",),
}
"""What other libraries, or the original, call a thing, and what may be meant."""

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_REFUSED = re.compile(r"unexpected keyword argument '(\w+)'|missing \d+ required ")
_TOO_MANY = re.compile(r"takes .*\d+ positional arguments? but ")


def python_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a TypeScript name stands for, or `None`."""
    spelled = _WORD.sub("_", name).lower()
    names = set(known)
    for candidate in (spelled, _OTHER.get(spelled, spelled)):
        if candidate != name and candidate in names:
            return candidate
    return None


def camel(name: str) -> str:
    """Return a name in snake_case as Mastra's JSON spells it."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def snake(name: str) -> str:
    """Return a name in camelCase as Python, and most providers, spell it."""
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


class FieldsByName:
    """Base of what reads as Mastra's JSON too: `payload["toolName"]`, `dict(payload)`.

    A field that is not there is a `KeyError`, as in the JSON; as an attribute it is `None`.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        wire = self._wire()
        return wire[name if name in wire else camel(name)]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field as JSON, or the default where it is not there."""
        wire = self._wire()
        return wire.get(name, wire.get(camel(name), default))

    def keys(self) -> Iterable[str]:
        """Return the names of the fields that are there, as in the JSON."""
        return self._wire().keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._wire())

    def __contains__(self, name: object) -> bool:
        wire = self._wire()
        return isinstance(name, str) and (name in wire or camel(name) in wire)

    def _wire(self) -> dict[str, Any]:
        return cast("Any", self).to_wire()


def hint(unknown: Iterable[object], known: Iterable[str]) -> str:
    """Return what unknown names may stand for: TypeScript's, or misspelled ones; else nothing."""
    names = list(known)
    wrong = sorted(name for name in unknown if isinstance(name, str))
    found = [(name, python_name(name, names)) for name in wrong]
    told = [f"{name!r} is {python!r}" for name, python in found if python is not None]
    if told:
        return f" In Python {', '.join(told)}."
    from difflib import get_close_matches  # noqa: PLC0415 - only for whoever has made a mistake

    near = [repr(name) for one in wrong for name in get_close_matches(one, names, 1, 0.7)]
    if near:
        return f" Did you mean {', '.join(near)}?"
    inside = [text for name in wrong if (text := _inside(name, names))]
    return f" {inside[0]}" if inside else ""


_SETTINGS: Final = frozenset((
    "temperature", "max_tokens", "max_output_tokens", "top_p", "top_k", "seed", "stop",
    "timeout", "max_retries",
))  # fmt: skip
"""What is said of a model's answers, in whatever call."""


def _inside(name: str, known: list[str]) -> str:
    """Return where an option belongs that is taken, but not here; nothing where it is none."""
    spelled = _WORD.sub("_", name).lower()
    if spelled == "options" and "last_messages" in known:
        return "Give what is in it one by one: Memory(last_messages=…, semantic_recall=…)."
    shown = f"{{{spelled!r}: …}}"
    if spelled in _SETTINGS:
        if "model_settings" in known:
            return f"It goes into model_settings={shown}."
        shown = f"{{'model_settings': {shown}}}"
    elif spelled not in _OF_A_CALL:
        return ""
    return f"It goes into default_options={shown}." if "default_options" in known else ""


_OF_A_CALL: Final = frozenset((
    "max_steps", "stop_when", "tool_choice", "active_tools", "structured_output", "provider_options",
    "require_tool_approval", "on_finish", "on_step_finish", "on_chunk", "on_error", "prepare_step",
    "model_settings",
))  # fmt: skip
"""What is said in a call of an agent, or in its `default_options`."""


def python_names(cls: type[T]) -> type[T]:
    """Make a class answer TypeScript's names: a missing attribute, an unknown option of a method."""
    members: list[tuple[str, Any]] = list(vars(cls).items())
    for name, member in members:
        inner: Any = getattr(member, "__func__", member)  # of a class method or a static one
        if name.startswith("_") or not isinstance(inner, FunctionType):
            continue
        if _may_be_misspelled(inner.__code__) or _gives_later(inner):
            wrapped = _with_hints(inner, has_twin=f"{name}_sync" in vars(cls))
            setattr(cls, name, type(member)(wrapped) if inner is not member else wrapped)
    if not hasattr(cls, "__getattr__"):
        cls.__getattr__ = missing_attribute  # pyright: ignore[reportAttributeAccessIssue]
    return cls


def python_options(target: F) -> F:
    """Make a function, or what makes an object of a class, answer TypeScript's names of options."""
    if isinstance(target, type):
        target.__init__ = _with_hints(cast("Any", target).__init__)
        return cast("F", target)
    return cast("F", _with_hints(cast("FunctionType", cast("object", target))))


def missing_attribute(self: object, name: str) -> NoReturn:
    """Raise what a missing attribute raises, with its name in Python where it has one."""
    text = f"{type(self).__name__!r} object has no attribute {name!r}"
    if not name.startswith("_"):
        known = set(dir(self))
        found = python_name(name, known)
        if found is not None:
            text += f". In Python it is {found!r}"
        else:
            meant = next((one for one in _HABITS.get(snake(name), ()) if one in known), None)
            if meant is not None:
                text += f". Did you mean {meant!r}?"
    raise AttributeError(text, name=name, obj=self)


def _may_be_misspelled(code: CodeType) -> bool:
    count = code.co_argcount + code.co_kwonlyargcount
    takes_more = code.co_flags & 0x08  # **options
    return bool(takes_more) or any("_" in name.strip("_") for name in code.co_varnames[:count])


def _is_async(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _gives_later(function: FunctionType) -> bool:
    """Return whether a function gives something to whoever awaits it.

    Where it gives nothing, as what writes a chunk, nobody takes the coroutine for a result, and
    Python itself says that it was not awaited.
    """
    return _is_async(function.__code__) and function.__annotations__.get("return") not in _NOTHING


_NOTHING = (None, "None")


def _with_hints(function: FunctionType, *, has_twin: bool = False) -> Callable[..., Any]:
    is_async, gives_later = _is_async(function.__code__), _gives_later(function)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            made = function(*args, **options)
        except TypeError as error:
            # Raised by the call itself, and not by what the function called.
            if error.__traceback__ is None or error.__traceback__.tb_next:
                raise
            told = _about_call(str(error), function.__code__, options)
            if not told:
                raise
            raise TypeError(f"{error}.{told}") from None
        if not gives_later:
            return made
        later = object.__new__(Unawaited)  # twice a run: a constructor is a call more
        later._coroutine, later._has_twin = made, has_twin
        return later

    _WRAPPERS.add(cast("Any", call).__code__)
    mark = getattr(inspect, "markcoroutinefunction", None)  # from Python 3.12 on
    if is_async and mark is not None:
        mark(call)
    return call


def _about_call(refusal: str, code: CodeType, options: Mapping[str, Any]) -> str:
    """Return what to say of a call that Python has refused; nothing where its own words will do."""
    positional = code.co_varnames[: code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    if _TOO_MANY.search(refusal):
        taken = [name for name in positional if name not in {"self", "cls"}]
        shown = [*taken, *(f"{name}=" for name in named[:_SHOWN])]
        more = ", …" if len(named) > _SHOWN else ""
        return f" It takes: {', '.join(shown)}{more}" if shown else ""
    refused = _REFUSED.search(refusal) if options else None
    if refused is None:
        return ""
    known = positional + named
    # What is missing may be there under another name, where more options are taken.
    return hint([refused[1]] if refused[1] else options.keys() - set(known), known)


_SHOWN = 6
"""How many options are named to whoever passes too much by position."""


class Unawaited:
    """The coroutine of a method, which says that it was not awaited where it is taken for its result.

    For whoever awaits it, wraps it in a task or runs it, it is a coroutine like any other.
    """

    __slots__ = ("__weakref__", "_coroutine", "_has_twin")

    _coroutine: Coroutine[Any, Any, Any]
    _has_twin: bool

    # `inspect.iscoroutine`, by which task groups know what they may start, asks for this.
    __class__ = property(lambda _: CoroutineType)  # pyright: ignore[reportIncompatibleMethodOverride]

    def __await__(self) -> Generator[Any, Any, Any]:
        return _coroutine_of(self).__await__()

    def send(self, value: Any) -> Any:
        """Go on with it, as an event loop does."""
        return self._coroutine.send(value)

    def throw(self, *raised: Any) -> Any:
        """Raise something where it stands."""
        return self._coroutine.throw(*raised)

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "cr_")):
            return getattr(self._coroutine, name)
        raise AttributeError(f"{self._told()} It is a coroutine, without {name!r}.", name=name)

    def _refuse(self, *_: object) -> Any:
        raise TypeError(f"{self._told()} It is a coroutine, not what it gives.")

    # What is done with a result, and never with a coroutine.
    __getitem__ = __iter__ = __aiter__ = __aenter__ = __enter__ = _refuse

    def __aexit__(self, *_: object) -> Any:
        """Never reached: there for Python, which looks for it first."""

    __exit__ = __aexit__

    def __repr__(self) -> str:
        return f"<{self._told()}>"

    def _told(self) -> str:
        name = self._coroutine.__qualname__.rpartition(".")[2]
        instead = f", or in a script without a loop `….{name}_sync(…)`" if self._has_twin else ""
        return f"{name}() was not awaited: write `await ….{name}(…)`{instead}."


# Reads the slot: as an attribute it is looked up in the slower way of a class with `__getattr__`.
_coroutine_of: Final[Callable[[Unawaited], Coroutine[Any, Any, Any]]] = (
    cast("Any", Unawaited).__dict__["_coroutine"].__get__
)

_WRAPPERS: set[CodeType] = set()


def caller_namespace() -> Mapping[str, Any]:
    """Return the local names of whoever called the function that asks, past what wraps it."""
    frame = sys._getframe(2)  # noqa: SLF001
    while frame.f_code in _WRAPPERS and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_locals


def defining_namespace(function: object) -> Mapping[str, Any]:
    """Return the local names of the function that defines another one, if it is running."""
    code = getattr(function, "__code__", None)
    frame = sys._getframe(1)  # noqa: SLF001
    while code is not None and frame is not None:
        if any(code is item for item in frame.f_code.co_consts):
            return frame.f_locals
        frame = frame.f_back
    return {}


CONTEXT_NAMES: Final = frozenset(("ctx", "context"))
"""What a parameter is called that is given the context, where no annotation says so."""


def takes_context(function: Callable[..., Any], place: int, kind: str) -> bool:
    """Return whether a function is given the context as the argument at a place.

    One with a default keeps that, as in `lambda name=name: …`, unless it is said to be the context.

    Args:
        function: The user's.
        place: Which of the arguments that are given by place, from 0.
        kind: The name of the context's class, as an annotation has it.
    """
    by_place = [
        item
        for item in inspect.signature(function).parameters.values()
        if item.kind not in (item.KEYWORD_ONLY, item.VAR_KEYWORD)
    ]
    if len(by_place) <= place:
        return False
    found = by_place[place]
    is_said = found.name in CONTEXT_NAMES or kind in str(found.annotation)
    return is_said or found.default is found.empty
