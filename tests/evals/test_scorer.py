"""A scorer: its stages, its judge, what it gives and how it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typing_extensions import TypedDict

from mastra import Agent, Mastra
from mastra.errors import ConfigError, InputValidationError, ScorerError
from mastra.evals import StageContext, create_scorer, not_scorable
from mastra.testing import FunctionModel, ScriptedModel

pytestmark = pytest.mark.anyio


class Words(TypedDict):
    words: list[str]


def length(**options: Any) -> Any:
    return create_scorer(id="length", description="How long it is.", **options)


async def test_stages_see_what_those_before_have_given() -> None:
    seen: list[Any] = []

    async def reason(ctx: StageContext) -> str:
        seen.append((ctx.run.input, ctx.results.preprocess_step_result, ctx.score))
        return f"{ctx.score} of {ctx.results.analyze_step_result}"

    scorer = (
        length()
        .preprocess(lambda ctx: ctx.run.output.split())
        .analyze(lambda ctx: len(ctx.results.preprocess_step_result))
        .generate_score(lambda ctx: ctx.results.analyze_step_result / 4)
        .generate_reason(reason)
    )
    result = await scorer.run(input="say it", output="one two three")
    assert (result.score, result.reason) == (0.75, "0.75 of 3")
    assert (result.preprocess_step_result, result.analyze_step_result) == (
        ["one", "two", "three"],
        3,
    )
    assert seen == [("say it", ["one", "two", "three"], 0.75)]
    assert result.run_id
    assert [step["name"] for step in scorer.get_steps()] == [
        "preprocess",
        "analyze",
        "generateScore",
        "generateReason",
    ]


async def test_a_scorer_with_another_stage_is_another_scorer() -> None:
    plain = length().generate_score(lambda ctx: 1)
    told = plain.generate_reason(lambda ctx: "so")
    assert (await plain.run(output="a")).reason is None
    assert (await told.run(output="a")).reason == "so"


async def test_a_judge_is_asked_and_its_answers_are_kept() -> None:
    model = ScriptedModel(['{"words": ["a", "b"]}', '{"score": 0.5}', "because"])
    scorer = (
        length(judge={"model": model, "instructions": "Count."})
        .preprocess(
            description="split",
            output_schema=Words,
            create_prompt=lambda ctx: f"Split {ctx.run.output}",
        )
        .generate_score(create_prompt=lambda ctx: "How many?")
        .generate_reason({"description": "why", "createPrompt": lambda ctx: f"Why {ctx.score}?"})
    )
    result = await scorer.run({"input": "x", "output": "a b", "runId": "r1"})
    assert (result.score, result.reason, result.run_id) == (0.5, "because", "r1")
    assert result.prompts == {
        "preprocess": "Split a b",
        "generate_score": "How many?",
        "generate_reason": "Why 0.5?",
    }
    asked = result.judge["preprocess"][0]
    assert asked.output == {"words": ["a", "b"]}
    assert asked.usage["totalTokens"] == 15
    assert model.requests[0].messages[0].text == "Count."
    wire = result.to_wire()
    assert wire["generateScorePrompt"] == "How many?"
    assert wire["preprocessStepResult"] == {"words": ["a", "b"]}


async def test_a_stage_may_have_a_judge_of_its_own() -> None:
    first, second = ScriptedModel(['{"score": 1}']), ScriptedModel(["fine"])
    scorer = (
        length(judge=first)
        .generate_score(create_prompt=lambda ctx: "?")
        .generate_reason(create_prompt=lambda ctx: "?", judge={"model": second})
    )
    assert (await scorer.run(output="a")).reason == "fine"


async def test_what_cannot_be_scored_has_no_score() -> None:
    called: list[int] = []
    scorer = (
        length()
        .analyze(lambda ctx: not_scorable("it is empty"))
        .generate_score(lambda ctx: called.append(1) or 1)
    )
    result = await scorer.run(output="")
    assert result.score is None
    assert result.not_scorable is not None
    assert (result.not_scorable.step, result.not_scorable.reason) == ("analyze", "it is empty")
    assert called == []


async def test_a_stage_that_raises_says_which_and_keeps_what_was_found() -> None:
    scorer = length().preprocess(lambda ctx: 7).generate_score(lambda ctx: 1 / 0)
    with pytest.raises(ScorerError, match="Stage generate_score of scorer 'length'") as raised:
        await scorer.run(output="a")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert raised.value.failed_step == "generate_score"
    assert raised.value.result.preprocess_step_result == 7
    assert raised.value.details == {"scorerId": "length", "failedStep": "generate_score"}


@pytest.mark.parametrize("given", ["one", None, float("nan"), float("inf"), [1]])
async def test_a_score_is_a_finite_number(given: Any) -> None:
    with pytest.raises(ScorerError, match="no finite number"):
        await length().generate_score(lambda ctx: given).run(output="a")


async def test_what_is_set_up_wrongly_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs an id"):
        create_scorer(id="", description="")
    with pytest.raises(ConfigError, match="gives no score"):
        await length().preprocess(lambda ctx: 1).run(output="a")
    with pytest.raises(ConfigError, match="there is none"):
        await length().generate_score(create_prompt=lambda ctx: "?").run(output="a")
    with pytest.raises(ConfigError, match="output_schema="):
        length().analyze(create_prompt=lambda ctx: "?")
    with pytest.raises(ConfigError, match="create_prompt="):
        length().analyze({"createprompt": 1})
    with pytest.raises(ConfigError, match="needs a model"):
        length(judge={"instructions": "x"})
    with pytest.raises(InputValidationError, match="In Python 'groundTruth' is 'ground_truth'"):
        await length().generate_score(lambda ctx: 1).run(output="a", groundTruth="b")
    with pytest.raises(InputValidationError, match="needs what is scored"):
        await length().generate_score(lambda ctx: 1).run(input="a")


async def test_a_run_may_be_prepared() -> None:
    scorer = length(prepare_run=lambda run: {"output": run.output.upper()}).generate_score(
        lambda ctx: float(ctx.run.output == "A")
    )
    assert (await scorer.run(output="a")).score == 1


async def test_a_judge_that_does_not_answer_as_asked_fails_the_stage() -> None:
    scorer = length(judge=ScriptedModel(["no JSON"])).generate_score(create_prompt=lambda ctx: "?")
    with pytest.raises(ScorerError, match="generate_score"):
        await scorer.run(output="a")


async def test_a_scorer_says_whether_a_task_is_done() -> None:
    done = length().generate_score(lambda ctx: float("Paris" in ctx.run.output))
    told = done.generate_reason(lambda ctx: "Name the city.")
    answers = iter(["It is a city.", "It is Paris."])
    agent = Agent(id="a", model=FunctionModel(lambda request: next(answers)))
    result = await agent.generate("Which city?", is_task_complete={"scorers": [told]})
    assert result.steps[-1].text == "It is Paris."


async def test_a_stage_sees_the_application() -> None:
    mastra = Mastra(scorers=[length().generate_score(lambda ctx: float(ctx.mastra is not None))])
    assert (await mastra.get_scorer("length").run(output="a")).score == 1
    assert mastra.get_scorer_by_id("length").id == "length"
    with pytest.raises(ConfigError, match="Known: 'length'"):
        mastra.get_scorer("nothing")


def test_a_result_is_json() -> None:
    json.dumps(create_scorer(id="a", description="b").get_steps())
