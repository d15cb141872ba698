"""Streams take turns, and what is ready together is sent together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import Mastra, StepContext, create_step, create_workflow
from mastra.server import create_app
from mastra.server.turns import Turns

pytestmark = pytest.mark.anyio


async def test_where_nobody_is_in_line_a_turn_is_given_at_once() -> None:
    turns = Turns()
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)
    await turns.next()
    assert others == []


async def test_a_round_of_the_loop_has_few_turns_in_the_order_of_asking() -> None:
    turns, rounds, went = Turns(), 0, list[tuple[int, int]]()

    async def one(number: int) -> None:
        await turns.next()
        went.append((number, rounds))

    tasks = [asyncio.ensure_future(one(number)) for number in range(40)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        rounds += 1
    assert [number for number, _ in went] == list(range(40))
    in_one_round = [sum(at == round_ for _, at in went) for round_ in range(rounds)]
    assert max(in_one_round) <= 2


async def test_who_goes_away_while_waiting_holds_nobody_up() -> None:
    turns = Turns()
    tasks = [asyncio.ensure_future(turns.next()) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks[2:9]:
        task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not tasks[9].cancelled()


def test_turns_go_on_in_another_loop() -> None:
    turns = Turns()

    async def some() -> None:
        async with asyncio.timeout(5):
            await asyncio.gather(*[turns.next() for _ in range(10)])

    asyncio.run(some())
    asyncio.run(some())


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_events_that_are_ready_together_are_one_write(accept: str) -> None:
    async def write(ctx: StepContext[Any]) -> int:
        for number in range(500):
            await ctx.writer.write(f"{number} ")
        return 500

    step = create_step(id="write", execute=write)
    flow = create_workflow(id="flow", input_schema=Any, output_schema=Any).then(step).commit()
    app = create_app(Mastra(workflows={"flow": flow}))
    bodies: list[bytes] = []
    asked = [{"type": "http.request", "body": b'{"inputData": 1}', "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Future()

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))

    headers = [(b"accept", accept.encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/workflows/flow/stream",
        "raw_path": b"/api/workflows/flow/stream",
        "query_string": b"runId=r",
        "root_path": "",
        "headers": headers,
        "server": ("testserver", 80),
        "client": ("testclient", 1),
    }
    await app(scope, receive, send)
    text = b"".join(bodies)
    assert text.count(b"workflow-step-output") == 500
    assert 0 < len(bodies) < 30
