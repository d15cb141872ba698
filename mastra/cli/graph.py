"""`mastra graph`: a workflow as a Mermaid diagram."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mastra.cli.load import load_app
from mastra.cli.terminal import AppOption, JsonOption, print_json, reporting
from mastra.workflows.describe import describe_nodes

__all__ = ["graph"]


def graph(
    workflow: Annotated[str, typer.Argument(help="The workflow's key or id.")],
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a workflow's graph as Mermaid, or as the JSON that Studio draws."""
    with reporting():
        found = load_app(app).get_workflow_by_id(workflow)
    if as_json:
        print_json(describe_nodes(found.spec))
    else:
        sys.stdout.write(found.to_mermaid() + "\n")
