"""Answers to whoever writes Mastra's TypeScript names, or misspells one: what it is in Python.

Costs nothing where a name is right: attributes are looked at when they are missing, and options when
Python has refused them.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any, NoReturn, TypeVar, cast

__all__ = [
    "caller_namespace",
    "hint",
    "missing_attribute",
    "python_name",
    "python_names",
    "python_options",
    "snake",
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
}
"""Names that differ by more than their spelling."""

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_REFUSED = re.compile(r"unexpected keyword argument '(\w+)'|missing \d+ required ")


def python_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a TypeScript name stands for, or `None`."""
    spelled = _WORD.sub("_", name).lower()
    names = set(known)
    for candidate in (spelled, _OTHER.get(spelled, spelled)):
        if candidate != name and candidate in names:
            return candidate
    return None


def snake(name: str) -> str:
    """Return a name in camelCase as Python, and most providers, spell it."""
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def hint(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return what unknown names may stand for: TypeScript's, or misspelled ones; else nothing."""
    names = list(known)
    found = [(name, python_name(name, names)) for name in sorted(unknown)]
    told = [f"{name!r} is {python!r}" for name, python in found if python is not None]
    if told:
        return f" In Python {', '.join(told)}."
    from difflib import get_close_matches  # noqa: PLC0415 - only for whoever has made a mistake

    near = [repr(name) for wrong, _ in found for name in get_close_matches(wrong, names, 1, 0.7)]
    return f" Did you mean {', '.join(near)}?" if near else ""


def python_names(cls: type[T]) -> type[T]:
    """Make a class answer TypeScript's names: a missing attribute, an unknown option of a method."""
    members: list[tuple[str, Any]] = list(vars(cls).items())
    for name, member in members:
        inner: Any = getattr(member, "__func__", member)  # of a class method or a static one
        if name.startswith("_") or not isinstance(inner, FunctionType):
            continue
        if _may_be_misspelled(inner.__code__):
            wrapped = _with_hints(inner)
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
        found = python_name(name, dir(self))
        if found is not None:
            text += f". In Python it is {found!r}"
    raise AttributeError(text, name=name, obj=self)


def _may_be_misspelled(code: CodeType) -> bool:
    count = code.co_argcount + code.co_kwonlyargcount
    takes_more = code.co_flags & 0x08  # **options
    return bool(takes_more) or any("_" in name.strip("_") for name in code.co_varnames[:count])


def _with_hints(function: FunctionType) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError as error:
            refused = _REFUSED.search(str(error)) if options else None
            # Raised by the call itself, and not by what the function called.
            if refused is None or error.__traceback__ is None or error.__traceback__.tb_next:
                raise
            code = function.__code__
            known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            # What is missing may be there under another name, where more options are taken.
            strange = [refused[1]] if refused[1] else options.keys() - set(known)
            told = hint(strange, known)
            if not told:
                raise
            raise TypeError(f"{error}.{told}") from None

    _WRAPPERS.add(cast("Any", call).__code__)
    mark = getattr(inspect, "markcoroutinefunction", None)  # from Python 3.12 on
    if function.__code__.co_flags & 0x80 and mark is not None:  # an `async def`
        mark(call)
    return call


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
