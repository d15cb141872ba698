"""Commands that are told to end: what they leave, and how soon."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra
from mastra.cli.serving import _stopped_with_terminal
from mastra.cli.terminal import typed
from mastra.errors import ConfigError
from mastra.input_lines import InputLines, standard_input
from mastra.server import create_app
from mastra.server.app import server_of
from mastra.server.runner import GracefulServer, uvicorn_config
from tests.cli.test_cli import Calls
from tests.support.app_process import environment

APP = """
import asyncio
import signal
from pathlib import Path
from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow
from mastra.testing import FunctionModel

async def answer(request):
    if request.messages[-1].text == "signal":
        signal.raise_signal(signal.SIGTERM)
    Path("asked").touch()
    try:
        await asyncio.sleep(600)
    finally:
        Path("closed").touch()
    yield "never"

async def wait(ctx):
    signal.raise_signal(ctx.input_data)
    await asyncio.sleep(600)

mastra = Mastra(
    agents=[Agent(id="a", description="An agent.", model=FunctionModel(answer))],
    workflows=[
        create_workflow(id="w", input_schema=int, output_schema=None)
        .then(create_step(id="wait", input_schema=int, output_schema=None, execute=wait)).commit(),
    ],
    storage=SQLStorage("sqlite:///runs.db"),
)
"""
EVALS = """
import signal
from pathlib import Path
from mastra import SQLStorage
from mastra.evals import Dataset, Experiment, create_scorer

def target(item):
    if item == "second" and not Path("told").exists():
        Path("told").touch()
        signal.raise_signal(signal.SIGTERM)
    return item

one = Experiment(
    "one",
    dataset=Dataset("d", [{"input": "first"}, {"input": "second"}]),
    target=target,
    concurrency=1,
    storage=SQLStorage("sqlite:///evals.db"),
    scorers=[create_scorer(id="s", description="Always.").generate_score(lambda _: 1.0)],
)
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture
def call(project: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(project, monkeypatch)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Give the signals that come to this process where nobody else takes them."""
    came: list[int] = []
    numbers = (signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    yield came
    for number, was in zip(numbers, before, strict=True):
        signal.signal(number, was)


@asynccontextmanager
async def running(
    folder: Path, *words: str, **pipes: Any
) -> AsyncGenerator[asyncio.subprocess.Process]:
    program = "from mastra.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *words),
        cwd=folder,
        env=environment({"PYTHONPATH": str(Path(__file__).parents[2])}),
        **pipes,
    )
    try:
        async with asyncio.timeout(200):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(is_so: Callable[[], Any]) -> None:
    while not is_so():
        await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_program_that_speaks_mcp_ends_when_it_is_told_to(
    project: Path, number: signal.Signals
) -> None:
    """Its client has not closed standard input, and says nothing."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    async with running(project, "mcp", **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        assert json.loads(await process.stdout.readline())["id"] == 1
        process.send_signal(number)
        assert await process.wait() == 128 + number


@pytest.mark.timeout(240)
async def test_a_program_whose_client_has_gone_ends_without_a_traceback(project: Path) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    async with running(project, "mcp", **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        await process.stdout.readline()
        transport: Any = vars(process)["_transport"]
        transport.get_pipe_transport(1).close()
        process.stdin.write(json.dumps({**INITIALIZE, "id": 2}).encode() + b"\n")
        assert b"Traceback" not in await process.stderr.read()
        assert await process.wait() == 0


@pytest.mark.timeout(240)
async def test_a_chat_leaves_at_the_first_ctrl_c_and_its_terminal_as_it_was(project: Path) -> None:
    """Nothing is typed; and a program that ends while it says that it waits shows the cursor again."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    shown = b""
    os.set_blocking(ours, False)

    def has_shown(text: bytes) -> bool:
        nonlocal shown
        with suppress(BlockingIOError):
            shown += os.read(ours, 1 << 16)
        return text in shown

    try:
        async with running(project, "chat", **pipes) as process:
            await until(partial(has_shown, b"> "))
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        shown = b""
        async with running(project, "chat", **pipes) as process:
            await until(partial(has_shown, b"> "))
            os.write(ours, b"hello\n")
            await until((project / "asked").exists)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 128 + signal.SIGTERM
            has_shown(b"")
        assert (project / "closed").exists()
        assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") > 0
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_keeps_its_run(
    call: Calls, heard: list[int], number: signal.Signals
) -> None:
    was = signal.getsignal(number)
    done = call("run", "w", "--run-id", "r", "--input", str(int(number)))
    assert (done.exit_code, "mastra runs cancel r" in done.stderr) == (128 + number, True)
    assert (signal.getsignal(number), heard) == (was, [])
    assert call.json("runs", "show", "r")["status"] == "running"


def test_a_chat_that_is_told_to_end_does_not_take_that_for_ctrl_c(call: Calls) -> None:
    done = call("chat", stdin="signal\nagain\n")
    assert (done.exit_code, (call.folder / "closed").exists()) == (128 + signal.SIGTERM, True)
    assert "Stopped" not in done.output


def test_a_signal_that_is_ignored_stays_ignored(call: Calls) -> None:
    """As `nohup` says it."""
    (call.folder / "main.py").write_text(APP.replace("asyncio.sleep(600)", "asyncio.sleep(0)"))
    was = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = call("run", "w", "--input", str(int(signal.SIGHUP)))
        assert done.exit_code == 0, done.output
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, was)


def test_an_experiment_that_is_told_to_end_says_how_it_goes_on(call: Calls) -> None:
    (call.folder / "evals.py").write_text(EVALS)
    done = call("eval", "evals.py::one", "--id", "e")
    assert done.exit_code == 128 + signal.SIGTERM, done.output
    assert "mastra eval evals.py::one --id e" in done.stderr
    again = call("eval", "evals.py", "--id", "e", "--json")
    assert (again.exit_code, len(json.loads(again.stdout)[0]["items"])) == (0, 2)


async def test_lines_come_as_they_were_written() -> None:
    """One may be longer than what a pipe holds, and the last one has no end."""
    there, end = os.pipe()
    lines = InputLines(partial(os.read, there))
    os.write(end, b"one\r\ntwo\n\xff")
    assert [await lines.next() for _ in range(2)] == ["one\r\n", "two\n"]
    waiting = asyncio.ensure_future(lines.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    with os.fdopen(end, "wb") as file:
        await asyncio.to_thread(file.write, b"x" * 300_000 + b"\nwithout an end")
    assert await waiting == "\ufffd" + "x" * 300_000 + "\n"
    assert [line async for line in lines] == ["without an end"]
    assert await lines.next() is None
    os.close(there)


def test_without_standard_input_there_is_nothing_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="no standard input"):
        typed()
    with pytest.raises(ConfigError, match="no standard input"), standard_input():
        pass


def test_an_input_that_is_no_text_is_told_of(call: Calls) -> None:
    for words in (["run", "w", "--input", "-"], ["chat", "a", "--json"]):
        done = call(*words, stdin=b"\xff\xfe\x00")
        assert (done.exit_code, "UTF-8" in done.stderr) == (2, True), done.output


def test_a_server_stops_where_its_terminal_goes(heard: list[int]) -> None:
    app = create_app(Mastra())
    server = server_of(app)
    runner = GracefulServer(uvicorn_config(app, server.config), server)
    with runner.capture_signals():
        signal.raise_signal(signal.SIGHUP)
        assert (runner.should_exit, heard) == (True, [])
    assert heard == [signal.SIGHUP]  # as it would have ended the process without a server

    spared = GracefulServer(uvicorn_config(app, server.config), server)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with spared.capture_signals():
        signal.raise_signal(signal.SIGHUP)
    assert not spared.should_exit


def test_the_reloading_server_stops_where_its_terminal_goes(heard: list[int]) -> None:
    with _stopped_with_terminal():
        signal.raise_signal(signal.SIGHUP)
    assert heard == [signal.SIGTERM]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _stopped_with_terminal():
        signal.raise_signal(signal.SIGHUP)
    assert heard == [signal.SIGTERM]
