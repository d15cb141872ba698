"""The command line, called as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )


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


def test_run_takes_json_and_reads_stdin(project: Path) -> None:
    assert answer(project, "run", "double", "--input", '{"value": 2}')["result"] == {"value": 4.0}
    done = mastra(project, "run", "double", "-i", "-", "--json", stdin='{"value": 3}')
    assert json.loads(done.stdout)["result"] == {"value": 6.0}


def test_a_failed_run_is_exit_code_1(project: Path) -> None:
    done = mastra(project, "run", "failing", "value=1")
    assert done.returncode == 1
    assert "boom" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_input_and_unknown_names_are_exit_code_2(project: Path) -> None:
    for words in (["run", "doubling", "value=x"], ["run", "nope"], ["run", "doubling", "oops"]):
        done = mastra(project, *words)
        assert done.returncode == 2, done.stderr
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr
    assert answer(project, "runs", "list") == []


def test_a_run_waits_in_one_process_and_goes_on_in_the_next(project: Path) -> None:
    started = answer(project, "run", "waiting", "value=1", "--run-id", "r-1")
    assert started["status"] == "suspended"
    [row] = answer(project, "runs", "list", "--status", "suspended")
    assert row["runId"] == "r-1"
    assert answer(project, "runs", "show", "r-1")["steps"]["approve"]["status"] == "suspended"
    resumed = answer(project, "runs", "resume", "r-1", "--data", '{"add": 5}')
    assert resumed["result"] == {"value": 6.0}
    assert mastra(project, "runs", "resume", "r-1").returncode == 1
    assert mastra(project, "runs", "show", "nope").returncode == 2


def test_a_waiting_run_can_be_cancelled(project: Path) -> None:
    answer(project, "run", "waiting", "value=1", "--run-id", "r-2")
    assert answer(project, "runs", "cancel", "r-2")["status"] == "canceled"


def test_chat_says_one_thing(project: Path) -> None:
    assert mastra(project, "chat", "-m", "hello").stdout == "You said hello\n"
    assert answer(project, "chat", "echo", "-m", "hi")["text"] == "You said hi"


def test_chat_goes_on_until_an_empty_line(project: Path) -> None:
    done = mastra(project, "chat", stdin="one\ntwo\n\n")
    assert done.stdout == "You said one\nYou said two\n"


def test_graph_is_mermaid(project: Path) -> None:
    drawn = mastra(project, "graph", "looping").stdout
    assert drawn.startswith("flowchart TD\n")
    assert '["double"]' in drawn
    assert "until" in drawn
    assert answer(project, "graph", "looping")[0]["type"] == "loop"


def test_the_starter_project_runs(tmp_path: Path) -> None:
    made = answer(tmp_path, "new", "my-app")
    folder = tmp_path / made["folder"]
    assert answer(folder, "run", "greet", "name=Ada")["result"] == {"text": "Hello, Ada!"}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert tested.returncode == 0, tested.stdout
    assert mastra(tmp_path, "new", "my-app").returncode == 2


def test_without_an_application_the_command_says_where_it_looked(tmp_path: Path) -> None:
    done = mastra(tmp_path, "run", "x")
    assert done.returncode == 2
    assert "--app" in done.stderr
