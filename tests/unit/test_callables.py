"""A step's function may be anything that can be called, and its input never gets lost."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest

from mastra import StepContext, WorkflowDefinitionError, create_step, create_workflow


class Callee:
    async def __call__(self, value: str = "left out") -> str:
        return value

    def method(self, value: str = "left out") -> str:
        return value

    @classmethod
    async def of_class(cls, value: str = "left out") -> str:
        return value


async def plain(value: str = "left out") -> str:
    return value


async def by_name(*, value: str = "left out") -> str:
    return value


async def behind(prefix: str, value: str) -> str:
    return value


def wrapping(function: Callable[..., Any], wrapped: Any) -> Any:
    async def wrapper(value: str = "left out") -> str:
        return str(await function(value))

    wrapper.__wrapped__ = wrapped  # type: ignore[attr-defined]
    return wrapper


def passing_on(function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **options: Any) -> Any:
        return await function(*args, **options)

    return wrapper


def unpacking(function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    async def wrapper(ctx: Any) -> Any:
        return await function(ctx.input_data)

    return wrapper


async def last(*values: str) -> str:
    return values[-1]


GIVES_LIMA = {
    "an object": Callee(),
    "a bound method": Callee().method,
    "a class method": Callee.of_class,
    "by name": by_name,
    "any number": last,
    "a lambda": lambda value="left out": value,
    "a partial": functools.partial(behind, "x"),
    "a partial by name": functools.partial(behind, prefix="x"),
    "wraps what takes more": wrapping(plain, behind),
    "wraps what takes nothing": wrapping(plain, lambda: None),
    "passes everything on": passing_on(passing_on(plain)),
    "takes the context, and wraps what takes the value": unpacking(plain),
    "a class of C": str,
    "a method of C": {"Lima": "Lima"}.get,
    "a function of C": operator.itemgetter(slice(None)),
}


@pytest.mark.parametrize("kind", GIVES_LIMA)
async def test_the_input_arrives(kind: str) -> None:
    step = create_step(id="s", execute=GIVES_LIMA[kind])
    flow = create_workflow(id="w", input_schema=str, output_schema=str).then(step).commit()
    assert (await (await flow.create_run()).start("Lima")).unwrap() == "Lima"


def test_what_says_nothing_that_makes_sense_is_refused() -> None:
    def circular(value: str) -> str:
        return value

    def odd(value: str) -> str:
        return value

    circular.__wrapped__ = circular  # type: ignore[attr-defined]
    odd.__signature__ = 7  # type: ignore[attr-defined]
    for function in (circular, odd):
        with pytest.raises(WorkflowDefinitionError, match="Step 's'"):
            create_step(id="s", execute=function)


async def test_a_decorator_does_not_lose_the_type() -> None:
    @functools.wraps(plain)
    async def wrapper(value: Any) -> Any:
        return await plain(value)

    assert create_step(id="s", execute=wrapper).input_schema.type is str
    assert create_step(id="s", execute=passing_on(plain)).input_schema.type is str


async def test_a_sleep_of_more_seconds_than_there_are_ends_with_an_error() -> None:
    late = create_workflow(id="w", input_schema=None, output_schema=None)
    result: Any = await (await late.sleep(lambda _: 10**400).commit().create_run()).start()
    assert (result.status, result.error.code) == ("failed", "SLEEP_TOO_LONG")


def test_a_context_is_told_from_an_input() -> None:
    async def both(ctx: StepContext[Any], value: str = "left out") -> str:
        return value

    assert create_step(id="s", execute=both).input_schema.type is str
