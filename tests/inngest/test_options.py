"""Flow control as it is given, and as the SDK takes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import inngest
import pytest

from mastra import ConfigError
from mastra.inngest import init
from mastra.inngest.options import function_options

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "short", "whole"),
    [
        ("concurrency", 3, [inngest.Concurrency(limit=3)]),
        ("concurrency", [{"limit": 3}], [inngest.Concurrency(limit=3)]),
        ("throttle", {"limit": 3, "period": "1m"}, inngest.Throttle(limit=3, period=MINUTE)),
        ("rate_limit", {"limit": 3, "period": 60}, inngest.RateLimit(limit=3, period=MINUTE)),
        ("debounce", {"period": MINUTE, "key": None}, inngest.Debounce(period=MINUTE)),
        ("priority", "120", inngest.Priority(run="120")),
        ("timeouts", {"start": MINUTE, "finish": None}, inngest.Timeouts(start=MINUTE)),
        ("singleton", "skip", inngest.Singleton(mode="skip")),
    ],
)
def test_a_short_form_is_the_sdks_own(name: str, short: Any, whole: Any) -> None:
    assert function_options({name: short}) == function_options({name: whole}) == {name: whole}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurency": 3}, "concurency. Known: concurrency, throttle"),
        ({"throttle": 3}, "must be a mapping or Throttle, not 3"),
        ({"throttle": inngest.Debounce(period=MINUTE)}, "must be a mapping or Throttle"),
        ({"throttle": {"limt": 3, "period": 60}}, "throttle has no limt. Known: burst, key, limit"),
        ({"throttle": {"period": 60}}, "throttle.*limit.*required"),
        ({"concurrency": True}, "concurrency.*limit"),
        ({"singleton": "stop"}, "singleton.*'skip' or 'cancel'"),
        ({"rate_limit": {"limit": 3, "period": "soon"}}, "rate_limit.period must be seconds"),
        ({"idempotency": " "}, "idempotency must be an expression.*not ' '"),
        ({"idempotency": 5}, "idempotency must be an expression.*not 5"),
        ({"priority": "event.data.a +"}, "priority.run: 'event.data.a \\+' is no expression"),
        (
            {"concurrency": inngest.Concurrency(limit=1, key="{{user}}")},
            "concurrency.key: '{{user}}' is no expression",
        ),
        ({"singleton": {"mode": "skip", "key": "data.user"}}, "singleton.key: .*is about 'data'"),
    ],
)
def test_what_has_another_form_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        function_options(options)


def test_it_is_refused_where_the_workflow_is_made() -> None:
    bound = init(inngest.Inngest(app_id="app", is_production=False))
    with pytest.raises(ConfigError, match="throttle has no limt"):
        bound.create_workflow(id="w", throttle={"limt": 3, "period": 60})


MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("throttle", inngest.Throttle(limit=3, period=MINUTE_MS)),
        ("rate_limit", inngest.RateLimit(limit=3, period=MINUTE_MS)),
        ("debounce", inngest.Debounce(period=MINUTE_MS)),
        ("timeouts", inngest.Timeouts(start=MINUTE_MS)),
    ],
)
def test_the_sdks_own_may_count_milliseconds(name: str, given: Any) -> None:
    built = function_options({name: given})[name]
    assert MINUTE in (getattr(built, "period", None), getattr(built, "start", None))


# One function that the server, or the SDK on its way there, does not take keeps all functions of an
# app from being registered.
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"throttle": {"limit": 3, "period": 0.5}}, "throttle.period .*whole seconds.*not 0.5"),
        ({"throttle": {"limit": 3, "period": 1.5}}, "throttle.period .*whole seconds.*not 1.5"),
        ({"debounce": {"period": 5, "timeout": 5.5}}, "debounce.timeout .*whole seconds.*not 5.5"),
        ({"timeouts": {"finish": -1}}, "timeouts.finish must be seconds.*0 or more.*not -1"),
        ({"timeouts": inngest.Timeouts(start=10)}, "timeouts.start .*whole seconds.*not 0.01"),
        ({"rate_limit": {"limit": 3, "period": "2d"}}, "`rate_limit` of 1 second to 1 day"),
        ({"debounce": {"period": "8d"}}, "`debounce` of 1 second to 7 days"),
        ({"rate_limit": {"limit": 0, "period": 60}}, "rate_limit.limit must be .*1 or more, not 0"),
        ({"throttle": {"limit": -1, "period": 60}}, "throttle.limit must be .*1 or more, not -1"),
        ({"throttle": {"limit": 1, "period": 60, "burst": -1}}, "throttle.burst must be .*not -1"),
        ({"concurrency": 0}, "concurrency.limit must be .*1 or more, not 0"),
        ({"concurrency": {"limit": 1, "scope": "env"}}, "concurrency.*'env'.*needs a `key`"),
        ({"cron": "@reboot"}, "'@reboot' is no cron expression that Inngest takes"),
        ({"cron": "0 0 9 * * *"}, "five fields"),
        ({"cron": "60 9 * * *"}, "'60 9 \\* \\* \\*' is no cron expression"),
        ({"cron": "0 9 * * FRI-MON"}, "FRI-MON' is no cron expression"),
        ({"cron": "0 0 31 2 *"}, "never comes"),
        ({"cron": "0 0 30-31 FEB *"}, "never comes"),
        ({"cron": "0 0 31 feb,4-6/2,9,11 */2"}, "never comes"),
        ({"cron": "TZ=Europe/Berlin 0 0 31 2/12 ?"}, "never comes"),
        ({"cron": "0 9 L * *"}, "L \\* \\*' is no cron expression"),
        ({"cron": "*/0 9 * * *"}, "no cron expression"),
        ({"cron": ""}, "A cron expression is a text"),
        ({"cron": 5}, "A cron expression is a text"),
        ({"cron": "TZ=Mars/Base 0 9 * * *"}, "There is no time zone 'Mars/Base'"),
        ({"cron": "TZ=europe/berlin 0 9 * * *"}, "There is no time zone 'europe/berlin'"),
        ({"cron": "TZ=UTC+2 0 9 * * *"}, "There is no time zone 'UTC\\+2'"),
        ({"cron": "TZ= 0 9 * * *"}, "There is no time zone ''"),
    ],
)
def test_what_would_keep_the_whole_app_from_being_registered_is_refused(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        function_options(options)
    bound = init(inngest.Inngest(app_id="app", is_production=False))
    with pytest.raises(ConfigError, match=says):
        bound.create_workflow(id="w", input_schema=int, output_schema=int, **options)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0 9 * * *", "0 9 * * *"),
        ("@daily", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
        ("TZ=Europe/Berlin @weekly", "TZ=Europe/Berlin 0 0 * * 0"),
        ("CRON_TZ=Europe/Berlin  0 9 * * 1", "TZ=Europe/Berlin 0 9 * * 1"),
        ("TZ=utc 0 9 * * *", "TZ=UTC 0 9 * * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 31 2 mon", "0 0 31 2 mon"),
        ("0 0 31 2,3 *", "0 0 31 2,3 *"),
        ("0 0 5,31 feb *", "0 0 5,31 feb *"),
        ("0 0 31 */2 *", "0 0 31 */2 *"),
        ("0 0 31 11/1 *", "0 0 31 11/1 *"),
        ("*/15 9-17 ? jan-MAR,12 Mon-fri/2", "*/15 9-17 ? jan-MAR,12 Mon-fri/2"),
    ],
)
def test_a_schedule_is_told_in_words_that_the_server_knows(given: str, told: str) -> None:
    assert function_options({"cron": given})["cron"] == told


def test_a_machine_that_knows_no_zones_leaves_them_to_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert function_options({"cron": "TZ=Mars/Base 0 9 * * *"})["cron"] == "TZ=Mars/Base 0 9 * * *"
