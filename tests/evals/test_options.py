"""What evaluations are given: of another kind it is one error, where it is given."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, RequestContext
from mastra.errors import ConfigError, InputValidationError
from mastra.evals import Dataset, Experiment, create_scorer, run_evals
from mastra.evals.checks import equals, tool_order
from mastra.evals.datasets import item_of
from mastra.evals.judge import Judge
from mastra.evals.live import ScorerEntry
from mastra.testing import FunctionModel, ScriptedModel

pytestmark = pytest.mark.anyio

ITEM = {"input": "one"}


def always(name: str = "always") -> Any:
    return create_scorer(id=name, description="").generate_score(lambda _: 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"data": 7}, "data is 7. It takes a list"),
        ({"data": ITEM}, "data is {'input': 'one'}. It takes a list"),
        ({"scorers": 7}, "scorers is 7. It takes a list"),
        ({"scorers": {"agent": 7}}, "agent is 7. It takes a list"),
        ({"scorers": {"steps": [always()]}}, "It takes a dict of lists by step id"),
        ({"scorers": {"steps": {"a": 7}}}, "a is 7. It takes a list"),
        ({"gates": 7}, "gates is 7. It takes a list"),
        ({"concurrency": "2"}, "concurrency is '2'. It takes a whole number, 1 or more"),
        ({"concurrency": 0}, "concurrency is 0. It takes a whole number, 1 or more"),
        ({"target_options": 7}, "target_options is 7. It takes a dict"),
        ({"on_item_complete": "print"}, "on_item_complete is 'print'. It takes a function"),
    ],
)
async def test_an_option_of_another_kind_is_refused(options: Any, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        await run_evals(**{"data": [ITEM], "target": str, **options})
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("one", "Item 0 is 'one': give a dict"),
        ({"turns": "ab"}, "turns is 'ab'. It takes a list"),
        ({"turns": ["ab"]}, "Turn 0 of an item is 'ab'. It takes a dict with an input"),
        ({"turns": [{"gates": []}]}, "Turn 0 of an item is {'gates': []}. It takes a dict"),
        ({"turns": [{"input": 1, "gate": 1}]}, "{'input': 1, 'gate': 1}. It takes a dict"),
        ({"inputs": 7}, "inputs is 7. It takes a list"),
        ({"input": 1, "metadata": "x"}, "metadata is 'x'. It takes a dict"),
        ({"input": 1, "request_context": 7}, "request_context is 7. It takes a dict, or"),
        (
            {"input": 1, "expectedTrajectory": ["a"]},
            "expected_trajectory is ['a']. It takes a dict",
        ),
    ],
)
async def test_a_field_of_an_item_of_another_kind_is_refused(fields: Any, told: str) -> None:
    agent = Agent(id="a", model=FunctionModel(lambda _: "hi"))
    with pytest.raises(InputValidationError) as raised:
        await run_evals(data=[fields], target=agent)
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dataset": [ITEM]}, "It takes a Dataset"),
        ({"repeats": 1.5}, "repeats is 1.5. It takes a whole number, 1 or more"),
        ({"max_retries": -1}, "max_retries is -1. It takes a whole number from 0"),
        ({"item_timeout_s": "1"}, "item_timeout_s is '1'. It takes a number of seconds"),
        ({"metadata": "x"}, "metadata is 'x'. It takes a dict"),
    ],
)
async def test_an_option_of_an_experiment_of_another_kind_is_refused(
    options: Any, told: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        Experiment("e", **{"dataset": Dataset("d", [ITEM]), "target": str, **options})
    assert told in raised.value.message


async def test_one_scorer_stands_for_a_list_of_it() -> None:
    for options in ({"scorers": always()}, {"gates": always()}, {"scorers": {"agent": always()}}):
        given: Any = options
        summary = await run_evals(data=[ITEM], target=str, **given)
        assert summary.scores == {"always": 1}


async def test_the_values_of_a_request_are_kept_as_a_dict() -> None:
    item = item_of({"input": 1, "request_context": RequestContext({"city": "Rome"})}, 0)
    assert item.request_context == {"city": "Rome"}
    assert item.to_data()["requestContext"] == {"city": "Rome"}
    assert item_of(item, 0) is item


async def test_a_judge_and_an_entry_stand_for_themselves() -> None:
    judge = Judge(ScriptedModel('{"score": 0.5}'), "Judge it.")
    scorer = create_scorer(id="s", description="", judge=judge)
    found = await scorer.generate_score(create_prompt=lambda _: "?").run(output="a")
    assert found.score == 0.5
    entry = ScorerEntry(always(), rate=0.0)
    assert ScorerEntry.of(entry, "s") is entry


@pytest.mark.parametrize(
    "given", [{"scorers": []}, {"scorers": {}}, {"scorers": {"agent": []}}, {"gates": []}]
)
async def test_an_empty_list_of_scorers_is_no_evaluation(given: dict[str, Any]) -> None:
    """It passed, as what a filter that found nothing gives does."""
    with pytest.raises(ConfigError, match="nothing would be scored"):
        await run_evals(data=[ITEM], target=str, **given)
    with pytest.raises(ConfigError, match="nothing would be scored"):
        Experiment("e", dataset=Dataset("d", items=[ITEM]), target=str, **given)


async def test_what_is_left_out_is_only_run() -> None:
    summary = await run_evals(data=[ITEM], target=str)
    assert (summary.total_items, summary.verdict) == (1, None)
    turn = {"input": "a", "scorers": [equals("a")]}
    agent = Agent(id="a", model=ScriptedModel("a"))
    summary = await run_evals(data=[{"turns": [turn]}], target=agent, scorers=[])
    assert [one.score for one in summary.turn_results[0].rule_results] == [1]


def test_an_order_of_no_tools_is_refused() -> None:
    with pytest.raises(ConfigError, match="every answer would pass"):
        tool_order([])
