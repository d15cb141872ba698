"""The table of commands."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from mastra.cli.building import build
from mastra.cli.chatting import chat
from mastra.cli.doctor import doctor
from mastra.cli.evaluating import evaluate
from mastra.cli.graph import graph
from mastra.cli.mcp import mcp
from mastra.cli.new import new
from mastra.cli.running import run
from mastra.cli.runs import runs
from mastra.cli.serving import dev, start

__all__ = ["cli"]

cli = typer.Typer(
    name="mastra",
    help="Agents and workflows from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (dev, start, run, chat, graph, mcp, new, build, doctor):
    cli.command()(command)
cli.command("eval")(evaluate)
cli.add_typer(runs, name="runs")


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"mastra-py {version('mastra-py')}")
        except PackageNotFoundError:
            typer.echo("mastra-py, not installed as a package")
        raise typer.Exit


@cli.callback()
def _options(  # typer calls it
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    return
