"""The planner from its command line: real processes, real sockets, a played model and weather."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import textwrap
from collections.abc import AsyncIterator

import httpx
import pytest

from app.cli import main
from tests.support.app_process import NOWHERE, Ended, run, running
from tests.support.chat_server import ChatServer, chat_server
from tests.support.openmeteo_server import OpenMeteoServer, openmeteo_server

OTHER_LANE = pytest.mark.every_engine
"""Each case is a program of its own, which takes a second or two."""


@pytest.fixture
async def weather() -> AsyncIterator[OpenMeteoServer]:
    async with openmeteo_server() as server:
        yield server


@pytest.fixture
async def chat() -> AsyncIterator[ChatServer]:
    async with chat_server() as server:
        yield server


def lines(ended: Ended) -> list[str]:
    return ended.err.strip().splitlines()


def failed_with(ended: Ended, code: int, *messages: str) -> None:
    assert ended.code == code, ended.err
    last = lines(ended)[-1]
    assert last.startswith("Error: ")
    for message in messages:
        assert message in last
    assert "Traceback" not in ended.err
    assert ended.out == ""


async def test_a_dry_day_is_planned_outdoors(chat: ChatServer, weather: OpenMeteoServer) -> None:
    ended = await run("New York", env=chat.environment | weather.environment)
    assert ended.code == 0
    assert ended.out == "A walk in the park.\n"
    first, *_ = lines(ended)
    assert first == "… fetch-weather"
    assert lines(ended)[-2] == "Branch: plan-activities (10 % chance of rain, 50 % or less)"
    assert lines(ended)[-1].startswith("Result: success, a plan of 20 characters in ")
    (request,) = chat.requests
    assert request["model"] == "gpt-4o"
    assert request["messages"][0]["role"] == "system"
    asked = request["messages"][-1]["content"]
    assert asked.startswith("Plan one day in New York for visitors.")
    assert "mainly clear, 14 to 22 °C, 10 % chance of rain" in asked
    assert "grammar" not in request


async def test_a_wet_day_is_planned_indoors_first(
    chat: ChatServer, weather: OpenMeteoServer
) -> None:
    ended = await run("Seattle", env=chat.environment | weather.environment)
    assert ended.code == 0
    assert "Branch: plan-indoor-activities (85 % chance of rain, over 50 %)" in lines(ended)
    assert "Begin with the indoor activities." in chat.requests[0]["messages"][-1]["content"]


@OTHER_LANE
async def test_half_a_chance_of_rain_is_dry(chat: ChatServer, weather: OpenMeteoServer) -> None:
    ended = await run("Edge", env=chat.environment | weather.environment)
    assert "Branch: plan-activities (50 % chance of rain, 50 % or less)" in lines(ended)


async def test_text_reaches_the_terminal_while_the_model_still_generates(
    chat: ChatServer, weather: OpenMeteoServer
) -> None:
    chat.waits = True
    async with running("New York", env=chat.environment | weather.environment) as process:
        assert process.stdout is not None
        # The model says nothing more before this was read; if it were held back, we would wait for
        # ever here.
        assert await asyncio.wait_for(process.stdout.read(100), 50) == b"A walk "
        chat.go_on.set()
        assert await process.stdout.read() == b"in the park.\n"
        await process.communicate()
        assert process.returncode == 0


async def test_json_is_all_that_standard_output_gets(
    chat: ChatServer, weather: OpenMeteoServer
) -> None:
    ended = await run("--json", "Seattle", env=chat.environment | weather.environment)
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["status"] == "success"
    assert found["result"] == {"activities": "A walk in the park.\n"}
    assert found["steps"]["fetch-weather"]["output"]["precipitationChance"] == 85


@OTHER_LANE
async def test_json_tells_of_a_failure_too(chat: ChatServer, weather: OpenMeteoServer) -> None:
    ended = await run("--json", "Nowhereville", env=chat.environment | weather.environment)
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["status"] == "failed"
    assert "Nowhereville" in found["error"]["message"]


async def test_an_unknown_city(chat: ChatServer, weather: OpenMeteoServer) -> None:
    ended = await run("Nowhereville", env=chat.environment | weather.environment)
    failed_with(ended, 1, "Open-Meteo knows no city called 'Nowhereville'.")
    assert any(line.startswith("✗ fetch-weather") for line in lines(ended))
    assert chat.requests == []


@OTHER_LANE
async def test_a_dead_network(chat: ChatServer) -> None:
    ended = await run("New York", env=chat.environment | NOWHERE)
    failed_with(ended, 1, "Open-Meteo cannot be reached")
    assert "sample" not in ended.err


@OTHER_LANE
async def test_a_bad_answer(chat: ChatServer, weather: OpenMeteoServer) -> None:
    weather.fault = "not-json"
    ended = await run("New York", env=chat.environment | weather.environment)
    failed_with(ended, 1, "Open-Meteo's answer cannot be read")


@OTHER_LANE
async def test_a_wrong_key(chat: ChatServer, weather: OpenMeteoServer) -> None:
    wrong = {**chat.environment, **weather.environment, "OPENAI_API_KEY": "sk-wrong"}
    ended = await run("New York", env=wrong)
    failed_with(ended, 1, "openai/gpt-4o", "Incorrect API key provided")


async def test_a_missing_key(weather: OpenMeteoServer) -> None:
    failed_with(await run("New York", env=weather.environment), 2, "OPENAI_API_KEY")


async def test_a_model_that_cannot_be_reached(weather: OpenMeteoServer) -> None:
    dead = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "x"}
    ended = await run("New York", env=dead | weather.environment)
    failed_with(ended, 1, "openai/gpt-4o", "http://127.0.0.1:9/v1")


@OTHER_LANE
async def test_an_unknown_provider(weather: OpenMeteoServer) -> None:
    ended = await run("New York", "--model", "nobody/model-1", env=weather.environment)
    failed_with(ended, 2, "nobody")


@OTHER_LANE
async def test_a_model_without_a_provider(weather: OpenMeteoServer) -> None:
    ended = await run("New York", "--model", "gpt-4o", env=weather.environment)
    failed_with(ended, 2, "'provider/model'")


@pytest.mark.parametrize("kind", ["step", "tool"])
async def test_a_step_or_a_tool_that_raises(kind: str) -> None:
    program = f"""
        import app.cli
        from mastra import Mastra, create_step, create_workflow, tool

        def work(city: dict) -> str:
            raise RuntimeError("the printer is on fire")

        async def print_plan(city: str) -> str:
            '''Print a plan.'''
            raise RuntimeError("the printer is on fire")

        first = (
            create_step(id="print-plan", execute=work)
            if {kind!r} == "step"
            else create_step(tool(print_plan))
        )
        workflow = create_workflow(id="w", input_schema=dict, output_schema=str).then(first)
        app.cli.build_mastra = lambda **_: Mastra(
            workflows={{"activityPlanningWorkflow": workflow.commit()}}
        )
        app.cli.main()
    """
    ended = await run("New York", env={}, program=textwrap.dedent(program))
    failed_with(ended, 1, "the printer is on fire")


@OTHER_LANE
async def test_debug_shows_where_it_happened(chat: ChatServer, weather: OpenMeteoServer) -> None:
    ended = await run("Nowhereville", "--debug", env=chat.environment | weather.environment)
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert "UnknownCityError" in ended.err


async def test_wrong_usage() -> None:
    no_option = await run("New York", "--nonsense", env={})
    assert no_option.code == 2
    assert "--nonsense" in no_option.err
    no_engine = await run("New York", "--engine", "steam", env={})
    assert no_engine.code == 2
    assert "steam" in no_engine.err


async def test_an_inngest_server_that_is_not_there_is_named() -> None:
    nobody = "http://127.0.0.1:9"
    ended = await run("New York", "--engine", "inngest", env={"INNGEST_DEV": nobody})
    assert ended.code == 1
    assert nobody in ended.err
    assert "Traceback" not in ended.err


async def test_the_backend_serves_the_workflows_and_stops_when_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with running("serve", "--port", str(port), env={}) as process:
        assert process.stderr is not None
        try:
            assert f"http://127.0.0.1:{port}".encode() in await process.stderr.readline()
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", transport=httpx.AsyncHTTPTransport(retries=8)
            ) as http:
                workflows = (await http.get("/api/workflows")).json()
                assert set(workflows) == {"activityPlanningWorkflow", "incrementWorkflow"}
                assert (await http.get("/docs")).status_code == 200
                counted = await http.post(
                    "/api/workflows/incrementWorkflow/start-async", json={"inputData": {"value": 3}}
                )
                assert counted.json()["result"] == {"value": 10}
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), 50)
        assert b"Traceback" not in err


async def test_help_names_the_options() -> None:
    shown = await run("plan", "--help", env={})
    assert shown.code == 0
    for option in ("--model", "--demo", "--engine", "--json", "--debug"):
        assert option in shown.out


async def test_a_reader_that_goes_away_is_no_traceback(
    chat: ChatServer, weather: OpenMeteoServer
) -> None:
    chat.waits = True
    program = """
        import subprocess, sys
        with subprocess.Popen(
            [sys.executable, "-m", "app", "New York"], stdout=subprocess.PIPE
        ) as app:
            app.stdout.read(3)
            app.stdout.close()
            print("gone", flush=True)
        print(app.returncode)
    """
    env = chat.environment | weather.environment
    async with running(env=env, program=textwrap.dedent(program)) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"gone\n"
        chat.go_on.set()
        out, err = await process.communicate()
        assert out == b"1\n"
        assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        pytest.param(signal.SIGHUP, 128 + signal.SIGHUP, marks=pytest.mark.every_engine),
    ],
)
async def test_an_interrupt_ends_it_at_once(
    chat: ChatServer, weather: OpenMeteoServer, number: signal.Signals, code: int
) -> None:
    """Its own way: what is open is closed, and a terminal gets its cursor back."""
    chat.waits = True
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("These tests were started with nohup: a program leaves what is ignored so.")
    async with running("New York", env=chat.environment | weather.environment) as process:
        assert process.stdout is not None
        await process.stdout.read(3)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), 50)
        assert process.returncode == code
        assert b"Traceback" not in err


def test_what_cannot_be_written_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a reader that has gone, a standard output that was closed."""
    monkeypatch.setattr(sys, "argv", ["app", "--help"])
    there, gone = os.pipe()
    os.close(there)
    full = os.open("/dev/full", os.O_WRONLY)
    for number, code in ((full, "Error: .*No space"), (gone, "1")):
        with os.fdopen(number, "w") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            with pytest.raises(SystemExit, match=code):
                main()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with pytest.raises(SystemExit, match="0"):
            main()
        sys.stdout.close()
