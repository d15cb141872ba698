"""`mastra graph`: a workflow as a Mermaid diagram."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mastra.cli.load import load_app
from mastra.cli.terminal import AppOption, JsonOption, print_json, reporting
from mastra.registry import Mastra
from mastra.workflows.describe import describe_nodes

__all__ = ["graph"]


def graph(
    workflow: Annotated[
        str | None, typer.Argument(help="The workflow's key or id; left out, all of them.")
    ] = None,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a workflow's graph as Mermaid, or as the JSON that Studio draws."""
    with reporting():
        mastra = load_app(app)
        named = None if workflow is None else mastra.get_workflow_by_id(workflow)
    if named is None:
        _print_all(mastra, as_json=as_json)
    elif as_json:
        print_json(describe_nodes(named.spec))
    else:
        sys.stdout.write(named.to_mermaid() + "\n")


def _print_all(mastra: Mastra, *, as_json: bool) -> None:
    workflows = mastra.list_workflows()
    if as_json:
        print_json({key: describe_nodes(found.spec) for key, found in workflows.items()})
        return
    # A comment of Mermaid's says which one it is, so that a single one can be drawn as it comes.
    drawn = [f"%% {key}\n{found.to_mermaid()}\n" for key, found in workflows.items()]
    sys.stdout.write("\n".join(drawn))
