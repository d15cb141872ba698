"""What raises, or lies, when it is asked about itself ends its run with a record, wherever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mastra import (
    NonRetryableError,
    StepContext,
    TripwireError,
    create_step,
    create_workflow,
)
from tests.support.engines import Env


class AskedError(Exception):
    """What comes of asking."""


def asked(*_: Any) -> Any:
    raise AskedError


class DumbError(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise AskedError(name)


class LeavingError(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class DumbCancel(asyncio.CancelledError):
    def __getattribute__(self, name: str) -> Any:
        raise AskedError(name)


class DumbLastingError(NonRetryableError):
    def __getattribute__(self, name: str) -> Any:
        raise AskedError(name)


class TextualError(TripwireError):
    """Never initialised, and its details cannot be had."""

    message = property(asked)  # type: ignore[assignment]
    details = property(asked)  # type: ignore[assignment]

    def __init__(self) -> None: ...


class DumbKind(type):
    def __getattribute__(cls, name: str) -> Any:
        raise AskedError(name)


class OfDumbKindError(Exception, metaclass=DumbKind):
    pass


def an_error(name: str, member: Any) -> Callable[[], BaseException]:
    return type("PricklyError", (Exception,), {name: member})


RAISED: dict[str, Callable[[], BaseException]] = {
    "nothing can be asked": DumbError,
    "asking would end the process": LeavingError,
    "a cancellation": DumbCancel,
    "not to be tried again": DumbLastingError,
    "a tripwire": TextualError,
    "its class": OfDumbKindError,
    "members of a group": lambda: ExceptionGroup("x", [DumbError()]),
    "another class": an_error("__class__", property(lambda _: TripwireError)),
    **{
        name: an_error(name, property(asked))
        for name in ("__class__", "__cause__", "__traceback__", "__notes__", "args", "code")
    },
    **{
        name: an_error(name, asked)
        for name in ("__str__", "__repr__", "__reduce__", "__eq__", "__hash__", "__bool__", "__len__")
    },
}  # fmt: skip


class Dumb:
    def __getattribute__(self, name: str) -> Any:
        raise AskedError(name)


class Untrue:
    __bool__ = __len__ = __eq__ = __hash__ = __iter__ = __repr__ = asked


class Leaving:
    def __bool__(self) -> bool:
        raise SystemExit(3)

    __len__ = __repr__ = __bool__  # type: ignore[assignment]


class OddInt(int):
    __int__ = __index__ = __bool__ = asked


class ShyDict(dict[str, Any]):
    __iter__ = items = keys = asked


GIVEN: dict[str, Callable[[], Any]] = {
    "nothing can be asked": Dumb,
    "neither true nor false": Untrue,
    "asking would end the process": Leaving,
    "a number": lambda: OddInt(3),
    "a dict": lambda: ShyDict(a=1),
    "in a dict": lambda: {"a": Dumb()},
    "a key": lambda: {Dumb(): 1},
    "an exception": DumbError,
}

Gives = Callable[[], Any]


def begin(**options: Any) -> Any:
    return create_workflow(id="w", input_schema=None, output_schema=None, **options)


def giving(value: Any) -> Any:
    return create_step(id="fine", execute=lambda: value)


def a_step(use: Callable[[StepContext[Any]], Any]) -> Any:
    async def execute(ctx: StepContext[Any]) -> Any:
        return await use(ctx)

    return create_step(id="bad", execute=execute)


def plain_step(gives: Gives) -> Any:
    return create_step(id="bad", execute=lambda: gives())  # noqa: PLW0108 - it takes nothing


WHERE: dict[str, Callable[[Gives], Any]] = {
    "a step": lambda gives: begin().then(plain_step(gives)),
    "side by side": lambda gives: begin().parallel([plain_step(gives), giving(1)]),
    "an item": lambda gives: begin().then(giving([1, 2])).foreach(plain_step(gives), concurrency=2),
    "a condition": lambda gives: begin().then(giving(1)).branch([(lambda _: gives(), giving(2))]),
    "a first condition": lambda gives: begin().branch([(lambda _: gives(), giving(2))]),
    "a loop": lambda gives: begin().dountil(
        giving(1), lambda ctx: ctx.iteration_count > 2 or gives()
    ),
    "a limit": lambda gives: begin().then(giving([1])).foreach(giving(1), concurrency=lambda _: gives()),
    "a map": lambda gives: begin().map(lambda _: gives()),
    "a sleep": lambda gives: begin().sleep(lambda _: gives()),
    "a callback": lambda gives: begin(on_finish=lambda _: gives()).then(giving(1)),
    "a state": lambda gives: begin().then(a_step(lambda ctx: ctx.set_state({"a": gives()}))),
    "a payload": lambda gives: begin().then(a_step(lambda ctx: ctx.suspend(gives()))),
    "what is written": lambda gives: begin().then(a_step(lambda ctx: ctx.writer.write(gives()))),
    "the context": lambda gives: begin().map(lambda ctx: ctx.request_context.set("a", gives())),
}  # fmt: skip


async def ends_with_a_record(env: Env, workflow: Any) -> Any:
    workflow = env.workflow(workflow.commit())
    run = await workflow.create_run()
    result = await asyncio.wait_for(run.start(), 20)
    stored = await workflow.get_run(run.run_id)
    assert stored is not None
    assert stored.status == result.status in ("success", "failed", "tripwire", "suspended")
    (listed,) = (await workflow.list_runs()).runs
    assert listed.status == result.status
    assert result.to_wire()["status"] == result.status
    assert [event.to_wire() async for event in run.observe_stream()]
    return result


def raising(make: Callable[[], BaseException]) -> Gives:
    def gives() -> Any:
        raise make()

    return gives


@pytest.mark.parametrize("kind", RAISED)
async def test_an_exception(env: Env, kind: str) -> None:
    result = await ends_with_a_record(env, WHERE["a step"](raising(RAISED[kind])))
    assert result.status == ("tripwire" if kind == "a tripwire" else "failed")


@pytest.mark.parametrize("where", WHERE)
async def test_an_exception_anywhere(env: Env, where: str) -> None:
    await ends_with_a_record(env, WHERE[where](raising(DumbError)))


@pytest.mark.parametrize("kind", GIVEN)
async def test_a_value(env: Env, kind: str) -> None:
    await ends_with_a_record(env, WHERE["a step"](GIVEN[kind]))


@pytest.mark.parametrize("where", WHERE)
async def test_a_value_anywhere(env: Env, where: str) -> None:
    await ends_with_a_record(env, WHERE[where](GIVEN["nothing can be asked"]))


@pytest.mark.parametrize("kind", ["neither true nor false", "asking would end the process"])
@pytest.mark.parametrize("where", ["a condition", "a first condition", "a loop"])
async def test_a_value_that_decides(env: Env, kind: str, where: str) -> None:
    await ends_with_a_record(env, WHERE[where](GIVEN[kind]))


async def test_a_number_that_limits(env: Env) -> None:
    result = await ends_with_a_record(env, WHERE["a limit"](GIVEN["a number"]))
    assert result.unwrap() == [1]
