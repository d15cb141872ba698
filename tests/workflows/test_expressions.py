"""Keys and priorities of flow control: refused where they are written, and evaluated by runs."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import ConfigError, Mastra, Workflow, create_workflow
from tests.support.engines import Calls
from tests.support.waiting import plus

pytestmark = pytest.mark.anyio


def limited(**flow: Any) -> Workflow[Any, Any, Any]:
    add: Any = plus(Calls(), "add")
    begun: Any = create_workflow(id="w", input_schema=int, output_schema=int, **flow)
    return begun.then(add).commit()


KEYED: dict[str, dict[str, Any]] = {
    "concurrency": {"limit": 1},
    "throttle": {"limit": 1, "period": 60},
    "rate_limit": {"limit": 1, "period": 60},
    "debounce": {"period": 0.001},
    "singleton": {"mode": "skip"},
}
NAMES = [*(f"{name}.key" for name in KEYED), "priority.run", "idempotency"]


def keyed(name: str, expression: str) -> dict[str, Any]:
    """Return flow control that has an expression in a place."""
    option = name.partition(".")[0]
    return {option: KEYED[option] | {"key": expression} if option in KEYED else expression}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("event.data.user +", "is no expression"),
        ("{{ event.data.user }}", "is no expression"),
        ("event.data.user === 'ada'", "is no expression"),
        ("evnt.data.user", "is about 'evnt'.*All that there is is `event`"),
        ("user", "is about 'user'"),
        ("event.data.tags.exists(tag, tag == other)", "is about 'other'"),
        (" ", "must be an expression, such as"),
    ],
)
def test_what_is_no_expression_about_the_event_is_refused_where_it_is_written(
    name: str, expression: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{name}.*{says}"):
        limited(**keyed(name, expression))


@pytest.mark.parametrize(
    "expression",
    [
        "event.data.inputData",
        "event['data'].resourceId",
        "'all'",
        '"all"',
        "event.data.tags.map(tag, tag.id)",
        "has(event.data.user) ? event.data.user : 'none'",
        "type(event.data.inputData) == string",
        "size(event.data.tags.filter(tag, tag.is_open)) > 0",
        "timestamp(event.ts).getFullYear()",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_one_is_taken(name: str, expression: str) -> None:
    Mastra(workflows=[limited(**keyed(name, expression))])


def test_what_it_calls_and_is_not_in_process_is_told() -> None:
    # The server of another engine has more.
    workflow = limited(concurrency={"limit": 1, "key": "uppercase(event.data.user)"})
    with pytest.raises(ConfigError, match=r"^concurrency.key.*calls 'uppercase'.*startsWith"):
        Mastra(workflows=[workflow])


def test_without_what_reads_expressions_they_are_left_to_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_none(name: str) -> None:
        assert name == "cel"

    monkeypatch.setattr("mastra.workflows.flow_control.find_spec", find_none)
    assert limited(priority="event.data.user +").spec.flow_control["priority"]


@pytest.mark.parametrize(
    "expression",
    [
        "event.data.tags[0]",
        "[1, 2][5]",
        "1 / 0",
        "9223372036854775807 + event.data.inputData",
        "int('ada')",
        "'ada'.matches('(')",
        "1 + 'ada'",
        "bytes('ada')",
        "timestamp('2024-01-01T00:00:00Z')",
        "duration('1h')",
        "0.0 / 0.0",
    ],
)
@pytest.mark.parametrize("name", NAMES)
async def test_one_that_comes_to_no_value_keeps_no_run_from_its_end(
    name: str, expression: str
) -> None:
    async with Mastra(workflows=[limited(**keyed(name, expression))]) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).status == "success"
