"""A waiting run belongs to one process at a time, and to no dead one for ever."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, RunClaimedError, RunNotFoundError, RunStateError, SQLStorage
from mastra.storage.base import RunChanges
from mastra.storage.drivers import DRIVER_ID_LENGTH
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


Application = Callable[..., Mastra]


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    """Makes the application of a test."""
    made: list[Mastra] = []

    def make(*turns: Any, lease_s: float = 30.0, **tools: Any) -> Mastra:
        agent = Agent(id="mailer", model=ScriptedModel(*turns), tools=tools or {"mail": mail})
        storage = SQLStorage(f"sqlite:///{tmp_path}/runs.db", lease_s=lease_s)
        made.append(Mastra(agents={"mailer": agent}, storage=storage))
        return made[-1]

    yield make
    for app in made:
        await app.aclose()


async def waiting(app: Mastra) -> str:
    """Run the agent until it waits, and return the run's id."""
    return (await app.get_agent("mailer").generate("mail ann")).run_id


async def claimed(app: Mastra, run_id: str, owner: str, *dead: str) -> bool:
    """Return whether another process can claim a run."""
    runs, key = app.storage.workflows, ("agent:mailer", run_id)
    if await runs.update_run(
        *key, RunChanges(status="running", owner=owner), expected_status=("suspended",)
    ):
        return True
    return await runs.claim(*key, owner, dead_owners=dead)


async def owner_of(app: Mastra, run_id: str) -> str | None:
    head = await app.storage.workflows.get_run("agent:mailer", run_id)
    assert head is not None
    return head.owner


async def take(app: Mastra, run_id: str, owner: str, about: str = "") -> None:
    """Claim a run as another process would."""
    runs = app.storage.workflows
    assert runs.drivers is not None
    await runs.drivers.beat(owner[:DRIVER_ID_LENGTH], about)
    assert await claimed(app, run_id, owner)


ELSEWHERE = f"{'e' * DRIVER_ID_LENGTH}:1"
CALL = ToolCall("mail", {"to": "ann"})


async def test_a_run_that_another_process_goes_on_with_is_left_to_it(
    application: Application,
) -> None:
    app = application(CALL, "never said")
    run_id = await waiting(app)
    await take(app, run_id, ELSEWHERE)
    assert (await app.get_agent("mailer").list_suspended_runs()).runs == []
    with pytest.raises(RunNotFoundError, match="somebody else has resumed it"):
        await app.get_agent("mailer").approve_tool_call_generate(run_id)
    assert sent == []


async def test_a_run_whose_process_gave_no_sign_of_life_goes_on_elsewhere(
    application: Application,
) -> None:
    run_id = await waiting(application(CALL))
    await take(application(lease_s=0.001), run_id, ELSEWHERE)
    app = application("done")
    agent = app.get_agent("mailer")
    assert [run.run_id for run in (await agent.list_suspended_runs()).runs] == [run_id]
    assert (await agent.approve_tool_call_generate(run_id)).text == "done"
    assert sent == ["ann"]


FACTS = "from mastra.workflows.engines.processes import process_facts; print(process_facts())"


async def test_a_dead_process_of_this_machine_loses_its_claim_at_once(
    application: Application,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FACTS, stdout=asyncio.subprocess.PIPE
    )
    about = (await process.communicate())[0].decode().strip()
    app = application(CALL, "done")
    run_id = await waiting(app)
    await take(app, run_id, ELSEWHERE, about)
    assert (await app.get_agent("mailer").approve_tool_call_generate(run_id)).text == "done"
    assert sent == ["ann"]


async def test_a_claim_outlasts_its_lease_while_the_run_goes_on(application: Application) -> None:
    lease_s = 0.3

    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask somebody."""
        if ctx.resume_data is None:
            await ctx.suspend({"what": what})
        # Longer than the lease, with the event loop blocked: only a thread can prolong it.
        time.sleep(2 * lease_s)  # noqa: ASYNC251
        assert not await claimed(app, run_id, ELSEWHERE)
        return "yes"

    app = application(ToolCall("ask", {"what": "?"}), "done", ask=ask, lease_s=lease_s)
    run_id = await waiting(app)
    assert (await app.get_agent("mailer").resume_generate(1, run_id=run_id)).text == "done"
    assert await owner_of(app, run_id) is None


async def test_a_run_that_was_taken_over_cannot_be_put_to_wait_by_the_first(
    application: Application,
) -> None:
    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask somebody, twice."""
        if ctx.resume_data is not None:
            # This process was thought dead, and another went on with the run.
            owner = await owner_of(app, run_id)
            assert owner is not None
            assert await claimed(app, run_id, ELSEWHERE, owner)
        return await ctx.suspend({"what": what})

    app = application(ToolCall("ask", {"what": "?"}), ask=ask)
    run_id = await waiting(app)
    with pytest.raises(RunClaimedError, match="taken over"):
        await app.get_agent("mailer").resume_generate(1, run_id=run_id)
    assert await owner_of(app, run_id) == ELSEWHERE


async def test_an_answer_that_fits_no_call_gives_the_run_back(application: Application) -> None:
    app = application(CALL, "done")
    agent = app.get_agent("mailer")
    run_id = await waiting(app)
    with pytest.raises(RunStateError, match="say which with tool_call_id"):
        await agent.approve_tool_call_generate(run_id, "no such call")
    assert await owner_of(app, run_id) is None
    assert (await agent.approve_tool_call_generate(run_id)).text == "done"
