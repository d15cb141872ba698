"""`mastra dev` and `mastra start`.

The server is imported when it is to serve: the other commands begin without it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.logging import RichHandler
from rich.text import Text

from mastra.cli.load import APP_VARIABLE, find_app, load_app
from mastra.cli.terminal import AppOption, check_port, check_port_number, notes, reporting
from mastra.errors import MissingDependencyError
from mastra.extras import needs
from mastra.logs import show_cause
from mastra.observability.config import Observability
from mastra.observability.logs import JsonLogFormatter
from mastra.registry import Mastra
from mastra.server.config import ServerConfig

__all__ = ["dev", "dev_app", "start"]

HostOption = Annotated[str | None, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int | None, typer.Option(help="Port to listen on.")]
_DRAIN_S: Final = 2
"""How long `mastra dev` waits for runs: whoever has changed a file, or presses Ctrl-C, is there."""
_HOST, _PORT, _RECEIVE_TIMEOUT = "MASTRA_HOST", "MASTRA_PORT", "MASTRA_RECEIVE_TIMEOUT"


def _config(mastra: Mastra, host: str | None, port: int | None) -> ServerConfig:
    config: ServerConfig = mastra.server or ServerConfig()
    if host is not None:
        config = replace(config, host=host)
    if port is None:
        return config
    # Told by the option's name, which the settings know nothing of.
    check_port_number(port)
    return replace(config, port=port)


def _log_to(handler: logging.Handler, **options: Any) -> None:
    handler.addFilter(show_cause)
    logging.basicConfig(level=logging.INFO, handlers=[handler], **options)
    # It tells of every request to a model or to Inngest, which is no news here.
    logging.getLogger("httpx").setLevel(logging.WARNING)


@contextmanager
def _stopped_with_terminal() -> Generator[None]:
    """Have the end of the terminal stop this process as SIGTERM does, which uvicorn listens to."""
    number = getattr(signal, "SIGHUP", None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)


def dev_app() -> Any:
    """Return the application that `mastra dev` serves; called in each process that it starts."""
    from mastra.server import create_app  # noqa: PLC0415

    handler = RichHandler(console=notes(), show_path=False)
    _log_to(handler, format="%(message)s")
    mastra = load_app(None)
    if mastra.observability is None:
        # Studio shows traces, and this is the developer's own machine.
        mastra.observe(Observability())
    port = os.environ.get(_PORT)
    config = _config(mastra, os.environ.get(_HOST), None if port is None else int(port))
    config = replace(config, drain_timeout=min(config.drain_timeout, _DRAIN_S))
    app = create_app(mastra, config)
    _add_console(app, mastra, config)
    return app


def _add_console(app: Any, mastra: Mastra, config: ServerConfig) -> None:
    try:
        with needs("console", "The console"):
            from mastra.console.mounting import claims, mount  # noqa: PLC0415 - as the server
    except MissingDependencyError as error:
        notes().print(Text(error.message, "dim"))
        return
    # What the project has at one of the console's addresses stays where it is.
    own = chain.from_iterable(
        route if isinstance(route, Sequence) else [route] for route in config.api_routes
    )
    is_taken = not config.api_prefix or any(claims(route.path) for route in own)
    path = "/console" if is_taken else "/"
    mount(app, mastra, path=path, api_prefix=config.api_prefix)
    notes().print(Text(f"Console http://{config.host}:{config.port}{path}"))


def dev_protocol(*args: Any, **options: Any) -> Any:
    """Return what reads one connection of `mastra dev`; called in each process that it starts."""
    from mastra.server.arrivals import timed_protocol  # noqa: PLC0415

    seconds = os.environ[_RECEIVE_TIMEOUT]
    return timed_protocol(float(seconds) if seconds else None)(*args, **options)


def dev(
    app: AppOption = None,
    host: HostOption = None,
    port: PortOption = None,
    reload: Annotated[bool, typer.Option(help="Start again when a file changes.")] = True,
) -> None:
    """Serve the project, and start again when a file changes."""
    with reporting():
        os.environ[APP_VARIABLE] = find_app(app)
        config = _config(load_app(app), host, port)
        check_port(config.host, config.port)
    os.environ[_HOST], os.environ[_PORT] = config.host, str(config.port)
    timeout_s = config.receive_timeout
    os.environ[_RECEIVE_TIMEOUT] = "" if timeout_s is None else str(timeout_s)
    base = f"http://{config.host}:{config.port}"
    notes().print(
        Text.assemble(("Mastra ", "bold"), f"{base}{config.api_prefix}  docs {base}/docs")
    )
    import uvicorn  # noqa: PLC0415

    with _stopped_with_terminal():
        uvicorn.run(
            "mastra.cli.serving:dev_app",
            factory=True,
            host=config.host,
            port=config.port,
            http="mastra.cli.serving:dev_protocol",
            reload=reload,
            reload_dirs=[str(Path.cwd())] if reload else None,
            log_level="warning",
            timeout_graceful_shutdown=_DRAIN_S,
        )


def start(
    app: AppOption = None,
    host: HostOption = None,
    port: PortOption = None,
    json_logs: Annotated[bool, typer.Option("--json", help="Log as JSON lines.")] = False,
) -> None:
    """Serve the project for production: no reload, and a stop that lets runs reach a safe point."""
    handler = logging.StreamHandler()
    if json_logs:
        handler.setFormatter(JsonLogFormatter())
    _log_to(handler)
    with reporting():
        from mastra.server import serve  # noqa: PLC0415

        mastra = load_app(app)
        config = _config(mastra, host, port)
        check_port(config.host, config.port)
        serve(mastra, config)
