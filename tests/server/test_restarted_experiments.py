"""An experiment that a server began goes on when the server starts again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, SQLStorage
from mastra.evals import Dataset, create_scorer
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
