"""A run that waits is recorded as a durable one is: each thing once, and read by anybody."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, SQLStorage, StorageError, tool
from mastra.memory import Memory
from mastra.processors import Processor
from mastra.storage.base import RunHead
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.tool_context import ToolContext

HERE: Any = {"thread": "t", "resource": "ann"}
EARLIER = Path(__file__).parents[1] / "storage/data/partly_answered_agent.json"
"""A run of an earlier version, of which the second of two calls was answered with other arguments."""


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(require_approval=True)
async def tell(size: int) -> str:
    """Say much."""
    return "x" * size


@tool
async def ask(ctx: ToolContext) -> str:
    """Have somebody else think, ask a person, and think once more."""
    clerk = Agent(id="clerk", model=ScriptedModel("Hm."))
    await clerk.generate("Think.")
    if ctx.resume_data is None:
        return await ctx.suspend({"question": "?"})
    return "asked"


@tool
async def look() -> str:
    """Look."""
    return "seen"


TOOLS: Any = {"pay": pay, "tell": tell, "ask": ask, "look": look}
Application = Callable[..., Mastra]


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    """Makes applications on one database: another is another process to the runs."""
    made: list[Mastra] = []

    def make(*turns: Any, **options: Any) -> Mastra:
        agent = Agent(id="payer", model=ScriptedModel([*turns]), tools=TOOLS, **options)
        storage = SQLStorage(f"sqlite:///{tmp_path}/runs.db")
        made.append(Mastra(agents={"payer": agent}, storage=storage))
        return made[-1]

    yield make
    for app in made:
        await app.aclose()


def calls(*amounts: int) -> list[Any]:
    return ["I pay.", *(ToolCall("pay", {"amount": n}, f"c{n}") for n in amounts)]


async def stored(app: Mastra, run_id: str) -> str:
    """Return all that is stored of a run."""
    runs = app.storage.workflows
    head = await runs.get_run("agent:payer", run_id)
    rows: list[Any] = [row.data for row in await runs.load_rows("agent:payer", run_id)]
    texts = [row.decode() if isinstance(row, bytes) else str(row) for row in rows]
    return "".join([str(head), *texts])


async def size_after(application: Application, waits: int) -> int:
    turns = [ToolCall("tell", {"size": 2000}, f"c{place}") for place in range(waits + 1)]
    app = application(*turns)
    run_id = f"r{waits}"
    await app.get_agent("payer").generate("Go.", run_id=run_id)
    for _ in range(waits):
        await app.get_agent("payer").approve_tool_call_generate(run_id, max_steps=1000)
    return len(await stored(app, run_id))


async def test_what_is_stored_grows_with_what_was_said(application: Application) -> None:
    few, many = await size_after(application, 5), await size_after(application, 50)
    assert many < 12 * few
    assert many < 50 * 2000 * 6


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
async def test_answers_one_by_one_make_one_message(
    application: Application, order: tuple[str, str]
) -> None:
    app = application(calls(1, 2), memory=Memory())
    await app.get_agent("payer").generate("Pay.", run_id="r", memory=HERE)
    first = await app.get_agent("payer").approve_tool_call_generate(
        "r", order[0], args={"amount": 7}
    )
    assert first.finish_reason == "suspended"
    elsewhere = application("Done.", memory=Memory())
    result = await elsewhere.get_agent("payer").approve_tool_call_generate("r", order[1])
    assert [message.role for message in result.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert first.messages[-1].id == result.messages[2].id
    parts: Any = result.messages[2].parts
    told: Any = {part.tool_call_id: part for part in parts}
    other = order[1][1]
    assert told[order[0]].result == "paid 7"
    assert told[order[0]].args == {"amount": 7}
    assert told[order[1]].result == f"paid {other}"
    assert len(result.steps[0].tool_results) == 2
    page = await Memory().bound_to(app).list_messages(thread_id="t")
    stored_parts: list[Any] = [part for m in page.messages for part in m.content["parts"]]
    kept = [part["toolInvocation"] for part in stored_parts if part["type"] == "tool-invocation"]
    assert sorted(call["result"] for call in kept) == sorted(["paid 7", f"paid {other}"])


async def test_what_tools_used_is_counted_over_waits(application: Application) -> None:
    app = application([ToolCall("ask", {}, "a"), ToolCall("pay", {"amount": 1}, "c1")])
    await app.get_agent("payer").generate("Go.", run_id="r")
    first = await app.get_agent("payer").resume_generate(1, run_id="r", tool_call_id="a")
    assert (first.finish_reason, len(first.spending)) == ("suspended", 3)
    result = await application("Done.").get_agent("payer").approve_tool_call_generate("r")
    assert [item.model for item in result.spending] == [
        *("scripted/model",) * 4,
    ]
    assert result.usage.total_tokens == 30  # its own model calls


async def test_a_run_that_waited_is_observed_whole(application: Application) -> None:
    app = application(calls(1, 2), [ToolCall("pay", {"amount": 3}, "c3")], "Done.")
    agent = app.get_agent("payer")
    live = agent.stream("Pay.", run_id="r")
    chunks = [chunk.to_wire() async for chunk in live]
    for call in ("c2", "c1", "c3"):
        stream = agent.approve_tool_call("r", call)
        chunks += [chunk.to_wire() async for chunk in stream]
    result = await stream.result()
    assert result.finish_reason == "stop"
    reader = application().get_agent("payer")
    assert [chunk.to_wire() async for chunk in reader.observe("r")] == json.loads(
        json.dumps(chunks, default=str)
    )
    for offset in (0, len(chunks) - 1, len(chunks) + 5):
        again = await reader.observe("r", offset).result()
        assert (again.text, again.usage.total_tokens) == (result.text, 45)
        assert [(m.id, m.parts) for m in again.messages] == [
            (m.id, m.parts) for m in result.messages
        ]
        assert [step.to_wire() | {"request": 0} for step in again.steps] == [
            step.to_wire() | {"request": 0} for step in result.steps
        ]


async def test_what_an_earlier_version_stored_goes_on(application: Application) -> None:
    waiting = json.loads(EARLIER.read_text(encoding="utf-8"))
    app = application("Done.")
    data: Any = {"initialState": {}, "agentId": "payer", "waiting": waiting}
    head = RunHead("agent:payer", "r", "suspended", resource_id="ann", data=data)
    await app.storage.workflows.open()
    assert await app.storage.workflows.create_run(head)
    agent = app.get_agent("payer")
    [run] = (await agent.list_suspended_runs(thread_id="t")).runs
    assert [call.tool_call_id for call in run.tool_calls] == ["c1"]
    result = await agent.approve_tool_call_generate("r")
    parts: Any = result.messages[2].parts
    assert [(part.args, part.result) for part in parts] == [
        ({"amount": 1}, "paid 1"),
        ({"amount": 3}, "paid 3"),
    ]
    assert [message.role for message in result.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert (result.text, result.usage.total_tokens, len(result.steps)) == ("I pay.Done.", 30, 2)
    assert len(result.spending) == 2
    again = await application().get_agent("payer").observe("r").result()
    assert (again.text, len(again.messages)) == (result.text, 4)


async def test_of_two_who_answer_at_once_one_goes_on(application: Application) -> None:
    app, elsewhere = application(calls(1), "Done."), application("Done.")
    await app.get_agent("payer").generate("Pay.", run_id="r")
    results = await asyncio.gather(
        *(one.get_agent("payer").approve_tool_call_generate("r") for one in (app, elsewhere)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == [
        "AgentResult",
        "RunNotFoundError",
    ]


async def test_a_run_whose_records_cannot_be_read_is_told_and_left_waiting(
    application: Application, tmp_path: Path
) -> None:
    app = application(calls(1))
    agent = app.get_agent("payer")
    await agent.generate("Pay.", run_id="r")
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database, database:
        row = "UPDATE mastra_workflow_journal SET data = '{' WHERE key LIKE 'agent/0.model%'"
        assert database.execute(row).rowcount == 1
    for _ in range(2):
        with pytest.raises(StorageError) as refused:
            await agent.approve_tool_call_generate("r")
        assert refused.value.code == "ROW_UNREADABLE"
    head = await app.storage.workflows.get_run("agent:payer", "r")
    assert head is not None
    assert (head.status, head.owner) == ("suspended", None)


@tool
async def confirm(what: str, ctx: ToolContext) -> str:
    """Ask somebody at once."""
    if ctx.resume_data is None:
        return await ctx.suspend({"what": what})
    return f"{what}: {ctx.resume_data}"


@pytest.mark.parametrize("durable", [True, False])
async def test_each_call_that_waits_is_listed_and_answered(tmp_path: Path, durable: bool) -> None:
    asked: Any = [ToolCall("confirm", {"what": what}, what) for what in ("a", "b")]
    model = ScriptedModel([asked, "Done."])
    agent = Agent(id="payer", model=model, tools={"confirm": confirm}, durable=durable)
    storage = SQLStorage(f"sqlite:///{tmp_path}/both.db")
    async with Mastra(agents={"payer": agent}, storage=storage) as app:
        agent = app.get_agent("payer")
        result = await agent.generate("Go.", run_id="r", tool_call_concurrency=2)
        assert result.finish_reason == "suspended"
        for answered, left in (("b", ["a"]), ("a", [])):
            [run] = (await agent.list_suspended_runs()).runs
            assert sorted(call.tool_call_id for call in run.tool_calls) == sorted([answered, *left])
            result = await agent.resume_generate("yes", run_id="r", tool_call_id=answered)
        assert result.text == "Done."
        told: Any = result.messages[2].parts
        assert [part.result for part in told] == ["a: yes", "b: yes"]


class Forgets(Processor):
    id = "forgets"

    def process_input_step(self, ctx: Any) -> None:
        """Leave of what was said before the text alone."""
        said = [message for message in ctx.messages if message.role != "tool"]
        ctx.messages[:] = [replace(message, content=message.parts[:1]) for message in said]


async def test_a_step_keeps_what_a_processor_took_out_of_the_conversation(
    application: Application,
) -> None:
    told = {"input_processors": [Forgets()]}
    app = application(["I look.", ToolCall("look", {}, "c0")], calls(1), **told)
    first = await app.get_agent("payer").generate("Go.", run_id="r")
    assert [message.text for message in first.messages] == ["Go.", "I look.", "I pay."]
    result = await application("Done.", **told).get_agent("payer").approve_tool_call_generate("r")
    kinds = [[type(part).__name__ for part in step.content] for step in result.steps]
    assert kinds == [["TextPart", "ToolCallPart", "ToolResultPart"]] * 2 + [["TextPart"]]


async def test_a_retry_is_told_with_its_reason() -> None:
    class Polite(Processor):
        id = "polite"

        def process_output_step(self, ctx: Any) -> None:
            if ctx.text == "No.":
                ctx.abort("say please", retry=True)

    agent = Agent(id="a", model=ScriptedModel("No.", "Please."), output_processors=[Polite()])
    steps = (await agent.generate("Go.")).to_wire()["steps"]
    assert [step.get("tripwire", {}).get("reason") for step in steps] == ["say please", None]
