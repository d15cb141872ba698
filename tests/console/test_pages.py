"""What pages tell as they are served, before a browser asks for more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from nicegui import core
from pydantic import BaseModel

from mastra import (
    Agent,
    Mastra,
    MastraError,
    StepContext,
    ToolContext,
    create_step,
    create_workflow,
    step,
    tool,
)
from mastra.agents.options import MemoryOption
from mastra.evals import create_scorer
from mastra.memory import Memory, WorkingMemory
from mastra.observability import Observability
from mastra.testing import ScriptedModel, ToolCall
from tests.console.live import console

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(300)]


class Seen(BaseModel):
    """What a run keeps in mind."""

    how_often: int = 0


class Reply(BaseModel):
    """What is answered."""

    text: str


@step
async def double(n: int) -> int:
    return 2 * n


@step
async def refuse(n: int) -> int:
    raise MastraError("too many", code="TOO_MANY", details={"most": 3})


async def _ask(ctx: StepContext[str]) -> str:
    if ctx.resume_data is None:
        await ctx.suspend(ctx.input_data or None)
    return str(ctx.resume_data)


@tool(resume_schema=Reply)
async def consult(question: str, ctx: ToolContext) -> str:
    """Ask somebody."""
    if ctx.resume_data is None:
        await ctx.suspend({"they ask": question})
    return str(ctx.resume_data)


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def flow(name: str, of: Any, takes: Any = int, **more: Any) -> Any:
    made = create_workflow(id=name, input_schema=takes, output_schema=Any, **more)
    return made.then(of).commit()


@asynccontextmanager
async def pages(mastra: Mastra) -> AsyncGenerator[httpx.AsyncClient]:
    async with console(mastra) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            yield client


async def test_a_workflow_tells_which_versions_are_kept_and_asks_for_the_state() -> None:
    kept = [flow("w", double, version=version, state_schema=Seen) for version in ("1", "2")]
    async with pages(Mastra(workflows=[*kept, flow("plain", double)])) as client:
        told = (await client.get("/workflows/w")).text
        assert "New runs take version 2; each run goes on by its own of 1, 2." in told
        assert "how_often" in told
        assert "each run goes on by its own" not in (await client.get("/workflows/plain")).text


async def test_a_run_that_has_not_begun_has_nothing_to_run_again_from() -> None:
    mastra = Mastra(workflows=[flow("w", double)])
    async with pages(mastra) as client:
        run = await mastra.get_workflow("w").create_run("r")
        told = (await client.get("/workflows/w/runs/r")).text
        assert "\\u25cb pending" in told or "○ pending" in told
        assert "Run again from here" not in told
        await run.start(1)
        assert "Run again from here" in (await client.get("/workflows/w/runs/r")).text


async def test_an_error_s_own_facts_are_shown_beside_what_it_says() -> None:
    mastra = Mastra(workflows=[flow("w", refuse)])
    async with pages(mastra) as client:
        await (await mastra.get_workflow("w").create_run("r")).start(1)
        told = (await client.get("/workflows/w/runs/r")).text
        assert "too many" in told
        assert "TOO_MANY" in told


async def test_the_inbox_shows_whatever_a_step_says_and_nothing_where_it_says_nothing() -> None:
    ask = create_step(id="ask", execute=_ask, input_schema=str, output_schema=str)
    mastra = Mastra(workflows=[flow("w", ask, str)])
    async with pages(mastra) as client:
        for number, said in enumerate(("", "May I?")):
            await (await mastra.get_workflow("w").create_run(f"r{number}")).start(said)
            told = (await client.get("/inbox")).text
            assert told.count("ask waits for an answer") == number + 1
            assert ('"{}"' in told, "May I?" in told) == (False, bool(said))


async def test_a_thread_shows_the_call_that_waits_once_with_what_it_says() -> None:
    model = ScriptedModel(ToolCall("consult", {"question": "How many?"}))
    payer = ScriptedModel(ToolCall("pay", {"amount": 31}))
    mastra = Mastra(
        agents=[
            Agent(id="asker", model=model, tools=[consult], memory=Memory()),
            Agent(id="payer", model=payer, tools=[pay], memory=Memory()),
        ]
    )
    async with pages(mastra) as client:
        for key, says in (("asker", "they ask"), ("payer", "Reason, where declined")):
            memory = MemoryOption(thread=f"t-{key}", resource="console")
            result = await mastra.get_agent(key).generate("Do it.", memory=memory)
            assert result.finish_reason == "suspended"
            name = {"asker": "consult", "payer": "pay"}[key]
            for page in (f"/agents/{key}?thread=t-{key}", "/inbox"):
                told = (await client.get(page)).text
                assert told.count(f"{name} waits for an answer") == 1, page
                assert says in told, page
            told = (await client.get(f"/agents/{key}?thread=t-{key}")).text
            assert told.count(f"▶ {name}") == 1


async def test_an_agent_without_memory_has_no_threads() -> None:
    agents = [
        Agent(id="plain", model=ScriptedModel()),
        Agent(id="keeper", model=ScriptedModel(), memory=Memory()),
    ]
    async with pages(Mastra(agents=agents)) as client:
        for key, has_threads in (("plain", False), ("keeper", True)):
            told = (await client.get(f"/agents/{key}")).text
            assert ("Begin one" in told, "Model and settings" in told) == (has_threads, True)


async def test_traces_are_turned_over_page_by_page() -> None:
    mastra = Mastra(workflows=[flow("w", double)], observability=Observability())
    async with pages(mastra) as client:
        for number in range(51):
            await (await mastra.get_workflow("w").create_run(f"r{number:02}")).start(1)
        assert mastra.observability is not None
        await mastra.observability.flush()
        first = (await client.get("/traces")).text
        assert ("page=1" in first, "Newer" in first, "r00" in first) == (True, False, False)
        second = (await client.get("/traces?page=1")).text
        assert ("page=0" in second, "Older" in second, "r00" in second) == (True, False, True)


async def test_the_pages_are_at_no_address_but_the_console_s() -> None:
    async with pages(Mastra(workflows=[flow("w", double)])) as client:
        assert (await client.get("/workflows")).status_code == 200
        # What serves them in this process serves other pages too, which anybody may ask.
        around = httpx.AsyncClient(
            transport=httpx.ASGITransport(core.app), base_url="http://127.0.0.1"
        )
        async with around:
            answer = await around.get("/_mastra_console/workflows")
        assert answer.status_code == 404
        assert "What it is for" not in answer.text


async def test_a_thread_shows_files_and_calls_that_nobody_has_answered() -> None:
    model = ScriptedModel(ToolCall("look", {"where": "outside"}))
    async with pages(Mastra(agents=[Agent(id="a", model=model, memory=Memory())])) as client:
        file = {"type": "file", "data": "aGk=", "mediaType": "text/plain", "filename": "hi.txt"}
        says = [{"type": "text", "text": "What of this?"}, file]
        asked = {
            "messages": [{"role": "user", "content": says}],
            "memory": {"thread": "t", "resource": "console"},
            "clientTools": {"look": {"description": "Look.", "inputSchema": {"type": "object"}}},
        }
        answer = await client.post("/api/agents/a/generate", json=asked)
        assert answer.status_code == 200, answer.text
        told = (await client.get("/agents/a?thread=t")).text
        assert "What of this?" in told
        assert "A file: text/plain" in told
        # The page that called the agent has that tool: until it answers, there is no result.
        assert ("▶ look" in told, "outside" in told, "It gave" in told) == (True, True, False)


async def test_working_memory_is_shown_where_there_is_some_or_a_form_of_it() -> None:
    notes = WorkingMemory(template="# Name:")
    keeps = [("free", Memory()), ("formed", Memory(working_memory=notes))]
    agents = [Agent(id=key, model=ScriptedModel("Yes."), memory=one) for key, one in keeps]
    mastra = Mastra(agents=agents)
    async with pages(mastra) as client:
        for key, _ in keeps:
            memory = MemoryOption(thread=f"t-{key}", resource="console")
            await mastra.get_agent(key).generate("Are you there?", memory=memory)
            told = (await client.get(f"/agents/{key}?thread=t-{key}")).text
            assert ("Are you there?" in told, "Working memory" in told) == (True, key == "formed")


async def test_a_scorer_tells_what_it_is_and_gave() -> None:
    exact = create_scorer(id="exact", description="Whether it says just that.").generate_score(
        lambda _: 0.25
    )
    mastra = Mastra()
    mastra.add_scorer(exact, key="exact")
    async with pages(mastra) as client:
        told = (await client.get("/evals/scorers/exact")).text
        assert "Whether it says just that." in told
        assert "Scores (0 in all)" in told
        assert "There is no scorer 'none'. (404)" in (await client.get("/evals/scorers/none")).text
