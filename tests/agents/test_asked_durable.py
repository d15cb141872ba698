"""A durable agent that another one asks: its run is a part of theirs, and its own all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, RunNotFoundError, SQLStorage, tool
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import ScriptedModel, ToolCall

paid: list[int] = []


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    paid.append(amount)
    return f"paid {amount}"


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    paid.clear()
    kept = (
        InMemoryStorage() if request.param == "memory" else SQLStorage(f"sqlite:///{tmp_path}/a.db")
    )
    yield kept
    await kept.aclose()


def application(storage: Any, *, is_durable: bool, asks: int = 1) -> Mastra:
    turns = [ToolCall("pay", {"amount": number}) for number in range(asks)]
    payer = Agent(id="payer", model=ScriptedModel(*turns, "Paid."), tools=[pay], durable=True)
    orders = [ToolCall("agent-payer", {"prompt": "Pay."})] * asks
    asker = Agent(
        id="asker",
        model=ScriptedModel(*orders, "Done."),
        agents={"payer": payer},
        durable=is_durable,
    )
    return Mastra(agents={"asker": asker, "payer": payer}, storage=storage)


@pytest.mark.parametrize("is_durable", [False, True])
async def test_it_is_among_its_runs_that_wait(storage: Any, is_durable: bool) -> None:
    mastra = application(storage, is_durable=is_durable, asks=3)
    asker, payer = mastra.get_agent("asker"), mastra.get_agent("payer")
    waits = [await asker.generate("Go.") for _ in range(2)]
    own = await payer.generate("Pay.", memory={"thread": "t", "resource": "r"})
    found = await payer.list_suspended_runs()
    inner = [wait.suspend_payload["runId"] for wait in waits]
    assert {run.run_id for run in found.runs} == {*inner, own.run_id}
    assert found.total == 3
    pages = [await payer.list_suspended_runs(page=page, per_page=2) for page in range(3)]
    assert [len(page.runs) for page in pages] == [2, 1, 0]
    assert [run for page in pages for run in page.runs] == found.runs
    (of_thread,) = (await payer.list_suspended_runs(thread_id="t", resource_id="r")).runs
    assert of_thread.run_id == own.run_id
    (call,) = found.runs[-1].tool_calls
    assert (call.tool_name, call.kind) == ("pay", "approval")
    assert (await asker.list_suspended_runs()).total == 2


@pytest.mark.parametrize("is_durable", [False, True])
async def test_it_is_no_longer_there_once_who_asked_is_answered(
    storage: Any, is_durable: bool
) -> None:
    mastra = application(storage, is_durable=is_durable)
    asker, payer = mastra.get_agent("asker"), mastra.get_agent("payer")
    waits = await asker.generate("Go.")
    inner = waits.suspend_payload["runId"]
    done = await asker.resume_generate({"approved": True}, run_id=waits.run_id)
    assert (done.text, paid) == ("Done.", [0])
    assert (await payer.list_suspended_runs()).total == 0
    with pytest.raises(RunNotFoundError, match=r"has no run .* that waits"):
        await payer.approve_tool_call_generate(inner)


@pytest.mark.parametrize("is_durable", [False, True])
async def test_it_can_be_answered_and_observed_by_its_id(storage: Any, is_durable: bool) -> None:
    mastra = application(storage, is_durable=is_durable)
    asker, payer = mastra.get_agent("asker"), mastra.get_agent("payer")
    waits = await asker.generate("Go.")
    inner = waits.suspend_payload["runId"]
    await payer.check_stored(inner)
    kinds = [chunk.type async for chunk in payer.observe(inner)]
    assert kinds[0] == "start"
    assert kinds[-1] == "tool-call-approval"
    stream = payer.approve_tool_call(inner)
    kinds = [chunk.type async for chunk in stream]
    assert (kinds[0], kinds[-1]) == ("tool-result", "finish")
    assert (await stream.text(), paid) == ("Paid.", [0])
    assert (await payer.list_suspended_runs()).total == 0
    with pytest.raises(RunNotFoundError, match="has no run 'unknown' that waits"):
        await payer.decline_tool_call_generate("unknown")


async def test_who_leaves_the_answer_leaves_the_run_waiting(storage: Any) -> None:
    mastra = application(storage, is_durable=False)
    payer = mastra.get_agent("payer")
    waits = await mastra.get_agent("asker").generate("Go.")
    inner = waits.suspend_payload["runId"]
    stream = payer.approve_tool_call(inner)
    await stream.aclose()
    async with payer.approve_tool_call(inner, "no such call") as asked:
        with pytest.raises(Exception, match="say which with tool_call_id"):
            await asked.result()
    assert (await payer.list_suspended_runs()).total == 1
    assert (await payer.decline_tool_call_generate(inner, reason="no")).text == "Paid."
    assert paid == []
