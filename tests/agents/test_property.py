"""Random runs of agents: answered in any order and elsewhere, one gives what it gives undisturbed."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastra import Agent, Mastra, SQLStorage
from mastra.storage import InMemoryStorage
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool import create_tool
from mastra.tools.tool_context import ToolContext

# A run is a list of turns, each the calls that the model asks for at once; then it has its say.
KINDS = ("act", "fail", "approve", "ask", "ask_twice")
TURNS = st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), min_size=1, max_size=4)
NUMBER: Any = {"type": "object", "properties": {"number": {"type": "integer"}}}


class Process:
    """An application on a storage that others have too."""

    def __init__(
        self, turns: list[list[str]], storage: Any, *, waits: bool, durable: bool = False
    ) -> None:
        self.acted: Counter[int] = Counter()
        self._turns = turns
        self._waits = waits
        tools = {kind: self._tool(kind) for kind in KINDS}
        agent = Agent(id="a", model=FunctionModel(self._answer), tools=tools, durable=durable)
        self.mastra = Mastra(agents={"a": agent}, storage=storage)

    @property
    def agent(self) -> Agent:
        return self.mastra.get_agent("a")

    def _answer(self, request: Any) -> Any:
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == len(self._turns):
            return f"Done after {turn}."
        return [
            f"Turn {turn}. ",
            *(
                ToolCall(kind, {"number": 10 * turn + place}, f"c{turn}-{place}")
                for place, kind in enumerate(self._turns[turn])
            ),
        ]

    def _tool(self, kind: str) -> Any:
        async def execute(given: Any, ctx: ToolContext) -> int:
            asks = {"ask": 1, "ask_twice": 2}.get(kind, 0) if self._waits else 0
            asked = 0 if ctx.suspend_data is None else ctx.suspend_data["asked"]
            if asked < asks:
                await ctx.suspend({"asked": asked + 1})
            self.acted[given["number"]] += 1
            if kind == "fail":
                raise ValueError(f"no {given['number']}")
            return given["number"] * 2

        needs = self._waits and kind == "approve"
        return create_tool(kind, kind, NUMBER, execute=execute, require_approval=needs)


def come_of(result: Any) -> Any:
    """Return what came of a run, without what differs from run to run."""
    return (
        result.text,
        result.usage.total_tokens,
        [(message.role, message.parts) for message in result.messages],
        [[chunk.payload.result for chunk in step.tool_results] for step in result.steps],
        len(result.spending),
    )


async def disturbed(
    begin: Callable[[], Process], choose: random.Random, at_once: int
) -> tuple[Any, Counter[int]]:
    """Run to the end, each answer in a process of its own; see that a reader sees all of it."""
    process, options = begin(), {"max_steps": 20, "tool_call_concurrency": at_once}
    stream = process.agent.stream("Go.", run_id="r", **options)
    chunks = [chunk.to_wire() async for chunk in stream]
    acted, result = process.acted, await stream.result()
    while result.finish_reason == "suspended":
        process = begin()
        [run] = (await process.agent.list_suspended_runs()).runs
        call = choose.choice(run.tool_calls)
        if call.kind == "approval":
            stream = process.agent.approve_tool_call("r", call.tool_call_id)
        else:
            stream = process.agent.resume_stream(
                {"ok": True}, run_id="r", tool_call_id=call.tool_call_id
            )
        chunks += [chunk.to_wire() async for chunk in stream]
        acted, result = acted + process.acted, await stream.result()
    reader = begin().agent
    if await reader.stored_runs.get_run("r") is not None:
        seen = [chunk.to_wire()["type"] async for chunk in reader.observe("r")]
        assert seen == [chunk["type"] for chunk in chunks]
        assert come_of(await reader.observe("r").result())[:4] == come_of(result)[:4]
    return come_of(result), acted


async def check(
    turns: list[list[str]], seed: int, at_once: int, durable: bool, open_storage: Callable[[], Any]
) -> None:
    alone = Process(turns, InMemoryStorage(), waits=False)
    wanted = come_of(await alone.agent.generate("Go.", max_steps=20))
    storage = open_storage()
    begin = partial(Process, turns, storage, waits=True, durable=durable)
    try:
        got, acted = await disturbed(begin, random.Random(seed), at_once)
    finally:
        await storage.aclose()
    assert got == wanted
    assert acted == alone.acted


@pytest.mark.parametrize("durable", [False, True])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=TURNS, seed=st.integers(0, 2**16), at_once=st.integers(1, 3))
def test_an_answered_run_gives_what_an_undisturbed_one_gives(
    durable: bool, turns: list[list[str]], seed: int, at_once: int
) -> None:
    asyncio.run(check(turns, seed, at_once, durable, InMemoryStorage))


@pytest.mark.parametrize("durable", [False, True])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=TURNS, seed=st.integers(0, 2**16), at_once=st.integers(1, 3))
def test_so_does_one_on_a_database(
    durable: bool, turns: list[list[str]], seed: int, at_once: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        asyncio.run(check(turns, seed, at_once, durable, partial(SQLStorage, url)))
