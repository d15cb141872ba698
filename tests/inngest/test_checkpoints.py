"""Results of steps on their way to a server that is slow, or does not take them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from mastra import StepContext, create_step, create_workflow
from mastra.inngest.checkpoints import Checkpoints
from mastra.inngest.wire.api import Checkpoint, InngestApi
from mastra.inngest.wire.request import RequestFacts
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import until
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest

FACTS = RequestFacts("run", "fn", "qi", "request", 1, 0, 4, must_plan=False, target="step")


class Server:
    """Gives its answers one after the other, once it may."""

    def __init__(self, *answers: Checkpoint) -> None:
        self.posts: list[list[str]] = []
        self.is_open = asyncio.Event()
        self._answers = [*answers]

    async def checkpoint(self, facts: RequestFacts, steps: Sequence[bytes]) -> Checkpoint:
        assert facts is FACTS
        self.posts.append([json.loads(step)["data"]["n"] for step in steps])
        await self.is_open.wait()
        return self._answers.pop(0)


def posts_to(server: Server, buffered: int = 0) -> Checkpoints:
    return Checkpoints(cast("InngestApi", server), FACTS, "w", buffered)


async def keep(checkpoints: Checkpoints, name: str, text: str = "") -> Checkpoint:
    memo: Any = {"n": name, "text": text}
    return await checkpoints.keep(name, memo, 0)


async def test_a_post_is_no_larger_than_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastra.inngest.checkpoints.POST_BYTES", 2000)
    server = Server(*[Checkpoint.KEPT] * 9)
    checkpoints = posts_to(server)
    sizes = {"first": 0, "a": 600, "b": 600, "large": 5000, "c": 600}
    keeping = []
    async with asyncio.TaskGroup() as group:
        for name, size in sizes.items():
            keeping.append(group.create_task(keep(checkpoints, name, "x" * size)))
            await asyncio.sleep(0)
        server.is_open.set()
    assert {task.result() for task in keeping} == {Checkpoint.KEPT}
    # One that is too large by itself goes alone; the server says what it makes of it.
    assert server.posts == [["first"], ["a", "b"], ["large"], ["c"]]


@pytest.mark.parametrize("answer", [Checkpoint.GONE, Checkpoint.FAILED])
async def test_after_a_refusal_nothing_is_posted(answer: Checkpoint) -> None:
    server = Server(Checkpoint.KEPT, answer)
    server.is_open.set()
    checkpoints = posts_to(server)
    answers = [await keep(checkpoints, name) for name in "abc"]
    assert answers == [Checkpoint.KEPT, answer, answer]
    assert server.posts == [["a"], ["b"]]


async def test_what_nobody_waited_for_is_told_of_where_it_was_refused() -> None:
    server = Server(Checkpoint.FAILED)
    checkpoints = posts_to(server, 5)
    for name in "ab":
        assert await keep(checkpoints, name) is Checkpoint.KEPT
    server.is_open.set()
    worst, lacking = await checkpoints.settle()
    assert worst is Checkpoint.FAILED
    assert [(op_id, memo["n"]) for op_id, memo in lacking] == [("a", "a"), ("b", "b")]
    assert await keep(checkpoints, "c") is Checkpoint.FAILED
    assert len(server.posts) == 1


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_run_that_is_gone_goes_no_further(
    checkpointed: Host, fake: FakeInngest, is_cancelled: bool, wide: bool
) -> None:
    gate, ran = asyncio.Event(), list[str]()

    async def first(ctx: StepContext[Value]) -> Value:
        ran.append("a")
        await gate.wait()
        return ctx.input_data

    async def second(ctx: StepContext[Any]) -> int:
        ran.append("b")
        return 1

    begun = create_workflow(id="w", input_schema=Value, output_schema=int)
    a, b = create_step(id="a", execute=first), create_step(id="b", execute=second)
    workflow = (begun.parallel([a]) if wide else begun.then(a)).then(b).commit()
    async with flows.on(checkpointed, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 1})
        await until(lambda: ran == ["a"])
        (server_run,) = fake.runs.values()
        if is_cancelled:
            server_run.status = "Cancelled"
        else:
            fake.runs.clear()
        gate.set()
        engine: Any = mastra.engine
        await until(lambda: engine.legs.are_idle)
        assert ran == ["a"]
        found = await mastra.get_workflow("w").get_run(run.run_id)
        assert found is not None
        assert found.status == ("canceled" if is_cancelled else "running")
        if not is_cancelled:  # the server forgot it; storage brings it back
            again = await mastra.get_workflow("w").create_run(run.run_id)
            assert (await again.restart()).unwrap() == 1
            assert ran[-1] == "b"
