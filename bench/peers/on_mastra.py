"""Ours, as the peers' rows name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import workflows
from bench.measure import Subject
from bench.peers.timing import Factory, main
from mastra import Mastra, SQLStorage


def of(make: Callable[[int], Any], first: int = 1) -> Factory:
    return lambda size, _: Subject(workflows.run(make(size), {"n": first}), size)


def durable(size: int, folder: Path) -> Subject:
    storage = SQLStorage(f"sqlite:///{folder}/runs.db")
    mastra = Mastra(workflows={"chain": workflows.chain(size)}, storage=storage)
    return Subject(workflows.run(mastra.get_workflow("chain"), {"n": 1}), size)


def foreach(size: int, _: Path) -> Subject:
    items = [{"n": item} for item in range(size)]
    return Subject(workflows.run(workflows.foreach(8), items), size)


if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": of(workflows.chain),
            "chain of 100, a step": of(workflows.chain),
            "parallel of 50, a branch": of(workflows.parallel),
            "foreach over 1,000, an item": foreach,
            "loop of 1,000, an iteration": of(workflows.loop, 0),
            "step and branch of two, a run": of(lambda _: workflows.branch()),
            "chain of 100 in SQLite, a step": durable,
        }
    )
