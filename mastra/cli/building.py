"""`mastra build`: what a host is given, in one folder, with nothing left to be resolved there."""

from __future__ import annotations

import json
import re
import shutil
import sys
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

import mastra
from mastra.cli.load import find_app
from mastra.cli.locking import lock, needs_of
from mastra.cli.project import Project, read_project
from mastra.cli.terminal import AppOption, JsonOption, notes, print_json, reporting
from mastra.errors import ConfigError

__all__ = ["build"]

OUTPUT: Final = Path(".mastra", "output")
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_SQLITE: Final = (b"SQLi", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""What a database begins with, and what is beside it while it is open."""
_OF_A_STORAGE: Final = b"mastra_schema_version"


class Target(StrEnum):
    """Where it is to run."""

    VERCEL = "vercel"
    DOCKER = "docker"


_ENTRIES: Final = {Target.VERCEL: "index.py", Target.DOCKER: "serve.py"}
_NEXT: Final = {
    Target.VERCEL: f"cd {OUTPUT} && vercel deploy",
    Target.DOCKER: f"docker build -t app {OUTPUT} && docker run -p 4111:4111 app",
}


def build(
    target: Annotated[Target, typer.Option("--target", "-t", help="Where it is to run.")],
    app: AppOption = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="An extra that only the environment asks for, such as openai."),
    ] = None,
    python: Annotated[
        str, typer.Option(help="The version of Python there.")
    ] = f"3.{max(sys.version_info.minor, 12)}",
    as_json: JsonOption = False,
) -> None:
    """Write the function or the image's folder to .mastra/output, with a lock and its hashes."""
    with reporting():
        named = find_app(app)
        folder = Path.cwd()
        module, _, attribute = named.partition(":")
        project = read_project(folder, module)
        project.extras |= {"server", *(extra or ())}
        _check(project, target, python, attribute)
        notes().print(Text(f"Locking for Python {python}: {', '.join(sorted(project.extras))}"))
        locked = lock(needs_of(project, folder), python)
        words = {"module": module, "name": attribute, "python": python, "pins": _pins(locked)}
        output = folder / OUTPUT
        _write(output, folder, project, target, words)
        (output / "requirements.txt").write_text(locked, encoding="utf-8")
    packages = locked.count("==")
    if as_json:
        print_json(
            {
                "folder": str(OUTPUT),
                "target": target.value,
                "extras": sorted(project.extras),
                "packages": packages,
            }
        )
        return
    notes().print(Text(f"Wrote {OUTPUT}: {packages} packages with their hashes."))
    if project.keeps_file and target is Target.VERCEL:
        notes().print(
            Text("A function keeps no file: name a PostgreSQL in place of the SQLite file.")
        )
    notes().print(Text(f"Next: {_NEXT[target]}"))


def _check(project: Project, target: Target, python: str, attribute: str) -> None:
    if not attribute.isidentifier():
        raise ConfigError(
            f"{attribute!r} is no name in the application's module. Give a Mastra object that "
            "stands there a name, and --app as module:name."
        )
    if re.fullmatch(r"3\.\d+", python) is None:
        raise ConfigError(f"--python is {python!r}; use 3.12 or a later 3.x.")
    if "local" in project.extras:
        raise ConfigError(
            "The project names the embedded model, whose weights no lock has. Name another one."
        )
    entry = Path(_ENTRIES[target]).stem
    if entry in project.roots:
        raise ConfigError(
            f"The project has a module {entry!r}, which is what the entry is called there. "
            "Give it another name."
        )


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what of a folder is no part of a program: whoever gets the image would read it."""
    found = _LEFT_OUT(folder, names)
    for name in names:
        if _is_storage(Path(folder, name)):
            found |= {name, f"{name}-wal", f"{name}-shm", f"{name}-journal"}
    return found


def _is_storage(path: Path) -> bool:
    """Return whether a file is a database that an application of ours keeps its runs in.

    One of another program goes along. The names of tables stand in the first pages, or, while the
    application runs, only in the file beside it.
    """
    for part in (path, path.with_name(f"{path.name}-wal")):
        if part.is_file():
            with part.open("rb") as file:
                if file.read(4) in _SQLITE and _OF_A_STORAGE in file.read(1 << 20):
                    return True
    return False


def _pins(locked: str) -> str:
    """Return the locked packages as lines of a TOML list."""
    found = re.findall(r"^([A-Za-z0-9][^ \\;]*==[^ \\;]+)", locked, re.MULTILINE)
    return "\n".join(f"    {json.dumps(pin)}," for pin in found)


def _write(
    output: Path, folder: Path, project: Project, target: Target, words: dict[str, Any]
) -> None:
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    ours = Path(str(mastra.__file__)).parent
    shutil.copytree(ours, output / "mastra", ignore=_LEFT_OUT)
    for root in sorted(project.roots):
        path = folder / root
        if path.is_dir():
            shutil.copytree(path, output / root, ignore=_left_out)
        else:
            shutil.copy(path.with_suffix(".py"), output)
    templates = resources.files("mastra.cli") / "templates" / f"build_{target.value}"
    for file in templates.iterdir():
        text = file.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"{{{{{word}}}}}", value)
        (output / file.name.removesuffix(".txt")).write_text(text, encoding="utf-8")
