"""What evaluating an agent costs beside calling it: an item of an experiment, and of `run_evals`."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any

from bench.measure import Options, Row, Subject, compare
from mastra import Agent, SQLStorage
from mastra.evals import Dataset, Experiment, create_scorer, run_evals
from mastra.testing import FunctionModel

__all__ = ["measure"]

GROUP = "evals"
ITEMS = 1_000
MOST_MS = 0.5
"""What an item may cost beyond calling the agent."""

AGENT = Agent(id="echo", model=FunctionModel(lambda request: request.messages[-1].text))
SCORER = create_scorer(id="length", description="How long it is.").generate_score(
    lambda ctx: len(ctx.run.output)
)


async def measure(options: Options) -> list[Row]:
    """Measure both."""
    count = ITEMS // 10 if options.quick else ITEMS
    dataset = Dataset("words", [{"input": f"word {at}"} for at in range(count)])

    async def alone() -> None:
        for item in dataset:
            await AGENT.generate(item.input)

    async def experiment(storage: Any = None) -> None:
        made = Experiment("e", dataset=dataset, target=AGENT, scorers=[SCORER], storage=storage)
        await made.run()

    async def stored() -> None:
        with TemporaryDirectory() as folder:
            storage = SQLStorage(f"sqlite:///{folder}/evals.db")
            await experiment(storage)
            await storage.aclose()

    async def runs() -> None:
        await run_evals(data=dataset, target=AGENT, scorers=[SCORER])

    async def row(name: str, work: Callable[[], Awaitable[None]]) -> Row:
        found = await compare(
            GROUP,
            name,
            ours=Subject(work, count, waits=False),
            limit=Subject(alone, count, waits=False),
            turns=options.turns(4),
            unit="ms",
        )
        over = (found.ours_least or 0) - (found.limit_least or 0)
        word = "reached" if over <= MOST_MS else "missed"
        note = f"{over:.2f} ms an item over the agent; {MOST_MS:g} at most: {word}"
        return dataclasses.replace(found, note=note)

    return [
        await row("an item of an experiment, beside the agent alone", experiment),
        await row("the same on SQLite, beside the agent alone", stored),
        await row("an item of run_evals, beside the agent alone", runs),
    ]
