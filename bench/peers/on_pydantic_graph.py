"""pydantic-graph: `GraphBuilder` of typed steps. It checks no payloads between steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from bench.measure import Subject
from bench.peers.model import Number
from bench.peers.timing import main


async def same(ctx: StepContext[None, None, Number]) -> Number:
    return Number.model_validate(ctx.inputs.model_dump())


def run_of(builder: Any, size: int, given: Any = None) -> Subject:
    graph = builder.build()

    async def run() -> None:
        await graph.run(inputs=given or Number(n=1))

    return Subject(run, size)


def chain(size: int, _: Path) -> Subject:
    builder: Any = GraphBuilder(input_type=Number, output_type=Number)
    steps = [builder.step(call=same, node_id=f"step{place}") for place in range(size)]
    places = [builder.start_node, *steps, builder.end_node]
    builder.add(*(builder.edge_from(one).to(next_) for one, next_ in pairwise(places)))
    return run_of(builder, size)


def foreach(size: int, _: Path) -> Subject:
    builder: Any = GraphBuilder(input_type=list[Number], output_type=list[Number])
    step = builder.step(call=same, node_id="each")
    join = builder.join(reduce_list_append, initial_factory=list[Number])
    builder.add(
        builder.edge_from(builder.start_node).map().to(step),
        builder.edge_from(step).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    return run_of(builder, size, [Number(n=item) for item in range(size)])


def parallel(size: int, _: Path) -> Subject:
    builder: Any = GraphBuilder(input_type=Number, output_type=list[Number])
    steps = [builder.step(call=same, node_id=f"step{place}") for place in range(size)]
    join = builder.join(reduce_list_append, initial_factory=list[Number])
    builder.add(
        builder.edge_from(builder.start_node).to(*steps),
        builder.edge_from(*steps).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    return run_of(builder, size)


if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": chain,
            "chain of 100, a step": chain,
            "parallel of 50, a branch": parallel,
            "foreach over 1,000, an item": foreach,
        }
    )
