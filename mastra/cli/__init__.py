"""The command line `mastra`. No logic of its own: it calls what the library offers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from mastra.errors import MissingDependencyError
from mastra.extras import needs

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say how to install what it stands on."""
    try:
        with needs("cli", "The command line"):
            from mastra.cli.commands import cli  # noqa: PLC0415 - an optional package
    except MissingDependencyError as error:
        sys.exit(str(error))
    _run(cli)


def _run(cli: Callable[[], None]) -> None:
    if sys.stdout is None:  # whoever called closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
    try:
        try:
            cli()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # A full disk, a folder that may not be written to, a reader that has gone. What could not
        # be written would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1 if isinstance(error, BrokenPipeError) else f"Error: {error}")
