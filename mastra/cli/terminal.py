"""What commands share: consoles, JSON on stdout, errors with an exit code, the event loop."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import anyio
import typer
from rich.console import Console
from rich.text import Text

from mastra.errors import ConfigError, MastraError, RunNotFoundError, ValidationError
from mastra.jsonable import Json, dump_wire

__all__ = [
    "FAILED",
    "MISUSED",
    "AppOption",
    "JsonOption",
    "fail",
    "in_loop",
    "notes",
    "print_json",
    "read_json",
    "reporting",
]

FAILED = 1
"""Exit code of a run that failed."""
MISUSED = 2
"""Exit code of a wrong call or a wrong set-up."""

AppOption = Annotated[
    str | None,
    typer.Option("--app", "-a", help="The Mastra object, as module:name."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, nothing else.")]


def notes() -> Console:
    """Return the console for people: stderr, so that stdout is the answer alone."""
    return Console(stderr=True, highlight=False)


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
    except json.JSONDecodeError as error:
        raise ConfigError(f"{what} is not JSON: {error}") from error


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print an error and leave.

    Raises:
        Exit: Always.
    """
    notes().print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def reporting() -> Generator[None]:
    """Turn this package's errors into a message and an exit code."""
    try:
        yield
    except (ConfigError, ValidationError, RunNotFoundError) as error:
        fail(error.message, MISUSED)
    except MastraError as error:
        fail(error.message)


def in_loop(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run an async function, turning errors into exit codes."""
    with reporting():
        return anyio.run(function, *arguments)
