"""What is imported on first use: names of packages, and packages that an extra brings.

`pip install mastra-py` brings what workflows and agents need by themselves. What else a part stands
on comes with an extra, and where it is missing, whoever needs it first says which.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mastra.errors import MissingDependencyError

__all__ = ["lazy_names", "needs"]


@contextmanager
def needs(extra: str, what: str) -> Generator[None, None, None]:
    """Import in its body; a package that is missing there is told of with its command.

    Args:
        extra: The extra that brings it, or several: `"sql"`, `"inngest,server"`.
        what: Who needs it, as the beginning of the sentence.

    Raises:
        MissingDependencyError: A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "mastra"}:
            raise
        raise MissingDependencyError(
            f"{what} needs the package {package!r}, which is not installed: "
            f"pip install 'mastra-py[{extra}]'.",
            details={"package": package, "extra": extra},
        ) from error


def lazy_names(
    package: str, homes: Mapping[str, str], *, extra: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are imported on first use.

    Args:
        package: Its `__name__`.
        homes: The module of each public name.
        extra: The extra that brings what those modules import.
    """

    def load(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if extra is None:
            module = import_module(home)
        else:
            with needs(extra, f"{package}.{name}"):
                module = import_module(home)
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(homes)

    return load, names
