"""When a cron expression comes: zones, clocks that are put forward and back, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra import ConfigError
from mastra.cron import Cron, cron_of

BERLIN = ZoneInfo("Europe/Berlin")


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def times(cron: Cron, start: datetime, count: int) -> list[str]:
    found, at = [], ms(start)
    for _ in range(count):
        at = cron.next_after(at)
        found.append(datetime.fromtimestamp(at / 1000, BERLIN).strftime("%d %H:%M:%S%z"))
    return found


def test_a_time_of_day_is_one_of_its_zone_in_summer_and_winter() -> None:
    cron = Cron("0 9 * * *", "Europe/Berlin")
    assert times(cron, datetime(2026, 3, 28, tzinfo=BERLIN), 2) == [
        "28 09:00:00+0100",
        "29 09:00:00+0200",
    ]


def test_without_a_zone_it_is_utc() -> None:
    assert Cron("30 4 * * *").next_after(0) == ms(datetime(1970, 1, 1, 4, 30, tzinfo=UTC))


def test_a_time_that_is_left_out_comes_as_soon_as_there_is_one_again() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert times(cron, datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2) == [
        "29 03:00:00+0200",
        "30 02:30:00+0200",
    ]


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 10, 25, 0, tzinfo=UTC) + timedelta(minutes=m)
        for m in (-30, 0, 31, 60, 70, 95)
    ],
)
def test_a_time_that_is_there_twice_comes_once(start: datetime) -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    expected = "25 02:30:00+0200" if start < first else "26 02:30:00+0100"
    assert times(cron, start, 1) == [expected]


def test_what_comes_every_hour_keeps_its_distance() -> None:
    cron = Cron("0 * * * *", "Europe/Berlin")
    assert times(cron, datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN), 3) == [
        "25 02:00:00+0200",
        "25 02:00:00+0100",
        "25 03:00:00+0100",
    ]


def test_seconds_stand_first_and_names_stand_for_expressions() -> None:
    assert Cron("*/10 * * * * *").next_after(11_000) == 20_000
    assert Cron("@daily").next_after(1) == 86_400_000
    assert Cron("TZ=Europe/Berlin 0 1 * * *").next_after(0) == 86_400_000


@pytest.mark.parametrize(
    "expression",
    ["", "hourly", "* * * *", "61 * * * *", "0 0 30 2 *", "0 0 1 1 1 1 1", "0 0 31 2 *"],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="cron"):
        Cron(expression)


def test_what_never_comes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'0 0 \*/31 \* MON#5' never comes"):
        Cron("0 0 */31 * MON#5")  # the first of a month is no fifth Monday


LAST = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp() * 1000)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("expression", ["0 9 * * *", "@yearly", "* * * * * *", "*/5 * * * *"])
def test_what_comes_no_more_before_the_end_of_the_calendar_says_so(
    expression: str, zone: str
) -> None:
    cron = Cron(expression, zone)
    for at in (LAST, LAST + 1000, 10**17):
        with pytest.raises(ConfigError, match="comes no more: the calendar ends"):
            cron.next_after(at)


def test_the_first_moment_of_all_is_after_any_time_before_it() -> None:
    assert Cron("0 9 * * *").next_after(-(10**17)) == ms(datetime(1, 1, 2, 9, tzinfo=UTC))


def test_a_zone_that_is_none_is_refused() -> None:
    for zone in ("Europe/Atlantis", "../etc", ""):
        with pytest.raises(ConfigError, match="time zone"):
            Cron("0 9 * * *", zone or "/")


@given(
    st.sampled_from(
        ["30 2 * * *", "0,20,40 1-3 * * *", "*/7 * * * *", "0 */2 * * *", "5 * * * * *"]
    ),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(ms(datetime(2025, 1, 1, tzinfo=UTC)), ms(datetime(2027, 1, 1, tzinfo=UTC))),
)
def test_the_next_moment_is_after_and_the_first(expression: str, zone: str, at: int) -> None:
    cron = Cron(expression, zone)
    following = cron.next_after(at)
    assert following > at
    # From anywhere before it, it is the same moment.
    assert cron.next_after((at + following) // 2) == following
    assert cron.next_after(following - 1) == following


@pytest.mark.parametrize("expression", [5, None, ["0 9 * * *"], ""])
def test_an_expression_that_is_no_text_is_refused(expression: Any) -> None:
    for make in (Cron, cron_of):
        with pytest.raises(ConfigError, match="A cron expression is a text"):
            make(expression)


@pytest.mark.parametrize("zone", [5, ["UTC"], ZoneInfo("Europe/Berlin")])
def test_a_zone_that_is_no_name_is_refused(zone: Any) -> None:
    for make in (Cron, cron_of):
        with pytest.raises(ConfigError, match="A time zone is a name such as 'Europe/Berlin', not"):
            make("0 9 * * *", zone)
