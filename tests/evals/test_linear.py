"""No scorer that works by code takes longer than in proportion to a text: it runs in the loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from mastra.evals import texts
from mastra.evals.code_scorers import _count_covered, _covers

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


def test_words_are_covered_as_if_each_were_compared_with_each() -> None:
    choose = random.Random(7)

    def words(count: int) -> list[str]:
        sizes = (1, 3, 4, 6, 9, 40, 64, 65, 90)
        return ["".join(choose.choices("ab", k=choose.choice(sizes))) for _ in range(count)]

    for _ in range(60):
        given, answer = words(12), words(12)
        given += [answer[0][1:], answer[1] + "a", "x" + answer[2][: len(answer[2]) * 2 // 3]]
        each = sum(any(_covers(one, other) for other in answer) for one in given)
        assert _count_covered(given, answer) == each
