"""The reference app on a real server: the backend is one process, the command line another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.support.app_process import NOWHERE, run, running
from tests.support.chat_server import ChatServer, chat_server
from tests.support.inngest_env import DevServer
from tests.support.openmeteo_server import openmeteo_server

pytestmark = pytest.mark.devserver


@asynccontextmanager
async def backend(server: DevServer, env: dict[str, str], *options: str) -> AsyncIterator[None]:
    """Serve the app and have the server know it, as `inngest dev -u` does."""
    port = str(server.app_port)
    async with running("serve", "--port", port, *options, env=env) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            transport = httpx.AsyncHTTPTransport(retries=10)
            async with httpx.AsyncClient(transport=transport, timeout=30) as http:
                assert (await http.put(f"{url}/api/inngest")).status_code == 200
            yield
        finally:
            process.terminate()
            await asyncio.wait_for(process.communicate(), 50)


@pytest.mark.timeout(60)
# Before the others: the server does not forget an app that it has seen.
async def test_without_the_backend_the_command_says_so(dev_server: DevServer) -> None:
    env = {**NOWHERE, "INNGEST_DEV": dev_server.url}
    ended = await run("Oslo", "--engine", "inngest", "--model", "local/smollm2-135m", env=env)
    assert ended.code == 1
    assert "'workflow.activity-planning-workflow' began no run" in ended.err
    assert "synced" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.timeout(90)
async def test_the_planner_streams_its_plan_while_it_is_written(dev_server: DevServer) -> None:
    async with chat_server() as chat, openmeteo_server() as weather:
        played: ChatServer = chat
        env = {**chat.environment, **weather.environment, "INNGEST_DEV": dev_server.url}
        async with backend(dev_server, env):
            played.waits = True
            async with running("New York", "--engine", "inngest", env=env) as process:
                assert process.stdout is not None
                # The model says nothing more before this was read.
                assert await asyncio.wait_for(process.stdout.read(100), 40) == b"A walk "
                played.go_on.set()
                out, err = await asyncio.wait_for(process.communicate(), 40)
    assert out == b"in the park.\n"
    assert process.returncode == 0, err.decode()
    assert b"Branch: plan-activities (10 % chance of rain" in err
    # The caller's own process asks neither the weather nor the model.
    assert len(played.requests) == 1


@pytest.mark.timeout(90)
async def test_a_failed_plan_is_a_failed_command(dev_server: DevServer) -> None:
    async with chat_server() as chat, openmeteo_server() as weather:
        env = {**chat.environment, **weather.environment, "INNGEST_DEV": dev_server.url}
        async with backend(dev_server, env):
            ended = await run("Nowhereville", "--engine", "inngest", env=env)
    assert ended.code == 1
    assert "Open-Meteo knows no city called 'Nowhereville'." in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.timeout(90)
async def test_an_event_from_the_server_counts_to_ten(dev_server: DevServer) -> None:
    env = {**NOWHERE, "INNGEST_DEV": dev_server.url, "OPENAI_API_KEY": "none"}
    async with backend(dev_server, env), httpx.AsyncClient(base_url=dev_server.url) as http:
        event = {"name": "workflow.increment-workflow", "data": {"inputData": {"value": 5}}}
        (event_id,) = (await http.post("/e/any", json=event)).json()["ids"]
        for number in range(200):
            answer = await http.get(f"/v1/events/{event_id}/runs", params={"_": number})
            if any(found["ended_at"] for found in answer.json()["data"]):
                break
            await asyncio.sleep(0.1)
        (found,) = answer.json()["data"]
        assert found["output"]["result"] == {"value": 10}


@pytest.mark.timeout(240)
async def test_the_embedded_model_and_a_sample_forecast(dev_server: DevServer) -> None:
    env = {**NOWHERE, "INNGEST_DEV": dev_server.url}
    async with backend(dev_server, env, "--demo"):
        ended = await run("New York", "--json", "--engine", "inngest", "--demo", env=env)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["status"] == "success"
    assert found["steps"]["fetch-weather"]["output"]["precipitationChance"] == 10
    assert found["result"]["activities"].startswith("📅 ")
