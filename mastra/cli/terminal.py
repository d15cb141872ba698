"""What commands share: consoles, JSON on stdout, errors with an exit code, the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from io import UnsupportedOperation
from typing import Annotated, Any, Final, NoReturn

import anyio
import typer
from rich.console import Console
from rich.text import Text

from mastra.errors import ConfigError, MastraError, RunNotFoundError, ValidationError
from mastra.input_lines import InputLines, check_standard_input
from mastra.jsonable import Json, dump_wire

__all__ = [
    "FAILED",
    "MISUSED",
    "AppOption",
    "JsonOption",
    "check_port",
    "check_port_number",
    "fail",
    "in_loop",
    "notes",
    "plain",
    "print_json",
    "read_all",
    "read_json",
    "reporting",
    "typed",
]

FAILED = 1
"""Exit code of a run that failed."""
MISUSED = 2
"""Exit code of a wrong call or a wrong set-up."""

AppOption = Annotated[
    str | None,
    typer.Option("--app", "-a", help="The Mastra object, as module:name."),
]


class _Output:
    """What this call of the command line prints."""

    is_json = False


def _note_json(value: bool) -> bool:
    _Output.is_json = value
    return value


JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on stdout, nothing else.", callback=_note_json),
]


def plain(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: ids and messages have brackets and colons."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def notes() -> Console:
    """Return the console for people: stderr, so that stdout is the answer alone."""
    return plain(stderr=True)


def print_json(value: Json) -> None:
    """Print JSON on stdout."""
    sys.stdout.write(json.dumps(json.loads(dump_wire(value)), ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def read_json(text: str, what: str) -> Json:
    """Return what JSON text says.

    Raises:
        ConfigError: It is none.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{what} is nested too deeply.") from error
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise ConfigError(f"{what} is not JSON: {error}") from error


def typed() -> InputLines:
    """Return the lines of standard input. The event loop goes on while one is waited for.

    Raises:
        ConfigError: It is closed.
    """
    check_standard_input()
    try:
        return InputLines(partial(os.read, sys.stdin.fileno()))
    except UnsupportedOperation:  # it was replaced inside Python
        return InputLines(sys.stdin.buffer.read)


async def read_all(what: str) -> str:
    """Return the text of standard input.

    Raises:
        ConfigError: It is no text, or closed.
    """
    try:
        return (await typed().rest()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is no text in UTF-8: {error}") from error


def fail(message: str, code: int = FAILED, *, named: str = "ERROR") -> NoReturn:
    """Print an error and leave: for people on stderr, with `--json` as JSON on stdout too.

    Args:
        message: What went wrong.
        code: The exit code.
        named: The error's own code.

    Raises:
        Exit: Always.
    """
    if _Output.is_json:
        print_json({"error": {"message": message, "code": named}})
    notes().print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def reporting() -> Generator[None]:
    """Turn this package's errors into a message and an exit code."""
    try:
        yield
    except (ConfigError, ValidationError, RunNotFoundError) as error:
        fail(error.message, MISUSED, named=error.code)
    except MastraError as error:
        fail(error.message, named=error.code)


def check_port_number(port: int) -> None:
    """Check that there is such a port.

    Raises:
        ConfigError: There is none.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"There is no port {port}: give one from 1 to 65535 with --port.")


def check_port(host: str, port: int) -> None:
    """Check that a server may listen.

    Raises:
        ConfigError: It may not: somebody else does, or the address is not this machine's.
    """
    check_port_number(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} of {host} cannot be listened on: {error.strerror}. End what "
                "listens there, or give another with --port.",
                code="PORT_IN_USE",
            ) from error


def in_loop(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run an async function, turning errors into exit codes.

    Told to end (SIGTERM, or SIGHUP where the terminal goes), it is cancelled, as Ctrl-C does: what is
    open is closed, and the terminal has its cursor. Told twice, the process ends at once.

    Raises:
        Exit: There was an error, or it was told to end: 128 and the signal's number.
    """
    with reporting():
        return anyio.run(_until_told, function, arguments)


async def _until_told(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
    with _told_to_end() as told:
        try:
            return await function(*arguments)
        except asyncio.CancelledError:
            if not told:
                raise
            raise typer.Exit(128 + told[0]) from None


_ENDINGS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def _told_to_end() -> Generator[list[int]]:
    """Have signals cancel the task that asks, and tell which came."""
    told: list[int] = []
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def end(number: int, _: Any) -> None:
        signal.signal(number, before[number])
        told.append(number)
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    if threading.current_thread() is threading.main_thread():
        # What is ignored stays so: `nohup` says that the terminal may go.
        handlers = {number: signal.getsignal(number) for number in _ENDINGS}
        before = {number: was for number, was in handlers.items() if was is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, end)
    try:
        yield told
    finally:
        for number, was in before.items():
            signal.signal(number, was)
