"""What is imported on first use: names of packages, and packages that an extra brings.

`pip install mastra-py` brings what workflows and agents need by themselves. What else a part stands
on comes with an extra, and where it is missing, whoever needs it first says which.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, NoReturn

from mastra.errors import ConfigError, MissingDependencyError

__all__ = ["lazy_names", "missing_name", "needs", "public_package", "tell_if_called"]


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


_PUBLIC: Final = (
    *("mastra", "mastra.a2a", "mastra.ag_ui", "mastra.ai_sdk", "mastra.console", "mastra.evals"),
    *("mastra.inngest", "mastra.mcp", "mastra.memory", "mastra.models", "mastra.observability"),
    *("mastra.processors", "mastra.schedules", "mastra.server", "mastra.storage", "mastra.testing"),
)
"""Packages with public names."""


def public_package(name: str) -> ModuleType | None:
    """Return a package of public names, imported, or `None` where it is none."""
    return import_module(name) if name in _PUBLIC or name == "mastra.errors" else None


def missing_name(package: str, name: str, known: Iterable[str]) -> Exception:
    """Return what a package's `__getattr__` raises for a name that is not there.

    It says where the name is, or which one may be meant.

    Args:
        package: Its `__name__`.
        name: What it was asked for.
        known: Its public names.
    """
    text = f"module {package!r} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(text)
    # Who asks the `__getattr__` that calls this: of `from mastra import x` it is the import, which
    # hides what an AttributeError says, and which then looks for a module of that name.
    is_import = sys._getframe(2).f_globals.get("__name__") == "importlib._bootstrap"  # noqa: SLF001
    if find_spec(f"{package}.{name}") is not None:
        return AttributeError(f"{text}. It is a module of its own: `import {package}.{name}`")
    from mastra.names import hint  # noqa: PLC0415 - only where a name is not there

    home = next((one for one in _PUBLIC if name in import_module(one).__all__), None)
    told = f" Write `from {home} import {name}`" if home else hint([name], known)
    made = f"{text}.{told}".rstrip(".")
    return ImportError(made, name=package) if is_import and told else AttributeError(made)


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
            raise missing_name(package, name, homes)
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


class _NamedLikeItsFunction(ModuleType):
    def __call__(self, *_: object, **__: object) -> NoReturn:
        name = self.__name__.rpartition(".")[2]
        raise ConfigError(f"{self.__name__} is a module. Write `from mastra import {name}`.")


def tell_if_called(module: str) -> None:
    """Have a module say where the public function of its own name is, once it is called itself.

    Args:
        module: Its `__name__`, in which `from mastra.tools import tool` finds the module.
    """
    sys.modules[module].__class__ = _NamedLikeItsFunction
