"""The table of commands."""

from __future__ import annotations

import typer

from mastra.cli.chatting import chat
from mastra.cli.evaluating import evaluate
from mastra.cli.graph import graph
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
for command in (dev, start, run, chat, graph, new):
    cli.command()(command)
cli.command("eval")(evaluate)
cli.add_typer(runs, name="runs")
