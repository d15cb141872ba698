"""Random graphs: suspended anywhere and resumed elsewhere, a run gives what it gives undisturbed."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastra import StepContext, WorkflowSuspended, create_step, create_workflow
from tests.support.engines import Env, engine_env
from tests.support.lanes import first_ones

# A graph is a list of nodes; a unit is a step or a list of nodes, which stands for a nested
# workflow. Numbers flow from node to node.
STEP = st.fixed_dictionaries(
    {"kind": st.just("step"), "amount": st.integers(1, 5), "asks": st.integers(0, 2)}
)


def nodes(unit: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return lists of nodes over a unit."""
    units = st.lists(unit, min_size=1, max_size=3)
    node = st.one_of(
        unit,
        st.just({"kind": "map"}),
        st.just({"kind": "sleep"}),
        st.fixed_dictionaries({"kind": st.just("parallel"), "units": units}),
        st.fixed_dictionaries({"kind": st.just("branch"), "units": units, "first": st.booleans()}),
        st.fixed_dictionaries({"kind": st.just("loop"), "unit": unit, "turns": st.integers(1, 3)}),
        st.fixed_dictionaries(
            {
                "kind": st.just("foreach"),
                "unit": unit,
                "items": st.integers(0, 4),
                "concurrency": st.integers(1, 3),
            }
        ),
    )
    return st.lists(node, min_size=1, max_size=4)


GRAPHS = nodes(st.recursive(STEP, nodes, max_leaves=6))


@dataclass
class Builder:
    """Makes a workflow of a graph, and counts how often each of its steps ends."""

    suspends: bool
    ended: Counter[str] = field(default_factory=Counter)
    made: int = 0

    def name(self, kind: str) -> str:
        """Return an id that no other part of the graph has."""
        self.made += 1
        return f"{kind}{self.made}"

    def unit(self, graph: Any) -> Any:
        """Return a step or a nested workflow."""
        return self.workflow(graph) if isinstance(graph, list) else self.step(graph)

    def step(self, graph: Any) -> Any:
        """Return a step that adds, and may ask a few times before."""
        step_id = self.name("step")

        async def execute(ctx: StepContext[int]) -> int:
            asked = 0 if ctx.suspend_data is None else ctx.suspend_data["asked"]
            if self.suspends and asked < graph["asks"]:
                label = f"{step_id}-{random.random()}"
                await ctx.suspend({"asked": asked + 1}, resume_label=label)
            await asyncio.sleep(0)
            self.ended[step_id] += 1
            return ctx.input_data + graph["amount"]

        return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)

    def workflow(self, graph: list[Any]) -> Any:
        """Return a committed workflow."""
        built = create_workflow(id=self.name("flow"), input_schema=int, output_schema=int)
        for node in graph:
            self.add(built, node)
        return built.commit()

    def add(self, built: Any, node: Any) -> None:
        """Add a node whose input and output are a number."""
        kind = "unit" if isinstance(node, list) else node["kind"]
        match kind:
            case "unit" | "step":
                built.then(self.unit(node))
            case "map":
                built.map(lambda ctx: ctx.input_data * 2)
            case "sleep":
                built.sleep(0)
            case "parallel":
                built.parallel([self.unit(unit) for unit in node["units"]]).map(total)
            case "branch":
                arms = [
                    (partial(divides, place + 1), self.unit(unit))
                    for place, unit in enumerate(node["units"])
                ]
                built.branch(arms, first_match=node["first"]).map(total)
            case "loop":
                built.dountil(self.unit(node["unit"]), partial(has_turned, node["turns"]))
            case _:
                built.map(partial(items, node["items"]))
                built.foreach(self.unit(node["unit"]), concurrency=node["concurrency"])
                built.map(lambda ctx: sum(ctx.input_data))


def total(ctx: Any) -> int:
    return sum(ctx.input_data.values())


def divides(number: int, ctx: Any) -> bool:
    return ctx.input_data % number == 0


def has_turned(turns: int, ctx: Any) -> bool:
    return ctx.iteration_count >= turns


def items(count: int, ctx: Any) -> list[int]:
    return [ctx.input_data + place for place in range(count)]


async def undisturbed(graph: list[Any], start: int) -> tuple[int, Counter[str]]:
    builder = Builder(suspends=False)
    run = await builder.workflow(graph).create_run()
    return (await run.start(start)).unwrap(), builder.ended


async def disturbed(
    env: Env, graph: list[Any], start: int, choose: random.Random
) -> tuple[int, Counter[str], list[int]]:
    builder = Builder(suspends=True)
    run = await env.workflow(builder.workflow(graph)).create_run()
    result = await run.start(start)
    while isinstance(result, WorkflowSuspended):
        run = await env.again(run)
        if choose.random() < 0.3 and len(result.suspended) == 1:
            result = await run.resume({"go": True})
        else:
            label = choose.choice(sorted(result.resume_labels))
            result = await run.resume({"go": True}, label=label)
    seqs = [event.seq async for event in (await env.again(run)).observe_stream()]
    return result.unwrap(), builder.ended, seqs


async def check(open_env: Callable[[], Any], graph: list[Any], start: int, seed: int) -> None:
    wanted, ended = await undisturbed(graph, start)
    async with open_env() as env:
        got, ended_there, seqs = await disturbed(env, graph, start, random.Random(seed))
    assert got == wanted
    assert ended_there == ended
    assert seqs == list(range(len(seqs)))


# On a busy machine sixty graphs take half a minute.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", first_ones(1, ["inprocess", "replay"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=GRAPHS, start=st.integers(0, 9), seed=st.integers(0, 2**16))
def test_a_suspended_run_gives_what_an_undisturbed_one_gives(
    engine: str, graph: list[Any], start: int, seed: int
) -> None:
    asyncio.run(check(partial(engine_env, engine, None), graph, start, seed))


@pytest.mark.timeout(300)
@pytest.mark.every_engine
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=GRAPHS, start=st.integers(0, 9), seed=st.integers(0, 2**16))
def test_so_does_one_on_a_database(graph: list[Any], start: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        asyncio.run(check(partial(engine_env, "inprocess", url), graph, start, seed))
