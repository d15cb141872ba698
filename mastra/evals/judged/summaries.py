"""The judged scorer of summaries: whether they are true to their source and complete."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from typing_extensions import TypedDict

from mastra.errors import ConfigError
from mastra.evals.judged.verdicts import (
    judged,
    numbered,
    prompt,
    share,
    texts_of,
    why,
)
from mastra.evals.messages import (
    agent_texts,
    assistant_text,
    is_agent_input,
    is_agent_output,
    user_text,
)
from mastra.evals.numbers import round_to_two
from mastra.evals.scorer import PromptStage, Scorer, StageContext
from mastra.models.resolve import ModelInput
from mastra.names import python_options

__all__ = [
    "create_summarization_scorer",
]


class ClaimSupport(TypedDict):
    """Whether the source bears a claim of the summary out."""

    claim: str
    supported: bool
    reason: str


class SourceJudgement(TypedDict):
    """What a summary claims, and what one should be able to answer from it."""

    alignment: list[ClaimSupport]
    questions: list[str]


class Answered(TypedDict):
    """Whether the summary answers a question."""

    question: str
    answered: bool
    reason: str


class Coverage(TypedDict):
    """One for each question."""

    coverage: list[Answered]


@python_options
def create_summarization_scorer(
    *,
    model: ModelInput,
    source: str | None = None,
    source_extractor: Callable[[Any, Any], str] | None = None,
    max_questions: int = 10,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of whether a summary is true to its source and complete (0 to `scale`).

    The score is the lower of two shares: of its claims that the source bears out, and of
    questions on the source that it answers.

    Args:
        model: The judge.
        source: What is summed up; left out, what the user said.
        source_extractor: Or a function of an agent's input and output that gives it.
        max_questions: How many questions there are at most.
        scale: The best score.

    Raises:
        ConfigError: `max_questions` is below 1.
    """
    if max_questions < 1:
        raise ConfigError(f"max_questions is {max_questions}: give 1 or more.")

    def text(ctx: StageContext) -> str:
        given, output = ctx.run.input, ctx.run.output
        if source_extractor is not None and is_agent_input(given) and is_agent_output(output):
            return source_extractor(given, output)
        return user_text(given) or "" if source is None else source

    def judge(ctx: StageContext) -> str:
        return prompt(
            f"""Do two things. First list every claim of the summary and say whether the source
            bears it out. Then write up to {max_questions} questions with the answer yes on what
            is most important in the source, whether or not the summary has it.""",
            ("Source", text(ctx)),
            ("Summary", _summary(ctx)),
            """Answer with JSON: {"alignment": [{"claim": "…", "supported": true, "reason": "…"}],
            "questions": ["…"]}.""",
        )

    def cover(ctx: StageContext) -> str:
        questions = texts_of(ctx.results.preprocess_step_result, "questions")[:max_questions]
        return prompt(
            """Say of each question whether the summary alone answers it with yes. What you know
            otherwise does not count.""",
            ("Summary", _summary(ctx)),
            (f"Questions ({len(questions)})", numbered(questions)),
            """Answer with JSON: {"coverage": [{"question": "…", "answered": true, "reason":
            "…"}]}, one for each question, in their order.""",
        )

    axes = functools.partial(_axes, max_questions=max_questions)

    def score(ctx: StageContext) -> float:
        found = axes(ctx)
        if not found["isScorable"]:
            return 0.0
        return round_to_two(min(found["alignment"], found["coverage"]) * scale)

    def reason(ctx: StageContext) -> str:
        found = axes(ctx)
        return prompt(
            f"""Explain in a sentence or two why the summary has this score, from 0 to {scale}: the
            lower of both shares.""",
            ("Source", text(ctx)),
            ("Summary", _summary(ctx)),
            ("Score", ctx.score),
            ("Share of claims that the source bears out", round_to_two(found["alignment"])),
            ("Share of questions answered", round_to_two(found["coverage"])),
            ("Not borne out", numbered(found["unsupported"])),
            ("Not answered", numbered(found["missing"])),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="summarization-scorer",
        name="Summarization Scorer",
        description="Whether a summary is true to its source and holds what is important in it.",
        model=model,
        instructions="You judge summaries: whether the source says what they say, and "
        "whether what matters in the source is in them.",
        preprocess=PromptStage(
            judge, SourceJudgement, "Check the summary's claims and ask about the source"
        ),
        analyze=PromptStage(cover, Coverage, "Answer from the summary alone"),
        score=score,
        reason=why(reason),
    )


def _summary(ctx: StageContext) -> str:
    if is_agent_output(ctx.run.output):
        said = [text for text in agent_texts(ctx.run.output) if text.strip()]
        if said:
            return said[-1]
    return assistant_text(ctx.run.output) or ""


def _axes(ctx: StageContext, *, max_questions: int) -> dict[str, Any]:
    questions = texts_of(ctx.results.preprocess_step_result, "questions")[:max_questions]
    claims = texts_of(ctx.results.preprocess_step_result, "alignment")
    answers = texts_of(ctx.results.analyze_step_result, "coverage")[: len(questions)]
    answered = [bool(one["answered"]) for one in answers]
    answered += [False] * (len(questions) - len(answered))
    supported = sum(bool(claim["supported"]) for claim in claims)
    return {
        "alignment": min(1.0, share(supported, len(claims))),
        "coverage": min(1.0, share(sum(answered), len(questions))),
        "unsupported": [claim["claim"] for claim in claims if not claim["supported"]],
        "missing": [one for one, is_in in zip(questions, answered, strict=True) if not is_in],
        "isScorable": bool(claims) and bool(questions),
    }
