"""Find the `Mastra` object of the project that the command line is called in."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

from mastra.cli.pyproject import table_of
from mastra.errors import ConfigError
from mastra.failures import name_of, text_of
from mastra.registry import Mastra

__all__ = ["APP_VARIABLE", "find_app", "load_app", "not_imported"]

APP_VARIABLE = "MASTRA_APP"
"""Names the object where no option does: `module:name`."""

_USUAL = ("app.main:mastra", "main:mastra", "app:mastra", "src.main:mastra")


def find_app(given: str | None) -> str:
    """Return `module:name`: as given, from the environment, from pyproject.toml, or usual.

    Raises:
        ConfigError: It is nowhere to be found.
    """
    here = Path.cwd()
    named = given or os.environ.get(APP_VARIABLE) or _from_pyproject(here)
    if named:
        return named if ":" in named else f"{named}:mastra"
    for usual in _USUAL:
        path = here.joinpath(*usual.partition(":")[0].split("."))
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            return usual
    raise ConfigError(
        "No application found. Say where the Mastra object is: --app module:name, the variable "
        f'{APP_VARIABLE}, or app = "module:name" under [tool.mastra] in pyproject.toml. Where there '
        "is no project yet, `mastra new my-app` makes one."
    )


def _from_pyproject(folder: Path) -> str | None:
    found: Any = table_of(folder, "tool", "mastra").get("app")
    if found is not None and not isinstance(found, str):
        raise ConfigError(
            f"app under [tool.mastra] in pyproject.toml is {found!r}, and has to be text such as "
            '"module:name".'
        )
    return found


def _read_variables(path: Path) -> None:
    try:
        load_dotenv(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error


def load_app(given: str | None) -> Mastra:
    """Import the object.

    Raises:
        ConfigError: It is not there, or is no `Mastra`.
    """
    here = Path.cwd()
    _read_variables(here / ".env")
    named = find_app(given)
    module_name, _, name = named.partition(":")
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    if "/" in module_name or module_name.endswith(".py"):
        meant = module_name.removeprefix("./").removesuffix(".py").replace("/", ".")
        raise ConfigError(
            f"{module_name!r} is a file, and a module is named with dots: --app {meant}:{name}."
        )
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        # One that it imports is missing in the same way.
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"There is no module {module_name!r} in {here}.") from error
        raise not_imported(module_name, error, here) from error
    except (Exception, SystemExit) as error:
        raise not_imported(module_name, error, here) from error
    found: Any = getattr(module, name, None)
    if not isinstance(found, Mastra):
        there = [key for key, value in vars(module).items() if isinstance(value, Mastra)]
        advice = f" Give --app {module_name}:{there[0]}." if there else ""
        if not hasattr(module, name):
            raise ConfigError(f"Module {module_name!r} has no {name!r}.{advice}")
        told = found.__name__ if isinstance(found, type) else type(found).__name__
        kind = f"the class {told}" if isinstance(found, type) else f"of the type {told}"
        raise ConfigError(f"{named} is {kind}, and has to be a Mastra object.{advice}")
    return found


def not_imported(module_name: str, error: BaseException, here: Path) -> ConfigError:
    """Return what to say of a project that cannot be imported: its own lines, the last three."""
    lines = [f"{module_name!r} cannot be imported: {name_of(error)}: {text_of(error)}"]
    if isinstance(error, SyntaxError):
        lines.append(f"  {error.filename}, line {error.lineno}")
    frames = [(Path(f.filename), f) for f in traceback.extract_tb(error.__traceback__)]
    lines += [
        f"  {path.relative_to(here)}, line {frame.lineno}: {frame.line}"
        for path, frame in frames
        if path.is_relative_to(here) and "site-packages" not in path.parts
    ][-3:]
    return ConfigError("\n".join(lines), code="APP_NOT_IMPORTED")
