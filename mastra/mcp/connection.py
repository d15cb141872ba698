"""One open connection to an MCP server.

It is held by a task of its own, since the SDK wants a connection left by the task that entered it.
A connection that ended stays ended; the client makes a new one.
"""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from mastra.errors import MastraError, ToolError
from mastra.extras import needs
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.mcp.config import MCPServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import mcp

    from mastra.mcp.calls import HeldCall
    from mastra.mcp.sieve import Sieve

__all__ = ["Connection"]

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_NEWER: Final = frozenset((-32022, -32601))  # no such version, no such method
_HTTP_S: Final = 30.0  # both as the SDK's own client has them
_QUIET_S: Final = 300.0


class Connection:
    """One server, held open by a task.

    Args:
        name: What the client calls the server.
        config: Where it is.
        callbacks: Returns what the SDK's client is given beside the transport.
        open_s: How long it may take to open.
        read_s: How long a server may say nothing while it answers over HTTP.
        patience_s: How long to go on trying where it cannot be opened.
        sieve: Takes what cannot be read out of its lists.
    """

    def __init__(
        self,
        name: str,
        config: MCPServerConfig,
        callbacks: Callable[[Connection], Mapping[str, Any]],
        *,
        open_s: float,
        read_s: float,
        patience_s: float,
        sieve: Sieve,
    ) -> None:
        self.name = name
        self.calls: set[HeldCall] = set()
        """The tool calls that are under way."""
        self.fails_by_request = config.url is not None
        """Whether one request can fail and others go on."""
        self.is_dead = False
        """Whether it has ended, or is ending."""
        self.updates: set[asyncio.Queue[str]] = set()
        """Who waits for resources of the server to change."""
        self._config = config
        self._http: Any = None
        # What the SDK calls `auto` is our `newest`.
        self._mode = "auto" if config.mode == "newest" else "legacy"
        self._callbacks = callbacks
        self._open_s = open_s
        self._read_s = read_s
        self._patience_s = patience_s
        self._sieve = sieve
        loop = asyncio.get_running_loop()
        self._open: asyncio.Future[mcp.Client] = loop.create_future()
        # Looked at, so that asyncio does not report an error that nobody waited for.
        self._open.add_done_callback(lambda future: future.exception())
        self._end = asyncio.Event()
        # Not a task group's: it lives as long as the connection, across many calls. It knows of no
        # call either, since what it is told belongs to any of them.
        self._task = loop.create_task(self._hold(), context=contextvars.Context())

    async def opened(self) -> None:
        """Return once the connection is open.

        Raises:
            ToolError: It cannot be opened.
        """
        await asyncio.shield(self._open)

    @property
    def client(self) -> mcp.Client:
        """The SDK's client."""
        return self._open.result()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it."""
        return self._task.done()

    def retire(self) -> None:
        """Take no further calls, and end once those under way are over."""
        self.is_dead = True
        if not self.calls:
            self._end.set()

    def begun(self, call: HeldCall) -> None:
        """Note a call that is under way."""
        self.calls.add(call)

    def ended(self, call: HeldCall) -> None:
        """Note that a call is over."""
        self.calls.discard(call)
        if self.is_dead and not self.calls:
            self._end.set()

    def _lost(self, end: asyncio.Event) -> None:
        end.set()
        if self._open.done() and end is self._end:
            self.is_dead = True

    async def aclose(self) -> None:
        """Close the connection, and wait until nothing is left of it."""
        self.is_dead = True
        self._end.set()
        if not self._open.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _hold(self) -> None:
        try:
            await self._try_until_open()
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the connection
            if not self._open.done():
                ours = isinstance(error, MastraError)
                self._open.set_exception(error if ours else self._refusal(error))
            else:
                get_logger({"mcpServer": self.name}).debug(
                    "The connection to MCP server %r ended", self.name, exc_info=error
                )
        finally:
            self.is_dead = True
            if not self._open.done():
                closed = ConnectionError("the client was closed")
                self._open.set_exception(self._refusal(closed))
            for waiting in self.updates:
                waiting.put_nowait("")

    async def _try_until_open(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        wait = _FIRST_WAIT_S
        while True:
            try:
                return await self._serve()
            except MastraError:
                raise
            except Exception as error:
                if self._open.done():
                    raise
                if self._knows_only_the_newest(error):
                    self._mode = "auto"
                    continue
                if loop.time() + wait > until:
                    raise
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _knows_only_the_newest(self, error: Exception) -> bool:
        """Return whether a server refused the way in which a connection began until 2026."""
        code = getattr(_first(error), "code", None)
        return self._mode == "legacy" and self._config.mode == "auto" and code in _NEWER

    async def _serve(self) -> None:
        # Of this try alone: one that failed has ended too.
        end = self._end = asyncio.Event()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._open_s):
                client, opened = await self._client(stack)
                client = await stack.enter_async_context(client)
                await self._ask_for_logs(client)
            opened()
            self._open.set_result(client)
            self.is_dead = end.is_set()
            await end.wait()

    def _refusal(self, error: BaseException) -> ToolError:
        inner = _first(error)
        text = text_of(inner)
        if isinstance(inner, TimeoutError):
            text = f"no answer within {self._open_s:g} s"
        refused = getattr(self._http, "refused", None)
        if refused is not None:
            text = f"{text} (HTTP {refused.status_code} {refused.reason_phrase})"
            if refused.status_code in {401, 403}:
                text += ". Give what it asks for as headers={'authorization': …}, or as auth=…"
        place = self._config.command or self._config.url or "this process"
        return ToolError(
            f"MCP server {self.name!r} ({place}) cannot be reached: {text}",
            code="MCP_UNREACHABLE",
            details={"server": self.name},
        )

    async def _client(self, stack: AsyncExitStack) -> tuple[mcp.Client, Callable[[], None]]:
        """Return the SDK's client, and what to call once it is open."""
        sdk = _sdk()
        config = self._config
        given = {
            "mode": self._mode,
            "read_timeout_seconds": self._open_s,
            **self._callbacks(self),
        }
        if config.server is not None:
            build = getattr(config.server, "build", None)
            return sdk.Client(config.server if build is None else build(), **given), _nothing
        if config.command is not None:
            from mcp.client.stdio import stdio_client  # noqa: PLC0415 - an optional package

            program = sdk.StdioServerParameters(
                command=config.command,
                args=list(config.args),
                env=None if config.env is None else dict(config.env),
                cwd=config.cwd,
                # A line that is no message is passed over, and so is one that is no text.
                encoding_error_handler="replace",
            )
            transport = stdio_client(program, errlog=_standard_error())
            return sdk.Client(self._watched(transport), **given), _nothing
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

        from mastra.mcp.http_client import CallwiseHttpClient, Timeout, auth_of  # noqa: PLC0415

        http = await stack.enter_async_context(
            CallwiseHttpClient(
                headers=dict(config.headers or {}),
                auth=auth_of(config.auth),
                timeout=Timeout(_HTTP_S, read=max(_QUIET_S, self._read_s)),
            )
        )

        self._http = http

        def opened() -> None:
            http.is_open = True
            http.on_gone = self.retire

        transport = streamable_http_client(config.url or "", http_client=http)
        return sdk.Client(self._watched(transport), **given), opened

    async def _ask_for_logs(self, client: mcp.Client) -> None:
        level: Any = self._config.log_level
        if level is None or client.server_capabilities.logging is None:
            return
        if client.session.initialize_result is not None:
            # Later protocols say the level with each request.
            from mcp import types  # noqa: PLC0415 - an optional package

            asked = types.SetLevelRequest(params=types.SetLevelRequestParams(level=level))
            await client.session.send_request(asked, types.EmptyResult)

    @asynccontextmanager
    async def _watched(self, transport: Any) -> AsyncGenerator[Any]:
        """Give a transport's streams, and end the connection when the server ends it."""
        end = self._end
        async with transport as (read, write):
            yield _Watched(read, self._clean, lambda: self._lost(end)), write

    def _clean(self, said: Any) -> None:
        """Take what cannot be read out of what a server said, where that is a list."""
        answer: Any = getattr(getattr(said, "message", None), "result", None)
        # Nothing is listed before both sides know their protocol.
        if isinstance(answer, dict) and self._open.done() and not self._open.cancelled():
            self._sieve.clean(cast("dict[str, Any]", answer), self.client.protocol_version)


class _Watched:
    """A stream of what a server says, which shows it before it is read, and tells when it is over."""

    def __init__(
        self, stream: Any, shown: Callable[[Any], None], ended: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._shown = shown
        self._ended = ended

    @property
    def last_context(self) -> Any:
        """Whose request was answered last, where the transport knows."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        try:
            said = await self._stream.receive()
        except Exception:
            self._ended()
            raise
        self._shown(said)
        return said

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            said = await self._stream.__anext__()
        except (StopAsyncIteration, Exception):
            self._ended()
            raise
        self._shown(said)
        return said

    async def __aenter__(self) -> _Watched:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._stream.__aexit__(*raised)


def _sdk() -> Any:
    with needs("mcp", "MCP"):
        import mcp  # noqa: PLC0415 - an optional package
    return mcp


def _standard_error() -> Any:
    """Return where a program's standard error goes. That of a notebook, for one, is no file."""
    for stream in (sys.stderr, sys.__stderr__):
        with suppress(AttributeError, OSError):
            stream.fileno()  # pyright: ignore[reportOptionalMemberAccess] - there may be none
            return stream
    return subprocess.DEVNULL


def _nothing() -> None:
    return


def _first(error: BaseException) -> BaseException:
    """Return what is inside a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]
