"""Histories of any length are put in order in time that grows with them: callers send them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from mastra.models.history import acceptable
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.models.stored_messages import merged_messages, split_results, stored_content


def turns(count: int, call_id: str) -> list[Message]:
    found: list[Message] = []
    for at in range(count):
        name = call_id.format(at)
        found.append(Message("assistant", (ToolCallPart(name, "t", {}),)))
        found.append(Message("tool", (ToolResultPart(name, "t", at),)))
    return found


def early(count: int) -> list[Message]:
    """Results of calls that come after them all."""
    said = turns(count, "c")
    return [*said[1::2], *said[::2]]


CASES: dict[str, Callable[[int], Any]] = {
    "merged": lambda count: merged_messages(turns(count, "c{}")),
    "stored": lambda count: stored_content(merged_messages(turns(count, "c"))[0]),
    "split": lambda count: split_results(merged_messages(turns(count, "c"))),
    "in order": lambda count: acceptable(turns(count, "c")),
    "early": lambda count: acceptable(early(count)),
}


def took(case: Callable[[int], Any], count: int) -> float:
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        case(count)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", CASES)
def test_the_time_of_a_history_grows_with_it(case: str) -> None:
    short, long = took(CASES[case], 1000), took(CASES[case], 4000)
    assert long < 0.05 or long < 9 * short


def test_a_long_answer_is_merged_with_all_that_belongs_to_it() -> None:
    said = [Message("user", "go"), *turns(3, "c{}"), Message("user", "and?"), *turns(1, "d{}")]
    merged = merged_messages(said)
    assert [message.role for message in merged] == ["user", "assistant", "user", "assistant"]
    assert [len(message.parts) for message in merged] == [1, 6, 1, 2]
    assert merged[1].id == said[1].id
