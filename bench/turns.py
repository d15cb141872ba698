"""Agents of many turns: what they store, stream and take, beside the messages that come of it.

Each turn calls one tool, which gives two kilobytes. What grows with the turns so far, instead of
with the turn, shows at ten times as many.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Options, Row
from mastra import Agent, Mastra, SQLStorage, tool
from mastra.models.message_wire import message_to_wire
from mastra.testing import FunctionModel, ToolCall

__all__ = ["measure"]

GROUP = "turns"
TURNS = 200
EARLY, LATE = 2, 10
"""The first turn that is timed at the start, and how many turns at either end."""
TABLES = ("mastra_workflow_runs", "mastra_workflow_journal")


@tool
async def fetch(page: int) -> str:
    """Fetch a page."""
    return str(page % 10) * 2048


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to."""

    turns: int
    messages: int
    """Bytes of its messages as JSON."""
    streamed: int
    """Bytes of its chunks as JSON."""
    stored: int
    """Bytes in its rows."""
    early_s: float
    late_s: float
    """Processor time of a turn, at the start and at the end."""


async def run(turns: int, *, durable: bool) -> Figures:
    """Run an agent and return what that came to."""
    begun: list[float] = []

    async def answer(_: Any) -> Any:
        begun.append(time.process_time())
        turn = len(begun)
        return [ToolCall("fetch", {"page": turn}, f"call_{turn}")] if turn <= turns else "Done."

    agent = Agent(id="a", model=FunctionModel(answer), tools={"fetch": fetch}, durable=durable)
    with tempfile.TemporaryDirectory(prefix="mastra-bench-") as folder:
        path = Path(folder) / "a.db"
        async with Mastra(agents={"a": agent}, storage=SQLStorage(f"sqlite:///{path}")) as mastra:
            stream = mastra.get_agent("a").stream("Fetch.", max_steps=turns + 1)
            streamed = [_size(chunk.to_wire()) async for chunk in stream]
            messages = [_size(message_to_wire(item)) for item in await stream.messages()]
        stored = _stored(path)
    return Figures(
        turns,
        sum(messages),
        sum(streamed),
        stored,
        (begun[EARLY + LATE] - begun[EARLY]) / LATE,
        (begun[turns] - begun[turns - LATE]) / LATE,
    )


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def _stored(path: Path) -> int:
    connection = sqlite3.connect(path)
    total = 0
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        size = " + ".join(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in columns)
        (found,) = connection.execute(f"SELECT coalesce(sum({size}), 0) FROM {table}").fetchone()
        total += found
    connection.close()
    return total


def _row(name: str, unit: str, ours: float, limit: float, target: float, growth: float) -> Row:
    ratio = ours / limit
    return Row(GROUP, name, unit, ours, limit, ratio, target, f"{target:g} x", growth)


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    await run(20, durable=True)  # what is imported on first use
    repeats = 1 if options.quick else 3
    durable = [await run(TURNS, durable=True) for _ in range(repeats)]
    plain = await run(TURNS, durable=False)
    if options.quick:
        longer, longer_plain = durable[0], plain
    else:
        longer = await run(TURNS * 10, durable=True)
        longer_plain = await run(TURNS * 10, durable=False)
    one, kb = durable[0], 1 / 1000
    late = median(figures.late_s for figures in durable)
    early = median(figures.early_s for figures in durable)
    return [
        _row(
            f"stored by a durable agent of {TURNS} calls, beside its messages",
            "KB",
            one.stored * kb,
            one.messages * kb,
            1.5,
            longer.stored / longer.turns / (one.stored / one.turns),
        ),
        _row(
            f"processor time of its turns {TURNS - LATE} to {TURNS}, beside {EARLY} to "
            f"{EARLY + LATE}",
            "ms",
            late * 1000,
            early * 1000,
            1.2,
            longer.late_s / late,
        ),
        _row(
            "streamed by the same agent, not durable, beside its messages",
            "KB",
            plain.streamed * kb,
            plain.messages * kb,
            3,
            longer_plain.streamed / longer_plain.turns / (plain.streamed / plain.turns),
        ),
    ]
