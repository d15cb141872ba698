"""An experiment that a server began goes on when the server starts again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, SQLStorage
from mastra.evals import Dataset, create_scorer
from mastra.evals.running import ExperimentOrder, ExperimentRunner
from mastra.testing import FunctionModel
from tests.server.live import running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

WORDS = [f"word {at}" for at in range(6)]


async def test_what_was_left_runs_at_the_next_start(tmp_path: Path) -> None:
    asked: list[str] = []
    is_held = True
    held = asyncio.Event()

    async def answer(request: Any) -> str:
        word = request.messages[-1].text
        asked.append(word)
        if is_held and len(asked) > 3:
            held.set()
            await asyncio.Event().wait()
        return word

    def application() -> Mastra:
        one = create_scorer(id="one", description="One.").generate_score(lambda _: 1)
        echo = Agent(id="echo", instructions="Say it again.", model=FunctionModel(answer))
        return Mastra(
            agents=[echo],
            scorers=[one],
            storage=SQLStorage(f"sqlite:///{tmp_path}/evals.db"),
        )

    mastra = application()
    await Dataset("words", [{"input": word} for word in WORDS], id="words").save(mastra)
    asks = {"targetType": "agent", "targetId": "echo", "scorerIds": ["one"], "maxConcurrency": 1}
    async with running(mastra) as (url, _), httpx.AsyncClient() as http:
        begun = await http.post(f"{url}/api/datasets/words/experiments", json=asks)
        at = f"/api/datasets/words/experiments/{begun.json()['experimentId']}"
        await asyncio.wait_for(held.wait(), 20)
        assert (await http.get(url + at)).json()["status"] == "running"
    is_held = False
    async with running(application()) as (url, _), httpx.AsyncClient() as http:
        async with asyncio.timeout(20):
            while (found := (await http.get(url + at)).json())["status"] != "completed":
                await asyncio.sleep(0.02)
    assert (found["totalItems"], found["succeededCount"], found["failedCount"]) == (6, 6, 0)
    # What had ended is not asked again; what was under way is.
    assert sorted(asked) == sorted([*WORDS, WORDS[3]])


@pytest.mark.parametrize(
    ("asks", "status", "told"),
    [
        ({"targetType": "agent", "targetId": "none"}, 404, "none"),
        ({"targetType": "workflow", "targetId": "none"}, 404, "none"),
        ({"targetType": "agent", "targetId": "echo", "scorerIds": ["none"]}, 404, "none"),
        ({"targetType": "agent"}, 400, "targetType and targetId are required"),
        ({"targetType": "agent", "targetId": "echo", "version": 7}, 404, "has no version 7"),
        ({"start": False, "version": 2}, 404, "has no version 2: its last is 1"),
    ],
)
async def test_what_cannot_be_run_is_refused_and_not_stored(
    asks: dict[str, Any], status: int, told: str
) -> None:
    mastra = Mastra(agents=[Agent(id="echo", model=FunctionModel(lambda _: "x"))])
    await Dataset("words", [{"input": "a"}]).save(mastra)
    async with running(mastra) as (url, _), httpx.AsyncClient(base_url=f"{url}/api") as http:
        found = await http.post("/datasets/words/experiments", json=asks)
        assert (found.status_code, told in found.text) == (status, True), found.text
        assert (await http.get("/experiments")).json()["pagination"]["total"] == 0


async def test_an_experiment_that_cannot_go_on_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def application(*agents: str) -> Mastra:
        model = FunctionModel(lambda _: "x")
        return Mastra(
            agents=[Agent(id=name, model=model) for name in agents],
            storage=SQLStorage(f"sqlite:///{tmp_path}/evals.db"),
        )

    first = application("old", "kept")
    await Dataset("words", [{"input": "a"}], id="words").save(first)
    runner = ExperimentRunner(first)
    orders = [ExperimentOrder("words", "agent", name) for name in ("old", "kept")]
    made = [await (await runner.made(order)).begin(more={"order": {}}) for order in orders]
    await first.aclose()
    # One of the agents is gone by the next start.
    second = application("kept")
    async with running(second):
        async with asyncio.timeout(20):
            while True:
                record = await second.storage.evals.get("experiment", made[1])
                assert record is not None
                if record.data["status"] == "completed":
                    break
                await asyncio.sleep(0.02)
    assert any(f"Experiment {made[0]!r} cannot go on" in one for one in caplog.messages)
