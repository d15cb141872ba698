"""What `mastra build` reads of a project, and what it refuses. What is written runs in `tests/inngest`."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from mastra import SQLStorage
from mastra.cli import locking
from mastra.cli.locking import lock, needs_of
from mastra.cli.project import Project, read_project
from mastra.errors import ConfigError
from tests.cli.test_cli import Calls


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


LOCKED = "pydantic==2.0 \\\n    --hash=sha256:00\nstarlette==1.0 \\\n    --hash=sha256:01\n"
"""What uv writes; the real one asks for packages over the network."""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A project with a package and a module, and a `uv` that locks what it is told to."""
    (tmp_path / "main.py").write_text(
        "import helper\nfrom shop import NAME\nfrom mastra import Mastra\nmastra = Mastra()\n"
    )
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "shop" / "__pycache__").mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("NAME = 'sqlite:///runs.db'\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "locked.txt").write_text(LOCKED)
    uv = tmp_path / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\ncat {tmp_path}/bin/locked.txt || exit 1\n")
    uv.chmod(0o755)
    monkeypatch.setattr(locking, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return Calls(tmp_path, monkeypatch)


def test_a_build_holds_the_project_and_a_lock(call: Calls) -> None:
    (call.folder / ".mastra" / "output" / "old").mkdir(parents=True)
    told = call("build", "--target", "vercel")
    assert told.exit_code == 0, told.output
    assert "2 packages" in told.stderr
    assert "name a PostgreSQL" in " ".join(told.stderr.split())
    output = call.folder / ".mastra" / "output"
    assert not (output / "old").exists()
    assert {"index.py", "main.py", "helper.py", "shop", "mastra"} <= {
        one.name for one in output.iterdir()
    }
    assert not (output / "shop" / "__pycache__").exists()
    assert (output / "requirements.txt").read_text() == LOCKED
    assert "{{" not in (output / "index.py").read_text()
    again = call.json("build", "--target", "docker", "--extra", "openai")
    assert (again["packages"], again["target"]) == (2, "docker")
    assert {"openai", "server"} <= set(again["extras"])
    assert "PostgreSQL" not in call("build", "-t", "docker").stderr  # a container keeps files


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_build_holds_nothing_that_the_application_keeps(call: Calls, is_open: bool) -> None:
    shop = call.folder / "shop"
    (shop / ".env").write_text("OPENAI_API_KEY=x")
    other = sqlite3.connect(shop / "cities.db")
    other.execute("CREATE TABLE cities (name)")
    other.commit()
    other.close()
    async with SQLStorage(f"sqlite:///{shop}/runs.db") as storage:
        await storage.open()
        if not is_open:
            await storage.aclose()
        assert call("build", "-t", "docker").exit_code == 0
    built = {one.name for one in (call.folder / ".mastra" / "output" / "shop").iterdir()}
    assert built == {"__init__.py", "cities.db"}


@pytest.mark.parametrize(
    ("words", "source", "told"),
    [
        (["--python", "2.7"], "", "--python is '2.7'"),
        (["--app", "main:make()"], "", "'make()' is no name"),
        (["--app", "main:apps[0]"], "", "'apps[0]' is no name"),
        ([], "model = 'local/x'\n", "embedded model"),
        ([], "import index\n", "a module 'index'"),
    ],
)
def test_what_cannot_be_built_is_refused(
    call: Calls, words: list[str], source: str, told: str
) -> None:
    (call.folder / "main.py").write_text(source)
    (call.folder / "index.py").write_text("")
    done = call("build", "-t", "vercel", *words)
    assert (done.exit_code, told in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not (call.folder / ".mastra").exists()


def test_what_uv_says_is_told(call: Calls) -> None:
    (call.folder / "bin" / "locked.txt").unlink()
    done = call("build", "-t", "docker")
    assert done.exit_code == 2
    assert "cannot be locked" in done.stderr
    assert "locked.txt" in done.stderr


def test_all_that_a_project_may_name_at_once(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()  # a package without a file of its own
    (tmp_path / "loose" / "part.py").write_text("model = 'mistral/large'")
    source = (
        "import mastra.mcp\n"
        "import loose.part\n"
        "from mastra.storage import SQLStorage\n"
        "first = SQLStorage('sqlite:///:memory:')\n"
        "second = SQLStorage(first)\n"
        "third = b'openai/x'\n"
        "texts = ['docs/index.md', 'anthropic/x', 'postgresql://h/d']\n"
    )
    found = project(tmp_path, app=source)
    assert found.roots == {"shop", "loose"}
    assert found.extras == {"mcp", "litellm", "sql", "anthropic", "postgres"}
    assert not found.keeps_file
    (tmp_path / "loose" / "part.py").write_text("def (")
    with pytest.raises(ConfigError, match=r"part\.py cannot be read"):
        read_project(tmp_path, "shop.app")


def test_an_extra_that_is_not_installed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mastra_py-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mastra-py\nVersion: 9\n"
        'Requires-Dist: pydantic\nRequires-Dist: of-nobody; extra == "lost"\n'
        'Requires-Dist: mastra-py[lost]; extra == "all"\n'
        'Requires-Dist: mastra-py[found]; extra == "both"\n'
        'Requires-Dist: httpx; extra == "found"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    for extra in ("lost", "all"):
        with pytest.raises(ConfigError, match=rf"mastra-py\[{extra}\]"):
            needs_of(Project(extras={extra}), tmp_path)
    assert needs_of(Project(extras={"both"}), tmp_path) == ["httpx", "pydantic"]
    # The project may be this one.
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mastra-py'\ndependencies = ['x']")
    assert needs_of(Project(), tmp_path) == ["pydantic"]
