"""`mastra new`: a starter project that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from mastra.cli.starter import FILES
from mastra.cli.terminal import MISUSED, JsonOption, fail, notes, print_json

__all__ = ["new"]


def new(
    name: Annotated[str, typer.Argument(help="The project's name, and its folder.")],
    as_json: JsonOption = False,
) -> None:
    """Make a starter project: an agent, a workflow, a test, ready for `mastra dev`."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        fail(f"{name!r} is no name for a project: letters, digits, - and _.", MISUSED)
    folder = Path(name)
    if folder.exists() and any(folder.iterdir()):
        fail(f"{folder} exists and is not empty.", MISUSED)
    written: list[str] = []
    for path, content in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content.replace("{{name}}", name), encoding="utf-8")
        written.append(str(target))
    if as_json:
        print_json({"folder": str(folder), "files": written})
        return
    console = notes()
    console.print(Text(f"Made {folder}:"))
    for path in FILES:
        console.print(Text(f"  {path}", "dim"))
    console.print(Text(f"Next: cd {name} && mastra run greet name=Ada"))
