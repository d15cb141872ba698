"""Judged scorers of what an answer was given to rest on: relevance, precision, and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from mastra.errors import ConfigError, InputValidationError
from mastra.evals.judged.verdicts import (
    ContextSource,
    answer_of,
    context_of,
    is_yes,
    judged,
    numbered,
    prompt,
    question_of,
    texts_of,
    why,
)
from mastra.evals.numbers import js_json, round_to_two, within_unit
from mastra.evals.scorer import PromptStage, Scorer, StageContext
from mastra.models.resolve import ModelInput
from mastra.names import python_options

__all__ = [
    "create_context_precision_scorer",
    "create_context_relevance_scorer_llm",
    "create_noise_sensitivity_scorer_llm",
]


class Piece(TypedDict):
    """What a piece of context is worth."""

    context_index: float
    contextPiece: str
    relevanceLevel: Literal["high", "medium", "low", "none"]
    wasUsed: bool
    reasoning: str


class Relevance(TypedDict):
    """What all pieces are worth."""

    evaluations: list[Piece]
    missingContext: NotRequired[list[str]]
    overallAssessment: str


_RELEVANCE = {"high": 1.0, "medium": 0.7, "low": 0.3, "none": 0.0}


@python_options
def create_context_relevance_scorer_llm(
    *,
    model: ModelInput,
    context: Sequence[str] | None = None,
    context_extractor: ContextSource | None = None,
    unused_high_relevance_context: float = 0.1,
    missing_context_per_item: float = 0.15,
    max_missing_context_penalty: float = 0.5,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of what the context was worth for an answer (0 to `scale`).

    Args:
        model: The judge.
        context: The pieces.
        context_extractor: Or a function of an agent's input and output that gives them.
        unused_high_relevance_context: What each highly relevant piece costs that was not used.
        missing_context_per_item: What each missing piece costs.
        max_missing_context_penalty: What missing pieces cost at most.
        scale: The best score.

    Raises:
        ConfigError: There is no context.
    """
    pieces = context_of("Context relevance", context, context_extractor)

    def analyze(ctx: StageContext) -> str:
        found = pieces(ctx) or ["(no context was given)"]
        return prompt(
            """Say of each piece of context how relevant it is to the question ("high": it answers
            or is needed; "medium": it helps; "low": it touches on it; "none") and whether the
            answer used it. List what is missing that the answer would have needed.""",
            ("Question", question_of(ctx)),
            ("Answer", answer_of(ctx)),
            ("Context", numbered(found, start=0)),
            """Answer with JSON: {"evaluations": [{"context_index": 0, "contextPiece": "…",
            "relevanceLevel": "high", "wasUsed": true, "reasoning": "…"}], "missingContext":
            ["…"], "overallAssessment": "…"}, one evaluation for each piece, from 0.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "evaluations")
        missing = texts_of(ctx.results.analyze_step_result, "missingContext")
        if not pieces(ctx):
            return 1.0 * (scale or 1)
        if not found:
            return 0.0 if missing else 1.0
        relevance = sum(_RELEVANCE[piece["relevanceLevel"]] for piece in found) / len(found)
        unused = [
            piece for piece in found if piece["relevanceLevel"] == "high" and not piece["wasUsed"]
        ]
        costs = len(unused) * unused_high_relevance_context
        costs += min(len(missing) * missing_context_per_item, max_missing_context_penalty)
        return round_to_two(max(0.0, relevance - costs) * (scale or 1))

    def reason(ctx: StageContext) -> str:
        if not pieces(ctx):
            return f"There was no context to judge. Say so, and that the score is {ctx.score}."
        return prompt(
            f"""Explain in a sentence or two why the context has this score, out of {scale}: how
            relevant its pieces are, which good ones were not used, and what is missing.""",
            ("Question", question_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="context-relevance-scorer",
        name="Context Relevance (LLM)",
        description="What the context was worth for the answer.",
        model=model,
        instructions="You judge what pieces of context were worth for answering a question: "
        "how relevant each is, whether it was used, and what was missing.",
        analyze=PromptStage(analyze, Relevance, "Judge each piece of context"),
        score=score,
        reason=why(reason),
    )


# -- precision -------------------------------------------------------------------------------------


class PieceVerdict(TypedDict):
    """Whether a piece helps."""

    context_index: float
    verdict: str
    reason: str


class PieceVerdicts(TypedDict):
    """One for each piece."""

    verdicts: list[PieceVerdict]


@python_options
def create_context_precision_scorer(
    *,
    model: ModelInput,
    context: Sequence[str] | None = None,
    context_extractor: ContextSource | None = None,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of whether relevant context comes first: mean average precision to `scale`.

    Args:
        model: The judge.
        context: The pieces, in the order in which they were found.
        context_extractor: Or a function of an agent's input and output that gives them.
        scale: The best score.

    Raises:
        ConfigError: There is no context.
    """
    pieces = context_of("Context precision", context, context_extractor)

    def analyze(ctx: StageContext) -> str:
        found = pieces(ctx)
        if not found:
            raise InputValidationError("Context precision has no context for this run.")
        return prompt(
            """Say of each piece of context whether it was of use for the answer: "yes" where it
            has what the answer says, or what one needs for it, else "no".""",
            ("Question", question_of(ctx)),
            ("Answer", answer_of(ctx)),
            ("Context", numbered(found, start=0)),
            """Answer with JSON: {"verdicts": [{"context_index": 0, "verdict": "yes", "reason":
            "…"}]}, one for each piece, from 0.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "verdicts")
        relevant, total = 0, 0.0
        ordered = sorted(found, key=lambda verdict: verdict["context_index"])
        for place, verdict in enumerate(ordered, 1):
            if is_yes(verdict["verdict"]):
                relevant += 1
                total += relevant / place
        return round_to_two(total / relevant * (scale or 1)) if relevant else 0.0

    def reason(ctx: StageContext) -> str:
        return prompt(
            f"""Explain in a sentence or two why the context has this score for precision, out of
            {scale}: which pieces are of use, and whether they come first.""",
            ("Question", question_of(ctx)),
            ("Answer", answer_of(ctx)),
            ("Context", numbered(pieces(ctx), start=0)),
            ("Score", ctx.score),
            ("What was found", js_json(texts_of(ctx.results.analyze_step_result, "verdicts"))),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="context-precision-scorer",
        name="Context Precision Scorer",
        description="Whether the pieces of context that are of use come first.",
        model=model,
        instructions="You judge whether pieces of context were of use for an answer, each "
        "by itself.",
        analyze=PromptStage(analyze, PieceVerdicts, "Say of each piece whether it was of use"),
        score=score,
        reason=why(reason),
    )


# -- noise -----------------------------------------------------------------------------------------


class Dimension(TypedDict):
    """What noise did to one side of an answer."""

    dimension: str
    impactLevel: Literal["none", "minimal", "moderate", "significant", "severe"]
    specificChanges: str
    noiseInfluence: str


class Robustness(TypedDict):
    """What noise did to an answer."""

    dimensions: list[Dimension]
    overallAssessment: str
    majorIssues: NotRequired[list[str]]
    robustnessScore: float


_IMPACT = {"none": 1.0, "minimal": 0.85, "moderate": 0.6, "significant": 0.3, "severe": 0.1}


@python_options
def create_noise_sensitivity_scorer_llm(
    *,
    model: ModelInput,
    baseline_response: str,
    noisy_query: str,
    noise_type: str | None = None,
    impact_weights: Mapping[str, float] | None = None,
    discrepancy_threshold: float = 0.2,
    major_issue_per_item: float = 0.1,
    max_major_issue_penalty: float = 0.3,
) -> Scorer:
    """Return a scorer of whether an answer stays good where the question holds noise (0 to 1).

    Args:
        model: The judge.
        baseline_response: The answer to the question without noise.
        noisy_query: The question with it, to which the answer that is scored was given.
        noise_type: What kind of noise it is.
        impact_weights: What `none` (1), `minimal` (0.85), `moderate` (0.6), `significant` (0.3)
            and `severe` (0.1) count.
        discrepancy_threshold: How far the judge's own figure may be from the mean of these before
            the lower of both counts.
        major_issue_per_item: What each major issue costs.
        max_major_issue_penalty: What they cost at most.

    Raises:
        ConfigError: The answer or the question to compare with is empty.
    """
    if not baseline_response or not noisy_query:
        raise ConfigError("Noise sensitivity needs baseline_response= and noisy_query=.")
    weights = {**_IMPACT, **(impact_weights or {})}

    def analyze(ctx: StageContext) -> str:
        if not question_of(ctx) or not answer_of(ctx):
            raise InputValidationError("Noise sensitivity needs a question and an answer.")
        return prompt(
            """Compare two answers of an assistant: one to a plain question, one to the same with
            noise in it. Say for each of content_accuracy, completeness, relevance, consistency
            and hallucination_resistance how much the noise did: "none", "minimal", "moderate",
            "significant" or "severe". Give a figure for the whole, robustnessScore, from 0.0 (the
            noise ruined it) to 1.0 (it did nothing), and list major issues.""",
            ("Question", question_of(ctx)),
            ("Answer to it", baseline_response),
            ("Question with noise", noisy_query),
            ("Answer to that", answer_of(ctx)),
            ("Kind of noise", noise_type or "not said"),
            """Answer with JSON: {"dimensions": [{"dimension": "completeness", "impactLevel":
            "none", "specificChanges": "…", "noiseInfluence": "…"}], "overallAssessment": "…",
            "majorIssues": ["…"], "robustnessScore": 1.0}.""",
        )

    def score(ctx: StageContext) -> float:
        found: Any = ctx.results.analyze_step_result
        total = within_unit(found["robustnessScore"])
        sides = texts_of(found, "dimensions")
        if sides:
            mean = sum(weights[side["impactLevel"]] for side in sides) / len(sides)
            if abs(total - mean) > discrepancy_threshold:
                total = min(total, mean)
        issues = texts_of(found, "majorIssues")
        total -= min(len(issues) * major_issue_per_item, max_major_issue_penalty)
        return round_to_two(max(0.0, total))

    def reason(ctx: StageContext) -> str:
        return prompt(
            """Explain in a sentence or two why the answer has this score for staying good in
            spite of noise, where 1 is best.""",
            ("Question", question_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="noise-sensitivity-scorer",
        name="Noise Sensitivity (LLM)",
        description="Whether the answer stays good where the question holds noise.",
        model=model,
        instructions="You judge what irrelevant, distracting or misleading words in a "
        "question did to the answer: whether it is still right, complete, to the point and "
        "free of what the noise brought in.",
        analyze=PromptStage(analyze, Robustness, "Compare both answers"),
        score=score,
        reason=why(reason),
    )
