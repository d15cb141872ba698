"""Many values that become one: the same as of all of them at once, and none of them is kept."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterable

import pytest

from mastra.observability.metrics import Point, Tally
from mastra.server.errors import Refusal
from mastra.server.payloads import ManyBody
from mastra.server.routes.metrics import grouped, percentiles_over_time, tallied

pytestmark = pytest.mark.anyio


def some(count: int, seed: int = 7) -> list[Point]:
    chance = random.Random(seed)
    return [
        Point(
            "m",
            float(place // 3),
            chance.choice((1e16, 0.1, -1e16, 3.0, 1e-9)) * chance.random(),
            {"who": chance.choice(("a", "b", None, "c"))},
            chance.choice((None, chance.random())),
        )
        for place in range(count)
    ]


def tally(found: Iterable[Point], how: str, column: str | None = None) -> Tally:
    made = Tally(how, column)
    for point in found:
        made.add(point)
    return made


@pytest.mark.parametrize("count", [1, 2, 50, 1000])
def test_a_tally_is_what_all_values_are_together(count: int) -> None:
    found = some(count)
    values = [point.value for point in found]
    latest = max(point.at_ms for point in found)
    for how, expected in {
        "sum": math.fsum(values),
        "avg": math.fsum(values) / count,
        "min": min(values),
        "max": max(values),
        "count": float(count),
        "last": next(point.value for point in found if point.at_ms == latest),
    }.items():
        assert tally(found, how).value == expected, how
    known = {point.dimensions["who"] for point in found} - {None}
    assert tally(found, "count_distinct", "who").value == len(known)
    costs = [point.cost_usd for point in found if point.cost_usd is not None]
    assert tally(found, "sum").cost_usd == (math.fsum(costs) if costs else None)


def test_of_nothing_there_is_nothing() -> None:
    for how in ("sum", "avg", "min", "max", "count", "last", "count_distinct"):
        assert tally([], how).value is None
    assert tally([], "sum").cost_usd is None


@pytest.mark.parametrize("how", ["sum", "avg"])
def test_a_sum_that_no_number_holds_is_an_infinite_one(how: str) -> None:
    large = [Point("m", 0.0, 1e308) for _ in range(3)]
    assert tally([*large, Point("m", 0.0, -1.0)], how).value == math.inf


def test_what_is_counted_apart_may_be_an_object() -> None:
    given = [Point("m", 0.0, 1.0, {"x": value}) for value in ({"a": 1}, {"a": 1}, [1], None, "t")]
    assert tally(given, "count_distinct", "x").value == 3


async def coming(count: int, groups: int = 5) -> AsyncIterator[Point]:
    for place in range(count):
        about = {"who": f"{place % groups}", "trace": f"trace-{place}"}
        yield Point("m", float(place) % 600_000, place * 0.1, about)


async def peak(count: int) -> int:
    body = ManyBody()
    tracemalloc.start()
    try:
        await grouped(coming(count), body, ["who"], "1m")
        await tallied(coming(count), body, None)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_however_many_points_there_are_few_are_in_memory() -> None:
    # Twice each, as something else may be made the first time.
    fewer = min([await peak(3_000) for _ in range(2)])
    assert min([await peak(30_000) for _ in range(2)]) < 3 * fewer


async def test_an_answer_that_is_too_large_is_refused() -> None:
    with pytest.raises(Refusal, match="shorter time") as caught:
        await grouped(coming(100_001, groups=100_001), ManyBody(), ["who"])
    assert caught.value.status == 400


async def test_percentiles_are_those_of_each_stretch_of_time() -> None:
    async def found() -> AsyncIterator[Point]:
        for at, value in ((0.0, 1.0), (59_999.0, 3.0), (60_000.0, 5.0)):
            yield Point("m", at, value)

    answer = await percentiles_over_time(found(), [0.0, 1.0], "1m")
    begins = ("1970-01-01T00:00:00.000Z", "1970-01-01T00:01:00.000Z")
    assert answer["series"] == [
        {
            "percentile": share,
            "points": [
                {"timestamp": begin, "value": value}
                for begin, value in zip(begins, values, strict=True)
            ],
        }
        for share, values in ((0.0, (1.0, 5.0)), (1.0, (3.0, 5.0)))
    ]
