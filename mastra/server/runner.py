"""Run a server in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from mastra.logs import get_logger
from mastra.registry import Mastra
from mastra.server.app import create_app, server_of
from mastra.server.arrivals import timed_protocol
from mastra.server.config import ServerConfig
from mastra.server.context import Server
from mastra.server.draining import begin_draining, drain

__all__ = ["GracefulServer", "serve"]

_AFTER_DRAINING_S = 5


class GracefulServer(uvicorn.Server):
    """A server that drains as soon as it is told to stop.

    Uvicorn ends an application's lifespan after its connections are closed, and a stream is closed
    only when its run has stopped; so the runs are told first.
    """

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop.

        A task of user code that nobody awaits in a step and that raises `SystemExit` ends asyncio's
        loop, with all runs in it. That is no reason to stop serving, so the loop goes on.
        """
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self.serve(sockets))
            while True:
                try:
                    return loop.run_until_complete(serving)
                except (SystemExit, KeyboardInterrupt) as error:
                    if serving.done() or not self.started:
                        raise
                    get_logger().error("A task raised %r; the server goes on.", error)

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop when the terminal goes, too, unless that was told to be nothing (`nohup`)."""
        number = getattr(signal, "SIGHUP", None)
        is_main = threading.current_thread() is threading.main_thread()
        with super().capture_signals():
            if number is None or not is_main or signal.getsignal(number) is signal.SIG_IGN:
                yield
                return
            before = signal.signal(number, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(number, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, at once when told twice."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin)
        super().handle_exit(sig, frame)

    def _begin(self) -> None:
        begin_draining(self._server)
        if self._drain is None:
            self._drain = asyncio.create_task(drain(self._server))  # noqa: TID251


def uvicorn_config(app: Any, config: ServerConfig, **options: Any) -> uvicorn.Config:
    """Return how uvicorn is to run an application."""
    settings: dict[str, Any] = {
        "host": config.host,
        "port": config.port,
        "timeout_graceful_shutdown": int(config.drain_timeout) + _AFTER_DRAINING_S,
        "log_level": "warning",
        **options,
    }
    if settings.get("http", "auto") == "auto":
        settings["http"] = timed_protocol(config.receive_timeout)
    return uvicorn.Config(app, **settings)


def serve(mastra: Mastra, config: ServerConfig | None = None, **options: Any) -> None:
    """Serve until the process is told to stop (Ctrl-C, SIGTERM; SIGHUP, where its terminal goes).

    Args:
        mastra: What to serve.
        config: How; left out, what `Mastra(server=...)` says.
        options: Further options of `uvicorn.Config`.
    """
    app = create_app(mastra, config)
    server = server_of(app)
    # What the imports left stays for good: collections need not walk it, and take less time.
    gc.collect()
    gc.freeze()
    GracefulServer(uvicorn_config(app, server.config, **options), server).run()
