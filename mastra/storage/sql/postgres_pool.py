"""Connections to PostgreSQL, lent one at a time.

asyncpg's own pool resets a connection with a query of its own each time it comes back and makes a
task for it, which costs half as much again as the commit of one row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

__all__ = ["RETRY_S", "Connection", "ConnectionPool", "is_lost"]

T = TypeVar("T")

RETRY_S = 10
"""For how long a server that went away is waited for."""

_LOST = (
    OSError,  # refused, reset, timed out
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Connection(Protocol):
    """What is used of asyncpg's connection, which has no types of its own."""

    async def execute(self, query: str, *arguments: object) -> str:
        """Run a statement and return its status, such as `UPDATE 1`."""
        ...

    async def executemany(self, query: str, rows: list[list[object]]) -> None:
        """Run a statement for many rows, without waiting for each."""
        ...

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        """Run a query and return its rows."""
        ...

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Run a query and return the first column of its first row."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Return a transaction to enter."""
        ...

    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        ...

    def terminate(self) -> None:
        """Drop it, whatever it is doing."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's own
        """Say goodbye to the server."""
        ...


class ConnectionPool:
    """Connections of one event loop.

    Args:
        dsn: The server's URL.
        settings: What every connection sets when it is made.
        size: At most how many there are. Who wants one more waits.
    """

    def __init__(self, dsn: str, *, settings: dict[str, str], size: int = 10) -> None:
        self._dsn = dsn
        self._settings = settings
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._was_reached = False
        self._is_closed = False

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something on a connection.

        It is begun again on another connection where the server had ended this one while nobody
        used it, so that nothing of the work was sent.
        """
        while True:
            connection, was_idle = await self._borrow()
            is_usable = False
            try:
                result = await work(connection)
                is_usable = True
            except asyncpg.PostgresError as error:
                # The server answered, and is ready for the next statement.
                is_usable = not is_lost(error)
                raise
            except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                if not was_idle or not _is_unsent(error):
                    raise
            else:
                return result
            finally:
                self._give_back(connection, is_usable=is_usable)

    async def _borrow(self) -> tuple[Connection, bool]:
        await self._places.acquire()
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection, True
            return await self._connect(), False
        except BaseException:
            self._places.release()
            raise

    def _give_back(self, connection: Connection, *, is_usable: bool) -> None:
        if is_usable and not self._is_closed and not connection.is_closed():
            self._idle.append(connection)
        else:
            connection.terminate()  # whatever it is in the middle of
        self._places.release()

    async def _connect(self) -> Connection:
        # Nothing has been sent yet, so this can be tried again, whatever it is for. The first time
        # a server that cannot be reached is more likely a wrong URL.
        can_wait = is_lost if self._was_reached else _is_starting
        connection: Connection = await AsyncRetrying(
            retry=retry_if_exception(can_wait),
            stop=stop_after_delay(RETRY_S),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )(self._connect_once)
        self._was_reached = True
        return connection

    async def _connect_once(self) -> Connection:
        connection: object = await asyncpg.connect(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            self._dsn, timeout=RETRY_S, server_settings=self._settings
        )
        return cast("Connection", connection)

    async def aclose(self) -> None:
        """Close the idle connections now and the lent ones when they come back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                await connection.close(timeout=RETRY_S)
            except (
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                OSError,
            ):
                connection.terminate()  # the server is gone, so there is nobody to say goodbye to


def is_lost(error: BaseException) -> bool:
    """Whether the server went away, so that it may be back later."""
    return isinstance(error, _LOST) or _is_unsent(error)


def _is_unsent(error: BaseException) -> bool:
    """Whether the driver refused to begin, because it knows that the server is gone."""
    if isinstance(error, asyncpg.InternalClientError):
        return "cannot switch to state" in str(error)
    return isinstance(error, asyncpg.InterfaceError) and "connection is closed" in str(error)


def _is_starting(error: BaseException) -> bool:
    """Whether the server is there and is not ready yet."""
    return isinstance(error, asyncpg.CannotConnectNowError)
