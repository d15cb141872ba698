"""What importing costs, and what the reference app may import."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HEAVY = {
    "asyncpg",
    "fastapi",
    "httpx",
    "inngest",
    "litellm",
    "mcp",
    "nicegui",
    "openai",
    "rich",
    "sqlalchemy",
    "starlette",
    "typer",
    "uvicorn",
    "xllamacpp",
}

PUBLIC_PACKAGES = {
    "mastra",
    "mastra.ai_sdk",
    "mastra.console",
    "mastra.errors",
    "mastra.evals",
    "mastra.inngest",
    "mastra.a2a",
    "mastra.mcp",
    "mastra.memory",
    "mastra.models",
    "mastra.observability",
    "mastra.processors",
    "mastra.server",
    "mastra.storage",
    "mastra.testing",
}

APP_FILES = sorted(
    path
    for folder in ("agents", "tools", "workflows", "app", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def modules_loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter and tell which modules are loaded afterwards."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_importing_mastra_loads_nothing_heavy() -> None:
    assert modules_loaded_by("import mastra") & HEAVY == set()


def test_asking_for_an_agent_and_a_workflow_loads_no_sdk_and_no_server() -> None:
    loaded = modules_loaded_by("from mastra import Agent, Mastra, create_step, create_workflow")
    assert loaded & (HEAVY - {"httpx"}) == set()


def test_a_command_that_serves_nothing_loads_no_server() -> None:
    assert (
        modules_loaded_by("import mastra.cli.commands") & {"fastapi", "starlette", "uvicorn"}
        == set()
    )


def names_taken_from_mastra(path: Path) -> set[tuple[str, str]]:
    """List what a file imports from the framework, as pairs of module and name."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mastra":
            found |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(a.name, "") for a in node.names if a.name.split(".")[0] == "mastra"}
    return found


@pytest.mark.parametrize("path", APP_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_app_and_the_examples_import_only_public_names(path: Path) -> None:
    private = [
        f"{module}.{name}".rstrip(".")
        for module, name in sorted(names_taken_from_mastra(path))
        if f"{module}.{name}" not in PUBLIC_PACKAGES
        and (module not in PUBLIC_PACKAGES or (name and name not in import_module(module).__all__))
    ]
    assert private == []
