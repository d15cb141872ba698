"""What scorers need: what is missing is said, by the scorer that misses it, and never scored."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mastra import RequestContext
from mastra.errors import ConfigError, InputValidationError, ScorerError
from mastra.evals import (
    ScorerRun,
    checks,
    create_answer_similarity_scorer,
    create_completeness_scorer,
    create_context_precision_scorer,
    create_context_relevance_scorer_llm,
    create_noise_sensitivity_scorer_llm,
    create_prompt_alignment_scorer_llm,
    create_scorer,
    create_textual_difference_scorer,
    create_tool_call_accuracy_scorer_code,
    create_tool_call_accuracy_scorer_llm,
    create_trajectory_accuracy_scorer_code,
    create_trajectory_scorer_code,
)
from mastra.evals.messages import message_text
from mastra.evals.numbers import js_json
from mastra.evals.outcomes import ScorerResult
from mastra.evals.texts import dice_similarity
from mastra.evals.trajectories import extract_trajectory, extract_workflow_trajectory
from mastra.testing import ScriptedModel
from tests.evals.cases import call, message, run

pytestmark = pytest.mark.anyio

SILENT = ScriptedModel()
"""A judge that must not be asked."""


@pytest.mark.parametrize(
    ("make", "given", "missing"),
    [
        (create_completeness_scorer, {"input": "", "output": "Rome"}, "one is empty"),
        (
            lambda: create_tool_call_accuracy_scorer_code(expected_tool="look"),
            {"input": "", "output": ""},
            "there is none",
        ),
        (
            lambda: create_tool_call_accuracy_scorer_llm(model=SILENT, available_tools=[]),
            {"input": "", "output": ""},
            "there is none",
        ),
        (
            lambda: create_answer_similarity_scorer(model=SILENT),
            run("Where?", "Rome"),
            "needs a ground truth",
        ),
        (
            lambda: create_prompt_alignment_scorer_llm(model=SILENT),
            run("Where?", ""),
            "needs an answer with text",
        ),
        (
            lambda: create_prompt_alignment_scorer_llm(model=SILENT, evaluation_mode="system"),
            run("Where?", "Rome"),
            "mode 'system' has no prompt",
        ),
        (
            lambda: create_context_precision_scorer(model=SILENT, context_extractor=lambda *_: []),
            run("Where?", "Rome"),
            "no context for this run",
        ),
        (
            lambda: create_noise_sensitivity_scorer_llm(
                model=SILENT, baseline_response="Rome", noisy_query="Wher?"
            ),
            run("Where?", ""),
            "needs a question and an answer",
        ),
    ],
)
async def test_what_is_missing_in_a_run_is_said(
    make: Any, given: dict[str, Any], missing: str
) -> None:
    with pytest.raises(ScorerError, match=missing):
        await make().run(given)


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (create_tool_call_accuracy_scorer_code, "expected_tool= or"),
        (
            lambda: create_noise_sensitivity_scorer_llm(
                model=SILENT, baseline_response="", noisy_query="x"
            ),
            "needs baseline_response= and noisy_query=",
        ),
        (lambda: create_context_precision_scorer(model=SILENT), "pass context= or"),
        (lambda: create_context_relevance_scorer_llm(model=SILENT, context=[]), "is empty"),
        (
            lambda: create_trajectory_scorer_code(defaults={"max_total_tokens": 10}),
            "defaults has 'max_total_tokens': it knows 'steps'.*'maxTotalTokens'",
        ),
        (lambda: create_scorer(id="", description=""), "needs an id"),
        (
            lambda: create_scorer(id="x", description="", type="step"),
            "one of 'agent', 'trajectory'",
        ),
    ],
)
def test_a_scorer_that_is_set_up_without_what_it_needs_is_refused(make: Any, missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        make()


async def test_a_context_that_is_not_there_is_no_fault_of_relevance() -> None:
    answer = '{"evaluations": [], "missingContext": [], "overallAssessment": ""}'
    judge = ScriptedModel(answer, "None was given.")
    scorer = create_context_relevance_scorer_llm(model=judge, context_extractor=lambda *_: [])
    result = await scorer.run(run("Where?", "Rome"))
    assert (result.score, result.reason) == (1.0, "None was given.")


# -- checks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "answer", "score"),
    [
        (checks.matches(r"\d+ degrees"), "It has 21 degrees.", 1),
        (checks.matches(r"\d+ degrees", exact=True), "It has 21 degrees.", 0),
        (checks.matches(r"\d+ degrees", exact=True), "21 degrees", 1),
        (checks.matches(r"\d+", exact=True), "21\n", 0),
        (checks.matches(re.compile("^21", re.MULTILINE), exact=True), "x\n21\ny", 1),
        (checks.matches(re.compile("rome", re.IGNORECASE)), "ROME", 1),
    ],
)
async def test_an_answer_matches_an_expression(check: Any, answer: str, score: int) -> None:
    assert (await check.run(run("Where?", answer))).score == score


@pytest.mark.parametrize(
    ("made", "score"),
    [
        (call("look"), 1),
        (call("look", result={"error": "no such city"}), 0),
        (call("look", result="sunny"), 1),
        (call("look", state="output-error"), 0),
        (call("look", state="call"), 0),
    ],
)
async def test_a_tool_that_failed_is_noticed(made: Any, score: int) -> None:
    assert (await checks.no_tool_errors().run(run("Where?", "Rome", [made]))).score == score


# -- what a run may be -------------------------------------------------------------------------


async def test_a_run_is_given_by_fields_of_either_spelling() -> None:
    scorer = create_scorer(id="same", description="").generate_score(
        lambda ctx: ctx.run.output == ctx.run.ground_truth
    )
    given = ScorerRun("Rome", ground_truth="Rome")
    assert (await scorer.run(given)).score == 1
    assert (await scorer.run(given, ground_truth="Oslo")).score == 0
    assert (await scorer.run({"output": "Rome", "groundTruth": "Rome"})).score == 1
    with pytest.raises(InputValidationError, match="not on a int"):
        await scorer.run(7)  # type: ignore[arg-type]
    with pytest.raises(InputValidationError, match="needs what is scored"):
        await scorer.run(input="Where?")
    with pytest.raises(InputValidationError, match="has no 'answer'"):
        await scorer.run(output="Rome", answer="x")


def test_values_of_a_request_go_before_further_facts() -> None:
    of_request = RequestContext({"rubric": "a"})
    for context in (of_request, {"rubric": "a"}):
        run = ScorerRun(
            "x", {"rubric": "c"}, request_context=context, additional_context={"rubric": "b"}
        )
        assert run.context("rubric") == "a"
    assert (
        ScorerRun("x", {"rubric": "c"}, additional_context={"rubric": "b"}).context("rubric") == "b"
    )
    assert ScorerRun("x", {"rubric": "c"}).context("rubric") == "c"
    assert ScorerRun("x", "text").context("rubric") is None
    told = ScorerResult("s", ScorerRun("x", request_context=of_request), 1.0)
    assert told.to_wire()["requestContext"] == {"rubric": "a"}


# -- measures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [("night", "nacht", 0.25), ("", "", 1.0), ("a", "b", 0.0), ("a", "a", 1.0), ("ab", "", 0.0)],
)
def test_how_alike_texts_are_by_pairs_of_letters(first: str, second: str, alike: float) -> None:
    assert dice_similarity(first, second) == pytest.approx(alike)


async def test_texts_of_which_one_is_empty_have_nothing_in_common() -> None:
    scorer = create_textual_difference_scorer()
    assert (await scorer.run(run("Rome", "Rome"))).score == 1
    assert (await scorer.run(run("Rome", ""))).score == 0


def test_json_is_written_as_the_original_writes_it() -> None:
    value = {"b": 1.0, "a": [float("nan"), 0.5, {"x": float("inf")}], "t": "ü"}
    assert js_json(value) == '{"b":1,"a":[null,0.5,{"x":null}],"t":"ü"}'


def test_a_message_may_be_its_text() -> None:
    assert message_text("hello") == message_text(message("hello")) == "hello"


async def test_a_budget_that_cannot_be_checked_is_no_budget_kept() -> None:
    steps = [{"stepType": "model_generation", "name": "m", "promptTokens": 5}]
    scorer = create_trajectory_scorer_code(defaults={"maxTotalTokens": 10})
    with pytest.raises(ScorerError, match="does not say how many tokens"):
        await scorer.run(input=[], output={"steps": steps})
    steps[0]["completionTokens"] = 6
    result = await scorer.run(input=[], output={"steps": steps})
    assert result.score is not None
    assert result.score < 1


# -- trajectories ------------------------------------------------------------------------------


async def test_a_trajectory_that_was_as_it_should_be_is_what_is_expected() -> None:
    child = {"name": "look", "stepType": "tool_call", "toolArgs": {"city": "Rome"}}
    taken = {
        "steps": [
            {"name": "plan", "stepType": "agent_run", "durationMs": 5, "children": [child]},
            {"name": "tell", "stepType": "tool_call", "metadata": {"a": 1}},
        ],
        "totalDurationMs": 7,
    }
    scorer = create_trajectory_accuracy_scorer_code(expected_trajectory=taken)
    assert (await scorer.run(input=[], output=taken)).score == 1
    slower = {"steps": [{**step, "durationMs": 900} for step in taken["steps"]]}
    assert (await scorer.run(input=[], output=slower)).score == 1
    other = {"steps": [taken["steps"][1]]}
    assert (await scorer.run(input=[], output=other)).score != 1


async def test_tools_are_called_in_an_order() -> None:
    scorer = create_tool_call_accuracy_scorer_code(expected_tool_order=["look", "tell"])
    strict = create_tool_call_accuracy_scorer_code(
        expected_tool_order=["look", "tell"], strict_mode=True
    )
    for names, lenient, exact in (
        (["look", "tell"], 1, 1),
        (["look", "wait", "tell"], 1, 0),
        (["tell", "look"], 0, 0),
        (["look"], 0, 0),
    ):
        given = run("Where?", "Rome", [call(name) for name in names])
        assert (await scorer.run(given)).score == lenient, names
        assert (await strict.run(given)).score == exact, names


async def test_without_an_expected_trajectory_nothing_was_reached() -> None:
    scorer = create_trajectory_accuracy_scorer_code()
    result = await scorer.run(input=[], output={"steps": [{"name": "look"}]})
    assert result.score == 0
    assert "No trajectory is expected" in result.preprocess_step_result["error"]


async def test_sides_without_weight_take_nothing_away() -> None:
    output = {"steps": [{"name": "look", "stepType": "tool_call"}]}
    defaults = {"steps": [{"name": "tell"}], "maxSteps": 0}
    none = {"accuracy": 0, "efficiency": -1}
    for weights, score in ((none, 1.0), ({"accuracy": 1, "efficiency": 0}, 0.0)):
        scorer = create_trajectory_scorer_code(defaults=defaults, weights=weights)
        assert (await scorer.run(input=[], output=output)).score == score


@pytest.mark.parametrize("limit", [-1, "10", True, float("nan")])
async def test_a_budget_is_a_number_from_0(limit: Any) -> None:
    scorer = create_trajectory_scorer_code(defaults={"maxSteps": limit})
    with pytest.raises(ScorerError, match=r"max_steps is .*: give a number from 0"):
        await scorer.run(input=[], output={"steps": []})


def test_a_call_that_was_only_begun_is_no_step() -> None:
    made = [call("look", state="partial-call"), call("tell")]
    steps = extract_trajectory([message("Rome", "assistant", made)])["steps"]
    assert [step["name"] for step in steps] == ["tell"]


def test_a_step_that_the_path_names_and_nothing_came_of_is_left_out() -> None:
    waiting = {"status": "waiting"}
    found = extract_workflow_trajectory({"a": waiting}, ["a", "b"])
    assert [step["name"] for step in found["steps"]] == ["a"]
    assert "totalDurationMs" not in found
    ended = {"status": "success", "startedAt": 5, "endedAt": 9, "output": 7}
    found = extract_workflow_trajectory({"a": waiting, "b": ended})
    assert found["totalDurationMs"] == 4
    assert (found["steps"][1]["durationMs"], found["steps"][1]["output"]) == (4, {"value": 7})
