"""The reference app as `mastra build` writes it for Vercel: out of its folder alone, on Inngest and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.support.chat_server import chat_server
from tests.support.inngest_env import DevServer, free_ports
from tests.support.inngest_server import FakeInngest
from tests.support.openmeteo_server import openmeteo_server

pytestmark = [
    pytest.mark.every_engine,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("built"),
]

ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024
SERVE = """
import sys
sys.path[:0] = sys.argv[1:3]
import uvicorn
uvicorn.run("index:app", port=int(sys.argv[3]), log_level="warning")
"""


@dataclass
class Built:
    """What was written, and its packages."""

    output: Path
    packages: Path
    python: str
    told: dict[str, Any]


def interpreter() -> tuple[str, str]:
    """Return a Python that Vercel has, else the one that runs here, with its version."""
    found = subprocess.run(
        ["bash", ROOT / "scripts" / "find_pythons.sh"], capture_output=True, text=True, check=True
    )
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    pythons = [*found.stdout.split()[::-1], sys.executable]
    versions = {
        subprocess.run([one, "-c", code], capture_output=True, check=True)
        .stdout.decode()
        .strip(): one
        for one in pythons
    }
    chosen = "3.12" if "3.12" in versions else f"3.{sys.version_info.minor}"
    return versions[chosen], chosen


def build(folder: Path, target: str, version: str) -> dict[str, Any]:
    """Run `mastra build` in a copy of the reference app and return what it says."""
    for name in ("app", "agents", "tools", "workflows"):
        shutil.copytree(ROOT / name, folder / name)
    command = [
        *(sys.executable, "-c", "from mastra.cli import main; main()", "build"),
        *("--target", target, "--app", "app.deployed:mastra", "--python", version, "--json"),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The function, with what its lock names installed beside it as the platform does."""
    folder = tmp_path_factory.mktemp("project")
    python, version = interpreter()
    told = build(folder, "vercel", version)
    output, packages = folder / told["folder"], folder / "packages"
    install = [
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python),
        *("--require-hashes", "--no-deps", "--target", packages),
        *("-r", output / "requirements.txt"),
    ]
    subprocess.run(install, check=True)
    return Built(output, packages, python, told)


def test_it_has_the_extras_that_the_project_uses_and_no_others(built: Built) -> None:
    assert built.told["extras"] == ["inngest", "openai", "postgres", "server", "sql"]
    lock = (built.output / "requirements.txt").read_text()
    pins = [line for line in lock.splitlines() if "==" in line]
    assert len(pins) == built.told["packages"]
    assert all(line.endswith("\\") for line in pins), "a package without a hash"
    assert "://" not in lock
    names = {line.partition("==")[0] for line in pins}
    assert names >= {"openai", "inngest", "asyncpg", "sqlalchemy", "fastapi"}
    assert not names & {"litellm", "typer", "nicegui", "mcp", "xllamacpp"}
    assert not (built.output / "tests").exists()


def test_it_is_small_enough(built: Built) -> None:
    files = [path for root in (built.output, built.packages) for path in root.rglob("*")]
    size = sum(path.stat().st_size for path in files if path.is_file())
    assert size < 200 * MB, f"{size / MB:.0f} MB"


def test_it_is_in_the_form_that_the_platform_has_today(built: Built) -> None:
    import tomllib

    settings = json.loads((built.output / "vercel.json").read_text())
    assert not {"builds", "routes"} & settings.keys()
    assert settings["framework"] == "fastapi"
    project = tomllib.loads((built.output / "pyproject.toml").read_text())
    entry = project["tool"]["vercel"]["entrypoint"]
    assert f"{entry.partition(':')[0]}.py" in settings["functions"]
    assert "--require-hashes --no-deps" in project["tool"]["vercel"]["scripts"]["install"]
    assert len(project["project"]["dependencies"]) == built.told["packages"]


class Forward:
    """An application that has its requests answered by another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        async with httpx.AsyncClient(timeout=None) as http:
            answer = await http.request(
                request.method,
                f"{self.url}{scope['path']}?{scope['query_string'].decode()}",
                content=await request.body(),
                headers=headers,
            )
        kept = {k: v for k, v in answer.headers.items() if k.startswith(("x-", "content-type"))}
        await Response(answer.content, answer.status_code, kept)(scope, receive, send)


async def health(http: httpx.AsyncClient) -> Any:
    """Return what a server says of itself, once it listens."""
    while True:
        try:
            return (await http.get("/health")).json()
        except httpx.ConnectError:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(built: Built, port: int, env: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the entry: nothing but the folder and its packages can be imported."""
    process = await asyncio.create_subprocess_exec(
        *(built.python, "-I", "-S", "-c", SERVE, built.output, built.packages, str(port)),
        cwd=built.output,
        env={"PATH": os.environ["PATH"], "VERCEL": "1", "VERCEL_URL": "app.vercel.test", **env},
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
            assert await health(http) == {"success": True}
            named = await http.get("/api/agents", headers={"host": "app.vercel.test"})
            assert named.status_code == 200, named.text
            yield http
    finally:
        process.terminate()
        await process.wait()


async def planned(built: Built, port: int, server: str, empty_postgres_url: str) -> list[str]:
    """Run the planner on an Inngest server; return which of its steps are stored."""
    async with chat_server() as chat, openmeteo_server() as weather:
        env = {**chat.environment, **weather.environment}
        env |= {
            "INNGEST_DEV": server,
            "INNGEST_BASE_URL": server,
            "DATABASE_URL": empty_postgres_url,
        }
        async with running(built, port, env) as http:
            assert (await http.put("/api/inngest")).status_code == 200
            answer = await http.post(
                "/api/workflows/activityPlanningWorkflow/start-async?runId=r",
                json={"inputData": {"city": "New York"}},
            )
            assert answer.status_code == 200, answer.text
            result = answer.json()
    assert (result["status"], result["result"]) == (
        "success",
        {"activities": "A walk in the park.\n"},
    )
    assert len(chat.requests) == 1
    connection = await asyncpg.connect(empty_postgres_url)
    rows = await connection.fetch("SELECT key FROM mastra_workflow_journal WHERE key <> ''")
    await connection.close()
    return [row["key"] for row in rows]


STEPS = {"fetch-weather", "plan-activities"}


async def test_the_planner_runs_through_the_small_server(
    built: Built, empty_postgres_url: str
) -> None:
    fake, [port] = FakeInngest(), free_ports(1)
    fake.app = Forward(f"http://127.0.0.1:{port}")
    await fake.start()
    try:
        stored = await planned(built, port, fake.url, empty_postgres_url)
    finally:
        await fake.stop()
    assert set(stored) >= STEPS
    [run] = fake.runs.values()
    assert run.status == "Completed"
    # So its dashboard shows them.
    prefix = "workflow.activity-planning-workflow.step."
    assert {f"{prefix}{step}" for step in STEPS} <= set(run.steps)


@pytest.mark.devserver
async def test_the_planner_runs_through_a_real_server(
    built: Built, empty_postgres_url: str, dev_server: DevServer
) -> None:
    assert (
        set(await planned(built, dev_server.app_port, dev_server.url, empty_postgres_url)) >= STEPS
    )


async def test_the_images_entry_starts_out_of_its_folder_alone(
    built: Built, tmp_path: Path
) -> None:
    told = build(tmp_path, "docker", interpreter()[1])
    output = tmp_path / told["folder"]
    assert (output / "requirements.txt").read_text() == (
        built.output / "requirements.txt"
    ).read_text()
    dockerfile = (output / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert 'CMD ["python", "serve.py"]' in dockerfile
    [port] = free_ports(1)
    code = "import sys, runpy; sys.path[:0] = sys.argv[1:3]; runpy.run_path('serve.py')"
    process = await asyncio.create_subprocess_exec(
        *(built.python, "-I", "-S", "-c", code, output, built.packages),
        cwd=output,
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert await health(http) == {"success": True}
    finally:
        process.terminate()
        # It has stopped in good order, and ends as the signal would have it.
        assert await process.wait() in (0, -signal.SIGTERM)
