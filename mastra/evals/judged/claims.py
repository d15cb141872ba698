"""Judged scorers of what an answer claims: faithfulness, hallucination, recall, summaries."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from typing_extensions import TypedDict

from mastra.errors import ConfigError
from mastra.evals.judged.verdicts import (
    ContextSource,
    Verdicts,
    answer_of,
    context_of,
    is_yes,
    numbered,
    prompt,
    question_of,
    share,
    texts_of,
    truth_of,
)
from mastra.evals.messages import (
    agent_texts,
    assistant_text,
    is_agent_input,
    is_agent_output,
    user_text,
)
from mastra.evals.numbers import js_json, round_to_two
from mastra.evals.scorer import Scorer, StageContext, create_scorer
from mastra.failures import call_user
from mastra.models.resolve import ModelInput
from mastra.names import python_options

__all__ = [
    "create_context_recall_scorer",
    "create_faithfulness_scorer",
    "create_hallucination_scorer",
    "create_summarization_scorer",
]


class Claims(TypedDict):
    """What a text claims."""

    claims: list[str]


def _extract(what: str, text: str) -> str:
    return prompt(
        f"""List every claim that {what} makes. A claim says that something is so, or may be so.
        Split sentences that claim several things, keep figures, dates and names, and leave out
        questions and requests. An empty text claims nothing.""",
        ("Text", text),
        'Answer with JSON: {"claims": ["…"]}.',
    )


def _reason(name: str, scale: float, ctx: StageContext, *parts: tuple[str, Any]) -> str:
    return prompt(
        f"""Explain in a sentence or two why there is this score for {name}, from 0 to {scale}, by
        what was found. Keep to the score.""",
        *parts,
        ("Score", ctx.score),
        ("What was found", js_json(texts_of(ctx.results.analyze_step_result, "verdicts"))),
        'Begin with: "The score is … because …".',
    )


# -- faithfulness ----------------------------------------------------------------------------------


@python_options
def create_faithfulness_scorer(
    *, model: ModelInput, context: Sequence[str] | None = None, scale: float = 1
) -> Scorer:
    """Return a scorer of which share of an answer's claims the context bears out (0 to `scale`).

    Args:
        model: The judge.
        context: What the answer should rest on; left out, what the agent's tools gave.
        scale: The best score.
    """

    def pieces(ctx: StageContext) -> Sequence[str]:
        return _tool_context(ctx.run.output) if context is None else context

    def verify(ctx: StageContext) -> str:
        claims = texts_of(ctx.results.preprocess_step_result, "claims")
        return prompt(
            """Say of each claim whether the context bears it out: "yes" where it says so, "no"
            where it says the opposite, "unsure" where it says nothing of it or the claim itself
            is a guess. Use the context alone, never what you know.""",
            ("Context", "\n".join(pieces(ctx))),
            (f"Claims ({len(claims)})", numbered(claims)),
            f"""Answer with JSON: {{"verdicts": [{{"verdict": "yes", "reason": "…"}}]}}, one for
            each of the {len(claims)} claims, in their order.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "verdicts")
        borne_out = sum(one["verdict"] == "yes" for one in found)
        return round_to_two(share(borne_out, len(found)) * (scale or 1)) if found else 0.0

    scorer = create_scorer(
        id="faithfulness-scorer",
        name="Faithfulness Scorer",
        description="Which share of the answer's claims the context bears out.",
        judge={
            "model": model,
            "instructions": "You check claims against a context and nothing else. A claim is borne "
            "out only where the context says so.",
        },
        type="agent",
    )
    return (
        scorer.preprocess(
            description="List what the answer claims",
            output_schema=Claims,
            create_prompt=lambda ctx: _extract("the text", answer_of(ctx)),
        )
        .analyze(
            description="Check each against the context",
            output_schema=Verdicts,
            create_prompt=verify,
        )
        .generate_score(score)
        .generate_reason(
            description="Say why",
            create_prompt=lambda ctx: _reason(
                "faithfulness",
                scale,
                ctx,
                ("Context", "\n".join(pieces(ctx))),
                ("Question", question_of(ctx)),
                ("Answer", answer_of(ctx)),
            ),
        )
    )


def _tool_context(output: Any) -> list[str]:
    from mastra.evals.messages import tool_results  # noqa: PLC0415 - only without a context

    return [js_json(found["result"]) for found in tool_results(output)]


# -- hallucination ---------------------------------------------------------------------------------


class ClaimVerdict(TypedDict):
    """Whether a claim is made up."""

    statement: str
    verdict: str
    reason: str


class ClaimVerdicts(TypedDict):
    """One for each claim."""

    verdicts: list[ClaimVerdict]


@python_options
def create_hallucination_scorer(
    *,
    model: ModelInput,
    context: Sequence[str] = (),
    get_context: Callable[[StageContext], Sequence[str] | Awaitable[Sequence[str]]] | None = None,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of which share of an answer's claims is made up; 0 is best.

    Args:
        model: The judge.
        context: What the answer should rest on.
        get_context: Or a function that gives it for a run.
        scale: The worst score.
    """

    async def pieces(ctx: StageContext) -> str:
        given = context if get_context is None else await call_user(get_context, ctx)
        return "\n".join(given) or "(none)"

    async def verify(ctx: StageContext) -> str:
        claims = texts_of(ctx.results.preprocess_step_result, "claims")
        return prompt(
            """Say of each claim whether it is made up: "yes" where the context says the opposite,
            or says nothing of it while the claim says it as a fact; "no" where the context bears
            it out, or the claim itself says that it is not sure. Without a context every fact is
            made up. Use the context alone, never what you know.""",
            ("Context", await pieces(ctx)),
            (f"Claims ({len(claims)})", numbered(claims)),
            f"""Answer with JSON: {{"verdicts": [{{"statement": "the claim", "verdict": "yes",
            "reason": "…"}}]}}, one for each of the {len(claims)} claims, in their order.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "verdicts")
        made_up = sum(one["verdict"] == "yes" for one in found)
        return round_to_two(share(made_up, len(found)) * (scale or 1)) if found else 0.0

    async def reason(ctx: StageContext) -> str:
        return _reason(
            "hallucination, where 0 is best",
            scale,
            ctx,
            ("Context", await pieces(ctx)),
            ("Question", question_of(ctx)),
            ("Answer", answer_of(ctx)),
        )

    scorer = create_scorer(
        id="hallucination-scorer",
        name="Hallucination Scorer",
        description="Which share of the answer's claims is made up.",
        judge={
            "model": model,
            "instructions": "You find what an answer makes up: claims that its context contradicts "
            "or does not have. What is true elsewhere does not help a claim.",
        },
        type="agent",
    )
    return (
        scorer.preprocess(
            description="List what the answer claims",
            output_schema=Claims,
            create_prompt=lambda ctx: _extract("the text", answer_of(ctx)),
        )
        .analyze(
            description="Say of each whether it is made up",
            output_schema=ClaimVerdicts,
            create_prompt=verify,
        )
        .generate_score(score)
        .generate_reason(description="Say why", create_prompt=reason)
    )


# -- recall ----------------------------------------------------------------------------------------


@python_options
def create_context_recall_scorer(
    *,
    model: ModelInput,
    context: Sequence[str] | None = None,
    context_extractor: ContextSource | None = None,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of which share of the ground truth the context holds (0 to `scale`).

    Args:
        model: The judge.
        context: What was found for the question.
        context_extractor: Or a function of an agent's input and output that gives it.
        scale: The best score.

    Raises:
        ConfigError: There is no context.
    """
    pieces = context_of("Context recall", context, context_extractor)

    def extract(ctx: StageContext) -> str:
        return _extract("the text", truth_of(ctx) if ctx.run.ground_truth else "")

    def attribute(ctx: StageContext) -> str:
        claims = texts_of(ctx.results.preprocess_step_result, "claims")
        return prompt(
            """Say of each claim whether it follows from the context: "yes" where it does, "no"
            where any part of it does not. Use the context alone, never what you know.""",
            ("Context", numbered(pieces(ctx))),
            (f"Claims ({len(claims)})", numbered(claims)),
            f"""Answer with JSON: {{"verdicts": [{{"verdict": "yes", "reason": "…"}}]}}, one for
            each of the {len(claims)} claims, in their order.""",
        )

    def score(ctx: StageContext) -> float:
        total = len(texts_of(ctx.results.preprocess_step_result, "claims"))
        if not ctx.run.ground_truth or not total:
            return 0.0
        verdicts = texts_of(ctx.results.analyze_step_result, "verdicts")
        held = sum(is_yes(one["verdict"]) for one in verdicts)
        return round_to_two(min(1.0, held / total) * (scale or 1))

    scorer = create_scorer(
        id="context-recall-scorer",
        name="Context Recall Scorer",
        description="Which share of the ground truth the context holds.",
        judge={
            "model": model,
            "instructions": "You check whether claims follow from a context and nothing else.",
        },
        type="agent",
    )
    return (
        scorer.preprocess(
            description="List what the ground truth claims",
            output_schema=Claims,
            create_prompt=extract,
        )
        .analyze(
            description="Look for each in the context",
            output_schema=Verdicts,
            create_prompt=attribute,
        )
        .generate_score(score)
        .generate_reason(
            description="Say why",
            create_prompt=lambda ctx: _reason(
                "context recall",
                scale,
                ctx,
                ("Ground truth", truth_of(ctx) if ctx.run.ground_truth else ""),
                ("Context", numbered(pieces(ctx))),
            ),
        )
    )


# -- summaries -------------------------------------------------------------------------------------


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

    scorer = create_scorer(
        id="summarization-scorer",
        name="Summarization Scorer",
        description="Whether a summary is true to its source and holds what is important in it.",
        judge={
            "model": model,
            "instructions": "You judge summaries: whether the source says what they say, and "
            "whether what matters in the source is in them.",
        },
        type="agent",
    )
    return (
        scorer.preprocess(
            description="Check the summary's claims and ask about the source",
            output_schema=SourceJudgement,
            create_prompt=judge,
        )
        .analyze(
            description="Answer from the summary alone",
            output_schema=Coverage,
            create_prompt=cover,
        )
        .generate_score(score)
        .generate_reason(description="Say why", create_prompt=reason)
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
