"""What a person does where it is not the usual way: says nothing, stops, leaves, chooses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import inngest
import pytest
from nicegui import Client

from mastra import Agent, Mastra, StepContext, create_workflow, step, tool
from mastra.evals import Dataset
from mastra.inngest import InngestEngine
from mastra.memory import Memory
from mastra.models.chunks import FinishChunk, ToolCallEnd, ToolCallStart
from mastra.observability import Observability
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn
from mastra.workflows import event_log
from tests.console.live import console
from tests.support.browser import Browser, browser
from tests.support.inngest_env import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(400)]


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@step
async def double(n: int, ctx: StepContext[int]) -> int:
    """Double it."""
    ctx.logger.warning("doubling %d", n)
    return 2 * n


@step
async def halve(n: int) -> int:
    """Halve it."""
    return n // 2


both = (
    create_workflow(id="both", input_schema=int, output_schema=int)
    .then(double)
    .then(halve)
    .commit()
)


CLICK_NODE = """
const found = [...document.querySelectorAll('.graph .node')].find(
  one => one.textContent.includes(arguments[0]));
return found?.dispatchEvent(new MouseEvent('click', {bubbles: true}));
"""


def said(model: ScriptedModel) -> list[tuple[str, str]]:
    """Return what a model was asked last: who said what."""
    told = model.requests[-1].messages
    return [(one.role, one.text) for one in told if one.role in {"user", "assistant"} and one.text]


async def say(window: Browser, text: str) -> None:
    await window.type("Message", text)
    await window.click("button", "Send")


async def test_an_agent_without_memory_is_told_all_that_was_said_once() -> None:
    pays = Turn("Let me see.", tool_calls=[ToolCall("pay", {"amount": 3})])
    model = ScriptedModel(pays, "It is paid.", RuntimeError("no more"), "You are welcome.")
    agent = Agent(id="plain", model=model, tools=[pay], max_retries=0)
    async with console(Mastra(agents=[agent])) as url, browser() as window:
        await window.open(f"{url}/agents/plain")
        await window.type("Message", "  ")
        await window.press("\ue007")
        await say(window, "Pay three.")  # what was empty was not sent before it
        await window.reads("pay waits for an answer")
        assert said(model) == [("user", "Pay three.")]
        await window.click("button", "APPROVE")
        await window.reads("It is paid.")
        await say(window, "Thanks!")
        await window.reads("no more")  # an answer that failed is told of, and nothing is said by it
        await say(window, "Once more: thanks!")
        await window.reads("You are welcome.")
        assert said(model) == [
            ("user", "Pay three."),
            ("assistant", "Let me see.It is paid."),
            ("user", "Thanks!"),
            ("user", "Once more: thanks!"),
        ]


async def test_an_answer_is_stopped_by_who_reads_it_and_by_leaving() -> None:
    ended = asyncio.Event()

    async def talk(_: Any) -> AsyncIterator[str]:
        try:
            yield "I could go on "
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def is_ended() -> None:
        await asyncio.wait_for(ended.wait(), 60)
        ended.clear()

    agent = Agent(id="talker", model=FunctionModel(talk))
    async with console(Mastra(agents=[agent])) as url, browser() as window:
        others = set(Client.instances)
        await window.open(f"{url}/agents/talker")
        await say(window, "Talk.")
        await window.reads("I could go on")
        await window.click("button", "Stop")
        await is_ended()
        await window.find("button", "Send")
        late = """document.querySelector('[aria-label="Stop"]').click()"""
        await window.js(late)  # a click that was on its way when there was nothing left to stop
        await say(window, "Again.")
        await window.until("return document.body.innerText.split('I could go on').length === 3")
        assert "That failed" not in await window.text()
        for left in set(Client.instances) - others:
            Client.instances[left].delete()
        await is_ended()


async def test_stop_ends_every_answer_that_is_under_way() -> None:
    talking, ended = 0, 0
    both_talk, both_ended = asyncio.Event(), asyncio.Event()

    async def talk(request: Any) -> AsyncIterator[Any]:
        nonlocal talking, ended
        if request.messages[-1].role != "tool":
            yield ToolCallStart("call", "pay")
            yield ToolCallEnd("call", "pay", '{"amount": 3}')
            yield FinishChunk("tool-calls")
            return
        talking += 1
        if talking == 2:
            both_talk.set()
        try:
            yield f"I could go on {talking} "
            await asyncio.Event().wait()
        finally:
            ended += 1
            if ended == 2:
                both_ended.set()

    agent = Agent(id="payer", model=FunctionModel(talk), tools=[pay], memory=Memory())
    mastra = Mastra(agents=[agent])
    async with console(mastra) as url, browser() as window:
        for _ in range(2):
            memory: Any = {"thread": "t", "resource": "console"}
            await mastra.get_agent("payer").generate("Pay.", memory=memory)
        await window.open(f"{url}/agents/payer?thread=t")
        await window.until(
            "return document.body.innerText.split('pay waits for an answer').length === 3"
        )
        for place in (1, 2):
            await window.click("button", "APPROVE")
            await window.reads(f"I could go on {place}")
        await asyncio.wait_for(both_talk.wait(), 60)
        await window.click("button", "Stop")
        await asyncio.wait_for(both_ended.wait(), 60)
        await window.find("button", "Send")


async def test_the_inbox_answers_agents_and_tells_what_came_of_it() -> None:
    asks = ToolCall("pay", {"amount": 3})
    model = ScriptedModel(asks, asks, "Paid.", RuntimeError("the bank is closed"))
    agent = Agent(id="payer", model=model, tools=[pay], memory=Memory(), max_retries=0)
    mastra = Mastra(agents=[agent])
    async with console(mastra) as url, browser() as window:
        for thread in ("one", "two"):
            memory: Any = {"thread": thread, "resource": "console"}
            await mastra.get_agent("payer").generate("Pay.", memory=memory)
        await window.open(f"{url}/inbox")
        waits = "document.body.innerText.split('pay waits for an answer').length - 1"
        await window.until(f"return {waits} === 2")
        fields = """[...document.querySelectorAll('[aria-label="Reason, where declined"]')]"""
        await window.type("Reason, where declined", "too much")  # into the last of them
        await window.js("""[...document.querySelectorAll('button')].find(
            one => one.innerText.includes('APPROVE')).click()""")
        # The other card stays as it is, with what was typed.
        await window.until(f"return {fields}.length === 1 && {fields}[0].value === 'too much'")
        await window.until(f"return {waits} === 1")
        await window.click("button", "DECLINE")
        await window.reads("the bank is closed")
        await window.reads("Nothing waits.")


async def test_what_is_not_chosen_is_asked_for() -> None:
    mastra = Mastra(workflows=[both], observability=Observability())
    async with console(mastra) as url, browser() as window:
        await Dataset("numbers", [{"input": 1}]).save(mastra)
        await window.open(f"{url}/evals/datasets/numbers")
        await window.click("button", "START")
        await window.reads("Say what is to be run on it.")
        await window.open(f"{url}/workflows/both")
        await window.click("button", "Compare two")
        await window.reads("Choose two of them.")
        await window.click("button", "START")
        await window.reads("Value is needed.")
        await window.type("Value *", "4")
        await window.click("button", "START")
        await window.reads("Result\n4")

        await window.reads("halve: ✓ success")
        for name in ("double", "halve", "start"):  # a step is chosen in the drawing
            await window.until(CLICK_NODE, name)
            chosen = "halve" if name == "start" else name  # where a run begins there is no step
            await window.reads(f"{chosen}: ✓ success")
        await window.until(CLICK_NODE, "double")
        await window.reads("double: ✓ success")
        assert "That failed" not in await window.text()

        assert mastra.observability is not None
        await mastra.observability.flush()
        await window.open(f"{url}/traces")
        await window.click("a.mono", "workflow run: 'both'")
        await window.reads("Its run")
        await window.click("button div", "✓ workflow step: 'double'")
        await window.reads("doubling 4")


async def test_the_trace_of_a_model_tells_that_prompts_are_not_kept() -> None:
    agent = Agent(id="says", model=ScriptedModel("Hello."))
    mastra = Mastra(agents=[agent], observability=Observability())
    async with console(mastra) as url, browser() as window:
        await mastra.get_agent("says").generate("Say hello.")
        assert mastra.observability is not None
        await mastra.observability.flush()
        await window.open(f"{url}/traces")
        await window.click("a.mono", "agent run: 'says'")
        await window.click("button div", "✓ llm: 'scripted/model'")
        await window.reads("Prompts are kept with Observability(capture_content=True).")


async def test_home_tells_that_the_server_of_inngest_does_not_answer() -> None:
    [port] = free_ports(1)
    nowhere = f"http://127.0.0.1:{port}"
    client = inngest.Inngest(
        app_id="shop", is_production=False, api_base_url=nowhere, event_api_base_url=nowhere
    )
    engine = InngestEngine(client)
    async with console(Mastra(workflows=[both], engine=engine)) as url, browser() as window:
        await window.open(url)
        await window.reads(f"✗ {nowhere} does not answer")
        await window.reads("shop-workflow.both\t• unknown")


async def test_a_page_that_comes_too_late_for_what_was_written_shows_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_log, "KEPT_OUTPUTS", 10)
    gates = [asyncio.Event(), asyncio.Event()]

    @step
    async def recite(n: int, ctx: StepContext[int]) -> int:
        for number in range(n):
            await ctx.writer.write(f"line {number}\n")
        await gates[0].wait()
        return n

    @step
    async def rest(n: int) -> int:
        await gates[1].wait()
        return n

    long = create_workflow(id="long", input_schema=int, output_schema=int).then(recite).then(rest)
    mastra = Mastra(workflows=[long.commit()])
    async with console(mastra) as url, browser() as window:
        run = mastra.get_workflow("long").create_run("r")
        task = asyncio.ensure_future((await run).start(500))
        await window.open(f"{url}/workflows/long/runs/r")
        await window.reads("recite: ▶ running")
        for gate, told in zip(gates, ("rest: ▶ running", "Result\n500"), strict=True):
            gate.set()
            await window.reads(told)
        assert (await task).status == "success"
        assert "no longer kept" not in await window.text()
