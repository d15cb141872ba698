"""Judged scorers of what an answer claims: faithfulness, hallucination, recall."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from typing_extensions import TypedDict

from mastra.evals.judged.verdicts import (
    ContextSource,
    Verdicts,
    answer_of,
    context_of,
    is_yes,
    judged,
    numbered,
    prompt,
    question_of,
    share,
    texts_of,
    truth_of,
    why,
)
from mastra.evals.numbers import js_json, round_to_two
from mastra.evals.scorer import PromptStage, Scorer, StageContext
from mastra.failures import call_user
from mastra.models.resolve import ModelInput
from mastra.names import python_options

__all__ = [
    "create_context_recall_scorer",
    "create_faithfulness_scorer",
    "create_hallucination_scorer",
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

    return judged(
        id="faithfulness-scorer",
        name="Faithfulness Scorer",
        description="Which share of the answer's claims the context bears out.",
        model=model,
        instructions="You check claims against a context and nothing else. A claim is borne "
        "out only where the context says so.",
        preprocess=PromptStage(
            lambda ctx: _extract("the text", answer_of(ctx)), Claims, "List what the answer claims"
        ),
        analyze=PromptStage(verify, Verdicts, "Check each against the context"),
        score=score,
        reason=why(
            lambda ctx: _reason(
                "faithfulness",
                scale,
                ctx,
                ("Context", "\n".join(pieces(ctx))),
                ("Question", question_of(ctx)),
                ("Answer", answer_of(ctx)),
            )
        ),
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

    return judged(
        id="hallucination-scorer",
        name="Hallucination Scorer",
        description="Which share of the answer's claims is made up.",
        model=model,
        instructions="You find what an answer makes up: claims that its context contradicts "
        "or does not have. What is true elsewhere does not help a claim.",
        preprocess=PromptStage(
            lambda ctx: _extract("the text", answer_of(ctx)), Claims, "List what the answer claims"
        ),
        analyze=PromptStage(verify, ClaimVerdicts, "Say of each whether it is made up"),
        score=score,
        reason=why(reason),
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

    return judged(
        id="context-recall-scorer",
        name="Context Recall Scorer",
        description="Which share of the ground truth the context holds.",
        model=model,
        instructions="You check whether claims follow from a context and nothing else.",
        preprocess=PromptStage(extract, Claims, "List what the ground truth claims"),
        analyze=PromptStage(attribute, Verdicts, "Look for each in the context"),
        score=score,
        reason=why(
            lambda ctx: _reason(
                "context recall",
                scale,
                ctx,
                ("Ground truth", truth_of(ctx) if ctx.run.ground_truth else ""),
                ("Context", numbered(pieces(ctx))),
            )
        ),
    )
