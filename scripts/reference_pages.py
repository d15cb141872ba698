"""Writes the pages of the API reference: one a public package, with an entry for each name of it."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

PACKAGES = {
    "mastra": "Agents, workflows, tools, storage",
    "mastra.errors": "Errors",
    "mastra.models": "Models and messages",
    "mastra.memory": "Memory",
    "mastra.processors": "Processors",
    "mastra.schedules": "Schedules",
    "mastra.storage": "Storage",
    "mastra.testing": "Testing",
    "mastra.observability": "Observability",
    "mastra.server": "Server",
    "mastra.inngest": "Inngest",
    "mastra.mcp": "MCP",
    "mastra.a2a": "A2A",
    "mastra.ag_ui": "AG-UI",
    "mastra.ai_sdk": "AI SDK",
    "mastra.evals": "Evals",
    "mastra.console": "The console",
}


def home_of(package: Any, name: str) -> str:
    """Return where a public name is defined, as mkdocstrings asks for it."""
    homes: dict[str, str] = getattr(package, "_HOMES", {})
    value = getattr(package, name)
    module = homes.get(name)
    if module is None and (inspect.isclass(value) or inspect.isfunction(value)):
        module = value.__module__
    return f"{module or package.__name__}.{name}"


def homes_in(package_name: str) -> set[str]:
    """Return where the public names of a package are defined."""
    package = importlib.import_module(package_name)
    return {home_of(package, name) for name in package.__all__}


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    elsewhere = set[str]().union(*(homes_in(name) for name in PACKAGES if name != "mastra"))
    for package_name, title in PACKAGES.items():
        package = importlib.import_module(package_name)
        homes = {name: home_of(package, name) for name in sorted(package.__all__)}
        # What `mastra` offers of another package has its entry there.
        told = {n: h for n, h in homes.items() if package_name != "mastra" or h not in elsewhere}
        lines = [
            f"# {title}",
            "",
            f"`{package_name}`: {(package.__doc__ or '').splitlines()[0]}",
            "",
            "```python",
            f"from {package_name} import {next(iter(told))}  # and every other name of this page",
            "```",
            "",
        ]
        for home in told.values():
            lines += [f"::: {home}", ""]
        (folder / f"{package_name.replace('.', '_')}.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
