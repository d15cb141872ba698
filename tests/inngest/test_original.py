"""Programs of the original's packages and of this library drive each other's workflows.

The packages come from npm: a development dependency, fetched when asked.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mastra import create_step, create_workflow
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, inngest_host

pytestmark = pytest.mark.devserver
FOLDER = Path(__file__).parent / "js"
NODE = FOLDER / "node_modules" / "node" / "bin" / "node"


async def _run(*command: str | Path) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def install() -> None:
    """Fetch the packages, or skip the test."""
    if NODE.exists() and (FOLDER / "node_modules" / "@mastra" / "inngest").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    code, output, errors = await _run(npm, "install", "--no-package-lock")
    if code:
        pytest.skip(f"npm cannot be reached: {(output + errors)[-300:]}")


async def drive(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script and return what it tells, by name."""
    code, output, errors = await _run(NODE, FOLDER / script, *arguments)
    said: dict[str, Any] = {}
    for line in output.splitlines():
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    assert code == 0, (said, errors[-3000:])
    return said


def served() -> list[Any]:
    """Return the workflows of `js/definitions.mjs`."""

    async def fail(value: Value) -> Value:
        raise ValueError("no luck")

    def begin(name: str) -> Any:
        return create_workflow(id=name, input_schema=Value, output_schema=Value)

    plus = flows.plus_one
    return [
        begin("chain").then(plus("a")).then(plus("b")).commit(),
        begin("asking").then(plus("a")).then(flows.waiting("ask")).then(plus("b")).commit(),
        begin("failing").then(plus("a")).then(create_step(id="fail", execute=fail)).commit(),
        begin("napping").then(plus("a")).sleep(60).then(plus("b")).commit(),
    ]


@pytest.mark.timeout(240)
async def test_typescript_drives_workflows_that_python_serves(dev_server: DevServer) -> None:
    await install()
    async with inngest_host(dev_server) as host, flows.on(host, *served()) as mastra:
        await host.sync()
        async with asyncio.timeout(120):
            said = await drive("call.mjs", dev_server.url)
        assert said["start"] == {"status": "success", "result": {"value": 3}}
        assert said["fail"]["status"] == "failed"
        assert "no luck" in said["fail"]["error"]
        steps = ["workflow-step-start", "workflow-step-result"]
        told = [tuple(one) for one in said["stream"] if one[0] in steps]
        assert told == [(name, step) for step in ("a", "b") for name in steps]
        assert said["stream"][-1][0] == "workflow-finish"
        assert said["stream-result"] == {"status": "success", "result": {"value": 7}}
        assert said["suspend"]["status"] == "suspended"
        assert said["resume"] == {"status": "success", "result": {"value": 13}}
        assert said["cancel"]["status"] == "canceled"
        run = await mastra.get_workflow("napping").create_run(said["cancel"]["runId"])
        assert (await run.result()).status == "canceled"
