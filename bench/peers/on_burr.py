"""burr: an application of actions over an immutable state; in SQLite, a row a step."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from burr.core import ApplicationBuilder, State, action, expr
from burr.core.persistence import SQLitePersister

from bench.measure import Subject
from bench.peers.model import Number
from bench.peers.timing import main


@action(reads=["n"], writes=["n"])
async def same(state: State) -> State:
    value = Number.model_validate({"n": state["n"]})
    return state.update(n=value.model_dump()["n"])


@action(reads=["n"], writes=["n"])
async def one_more(state: State) -> State:
    value = Number.model_validate({"n": state["n"]})
    return state.update(n=Number(n=value.n + 1).model_dump()["n"])


def work(actions: dict[str, Any], edges: list[Any], last: list[str], size: int) -> Subject:
    base = ApplicationBuilder().with_actions(**actions).with_transitions(*edges)
    base = base.with_entrypoint(next(iter(actions)))

    async def run() -> None:
        app = ApplicationBuilder().with_graph(graph).with_entrypoint(next(iter(actions)))
        await app.with_state(n=1).build().arun(halt_after=last)

    graph = base.with_state(n=1).build().graph
    return Subject(run, size)


def parts(size: int) -> tuple[dict[str, Any], list[Any], list[str]]:
    names = [f"step{place}" for place in range(size)]
    edges = list(pairwise(names))
    return dict.fromkeys(names, same), edges, names[-1:]


def chain(size: int, _: Path) -> Subject:
    actions, edges, last = parts(size)
    return work(actions, edges, last, size)


def loop(size: int, _: Path) -> Subject:
    actions = {"step": one_more, "end": same}
    edges = [("step", "step", expr(f"n < {size}")), ("step", "end")]
    return work(actions, edges, ["end"], size)


def branch(size: int, _: Path) -> Subject:
    actions = {"first": same, "positive": same, "other": same}
    edges = [("first", "positive", expr("n > 0")), ("first", "other")]
    return work(actions, edges, ["positive", "other"], size)


def durable(size: int, folder: Path) -> Subject:
    actions, edges, last = parts(size)
    persister = SQLitePersister(
        str(folder / "burr.db"), connect_kwargs={"check_same_thread": False}
    )
    persister.initialize()

    async def run() -> None:
        app = ApplicationBuilder().with_actions(**actions).with_transitions(*edges)
        app = app.with_entrypoint("step0").with_state(n=1).with_state_persister(persister)
        await app.build().arun(halt_after=last)

    return Subject(run, size)


if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": chain,
            "chain of 100, a step": chain,
            "loop of 1,000, an iteration": loop,
            "step and branch of two, a run": branch,
            "chain of 100 in SQLite, a step": durable,
        }
    )
