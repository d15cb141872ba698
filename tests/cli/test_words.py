"""What the command line says to people, and what it does with what they mistyped."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mastra.cli import main
from tests.cli.test_cli import APP, Calls, mastra

WAITS = """
from mastra import Agent, Mastra, tool
from mastra.testing import FunctionModel, ToolCall

@tool(require_approval=True)
async def pay(euros: int) -> str:
    "Pay."
    return "paid"

model = FunctionModel(lambda _: ToolCall("pay", {"euros": 5}))
mastra = Mastra(agents=[Agent(id="a", model=model, tools=[pay])])
"""
TWO = """
from mastra import Agent, Mastra
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.testing import FunctionModel

def count(request):
    said = [m.text for m in request.messages if m.role == "user"]
    if said[-1] == "fail":
        raise ModelError("no such model")
    return f"You said {len(said)}."

mastra = Mastra(agents=[
    Agent(id="keeps", model=FunctionModel(count), memory=Memory()),
    Agent(id="forgets", model=FunctionModel(count), max_retries=0),
])
"""

SERVERS = """
import sys
from mastra import Mastra
from mastra.mcp import MCPServer

print("imported")  # no message of the protocol
servers = {name: MCPServer(name, tools={}) for name in NAMES}
mastra = Mastra(mcp_servers=servers)
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    (tmp_path / "main.py").write_text(APP)
    monkeypatch.setenv("COLUMNS", "200")
    return Calls(tmp_path, monkeypatch)


def test_runs_are_shown(call: Calls) -> None:
    assert call("runs", "list").stdout == ""
    call("run", "doubling", "value=2", "--run-id", "done")
    call("run", "failing", "value=2", "--run-id", "broken")
    waiting = call("run", "waiting", "value=2", "--run-id", "waits")
    assert "mastra runs resume waits" in waiting.stderr
    assert json.loads(waiting.stdout) == {"approve": {"reason": "need a number"}}
    assert '"value": 4.0' in call("runs", "show", "done").stdout
    assert "boom" in call("runs", "show", "broken").stdout
    shown = call("runs", "show", "waits").stdout
    assert "waits of wait: suspended" in shown
    assert "need a number" in shown
    assert len(call("runs", "list", "--workflow", "wait").stdout.splitlines()) == 1
    assert len(call.json("runs", "list", "--limit", "1", "-w", "wait")) == 1
    wrong = call("runs", "resume", "waits", "--data", "{oops")
    assert (wrong.exit_code, "--data is not JSON" in wrong.stderr) == (2, True)
    assert call("runs", "resume", "waits", "--step", "approve", "-d", '{"add": 1}').exit_code == 0
    assert call("runs", "cancel", "done").stdout == "done is success.\n"  # it was over
    call("run", "waiting", "value=2", "--run-id", "again")
    assert call("runs", "cancel", "again").stdout == "again is canceled.\n"


def test_a_wrong_input_leaves_a_run_that_somebody_knows(call: Calls) -> None:
    assert call("run", "doubling", "value=x", "--run-id", "mine").exit_code == 2
    assert [run["runId"] for run in call.json("runs", "list")] == ["mine"]
    nothing = call("run", "doubling", "--input", "{")
    assert (nothing.exit_code, "is not JSON" in nothing.stderr) == (2, True)


def test_who_is_talked_to(call: Calls) -> None:
    (call.folder / "main.py").write_text(TWO)
    which = call("chat", "-m", "hi")
    assert (which.exit_code, "There are: keeps, forgets." in which.stderr) == (2, True)
    assert call("chat", "nobody", "-m", "hi").exit_code == 2
    # One with a memory is told what is new; with another it is the command that remembers.
    for name in ("keeps", "forgets"):
        assert call("chat", name, stdin="a\nb\nexit\n").stdout == "You said 1.\nYou said 2.\n"
    told = call("chat", "forgets", stdin="fail\nb\n")
    assert "no such model" in told.stderr
    assert told.stdout.strip() == "You said 1."  # and what follows the end of the input ends it
    said = call("chat", "keeps", "--json", stdin="from stdin")
    assert json.loads(said.stdout)["text"] == "You said 1."
    (call.folder / "main.py").write_text("from mastra import Mastra\nmastra = Mastra()\n")
    assert "There are: none." in call("chat").stderr


def test_where_the_application_is(call: Calls) -> None:
    (call.folder / "pyproject.toml").write_text('[tool.mastra]\napp = "other"\n')
    missing = call("graph", "looping")
    assert (missing.exit_code, "no module 'other'" in missing.stderr) == (2, True)
    (call.folder / "other.py").write_text(APP)
    assert call("graph", "looping").exit_code == 0
    (call.folder / "main.py").write_text("APP = 3\n")
    (call.folder / "pyproject.toml").write_text("[tool.mastra\n")
    broken = call("graph", "looping")
    assert (broken.exit_code, "pyproject.toml cannot be read" in broken.stderr) == (2, True)
    (call.folder / "pyproject.toml").unlink()
    assert "has no 'nothing'" in call("graph", "x", "-a", "main:nothing").stderr
    assert "has to be a Mastra object" in call("graph", "x", "-a", "main:APP").stderr


@pytest.mark.parametrize(
    ("names", "words", "told"),
    [
        (["one", "two"], [], "There are: one, two."),
        (["one"], ["three"], "There are: one."),
        ([], ["three"], "There are: none."),
    ],
)
def test_which_mcp_server_is_meant(
    call: Calls, names: list[str], words: list[str], told: str
) -> None:
    (call.folder / "main.py").write_text(SERVERS.replace("NAMES", str(names)))
    done = call("mcp", *words)
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


@pytest.mark.every_engine  # each a program of its own
@pytest.mark.parametrize(
    ("names", "words", "speaks"),
    [([], [], "mastra"), (["one"], [], "one"), (["one", "two"], ["two"], "two")],
)
def test_which_mcp_server_speaks(
    tmp_path: Path, names: list[str], words: list[str], speaks: str
) -> None:
    (tmp_path / "main.py").write_text(SERVERS.replace("NAMES", str(names)))
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    done = mastra(tmp_path, "mcp", *words, stdin=json.dumps(asked) + "\n")
    [answer] = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["result"]["serverInfo"]["name"] == speaks


class Answers(http.server.BaseHTTPRequestHandler):
    """Stands where Inngest should."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_doctor_finds_what_is_wrong(
    call: Calls, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, Any]:
        listed = json.loads(call("doctor", "--json", "--port", "0").stdout)
        return {one["what"]: (one["state"], one["detail"]) for one in listed}

    for name in ("INNGEST_SIGNING_KEY", "INNGEST_EVENT_KEY", "INNGEST_DEV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "x")
    assert "ok" in call("doctor", "--port", "0").stderr
    assert found()["key groq"] == ("ok", "GROQ_API_KEY is set")
    (call.folder / "runs.db").unlink(missing_ok=True)
    (call.folder / "runs.db").mkdir()
    state, detail = found()["storage"]
    assert (state, detail.startswith("SQLStorage: ")) == ("wrong", True)
    (call.folder / "main.py").write_text(
        "from mastra import Mastra, ServerConfig\nmastra = Mastra(server=ServerConfig(port=0))\n"
    )
    assert found()["storage"][0] == "off"
    listed = {one["what"] for one in json.loads(call("doctor", "--json").stdout)}
    assert "port 0" in listed
    engine = (
        "import inngest\nfrom mastra import Mastra\nfrom mastra.inngest import InngestEngine\n"
        "client = inngest.Inngest(app_id='x', is_production=PRODUCTION, api_base_url='URL', "
        "event_api_base_url='URL', signing_key='signkey-test-00', event_key='k')\n"
        "mastra = Mastra(engine=InngestEngine(client))\n"
    )
    for production, url, told in (
        ("False", origin, ("ok", "no keys: a dev server is expected")),
        ("False", "http://127.0.0.1:1", ("wrong", "no keys")),
        ("True", origin, ("ok", "keys are set")),
    ):
        text = engine.replace("PRODUCTION", production).replace("URL", url)
        (call.folder / "main.py").write_text(text)
        look = found()
        assert look["inngest"][0] == told[0], look
        assert told[1] in look["inngest"][1]
        assert ("inngest keys" in look) is (production == "True")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-test-00")
    monkeypatch.setenv("INNGEST_EVENT_KEY", "k")
    assert "inngest keys" not in found()


def test_in_a_terminal_it_is_shown_in_place(call: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "No runs." in call("runs", "list").stdout
    done = call("run", "doubling", "value=2", "--run-id", "r")
    assert "double" in done.stderr
    assert "double success" not in done.stderr  # a table, not a line each
    assert "workflow" in call("runs", "list").stdout
    (call.folder / "evals.py").write_text(
        "from mastra.evals import Dataset, Experiment\n"
        "words = Dataset('words', [{'input': 'a'}, {'input': 'b'}])\n"
        "def target(text):\n    return text\n"
        "one = Experiment('one', dataset=words, target=target)\n"
    )
    shown = call("eval", "evals.py").stderr
    assert "one: 1 of 2\rone: 2 of 2" in shown


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pyproject.toml", b"\xff\xfe", "pyproject.toml cannot be read"),
        ("pyproject.toml", b"[tool", "pyproject.toml cannot be read"),
        ("pyproject.toml", b"[tool]\nmastra = 'main:mastra'", "[tool.mastra] in pyproject.toml"),
        ("pyproject.toml", b"tool = 5", "[tool] in pyproject.toml"),
        ("pyproject.toml", b"[tool.mastra]\napp = 5", "is 5, and has to be text"),
        (".env", b"KEY=\xff", ".env cannot be read"),
    ],
)
def test_files_of_a_project_that_cannot_be_read(
    call: Calls, name: str, content: bytes, told: str
) -> None:
    (call.folder / name).write_bytes(content)
    done = call("runs", "list", "--json")
    assert (done.exit_code, told in json.loads(done.stdout)["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    ("given", "told"), [("[" * 100_000, "nested too deeply"), ("9" * 5000, "is not JSON")]
)
def test_json_that_python_does_not_read(call: Calls, given: str, told: str) -> None:
    for words in (["run", "doubling", "--input", given], ["runs", "resume", "x", "--data", given]):
        done = call(*words)
        assert (done.exit_code, told in done.stderr) == (2, True), done.output


def test_words_that_no_command_takes(call: Calls) -> None:
    (call.folder / "taken").touch()
    done = call("new", "taken")
    assert (done.exit_code, "is no empty folder" in done.stderr) == (2, True)
    done = call("runs", "list", "--limit", "9" * 20)
    assert done.exit_code == 2
    done = call("start", "--host", "")
    assert (done.exit_code, "a name or an address to listen on" in done.stderr) == (2, True)


def test_what_cannot_be_written_is_an_error_and_no_traceback(
    call: Calls, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full disk, a reader that has gone, a standard output that was closed."""
    monkeypatch.chdir(call.folder)
    monkeypatch.setattr(sys, "argv", ["mastra", "new", "--help"])
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit, match="No space left on device"):
            main()
    there, gone = os.pipe()
    os.close(there)
    with os.fdopen(gone, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 1
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        sys.stdout.close()
    assert capfd.readouterr().err == ""


def test_an_answer_that_waits_says_what_for(call: Calls) -> None:
    (call.folder / "main.py").write_text(WAITS)
    for words, stdin in ((("chat", "-m", "5 euros"), None), (("chat",), "5 euros\n")):
        done = call(*words, stdin=stdin)
        assert done.exit_code == 0, done.output
        assert "waits for somebody's answer" in done.stderr
        assert '"toolName":"pay","args":{"euros":5}' in done.stderr
