"""Durable agents behind the server: asked, approved, and gone on with when the server starts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, SQLStorage, tool
from mastra.memory import Memory
from mastra.server import create_app
from mastra.testing import FunctionModel, ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


def chunks(text: str) -> list[Any]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return [json.loads(item) for item in data]


def frames_of(text: str) -> list[str]:
    return [frame for frame in text.split("\n\n") if "data: {" in frame]


async def test_a_run_is_streamed_and_approved_over_http(tmp_path: Path) -> None:
    @tool(require_approval=True)
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    model = ScriptedModel(ToolCall("pay", {"amount": 5}), "Paid it.")
    agent = Agent(id="payer", model=model, tools={"pay": pay}, durable=True)
    storage = SQLStorage(f"sqlite:///{tmp_path}/agents.db")
    async with Mastra(agents={"payer": agent}, storage=storage) as mastra:
        async with client(create_app(mastra)) as http:
            answer = await http.post("/api/agents/payer/stream", json={"messages": "Pay."})
            first = chunks(answer.text)
            assert first[-1]["type"] == "tool-call-approval"
            waiting = (await http.get("/api/agents/payer/suspended-runs")).json()
            assert [run["runId"] for run in waiting["runs"]] == [first[0]["runId"]]
            since = waiting["runs"][0]["suspendedAt"]
            for asked, total in (
                ({"fromDate": since, "toDate": since}, 1),
                ({"fromDate": "9000-01-01T00:00:00.000Z"}, 0),
                ({"toDate": "2000-01-01"}, 0),
            ):
                url = "/api/agents/payer/suspended-runs"
                found = (await http.get(url, params=asked)).json()
                assert (len(found["runs"]), found["total"]) == (total, total)
            assert (await http.get(url, params={"fromDate": "soon"})).status_code == 400
            answer = await http.post(
                "/api/agents/payer/approve-tool-call", json={"runId": first[0]["runId"]}
            )
            then = chunks(answer.text)
            assert [then[0]["type"], then[-1]["type"]] == ["tool-result", "finish"]
            assert then[-1]["payload"]["output"]["text"] == "Paid it."


async def test_a_run_is_observed_over_http() -> None:
    agents = {
        key: Agent(id=key, model=ScriptedModel("Hi there."), durable=key == "kept")
        for key in ("kept", "plain")
    }
    async with Mastra(agents=agents) as mastra, client(create_app(mastra)) as http:
        asked = {"messages": "Hi.", "runId": "r"}
        told = chunks((await http.post("/api/agents/kept/stream", json=asked)).text)
        url = "/api/agents/kept/observe"
        assert chunks((await http.post(url, json={"runId": "r"})).text) == told
        assert chunks((await http.post(url, json={"runId": "r", "offset": 2})).text) == told[2:]
        assert chunks((await http.get(url, params={"runId": "r", "offset": 2})).text) == told[2:]
        assert (await http.get(url, params={"runId": "nobody"})).status_code == 404
        assert (await http.get(url)).status_code == 400
        assert (await http.post(url, json={"runId": "r", "offset": -1})).status_code == 400
        # A run that nobody has to find again is not stored.
        await http.post("/api/agents/plain/stream", json=asked)
        gone = await http.post("/api/agents/plain/observe", json={"runId": "r"})
        assert gone.status_code == 404


async def test_who_asks_for_events_goes_on_by_the_last_event_id() -> None:
    agent = Agent(id="kept", model=ScriptedModel("Hi there."), durable=True)
    async with Mastra(agents=[agent]) as mastra, client(create_app(mastra)) as http:
        asked = {"messages": "Hi.", "runId": "r"}
        events = {"accept": "text/event-stream"}
        told = await http.post("/api/agents/kept/stream", json=asked, headers=events)
        frames = frames_of(told.text)
        assert [frame.partition("\n")[0] for frame in frames] == [
            f"id: {place}" for place in range(len(frames))
        ]
        url = "/api/agents/kept/observe"
        for last in (0, 2):
            seen = {**events, "last-event-id": str(last)}
            rest = await http.get(url, params={"runId": "r"}, headers=seen)
            assert frames_of(rest.text) == frames[last + 1 :]
        # The original's clients do not ask, and look for the data at the beginning.
        bare = await http.post(url, json={"runId": "r"}, headers={"last-event-id": "2"})
        assert chunks(bare.text) == chunks(told.text)[3:]
        assert "id: " not in bare.text


async def test_a_server_that_starts_goes_on_with_what_was_cut_off(tmp_path: Path) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await may_end.wait()
        return "waited"

    model = ScriptedModel(ToolCall("wait", {}), "Done.")
    agent = Agent(id="waiter", model=model, tools={"wait": wait}, durable=True)

    def application() -> Mastra:
        url = f"sqlite:///{tmp_path}/agents.db"
        return Mastra(agents={"waiter": agent}, storage=SQLStorage(url))

    first = application()
    stream = first.get_agent("waiter").stream("Wait.", run_id="r")
    reading = asyncio.create_task(stream.consume())
    await began.wait()
    await stream.aclose()
    await reading
    await first.aclose()

    may_end.set()
    second = application()
    app = create_app(second)
    async with app.router.lifespan_context(app):
        run = await second.get_agent("waiter").durable_runs.workflow.create_run("r")
        assert (await run.result()).unwrap()["text"] == "Done."
    assert model.calls == 2


@pytest.mark.parametrize("route", ["generate", "stream"])
async def test_what_a_caller_may_not_ask_is_its_fault_and_what_the_author_wrote_is_not(
    route: str,
) -> None:
    model = FunctionModel(lambda _: "Yes.")
    off: Any = {"auto_resume_suspended_tools": False}
    agents = {
        "durable": Agent(id="durable", model=model, durable=True, memory=Memory()),
        "plain": Agent(id="plain", model=model, memory=Memory()),
        "off": Agent(id="off", model=model, durable=True, default_options=off),
    }
    wrong: dict[str, Any] = {
        "limits": {"limits": {"requests": -1}},
        "named": {"limits": {"reqests": 1}},
        "system": {"system": {"role": "user", "content": "x"}},
        "concurrency": {"tool_call_concurrency": 0},
        "settings": {"model_settings": {"heat": 1}},
    }
    agents |= {key: Agent(id=key, model=model, default_options=wrong[key]) for key in wrong}
    auto = Agent(
        id="auto", model=model, durable=True, default_options={"auto_resume_suspended_tools": True}
    )
    agents["auto"] = auto
    tools = {"x": {"description": "X.", "inputSchema": {"type": "object"}}}
    callers: list[tuple[str, dict[str, Any], str]] = [
        ("durable", {"autoResumeSuspendedTools": True}, "auto_resume_suspended_tools"),
        ("durable", {"memory": {"thread": "t"}}, "no resource"),
        ("plain", {"threadId": "t"}, "no resource"),
        ("plain", {"resourceId": "r"}, "no thread"),
        ("durable", {"memory": {"resource": "r"}}, "no thread"),
        ("plain", {"limits": {"requests": -1}}, "requests is -1"),
        ("plain", {"system": {"role": "user", "content": "x"}}, "role 'user'"),
    ]
    async with Mastra(agents=agents) as mastra, client(create_app(mastra)) as http:

        async def status(agent: str, says: str = "", **body: Any) -> int:
            answer = await http.post(
                f"/api/agents/{agent}/{route}", json={"messages": "Hi.", **body}
            )
            assert says in answer.text
            return answer.status_code

        for agent, body, says in callers:
            assert await status(agent, says, **body) == 400, body
        for agent in (*wrong, "auto"):
            assert await status(agent) == 500, agent
        # What changes nothing is no option.
        for agent in ("durable", "plain", "off"):
            assert await status(agent, autoResumeSuspendedTools=False) == 200
        assert await status("off", autoResumeSuspendedTools=True) == 200
        assert await status("durable", clientTools=tools) == 200
