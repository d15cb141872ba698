"""Calls to a storage that cannot answer just now, and may soon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mastra.errors import StorageError
from mastra.logs import get_logger

__all__ = ["is_passing", "patiently"]

T = TypeVar("T")


def is_passing(error: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    return isinstance(error, StorageError) and not error.is_lasting


def patiently(call: Callable[[], Awaitable[T]], limit_s: float) -> Awaitable[T]:
    """Make a call, and make it again while the storage cannot answer.

    Args:
        call: Does the same each time; that an earlier try was done must do no harm.
        limit_s: For how long, in seconds from the first failure.

    Raises:
        StorageError: It could not answer for so long, or would refuse the call at any time.
    """
    return call() if limit_s <= 0 else _again_and_again(call, limit_s)


async def _again_and_again(call: Callable[[], Awaitable[T]], limit_s: float) -> T:
    try:
        return await call()
    except StorageError as error:
        if not is_passing(error):
            raise
        get_logger().warning("The storage is asked again: %s", error)
    # Only here, so that a program whose storage works does not load it.
    from tenacity import (  # noqa: PLC0415
        AsyncRetrying,
        retry_if_exception,
        stop_after_delay,
        wait_random_exponential,
    )

    async def again() -> T:
        return await call()  # tenacity awaits only what is declared as a coroutine function

    return await AsyncRetrying(
        retry=retry_if_exception(is_passing),
        stop=stop_after_delay(limit_s),
        wait=wait_random_exponential(multiplier=0.02, max=2.0),
        reraise=True,
    )(again)
