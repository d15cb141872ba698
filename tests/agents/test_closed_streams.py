"""A stream that is closed before its end says so, however far it was read."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, Mastra, RunStateError
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio


def sage(*, durable: bool) -> tuple[Agent, list[Any]]:
    """Return an agent, and what its model was asked."""
    asked: list[Any] = []

    def answer(request: Any) -> str:
        asked.append(request)
        return "One, two, three."

    return Agent(id="sage", model=FunctionModel(answer), durable=durable), asked


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("read", [0, 1, 4])
async def test_a_stream_that_was_closed_has_no_result(durable: bool, read: int) -> None:
    agent, asked = sage(durable=durable)
    async with Mastra(agents=[agent]) as mastra:
        async with mastra.get_agent("sage").stream("Count.") as stream:
            chunks = stream.full_stream
            for _ in range(read):
                await anext(chunks)
        assert stream.status == "canceled"
        for told in (stream.result, stream.text, stream.steps, stream.usage):
            with pytest.raises(RunStateError, match="closed before its end"):
                await told()
        assert len([chunk async for chunk in stream]) == read
    assert read or not asked


async def test_a_stream_that_was_read_to_its_end_keeps_its_result() -> None:
    agent, _ = sage(durable=False)
    async with agent.stream("Count.") as stream:
        assert await stream.text() == "One, two, three."
    assert (stream.status, await stream.text()) == ("success", "One, two, three.")


def test_a_stream_of_a_script_that_was_closed_has_no_result() -> None:
    agent, asked = sage(durable=False)
    with agent.stream_sync("Count.") as stream:
        pass
    with pytest.raises(RunStateError, match="closed before its end"):
        stream.text()
    assert asked == []
