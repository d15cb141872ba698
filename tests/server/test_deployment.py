"""The deployment files, as far as they can be tested without the services they are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import httpx
import pytest

from mastra.server.app import server_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.anyio
async def test_the_entry_that_vercel_looks_for_is_the_application() -> None:
    [build] = json.loads((ROOT / "vercel.json").read_text())["builds"]
    module = import_module(build["src"].removesuffix(".py").replace("/", "."))
    transport = httpx.ASGITransport(module.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.get("/health")).json() == {"success": True}
        assert "planningAgent" in (await client.get("/api/agents")).json()
    assert server_of(module.app).config.restart_runs


def test_a_function_of_vercel_leaves_the_runs_of_others_alone() -> None:
    code = """
from app.asgi import app
from mastra.server.app import server_of
assert not server_of(app).config.restart_runs
"""
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "VERCEL": "1"}
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
