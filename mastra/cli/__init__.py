"""The command line `mastra`. No logic of its own: it calls what the library offers."""

from __future__ import annotations

import sys

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
    cli()
