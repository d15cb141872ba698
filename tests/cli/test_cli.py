"""The command line, called as a user does."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mastra.cli.commands import cli
from mastra.cli.running import Progress

ROOT = Path(__file__).resolve().parents[2]

APP = """
from pydantic import BaseModel
from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow
from mastra.testing import FunctionModel

class Value(BaseModel):
    value: float

class Add(BaseModel):
    add: float

async def approve(ctx):
    if ctx.resume_data is None:
        return await ctx.suspend({"reason": "need a number"})
    return Value(value=ctx.input_data.value + ctx.resume_data.add)

async def double(ctx):
    await ctx.writer.write("doubling")
    return Value(value=ctx.input_data.value * 2)

async def boom(ctx):
    raise RuntimeError("boom")

def steps(name, function, **options):
    return create_step(id=name, input_schema=Value, output_schema=Value, execute=function, **options)

def flow(name, *parts):
    made = create_workflow(id=name, input_schema=Value, output_schema=Value)
    for part in parts:
        made = made.then(part)
    return made

mastra = Mastra(
    agents={"echo": Agent(id="echo", model=FunctionModel(lambda r: "You said " + r.messages[-1].text))},
    workflows={
        "doubling": flow("double", steps("double", double)).commit(),
        "waiting": flow("wait", steps("approve", approve, resume_schema=Add)).commit(),
        "failing": flow("fail", steps("boom", boom)).commit(),
        "looping": create_workflow(id="loop", input_schema=Value, output_schema=Value)
            .dountil(steps("double", double), lambda c: c.input_data.value > 10).commit(),
    },
    storage=SQLStorage("sqlite:///runs.db"),
)
"""


SLOW = """
import asyncio
from mastra import Agent, Mastra
from mastra.testing import FunctionModel


async def answer(request):
    if request.messages[-1].text == "quick":
        yield "quick answer"
        return
    yield "begun"
    await asyncio.sleep(60)
    yield "never"


mastra = Mastra(agents=[Agent(id="a", model=FunctionModel(answer))])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def mastra(folder: Path, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from mastra.cli import main; main()", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )


class Calls:
    """Calls of the command line in this process, which takes a tenth of the time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = monkeypatch

    def __call__(
        self, *words: str, folder: Path | None = None, stdin: str | bytes | None = None
    ) -> Any:
        here = folder or self.folder
        with self._patch.context() as patch:
            patch.chdir(here)
            patch.setattr(sys, "path", [str(here), *sys.path])
            patch.setenv("NO_COLOR", "1")
            for name in ("MASTRA_APP", "MASTRA_HOST", "MASTRA_PORT", "MASTRA_RECEIVE_TIMEOUT"):
                patch.setenv(name, "")  # put back afterwards: `mastra dev` sets them
                patch.delenv(name)
            known = {*sys.modules}
            try:
                return CliRunner().invoke(cli, words, input=stdin, catch_exceptions=False)
            finally:
                for name in {*sys.modules} - known:
                    if str(getattr(sys.modules[name], "__file__", "")).startswith(str(here)):
                        del sys.modules[name]

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    (tmp_path / "main.py").write_text(APP)
    return Calls(tmp_path, monkeypatch)


def answer(folder: Path, *words: str) -> Any:
    done = mastra(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_run_prints_the_result_and_the_progress_beside_it(project: Path) -> None:
    done = mastra(project, "run", "doubling", "value=21")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("doubling")
    assert json.loads(done.stdout.removeprefix("doubling")) == {"value": 42.0}
    assert "double success" in done.stderr


def test_run_takes_json_and_reads_stdin(call: Calls) -> None:
    assert call.json("run", "double", "--input", '{"value": 2}')["result"] == {"value": 4.0}
    done = call("run", "double", "-i", "-", "--json", stdin='{"value": 3}')
    assert json.loads(done.stdout)["result"] == {"value": 6.0}


def test_a_failed_run_is_exit_code_1(call: Calls) -> None:
    done = call("run", "failing", "value=1")
    assert done.exit_code == 1
    assert "boom" in done.stderr
    assert "Traceback" not in done.stderr


class Screen(io.StringIO):
    """A terminal that both stdout and stderr are."""

    def isatty(self) -> bool:
        return True


def test_what_steps_write_stays_in_its_line_on_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)

    def told(kind: str, **payload: Any) -> Any:
        return SimpleNamespace(type=f"workflow-step-{kind}", payload=SimpleNamespace(**payload))

    with Progress(console) as progress:
        progress.show(told("start", id="write", status="running"))
        for piece in ("A walk ", "in the ", "park."):
            progress.show(told("output", output=piece))
        progress.show(told("output", output={"at": 1}))  # what is no text is for programs
        progress.show(told("output", output=""))
        progress.show(SimpleNamespace(type="data-progress", payload=None))
        progress.show(told("result", id="write", status="success"))
        progress.show(told("start", id="next", status="running"))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen.getvalue())
    assert "\nA walk in the park.\n✓ write success" in plain


def test_a_failed_run_tells_the_line_in_the_users_code_and_once(call: Calls) -> None:
    done = call("run", "failing", "value=1")
    line = APP.splitlines().index('    raise RuntimeError("boom")') + 1
    told = f"is failed at step 'boom': RuntimeError: boom (main.py:{line} in boom)"
    assert told in done.stderr
    assert done.stderr.count("RuntimeError") == 1


def test_wrong_input_and_unknown_names_are_exit_code_2(call: Calls) -> None:
    for words in (["run", "doubling", "value=x"], ["run", "nope"], ["run", "doubling", "oops"]):
        done = call(*words)
        assert done.exit_code == 2, done.stderr
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr
    assert call.json("runs", "list") == []


def test_a_run_waits_in_one_process_and_goes_on_in_the_next(project: Path) -> None:
    started = answer(project, "run", "waiting", "value=1", "--run-id", "r-1")
    assert started["status"] == "suspended"
    [row] = answer(project, "runs", "list", "--status", "suspended")
    assert row["runId"] == "r-1"
    assert answer(project, "runs", "show", "r-1")["steps"]["approve"]["status"] == "suspended"
    resumed = answer(project, "runs", "resume", "r-1", "--data", '{"add": 5}')
    assert resumed["result"] == {"value": 6.0}
    assert mastra(project, "runs", "resume", "r-1").returncode == 1


def test_runs_by_itself_lists_them(call: Calls) -> None:
    assert call("runs").stdout == ""
    call.json("run", "waiting", "value=1", "--run-id", "r-2")
    assert call("runs").stdout == call("runs", "list").stdout != ""
    assert call("runs", "cancle", "r-2").exit_code == 2


def test_a_waiting_run_can_be_cancelled(call: Calls) -> None:
    call.json("run", "waiting", "value=1", "--run-id", "r-2")
    assert call.json("runs", "cancel", "r-2")["status"] == "canceled"


def test_chat_says_one_thing(call: Calls) -> None:
    assert call("chat", "-m", "hello").stdout == "You said hello\n"
    assert call.json("chat", "echo", "-m", "hi")["text"] == "You said hi"


def test_chat_goes_on_until_an_empty_line(project: Path) -> None:
    done = mastra(project, "chat", stdin="one\ntwo\n\n")
    assert done.stdout == "You said one\nYou said two\n"


def test_graph_is_mermaid(call: Calls) -> None:
    drawn = call("graph", "looping").stdout
    assert drawn.startswith("flowchart TD\n")
    assert '["double"]' in drawn
    assert "until" in drawn
    assert call.json("graph", "looping")[0]["type"] == "loop"


def test_graph_of_no_workflow_draws_all_of_them(call: Calls) -> None:
    drawn = call("graph").stdout.split("\n\n")
    assert [graph.splitlines()[:2] for graph in drawn] == [
        [f"%% {key}", "flowchart TD"] for key in ("doubling", "waiting", "failing", "looping")
    ]
    assert call.json("graph")["looping"][0]["type"] == "loop"


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("template", "words", "printed"),
    [
        ("planner", ["run", "plan-day", "city=Paris"], "Plan a day outdoors in Paris"),
        pytest.param(
            "agent", ["chat", "-m", "hi"], "You asked: hi", marks=pytest.mark.every_engine
        ),
        pytest.param(
            "workflow", ["run", "greet", "name=Ada"], "Hello, Ada!", marks=pytest.mark.every_engine
        ),
        pytest.param(
            "inngest", ["graph", "plan-day"], "flowchart TD", marks=pytest.mark.every_engine
        ),
    ],
)
def test_a_starter_project_runs_and_tests(
    call: Calls, template: str, words: list[str], printed: str
) -> None:
    made = call.json("new", "my-app", "--template", template)
    folder = call.folder / made["folder"]
    done = call(*words, folder=folder)
    assert (done.exit_code, printed in done.stdout) == (0, True), done.output
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert tested.returncode == 0, tested.stdout
    assert "{{" not in "".join((call.folder / path).read_text() for path in made["files"])


def test_a_starter_project_is_whole(call: Calls) -> None:
    made = call.json("new", "my-flow", "-t", "inngest")
    assert "{{" not in "".join((call.folder / path).read_text() for path in made["files"])
    told = call("new", "my-app").stderr
    assert "Made my-app:" in told
    assert "Next: cd my-app &&" in " ".join(told.split())
    again = call("new", "my-app")
    assert (again.exit_code, "is no empty folder" in again.stderr) == (2, True)


def test_version(call: Calls) -> None:
    assert call("--version").stdout.startswith("mastra-py ")


def test_ids_are_whole_for_programs_and_short_for_people(call: Calls) -> None:
    ids = ("abcd-1111-2222-3333-4444-5555-6666", "abcd-7777", "efgh-1")
    for run_id in ids:
        call.json("run", "waiting", "value=1", "--run-id", run_id)
    listed = call("runs", "list").stdout.splitlines()
    assert {line.split("\t")[0] for line in listed} == {*ids}
    assert call.json("runs", "show", "abcd-1")["runId"] == ids[0]
    assert call.json("runs", "cancel", "efgh")["runId"] == "efgh-1"
    several = call("runs", "show", "abcd")
    assert (several.exit_code, "Several runs begin with 'abcd'" in several.stderr) == (2, True)
    unknown = call("runs", "list", "--status", "sleeping")
    assert (unknown.exit_code, "sleeping" in unknown.stderr) == (2, True)


def test_errors_are_json_where_json_was_asked_for(call: Calls) -> None:
    done = call("runs", "show", "nope", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["code"] == "RUN_NOT_FOUND"
    assert "There is no run 'nope'" in done.stderr


def test_a_project_that_cannot_be_imported_is_told_in_few_lines(call: Calls) -> None:
    folder = call.folder
    (folder / "main.py").write_text("from helper import nothing\n")
    (folder / "helper.py").write_text("def fail():\n    raise KeyError('x')\n\nfail()\n")
    done = call("run", "x")
    assert done.exit_code == 2
    assert "helper.py, line 2: raise KeyError('x')" in done.stderr
    assert len(done.stderr.splitlines()) <= 12
    (folder / "main.py").write_text("import notthere\n")
    assert "No module named 'notthere'" in call("run", "x").stderr
    (folder / "main.py").write_text("def (:\n")
    assert "main.py, line 1" in call("run", "x").stderr


def test_the_application_may_be_named_in_the_environment_file(call: Calls) -> None:
    (call.folder / "main.py").rename(call.folder / "elsewhere.py")
    (call.folder / ".env").write_text("MASTRA_APP=elsewhere:mastra\n")
    assert call("graph", "looping").exit_code == 0


@pytest.mark.parametrize("imported", ["elsewhere", "elsewhere_too", "else_where.part"])
def test_a_missing_module_is_told_by_its_own_name(call: Calls, imported: str) -> None:
    (call.folder / "elsewhere_too_far.py").write_text(f"import {imported}\n")
    done = call("run", "x", "--app", "elsewhere_too_far:mastra")
    assert f"No module named '{imported.partition('.')[0]}'" in done.stderr
    assert "elsewhere_too_far.py, line 1" in done.stderr


@pytest.mark.parametrize("name", ["mastra", "json", "class", "pydantic", "1st", "a b"])
def test_a_project_has_a_name_of_its_own(call: Calls, name: str) -> None:
    assert call("new", name).exit_code == 2
    assert not (call.folder / name).exists()


def test_the_environment_file_is_read(call: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "")  # put back afterwards
    monkeypatch.delenv("GREETING")
    (call.folder / ".env").write_text("GREETING=hello\n")
    (call.folder / "main.py").write_text(f"{APP}\nimport os\nassert os.environ['GREETING']\n")
    assert call("graph", "looping").exit_code == 0


@pytest.mark.parametrize("command", [["dev"], ["start"], ["start", "--json"]])
def test_a_port_that_is_taken_is_told_before_anything_else(call: Calls, command: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = call(*command, "--port", port)
    assert done.exit_code == 2
    assert f"Port {port} of" in done.stderr
    assert "http://" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--port", "99999"), "no port 99999: give one from 1 to 65535"),
        (("--port=-1",), "no port -1"),
        (("--app", "main.py:mastra"), "--app main:mastra"),
        (("--app", "./shop/main.py:app"), "--app shop.main:app"),
        (("--app", "main:nope"), "has no 'nope'. Give --app main:mastra."),
        (("--app", "main:Mastra"), "is the class Mastra"),
        (("--app", "main:steps"), "of the type function, and has to be a Mastra object"),
    ],
)
def test_a_server_that_cannot_be_meant_is_told_with_what_may_be(
    call: Calls, words: tuple[str, ...], told: str
) -> None:
    done = call("dev", *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_the_doctor_looks_at_everything(call: Calls) -> None:
    done = call("doctor", "--json", "--port", "0")
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert found["application"]["state"] == found["storage"]["state"] == "ok"
    assert {"extra sql", "key openai", "port 0"} <= set(found)
    assert done.exit_code == 0
    (call.folder / "main.py").write_text("mastra = 1\n")
    assert call("doctor", "--json").exit_code == 1


def test_what_is_printed_is_printed_as_it_is(call: Calls) -> None:
    script = (call.folder / "main.py").read_text()
    script = script.replace('steps("double", double))', 'steps("ask :smile:", double))')
    (call.folder / "main.py").write_text(script)
    assert "ask :smile: success" in call("run", "doubling", "value=1").stderr
    run_id = call.json("runs", "list")[0]["runId"]
    assert "ask :smile:" in call("runs", "show", run_id).stdout
    (call.folder / "main.py").unlink()
    done = call("doctor")
    assert "under [tool.mastra] in" in " ".join(done.stderr.split())


def test_python_runs_the_command_line_as_a_module(project: Path) -> None:
    command = [sys.executable, "-m", "mastra", "--version"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mastra-py ")


def test_ctrl_c_stops_an_answer_and_the_chat_goes_on(project: Path) -> None:
    (project / "main.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", "from mastra.cli import main; main()", "chat"],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("slow\n")
        assert process.stdout.read(5) == "begun"
        process.send_signal(signal.SIGINT)
        process.stdin.write("quick\n\n")
        rest = process.stdout.read()
    assert (process.returncode, "quick answer" in rest) == (0, True), rest
    assert "never" not in rest


def test_without_an_application_the_command_says_where_it_looked(tmp_path: Path) -> None:
    done = mastra(tmp_path, "run", "x")
    assert done.returncode == 2
    assert "--app" in done.stderr
    assert "mastra new" in done.stderr
