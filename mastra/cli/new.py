"""`mastra new`: a starter project that installs, tests and answers without a key."""

from __future__ import annotations

import keyword
import re
import sys
from enum import StrEnum
from importlib import resources
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from mastra.cli.terminal import MISUSED, JsonOption, fail, notes, print_json

__all__ = ["new"]


class Template(StrEnum):
    """What a project begins as."""

    PLANNER = "planner"
    AGENT = "agent"
    WORKFLOW = "workflow"
    INNGEST = "inngest"


_PARTS: Final = {
    Template.PLANNER: ("common", "planner"),
    Template.AGENT: ("common", "agent"),
    Template.WORKFLOW: ("common", "workflow"),
    Template.INNGEST: ("common", "planner", "inngest"),
}
"""The folders that a template is put together from; a later file takes an earlier one's place."""
_EXTRAS: Final = {Template.INNGEST: "cli,inngest,sql"}
_FIRST: Final = {
    Template.PLANNER: "mastra run plan-day city=Paris",
    Template.AGENT: "mastra chat assistant",
    Template.WORKFLOW: "mastra run greet name=Ada",
    Template.INNGEST: "mastra dev",
}
_OUTSIDE: Final = frozenset(
    ("pyproject.toml", "README.md", ".gitignore", ".env.example", "test_app.py")
)
"""What lies beside the package, not in it."""


def new(
    name: Annotated[str, typer.Argument(help="The project's name, and its folder.")],
    template: Annotated[
        Template, typer.Option("--template", "-t", help="What it begins as.")
    ] = Template.PLANNER,
    as_json: JsonOption = False,
) -> None:
    """Make a starter project with tests, ready for `mastra dev`, that answers without a key."""
    module = name.replace("-", "_").lower()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or keyword.iskeyword(module):
        fail(f"{name!r} is no name for a project: letters, digits, - and _.", MISUSED)
    if module in sys.stdlib_module_names or module in {"mastra", *packages_distributions()}:
        fail(f"{name!r} is no name for a project: there is a module {module!r} already.", MISUSED)
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} exists and is no empty folder.", MISUSED)
    words = {"name": name, "module": module, "extras": _EXTRAS.get(template, "cli,sql")}
    written: list[str] = []
    for path, content in _files(template).items():
        target = folder / path if path in _OUTSIDE else folder / module / path
        target.parent.mkdir(parents=True, exist_ok=True)
        for word, value in words.items():
            content = content.replace(f"{{{{{word}}}}}", value)  # noqa: PLW2901
        target.write_text(content, encoding="utf-8")
        written.append(str(target))
    if as_json:
        print_json({"folder": str(folder), "template": template.value, "files": written})
        return
    console = notes()
    console.print(Text(f"Made {folder}:"))
    for path in written:
        console.print(Text(f"  {path}", "dim"))
    console.print(Text(f"Next: cd {name} && pip install -e '.[dev]' && {_FIRST[template]}"))


def _files(template: Template) -> dict[str, str]:
    """Return the files of a template by their name."""
    root = resources.files("mastra.cli") / "templates"
    return {
        file.name.removesuffix(".txt"): file.read_text(encoding="utf-8")
        for part in _PARTS[template]
        for file in sorted((root / part).iterdir(), key=lambda found: found.name)
    }
