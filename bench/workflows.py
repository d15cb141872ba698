"""The engine with nothing persisted, beside asyncio and pydantic doing the same by hand.

Both sides validate the input and the output of every step. The bare side holds nothing else: no
events, no results of steps, no journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from bench.least import LeastEngine
from bench.measure import Options, Row, Subject, compare
from mastra.workflows.step import Step, clone_step, create_step
from mastra.workflows.step_context import StepContext
from mastra.workflows.workflow import Workflow, create_workflow

__all__ = ["Number", "chain", "measure"]

GROUP = "workflows"


class Number(BaseModel):
    """What goes from step to step."""

    n: int


async def same(value: Number) -> Number:
    return value


async def one_more(value: Number) -> Number:
    return Number(n=value.n + 1)


def step_of(function: Callable[[Number], Awaitable[Number]]) -> Step[Number, Number]:
    return create_step(
        id=function.__name__, input_schema=Number, output_schema=Number, execute=function
    )


SAME, ONE_MORE = step_of(same), step_of(one_more)


# -- ours --------------------------------------------------------------------------------------


def chain(size: int) -> Workflow:
    """Return a chain of steps that pass on what they get."""
    workflow = create_workflow(id=f"chain-{size}", input_schema=Number, output_schema=Number)
    for place in range(size):
        workflow.then(clone_step(SAME, id=f"step-{place}"))
    return workflow.commit()


def parallel(size: int) -> Workflow:
    steps = [clone_step(SAME, id=f"step-{place}") for place in range(size)]
    workflow = create_workflow(
        id=f"parallel-{size}", input_schema=Number, output_schema=dict[str, Number]
    )
    return workflow.parallel(steps).commit()


def foreach(concurrency: int) -> Workflow:
    return (
        create_workflow(
            id=f"foreach-{concurrency}", input_schema=list[Number], output_schema=list[Number]
        )
        .foreach(SAME, concurrency=concurrency)
        .commit()
    )


def loop(size: int) -> Workflow:
    return (
        create_workflow(id=f"loop-{size}", input_schema=Number, output_schema=Number)
        .dountil(ONE_MORE, lambda ctx: ctx.input_data.n >= size)
        .commit()
    )


def _only_value(ctx: StepContext[Any]) -> Any:
    return next(iter(ctx.input_data.values()))


def branch(size: int = 1) -> Workflow:
    """Return a step and a branch of two, so many times one after the other."""
    workflow = create_workflow(
        id=f"branch-{size}", input_schema=Number, output_schema=dict[str, Number]
    )
    for place in range(size):
        workflow.then(clone_step(SAME, id=f"first-{place}"))
        workflow.branch(
            [
                (lambda ctx: ctx.input_data.n > 0, clone_step(SAME, id=f"positive-{place}")),
                (lambda ctx: ctx.input_data.n <= 0, clone_step(SAME, id=f"other-{place}")),
            ]
        )
        if place + 1 < size:
            workflow.map(_only_value)
    return workflow.commit()


def run(workflow: Workflow, data: object) -> Callable[[], Awaitable[object]]:
    """Return the work of one whole run, with nobody reading."""

    async def work() -> object:
        result = await (await workflow.create_run()).start(input_data=data)
        return result.unwrap()

    return work


def run_read(workflow: Workflow, data: object) -> Callable[[], Awaitable[object]]:
    """Return the work of one whole run whose every event somebody reads."""

    async def work() -> object:
        stream = (await workflow.create_run()).stream(input_data=data)
        seen = 0
        async for _ in stream:
            seen += 1
        (await stream.result()).unwrap()
        return seen

    return work


# -- the limit ---------------------------------------------------------------------------------


async def bare_step(function: Callable[[Number], Awaitable[Number]], data: object) -> object:
    value = await function(Number.model_validate(data))
    return value.model_dump()


async def bare_chain(size: int) -> object:
    data: object = {"n": 1}
    for _ in range(size):
        data = (await same(Number.model_validate(data))).model_dump()
    return data


async def bare_parallel(size: int) -> object:
    return await asyncio.gather(*(bare_step(same, {"n": 1}) for _ in range(size)))


async def bare_foreach(size: int, concurrency: int) -> object:
    if concurrency == 1:
        return [await bare_step(same, {"n": item}) for item in range(size)]
    results: list[object] = [None] * size
    places = iter(range(size))

    async def work() -> None:
        for place in places:
            results[place] = await bare_step(same, {"n": place})

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return results


async def bare_foreach_gather(size: int) -> object:
    return await asyncio.gather(*(bare_step(same, {"n": item}) for item in range(size)))


async def bare_loop(size: int) -> object:
    data: object = {"n": 0}
    while True:
        value = await one_more(Number.model_validate(data))
        data = value.model_dump()
        if value.n >= size:
            return data


async def bare_branch() -> object:
    data = (await same(Number.model_validate({"n": 1}))).model_dump()
    value = Number.model_validate(data)
    return (await same(value)).model_dump() if value.n > 0 else None


# -- rows --------------------------------------------------------------------------------------


def limit_target(ours_us: float, limit_us: float) -> tuple[float, str]:
    """Return a target in microseconds as a ratio to the limit it was set beside."""
    return ours_us / limit_us, f"{ours_us / limit_us:.1f} x ({ours_us:g} us beside {limit_us:g})"


def _cpu(work: Callable[[], Awaitable[object]], units: int) -> Subject:
    return Subject(work, units, waits=False)


def _bare(call: Callable[..., Awaitable[object]], *args: int) -> Callable[[], Awaitable[object]]:
    return lambda: call(*args)


async def _chains(options: Options) -> list[Row]:
    rows: list[Row] = []
    turns = options.turns(32)
    targets = {(10, "no reader"): 6.0, (100, "no reader"): 8.0, (100, "every event read"): 15.0}
    for size in (10, 100):
        small, large = chain(size), chain(size * 10)
        limit = _cpu(_bare(bare_chain, size), size)
        for reading, work in (("no reader", run), ("every event read", run_read)):
            wanted_us = targets.get((size, reading))
            target, text = (None, "") if wanted_us is None else limit_target(wanted_us, 1.3)
            rows.append(
                await compare(
                    GROUP,
                    f"chain of {size}, {reading}, a step",
                    ours=_cpu(work(small, {"n": 1}), size),
                    limit=limit,
                    larger=None if options.quick else _cpu(work(large, {"n": 1}), size * 10),
                    turns=turns,
                    target=target,
                    target_text=text,
                )
            )
    return rows


async def _wide(options: Options) -> list[Row]:
    turns = options.turns(32)
    target, text = limit_target(12, 4.6)
    rows = [
        await compare(
            GROUP,
            "parallel of 50, a branch",
            ours=_cpu(run(parallel(50), {"n": 1}), 50),
            limit=_cpu(_bare(bare_parallel, 50), 50),
            larger=None if options.quick else _cpu(run(parallel(500), {"n": 1}), 500),
            turns=turns,
            target=target,
            target_text=text,
        )
    ]
    target, text = limit_target(12, 5.7)
    small, large = [{"n": item} for item in range(1000)], [{"n": item} for item in range(10_000)]
    for concurrency in (1, 8):
        workflow = foreach(concurrency)
        rows.append(
            await compare(
                GROUP,
                f"foreach over 1,000, concurrency {concurrency}, an item",
                ours=_cpu(run(workflow, small), 1000),
                # The limit starts all at once; a lower concurrency has less to do.
                limit=_cpu(_bare(bare_foreach_gather, 1000), 1000),
                larger=None if options.quick else _cpu(run(workflow, large), 10_000),
                turns=max(2, turns // 2),
                target=target,
                target_text=text,
            )
        )
    return rows


async def _rest(options: Options) -> list[Row]:
    turns = options.turns(32)
    target, text = limit_target(8, 1.5)
    branch_target, branch_text = limit_target(40, 2.8)
    return [
        await compare(
            GROUP,
            "dountil of 1,000, an iteration",
            ours=_cpu(run(loop(1000), {"n": 0}), 1000),
            limit=_cpu(_bare(bare_loop, 1000), 1000),
            larger=None if options.quick else _cpu(run(loop(10_000), {"n": 0}), 10_000),
            turns=max(2, turns // 2),
            target=target,
            target_text=text,
        ),
        await compare(
            GROUP,
            "step and branch of two, a run",
            ours=_cpu(run(branch(), {"n": 1}), 1),
            limit=_cpu(_bare(bare_branch), 1),
            larger=None if options.quick else _cpu(run(branch(10), {"n": 1}), 10),
            turns=turns,
            target=branch_target,
            target_text=branch_text,
        ),
    ]


async def _least(options: Options) -> list[Row]:
    turns = options.turns(32)
    return [
        await compare(
            GROUP,
            f"chain of {size}, a run, beside the least of an engine",
            ours=_cpu(run(chain(size), {"n": 1}), 1),
            limit=_cpu(partial(LeastEngine(Number, same, size).run, {"n": 1}), 1),
            turns=turns,
        )
        for size in (2, 10)
    ]


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    return [
        *await _chains(options),
        *await _wide(options),
        *await _rest(options),
        *await _least(options),
    ]
