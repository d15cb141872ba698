"""What a project is made of, read from its source: its own files, and the packages that it needs.

Nothing of it is run, so that a build asks for no key and opens no database.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from mastra.errors import ConfigError
from mastra.models.providers import PROVIDERS, provider_name

__all__ = ["Project", "read_project"]

_MODEL: Final = re.compile(r"([a-z][a-z0-9_-]*)/[\w.:/-]+")
"""Text that may name a model, such as `openai/gpt-4o`."""
_OF_PACKAGE: Final = {
    "mastra.ag_ui": "ag-ui",
    "mastra.ai_sdk": "server",
    "mastra.a2a": "a2a",
    "mastra.console": "console",
    "mastra.evals": "evals",
    "mastra.inngest": "inngest",
    "mastra.mcp": "mcp",
    "mastra.schedules": "schedules",
}
"""The extras of packages; whatever is served has `server`."""
_OF_NAME: Final = {
    "AnthropicModel": "anthropic",
    "GeminiModel": "gemini",
    "LiteLLMModel": "litellm",
    "OpenAIModel": "openai",
    "SQLStorage": "sql",
    "connect": "connect",
}
"""The extras of names that are imported from a package of mastra."""


@dataclass(slots=True)
class Project:
    """What a build takes of a project."""

    roots: set[str] = field(default_factory=set[str])
    """Top-level packages and modules of its own."""
    distributions: set[str] = field(default_factory=set[str])
    """What it imports beside its own and mastra, by the names of distributions."""
    extras: set[str] = field(default_factory=set[str])
    """Extras of mastra-py."""
    keeps_file: bool = False
    """Whether it names a SQLite file."""
    unknown: list[str] = field(default_factory=list[str])
    """What it imports and what is not installed, with file and line."""


def read_project(folder: Path, module: str) -> Project:
    """Read the module of an application and what it imports, as far as it is the project's own.

    Raises:
        ConfigError: A file cannot be read, or something it imports is not installed.
    """
    reader = _Reader(folder)
    reader.follow(module)
    if not reader.found.roots:
        raise ConfigError(f"There is no module {module!r} in {folder}.")
    if reader.found.unknown:
        listed = "\n  ".join(reader.found.unknown)
        raise ConfigError(f"The project imports what is not installed:\n  {listed}")
    return reader.found


class _Reader:
    def __init__(self, folder: Path) -> None:
        self.found = Project()
        self._folder = folder
        self._seen: set[Path] = set()
        self._distributions = packages_distributions()

    def follow(self, module: str) -> bool:
        """Read a module of the project's own with the packages it lies in; tell whether it is one."""
        names = module.split(".")
        paths = [self._path(names[: count + 1]) for count in range(len(names))]
        if names[0] == "mastra" or paths[0] is None:
            return False
        self.found.roots.add(names[0])
        for path, count in zip(paths, range(1, len(names) + 1), strict=True):
            if path is not None and path not in self._seen:
                self._seen.add(path)
                self._read(path, names[:count])
        return True

    def _path(self, names: list[str]) -> Path | None:
        path = self._folder.joinpath(*names)
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        inside = path / "__init__.py"
        # A folder without that file is a package, too.
        return inside if inside.is_file() else path if path.is_dir() else None

    def _read(self, path: Path, names: list[str]) -> None:
        if path.is_dir():
            return
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        package = names if path.name == "__init__.py" else names[:-1]
        for node, is_optional in _nodes(tree):
            if isinstance(node, ast.Constant):
                self._note_text(node.value)
                continue
            if isinstance(node, ast.Call):
                self._note_call(node)
                continue
            for module, name in _imported(node, package):
                where = f"{path.relative_to(self._folder)}, line {node.lineno}: {module}"
                self._note(module, name, where, is_optional=is_optional)

    def _note(self, module: str, name: str | None, where: str, *, is_optional: bool) -> None:
        top = module.partition(".")[0]
        if top == "mastra":
            self._note_mastra(module, name)
        elif self.follow(module):
            if name is not None:
                self.follow(f"{module}.{name}")  # perhaps a module
        elif top not in sys.stdlib_module_names:
            known = self._distributions.get(top)
            if known:
                self.found.distributions.update(known)
            elif not is_optional:
                self.found.unknown.append(where)

    def _note_mastra(self, module: str, name: str | None) -> None:
        whole = module if name is None else f"{module}.{name}"
        for package, extra in _OF_PACKAGE.items():
            if f"{whole}.".startswith(f"{package}."):
                self.found.extras.add(extra)
        if name in _OF_NAME:
            self.found.extras.add(_OF_NAME[name])

    def _note_call(self, call: ast.Call) -> None:
        name = getattr(call.func, "id", getattr(call.func, "attr", None))
        if name == "SQLStorage" and not isinstance(next(iter(call.args), None), ast.Constant):
            self.found.extras.add("postgres")  # the environment says where: perhaps there

    def _note_text(self, text: object) -> None:
        if not isinstance(text, str):
            return
        self.found.keeps_file |= text.startswith("sqlite:///") and ":memory:" not in text
        if text.startswith(("postgres://", "postgresql://")):
            self.found.extras.add("postgres")
        model = _MODEL.fullmatch(text)
        if model is not None and (extra := _extra_of(provider_name(model[1]))) is not None:
            self.found.extras.add(extra)


def _extra_of(provider: str) -> str | None:
    if provider == "local":
        return "local"
    known = PROVIDERS.get(provider)
    if known is None:
        return None  # a path, or some other text
    if known.native is not None:
        return provider
    return "openai" if provider == "openai" or known.endpoint is not None else "litellm"


def _nodes(
    tree: ast.AST, *, is_optional: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom | ast.Constant | ast.Call, bool]]:
    """Yield imports, constants and calls, and whether the program goes on where an import fails."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _nodes(ast.Module(node.orelse, []), is_optional=is_optional)
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.Constant)):
            yield node, is_optional
        else:
            if isinstance(node, ast.Call):
                yield node, is_optional
            is_tried = isinstance(node, ast.Try) and bool(node.handlers)
            yield from _nodes(node, is_optional=is_optional or is_tried)


def _imported(
    node: ast.Import | ast.ImportFrom, package: list[str]
) -> Iterator[tuple[str, str | None]]:
    """Yield the modules that a statement imports, each with a name in it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, None
    else:
        above = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            yield module, alias.name
