"""What `mastra build` reads of a project, and what it refuses. What it writes runs in `tests/inngest`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mastra.cli import locking
from mastra.cli.locking import lock, needs_of
from mastra.cli.project import Project, read_project
from mastra.errors import ConfigError


def project(folder: Path, **files: str) -> Project:
    (folder / "shop").mkdir()
    for name, text in {"__init__": "", **files}.items():
        (folder / "shop" / f"{name}.py").write_text(text)
    return read_project(folder, "shop.app")


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("source", "extras"),
    [
        ("from mastra import Mastra", set()),
        ("from mastra import Agent\na = Agent(model='openai/gpt-4o')", {"openai"}),
        ("model = 'groq/llama-3'", {"openai"}),
        ("model = 'anthropic/opus-x'", {"anthropic"}),
        ("model = 'google/gemini-x'", {"gemini"}),
        ("model = 'mistral/large'", {"litellm"}),
        ("path = 'docs/index.md'", set()),
        ("from mastra import SQLStorage\ns = SQLStorage('sqlite:///a.db')", {"sql"}),
        ("from mastra.storage import SQLStorage\ns = SQLStorage(url)", {"sql", "postgres"}),
        ("from mastra.inngest import InngestEngine", {"inngest"}),
        ("from mastra.inngest import connect", {"inngest", "connect"}),
        ("import mastra.mcp", {"mcp"}),
        ("from mastra import mcp", {"mcp"}),
        ("def late():\n    from mastra.ai_sdk import chat_route", {"server"}),
    ],
)
def test_extras_are_read_from_the_source(tmp_path: Path, source: str, extras: set[str]) -> None:
    assert project(tmp_path, app=source).extras == extras


def test_what_is_imported_in_turn_counts_and_what_lies_beside_does_not(tmp_path: Path) -> None:
    (tmp_path / "lone.py").write_text("import aiohttp")
    found = project(
        tmp_path,
        app="from . import tools\nfrom shop.deep import one\nimport lone",
        tools="import httpx\nmodel = 'openai/x'",
        deep="one = 1",
        unused="import numpy_of_nobody\nfrom mastra.mcp import MCPClient",
    )
    assert found.roots == {"shop", "lone"}
    assert found.distributions == {"httpx", "aiohttp"}
    assert found.extras == {"openai"}


def test_an_import_that_may_fail_is_left_out(tmp_path: Path) -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import numpy_of_nobody\n"
        "try:\n    import other_of_nobody\nexcept ImportError:\n    pass\n"
    )
    assert project(tmp_path, app=source).distributions == set()


def test_what_is_not_installed_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"app\.py, line 2: numpy_of_nobody"):
        project(tmp_path, app="import json\nimport numpy_of_nobody.linalg")
    with pytest.raises(ConfigError, match="no module 'nowhere'"):
        read_project(tmp_path, "nowhere")


def test_what_the_projects_metadata_asks_for_is_needed_too(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'shop'\ndependencies = ['mastra-py[all]', 'rich>=13']"
    )
    needs = needs_of(Project(extras={"sql"}), tmp_path)
    assert {"rich>=13", "sqlalchemy", "pydantic"} <= set(needs)
    assert not any(one.startswith(("mastra", "litellm")) for one in needs)
    with pytest.raises(ConfigError, match="no extra 'nonsense'"):
        needs_of(Project(extras={"nonsense"}), tmp_path)


def test_without_uv_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="pip install uv"):
        lock(["pydantic"], "3.12")


def test_the_repositorys_own_function_is_in_todays_form() -> None:
    import tomllib

    root = Path(__file__).resolve().parents[2]
    settings = json.loads((root / "vercel.json").read_text())
    assert not {"builds", "routes"} & settings.keys()
    vercel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["vercel"]
    module, _, name = vercel["entrypoint"].partition(":")
    assert f"{module.replace('.', '/')}.py" in settings["functions"]
    assert (root / vercel["scripts"]["install"].rpartition(" ")[2]).exists()
    assert name == "app"
