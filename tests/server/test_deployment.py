"""The deployment files, as far as they can be tested without the services they are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.anyio
async def test_the_entry_that_vercel_looks_for_is_the_application() -> None:
    vercel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["vercel"]
    name, _, attribute = vercel["entrypoint"].partition(":")
    app = getattr(import_module(name), attribute)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.get("/health")).json() == {"success": True}
        assert "planning-agent" in (await client.get("/api/agents")).json()


def test_a_function_of_vercel_leaves_the_runs_of_others_alone_and_knows_its_names() -> None:
    code = """
from app.asgi import app
from mastra.server.app import server_of
config = server_of(app).config
assert not config.restart_runs
assert list(config.allowed_hosts) == ["own.example.com", "app.vercel.test"], config.allowed_hosts
"""
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "VERCEL_URL": "app.vercel.test",
        "MASTRA_ALLOWED_HOSTS": "own.example.com",
    }
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment)


def test_what_the_image_copies_is_there_and_not_left_out() -> None:
    text = (ROOT / "Dockerfile").read_text()
    taken = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    }
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {name for name in taken if not (ROOT / name).exists()} == set()
    assert taken <= kept


def test_the_images_command_is_one_that_there_is() -> None:
    [command] = re.findall(
        r"^CMD (\[.*mastra.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    name, *words = json.loads(command)
    assert name == "mastra"
    done = subprocess.run(
        [sys.executable, "-c", "from mastra.cli import main; main()", words[0], "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": ""},
    )
    for word in words[1:]:
        assert not word.startswith("--") or word in done.stdout


def test_the_images_application_is_served_to_the_inngest_server_of_the_environment() -> None:
    text = (ROOT / "Dockerfile").read_text()
    [name] = re.findall(r"MASTRA_APP=(\S+)", text)
    module, _, attribute = name.partition(":")
    code = f"""
import json
from {module} import {attribute} as found
from mastra.server import create_app
routes = [route.path for route in found.server.api_routes]
create_app(found)
print(json.dumps([type(found.engine).__name__, routes]))
"""
    for given, engine in (
        ({}, "InProcessEngine"),
        ({"INNGEST_BASE_URL": "http://inngest:8288"}, "InngestEngine"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "", "PYTHONPATH": str(ROOT), **given},
        )
        assert json.loads(done.stdout) == [engine, ["/api/inngest"]]
