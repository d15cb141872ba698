"""The project's `pyproject.toml`, where there is one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mastra.errors import ConfigError

__all__ = ["table_of"]

_NAME = "pyproject.toml"


def table_of(folder: Path, *names: str) -> Mapping[str, Any]:
    """Return a table of the file, by the names that lead to it; an empty one where there is none.

    Raises:
        ConfigError: The file cannot be read, or what is there is no table.
    """
    path = folder / _NAME
    if not path.exists():
        return {}
    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{_NAME} cannot be read: {error}") from error
    for count, name in enumerate(names, 1):
        found = cast("Mapping[str, Any]", found).get(name, {})
        if not isinstance(found, Mapping):
            raise ConfigError(f"[{'.'.join(names[:count])}] in {_NAME} has to be a table.")
    return cast("Mapping[str, Any]", found)
