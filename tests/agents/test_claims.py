"""A waiting run belongs to one process at a time, and to no dead one for ever."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest

from mastra import Agent, InMemoryStorage, Mastra, RunClaimedError, RunNotFoundError, RunStateError
from mastra.agents import claim
from mastra.clock import now_ms
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.tool import tool
from mastra.tools.tool_context import ToolContext

sent: list[str] = []


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    sent.clear()


@tool(require_approval=True)
async def mail(to: str) -> str:
    """Send a mail."""
    sent.append(to)
    return "sent"


def application(*turns: Any, **tools: Any) -> Mastra:
    model = ScriptedModel(*turns)
    agent = Agent(id="mailer", model=model, tools=tools or {"mail": mail})
    return Mastra(agents={"mailer": agent}, storage=InMemoryStorage())


async def waiting(app: Mastra) -> str:
    """Run the agent until it waits, and return the run's id."""
    return (await app.get_agent("mailer").generate("mail ann")).run_id


async def take(app: Mastra, run_id: str, owner: str, lease_until: int) -> None:
    """Claim a run as another process would."""
    runs = app.storage.agent_runs
    assert await runs.claim_agent_run(run_id, owner, lease_until, now_ms=now_ms()) is not None


ELSEWHERE = "another-machine:17:1:1"
CALL = ToolCall("mail", {"to": "ann"})


async def test_a_run_that_another_process_goes_on_with_is_left_to_it() -> None:
    app = application(CALL, "never said")
    run_id = await waiting(app)
    await take(app, run_id, ELSEWHERE, now_ms() + 60_000)
    assert (await app.get_agent("mailer").list_suspended_runs()).runs == []
    with pytest.raises(RunNotFoundError, match="somebody else has resumed it"):
        await app.get_agent("mailer").approve_tool_call_generate(run_id)
    assert sent == []


async def test_a_run_whose_process_gave_no_sign_of_life_goes_on_elsewhere() -> None:
    app = application(CALL, "done")
    run_id = await waiting(app)
    await take(app, run_id, ELSEWHERE, now_ms() - 1)
    assert [run.run_id for run in (await app.get_agent("mailer").list_suspended_runs()).runs] == [
        run_id
    ]
    assert (await app.get_agent("mailer").approve_tool_call_generate(run_id)).text == "done"
    assert sent == ["ann"]


async def test_a_dead_process_of_this_machine_loses_its_claim_at_once() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    app = application(CALL, "done")
    run_id = await waiting(app)
    await take(app, run_id, f"{socket.gethostname()}:{process.pid}:1:1", now_ms() + 60_000)
    assert (await app.get_agent("mailer").approve_tool_call_generate(run_id)).text == "done"
    assert sent == ["ann"]


async def test_a_claim_is_prolonged_while_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "HEARTBEAT_S", 0)
    leases: list[int] = []
    was_prolonged = asyncio.Event()

    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask somebody."""
        if ctx.resume_data is None:
            await ctx.suspend({"what": what})
        await was_prolonged.wait()
        return "yes"

    app = application(ToolCall("ask", {"what": "?"}), "done", ask=ask)
    runs = app.storage.agent_runs
    prolong = runs.prolong_agent_run

    async def watched(run_id: str, owner: str, lease_until: int) -> bool:
        leases.append(lease_until)
        if len(leases) == 3:
            was_prolonged.set()
        return await prolong(run_id, owner, lease_until)

    monkeypatch.setattr(runs, "prolong_agent_run", watched)
    run_id = await waiting(app)
    begun = now_ms()
    assert (await app.get_agent("mailer").resume_generate(1, run_id=run_id)).text == "done"
    assert min(leases) >= begun + claim.LEASE_MS
    assert await runs.agent_run_owner(run_id) is None
    assert [task.get_name() for task in asyncio.all_tasks() if "claim" in task.get_name()] == []


async def test_a_claim_outlives_a_storage_that_fails_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claim, "HEARTBEAT_S", 0)
    app = application(CALL)
    runs = app.storage.agent_runs
    run_id = await waiting(app)
    held = claim.Claim(runs, run_id, "mailer")
    await held.take()
    answers: list[Any] = [OSError("the disk is away"), True, False]
    was_lost = asyncio.Event()

    async def prolong(*_: Any) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if not answer:
            was_lost.set()
        return answer

    monkeypatch.setattr(runs, "prolong_agent_run", prolong)
    await was_lost.wait()
    await held.end(is_over=False)
    assert answers == []
    assert "the disk is away" in caplog.text
    assert "another process has taken the run over" in caplog.text


async def test_a_run_that_was_taken_over_cannot_be_put_to_wait_by_the_first() -> None:
    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask somebody, twice."""
        if ctx.resume_data is not None:
            # This process was thought dead: its lease ended, and another went on with the run.
            owner = await runs.agent_run_owner(run_id)
            assert owner is not None
            await runs.prolong_agent_run(run_id, owner, 0)
            await take(app, run_id, ELSEWHERE, now_ms() + 60_000)
        return await ctx.suspend({"what": what})

    app = application(ToolCall("ask", {"what": "?"}), ask=ask)
    runs = app.storage.agent_runs
    run_id = await waiting(app)
    with pytest.raises(RunClaimedError, match="taken over"):
        await app.get_agent("mailer").resume_generate(1, run_id=run_id)
    assert await runs.agent_run_owner(run_id) == ELSEWHERE


async def test_an_answer_that_fits_no_call_gives_the_run_back() -> None:
    app = application(CALL, "done")
    agent = app.get_agent("mailer")
    run_id = await waiting(app)
    with pytest.raises(RunStateError, match="say which with tool_call_id"):
        await agent.approve_tool_call_generate(run_id, "no such call")
    assert await app.storage.agent_runs.agent_run_owner(run_id) is None
    assert (await agent.approve_tool_call_generate(run_id)).text == "done"
