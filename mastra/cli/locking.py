"""The lock of a build: the versions that are installed here, with the hashes that an index has for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mastra.cli.packages import brought_by, lacks, needed_by
from mastra.cli.project import Project
from mastra.cli.pyproject import table_of
from mastra.errors import ConfigError

__all__ = ["lock", "needs_of"]

_NAME: Final = "mastra-py"
_QUIET: Final = ("--quiet", "--no-header", "--no-annotate", "--no-emit-index-url")


def needs_of(project: Project, folder: Path) -> list[str]:
    """Return what a project needs: requirements without versions.

    Raises:
        ConfigError: An extra that it uses is not installed, so that nobody knows in which version.
    """
    found = set(needed_by(_NAME)) | project.distributions
    found |= set(_of_extras(_NAME, project.extras)) | set(_declared(folder))
    return sorted(found - {_NAME}, key=str.lower)


def _of_extras(package: str, extras: Iterable[str]) -> Iterator[str]:
    brought = brought_by(package)
    for extra in extras:
        if extra not in brought:
            raise ConfigError(f"There is no extra {extra!r}. There are {', '.join(brought)}.")
        for name, inner in brought[extra]:
            if lacks(name, inner):
                raise ConfigError(
                    f"The project needs the extra {extra!r}, which is not installed here: "
                    f"pip install '{_NAME}[{extra}]'."
                )
            if name == package:
                yield from _of_extras(package, inner)
            else:
                yield f"{name}[{','.join(inner)}]" if inner else name


def _declared(folder: Path) -> list[str]:
    """Return what the project's own metadata asks for, beside mastra."""
    project = table_of(folder, "project")
    if project.get("name") == _NAME:
        return []
    asked: list[str] = project.get("dependencies", [])
    return [one for one in asked if not one.replace("_", "-").lower().startswith(_NAME)]


def lock(needs: list[str], python: str) -> str:
    """Return a requirements file with hashes, for Linux: all that is needed, nothing to resolve.

    Args:
        needs: Requirements.
        python: A version of Python, such as `3.12`.

    Raises:
        ConfigError: There is no uv, or it finds no such versions.
    """
    installed = {one.metadata["Name"]: one.version for one in distributions()}
    with tempfile.TemporaryDirectory() as folder:
        wanted, versions = Path(folder, "needs.in"), Path(folder, "installed.txt")
        wanted.write_text("\n".join(needs), encoding="utf-8")
        versions.write_text(
            "\n".join(f"{name}=={version}" for name, version in installed.items()), encoding="utf-8"
        )
        done = subprocess.run(  # noqa: S603 - a fixed command
            [
                *_uv(),
                *("pip", "compile", *_QUIET, "--generate-hashes", "--constraint", str(versions)),
                *("--python-version", python, "--python-platform", "linux", str(wanted)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ConfigError(f"The packages cannot be locked. uv says:\n{done.stderr.strip()[-1500:]}")
    return done.stdout


def _uv() -> list[str]:
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    if found is None:
        raise ConfigError("A build needs uv, which knows the hashes of packages: pip install uv.")
    return [found]
