"""What is told of failures that are many, and which errors end what is around them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mastra.errors import UserCodeError
from mastra.failures import MAX_ERRORS, Guard, Signal, call_user, error_to_json, one_error

pytestmark = pytest.mark.anyio


def test_a_group_tells_of_so_many_and_of_each_once() -> None:
    same = ValueError("same")
    told = error_to_json(ExceptionGroup("two", [same, same, KeyError("k")]))
    assert [one["name"] for one in told["details"]["errors"]] == ["ValueError", "KeyError"]
    assert "errorCount" not in told["details"]
    many = [ValueError(str(at)) for at in range(MAX_ERRORS + 10)]
    told = error_to_json(ExceptionGroup("many", many))
    assert len(told["details"]["errors"]) == MAX_ERRORS - 1  # the group itself is one
    assert told["details"]["errorCount"] == MAX_ERRORS + 10
    assert "cause" not in error_to_json(circle())["cause"]


def circle() -> Exception:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    return first


def test_the_first_of_a_group_is_raised_however_deep_it_is() -> None:
    inner = ExceptionGroup("inner", [ExceptionGroup("most", [LookupError("first")])])
    with pytest.raises(LookupError, match="first"), one_error():
        raise ExceptionGroup("outer", [inner, ValueError("second")])
    with pytest.raises(KeyError), one_error():
        raise KeyError
    with one_error():
        pass


class Stop(Signal):
    pass


async def test_a_group_that_holds_a_signal_is_the_packages_own_wherever_it_is() -> None:
    def fail(*members: BaseException) -> Callable[[], Any]:
        def raise_it() -> None:
            raise BaseExceptionGroup("outer", [BaseExceptionGroup("inner", members)])

        return raise_it

    with pytest.raises(BaseExceptionGroup):
        await call_user(fail(Stop()))
    with pytest.raises(UserCodeError, match="BaseExceptionGroup"):
        await call_user(fail(SystemExit(3)))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_no_signal_of_the_process_comes_to_another_thread(error: BaseException) -> None:
    found: list[BaseException] = []

    async def run() -> None:
        def fail() -> None:
            raise error

        try:
            await call_user(fail)
        except BaseException as raised:  # noqa: BLE001 - that is what is looked at
            found.append(raised)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    (made,) = found
    assert isinstance(made, UserCodeError)
    assert made.__cause__ is error


async def test_an_ordinary_error_stays_what_it_is() -> None:
    error = ValueError("a")
    assert Guard().contain(error) is error
    with pytest.raises(ValueError, match="a"):
        await call_user(lambda: (_ for _ in ()).throw(error))
