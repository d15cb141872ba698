"""No scorer that works by code takes longer than in proportion to a text: it runs in the loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mastra.evals import texts

CALLS: dict[str, Callable[[str], object]] = {
    "keywords": texts.keywords_in,
    "sentiment": texts.sentiment,
    "sentences": texts.sentence_sentiments,
    "dice": lambda text: texts.dice_similarity(text, text[::-1] + "b"),
    "changes": lambda text: texts.count_changes(text, text[::-1] + "b"),
    "squeezed": texts.squeezed,
}
PIECES = [
    "<",
    "<a ",
    "</",
    "<>",
    "a",
    "a ",
    "a.",
    ". ",
    "\n",
    " \n",
    "é ",
    "(",
    "'",
    "https://",
    "😀 ",
]


def took(call: Callable[[str], object], text: str) -> float:
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        call(text)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CALLS)
def test_the_time_of_a_measure_grows_with_its_text(case: str) -> None:
    call = CALLS[case]
    for piece in PIECES:
        long = took(call, piece * (16_000 // len(piece)))
        if long < 0.02:
            continue
        short = took(call, piece * (4_000 // len(piece)))
        assert long < 9 * short, f"{case}: {piece!r}"
