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
    ],
)
def test_what_has_another_form_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        function_options(options)


def test_it_is_refused_where_the_workflow_is_made() -> None:
    bound = init(inngest.Inngest(app_id="app", is_production=False))
    with pytest.raises(ConfigError, match="throttle has no limt"):
        bound.create_workflow(id="w", throttle={"limt": 3, "period": 60})
