"""Agents' runs that wait in a database of an earlier version are there, and go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from mastra import Agent, Mastra, RunNotFoundError, SQLStorage, tool
from mastra.storage.sql import postgres
from mastra.testing import ScriptedModel
from mastra.tools.tool_context import ToolContext

OLD = Path(__file__).parent / "data" / "waiting_agents_v6.sql"
"""What was stored before an agent's run that waits was a run as any other."""

paid: list[int] = []


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    paid.append(amount)
    return f"paid {amount}"


@tool
async def ask(what: str, ctx: ToolContext) -> str:
    """Ask somebody."""
    return f"{what}: {ctx.resume_data}"


def application(url: str) -> tuple[Mastra, dict[str, ScriptedModel]]:
    models = {key: ScriptedModel("Done.") for key in ("payer", "asker", "lasting")}
    ids = {"payer": "pay.er", "asker": "asker", "lasting": "lasting"}
    agents = {
        key: Agent(id=ids[key], model=models[key], tools=[pay, ask], durable=key == "lasting")
        for key in ids
    }
    return Mastra(agents=agents, storage=SQLStorage(url)), models


def said(model: ScriptedModel) -> list[Any]:
    return [(message.role, message.text) for message in model.requests[0].messages]


async def test_what_waits_is_listed_and_goes_on(tmp_path: Path) -> None:
    paid.clear()
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    connection.executescript(OLD.read_text(encoding="utf-8"))
    connection.close()
    mastra, models = application(f"sqlite:///{tmp_path}/old.db")
    async with mastra:
        payer, asker, lasting = (mastra.get_agent(key) for key in models)
        (run,) = (await payer.list_suspended_runs(thread_id="t", resource_id='a"nn')).runs
        assert (run.run_id, run.agent_id) == ("p", "pay.er")
        assert [call.tool_call_id for call in run.tool_calls] == ["c1", "c2"]
        found = {run.run_id: run for run in (await asker.list_suspended_runs()).runs}
        assert set(found) == {"q", "claimed"}  # its owner has given no sign of life
        assert found["q"].tool_calls[0].suspend_payload == {"what": 'size "é"'}
        assert [run.run_id for run in (await lasting.list_suspended_runs()).runs] == ["d"]

        assert (await payer.approve_tool_call_generate("p", "c2")).finish_reason == "suspended"
        result = await payer.approve_tool_call_generate("p", "c1")
        assert (result.text, len(result.steps), paid) == ("I look. I pay.Done.", 3, [6, 5])
        assert said(models["payer"]) == [
            *(("user", "Pay."), ("assistant", "I look. "), ("tool", "")),
            *(("assistant", "I pay."), ("tool", "")),
        ]
        assert result.usage.total_tokens == 45
        told = (await asker.resume_generate(42, run_id="q")).tool_results[0].payload.result
        assert told == 'size "é": 42'
        done = await lasting.approve_tool_call_generate("d")
        assert (done.text, len(done.steps)) == ("I look. Done.", 3)
        assert [m.role for m in models["lasting"].requests[0].messages] == [
            *("user", "assistant", "tool", "assistant", "tool")
        ]
        with pytest.raises(RunNotFoundError):
            await asker.resume_generate(42, run_id="q")


async def test_a_server_s_runs_move_too(empty_postgres_url: str) -> None:
    connection: Any = await cast("Any", asyncpg).connect(empty_postgres_url)
    await postgres.upgrade(connection, to=8)
    record = (
        '{"runId": "r", "agentId": "pay.er", "createdAt": 1, "threadId": "t",'
        ' "resourceId": "a\\"nn", "waiting": []}'
    ).replace(": ", ":")
    put = (
        "INSERT INTO mastra_agent_runs (run_id, agent_id, saved_at, is_waiting, record, owner,"
        " lease_until) VALUES ($1, $2, 5, $3, $4, $5, 0)"
    )
    await connection.execute(put, "r", "pay.er", True, record, None)
    await connection.execute(put, "bad", "pay.er", True, "{", None)
    await connection.execute(put, "held", "pay.er", False, record, "x:1")
    await connection.close()
    async with SQLStorage(empty_postgres_url) as storage:
        heads = {h.run_id: h for h in (await storage.workflows.list_runs("agent:pay_er")).runs}
        assert {key: head.status for key, head in heads.items()} == {
            "r": "suspended",
            "bad": "suspended",
            "held": "running",
        }
        assert (heads["r"].resource_id, heads["r"].created_at) == ('a"nn', 5)
        assert heads["r"].data["agentId"] == "pay.er"
        waiting: Any = heads["r"].data["waiting"]
        assert waiting["threadId"] == "t"
        assert (heads["bad"].damage is not None, heads["held"].owner) == (True, "x:1")
