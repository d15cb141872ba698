"""Plain functions as steps and tools: called in a thread, and run through where they yield."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, Final, ParamSpec, cast

from mastra.threads import run_in_thread

__all__ = ["called_by", "given_by", "inner_of", "is_async", "run_plain", "yields"]

P = ParamSpec("P")

_YIELDED: Final = (
    Iterable, Iterator, Generator, AsyncIterable, AsyncIterator, AsyncGenerator,
)  # fmt: skip


def inner_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a `functools.partial` is a partial of."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def called_by(function: Callable[..., Any]) -> Any:
    """Return the function that runs when one is called: of an object, what its class has for it."""
    inner = inner_of(function)
    kind = cast("type[Any]", type(inner))
    return inner if inspect.isroutine(inner) else getattr(kind, "__call__", None)  # noqa: B004


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling a function gives a coroutine, as it is written."""
    inner = inner_of(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(called_by(inner))


def yields(function: Callable[..., Any]) -> bool:
    """Return whether calling a function runs nothing of it, since it yields."""
    called = called_by(function)
    called = called if called is None else inspect.unwrap(called)
    return inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)


def given_by(function: Callable[..., Any], hint: Any) -> Any:
    """Return the type of what a function gives: where it yields, a list of that."""
    if (typing.get_origin(hint) or hint) not in _YIELDED or not yields(function):
        return hint
    items = typing.get_args(hint)
    return list[items[0]] if items else list


async def run_plain(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Call a function that is not asynchronous, in a thread; await, or list, what it gives."""
    result: Any = await run_in_thread(_run_through, function, args, kwargs)
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, types.AsyncGeneratorType):
        return [item async for item in cast("AsyncGenerator[Any]", result)]
    return result


def _run_through(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    if not isinstance(result, types.GeneratorType):
        return result
    items = cast("Generator[Any]", result)  # yielded in the thread, as a plain function runs
    return items if inspect.isawaitable(items) else list(items)
