"""langgraph: `StateGraph` over a pydantic state; in SQLite, a checkpoint a step."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.measure import Subject
from bench.peers.model import Number
from bench.peers.timing import main


class Many(TypedDict):
    """Items, and what has become of them."""

    items: list[int]
    done: Annotated[list[int], operator.add]


async def same(state: Number) -> dict[str, Any]:
    return {"n": state.n}


async def one_more(state: Number) -> dict[str, Any]:
    return {"n": state.n + 1}


async def nothing(_: Number) -> dict[str, Any]:
    return {}


def run_of(graph: Any, size: int, given: Any = None) -> Subject:
    async def run() -> None:
        await graph.ainvoke(given or Number(n=1), {"recursion_limit": 100_000})

    return Subject(run, size)


def chain_graph(size: int) -> Any:
    graph = StateGraph(Number)
    names = [f"step{place}" for place in range(size)]
    for name in names:
        graph.add_node(name, same)
    for first, second in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(first, second)
    return graph


def chain(size: int, _: Path) -> Subject:
    return run_of(chain_graph(size).compile(), size)


def parallel(size: int, _: Path) -> Subject:
    graph = StateGraph(Number)
    for place in range(size):
        graph.add_node(f"step{place}", nothing)
        graph.add_edge(START, f"step{place}")
        graph.add_edge(f"step{place}", END)
    return run_of(graph.compile(), size)


def foreach(size: int, _: Path) -> Subject:
    async def each(item: Any) -> dict[str, Any]:
        return {"done": [Number.model_validate({"n": item["n"]}).model_dump()["n"]]}

    graph = StateGraph(Many)
    graph.add_node("each", each)
    graph.add_conditional_edges(
        START, lambda state: [Send("each", {"n": item}) for item in state["items"]], ["each"]
    )
    graph.add_edge("each", END)
    return run_of(graph.compile(), size, {"items": list(range(size)), "done": []})


def loop(size: int, _: Path) -> Subject:
    graph = StateGraph(Number)
    graph.add_node("step", one_more)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if state.n > size else "step")
    return run_of(graph.compile(), size)


def branch(size: int, _: Path) -> Subject:
    graph = StateGraph(Number)
    for name in ("first", "positive", "other"):
        graph.add_node(name, same)
    graph.add_edge(START, "first")
    graph.add_conditional_edges("first", lambda state: "positive" if state.n > 0 else "other")
    return run_of(graph.compile(), size)


def durable(size: int, folder: Path) -> Subject:
    graph = chain_graph(size)
    opened: list[Any] = []
    runs = iter(range(1_000_000))

    async def run() -> None:
        if not opened:
            saver = AsyncSqliteSaver.from_conn_string(str(folder / "langgraph.db"))
            opened.extend((saver, graph.compile(checkpointer=await saver.__aenter__())))
        config = {"recursion_limit": 100_000, "configurable": {"thread_id": str(next(runs))}}
        await opened[1].ainvoke(Number(n=1), config, durability="sync")

    async def close() -> None:
        await opened[0].__aexit__(None, None, None)

    return Subject(run, size, close=close)


if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": chain,
            "chain of 100, a step": chain,
            "parallel of 50, a branch": parallel,
            "foreach over 1,000, an item": foreach,
            "loop of 1,000, an iteration": loop,
            "step and branch of two, a run": branch,
            "chain of 100 in SQLite, a step": durable,
        }
    )
