"""Events that come together, as the sequence that they are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mastra import Event, StreamOverflowError, create_step, create_workflow
from mastra.workflows.event_log import EventLog
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord


def plus_one(value: int) -> int:
    return value + 1


async def whole_run() -> Sequence[Event]:
    step = create_step(id="plus", execute=plus_one)
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()
    run = await workflow.create_run()
    async with run.stream(1) as stream:
        await stream.result()
        [batch] = [batch async for batch in stream.batches()]
    return batch


def seqs(batch: Sequence[Event]) -> list[int]:
    return [event.seq for event in batch]


async def test_a_batch_is_taken_apart_as_any_sequence() -> None:
    batch = await whole_run()
    assert seqs(batch) == [0, 1, 2, 3]
    assert batch[-1].type == "workflow-finish"
    assert seqs(batch[1:]) == [1, 2, 3]
    assert seqs(batch[::2]) == [0, 2]
    assert seqs(batch[3:1]) == []


@pytest.mark.parametrize("part", [slice(None, None, -1), slice(2, 0, -1), slice(None, None, -2)])
async def test_a_batch_is_read_backwards(part: slice) -> None:
    batch = await whole_run()
    assert seqs(batch[part]) == [0, 1, 2, 3][part]
    assert [event.to_wire() for event in batch[part]] == [
        event.to_wire() for event in [*batch][part]
    ]
    assert seqs(batch[::-1][::-1]) == [0, 1, 2, 3]
    assert seqs([*reversed(batch)]) == [3, 2, 1, 0]


async def test_what_a_step_wrote_is_read_backwards_too() -> None:
    log = EventLog()
    record = StepRecord("s", "s", None, 0)
    log.append(Kind.START)
    for value in ("a", "b"):
        log.append_output(Kind.OUTPUT, record, value)
    log.close()
    [batch] = [batch async for batch in log.batches("r", "w", 0, 64)]
    assert seqs(batch[2:0:-1]) == [2, 1]
    assert [event.payload and event.payload.output for event in batch[2:0:-1]] == ["b", "a"]
    with pytest.raises(IndexError):
        batch[3]
    log.entries.floor = 2
    with pytest.raises(StreamOverflowError, match="event 1"):
        list(batch[::-1])
