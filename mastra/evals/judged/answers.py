"""Judged scorers of how an answer meets what was asked: relevancy, similarity, prompt alignment."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from mastra.errors import InputValidationError
from mastra.evals.judged.verdicts import (
    Reasoned,
    answer_of,
    judged,
    numbered,
    prompt,
    question_of,
    texts_of,
    truth_of,
    why,
)
from mastra.evals.messages import conversation_history, system_prompt
from mastra.evals.numbers import js_json, round_to_two, within_unit
from mastra.evals.scorer import PromptStage, Scorer, StageContext
from mastra.models.resolve import ModelInput
from mastra.names import python_options

__all__ = [
    "create_answer_relevancy_scorer",
    "create_answer_similarity_scorer",
    "create_prompt_alignment_scorer_llm",
]


class Statements(TypedDict):
    """What an answer says."""

    statements: list[str]


class Results(TypedDict):
    """Whether each of them is to the point."""

    results: list[Reasoned]


@python_options
def create_answer_relevancy_scorer(
    *, model: ModelInput, uncertainty_weight: float = 0.3, scale: float = 1
) -> Scorer:
    """Return a scorer of which share of an answer is about what was asked (0 to `scale`).

    Args:
        model: The judge.
        uncertainty_weight: What a statement counts that is so in part.
        scale: The best score.
    """

    def extract(ctx: StageContext) -> str:
        return prompt(
            """Take the text below apart into the statements that it makes. Split sentences that
            say several things, and leave together what belongs together. One word, or an error
            message, is one statement. An empty text has none.""",
            ("Text", answer_of(ctx)),
            'Answer with JSON: {"statements": ["…"]}.',
        )

    def judge(ctx: StageContext) -> str:
        statements = texts_of(ctx.results.preprocess_step_result, "statements")
        return prompt(
            """Say of each statement whether it answers the question. Whether it is true does not
            matter here.

            "yes": it answers the question, or a part of it, and can stand for itself.
            "unsure": it is about what was asked, or of the kind that was asked for, without
            answering; an answer that is plainly wrong counts so too.
            "no": it is about something else, only names the subject, or is empty.""",
            ("Question", js_json(question_of(ctx))),
            (f"Statements ({len(statements)})", numbered(statements)),
            f"""Answer with JSON: {{"results": [{{"result": "yes", "reason": "…"}}]}}, one result
            for each of the {len(statements)} statements, in their order.""",
        )

    def score(ctx: StageContext) -> float:
        found = texts_of(ctx.results.analyze_step_result, "results")
        if not found:
            return 0.0
        weights = {"yes": 1.0, "unsure": uncertainty_weight}
        relevant = sum(weights.get(one["result"].strip().lower(), 0.0) for one in found)
        return round_to_two(relevant / len(found) * scale)

    def reason(ctx: StageContext) -> str:
        return prompt(
            f"""Explain in a sentence or two why the answer has this score for relevancy, from 0 to
            {scale}. Say what is to the point and what is not. Keep to the score.""",
            ("Question", question_of(ctx)),
            ("Answer", answer_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(texts_of(ctx.results.analyze_step_result, "results"))),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="answer-relevancy-scorer",
        name="Answer Relevancy Scorer",
        description="Which share of the answer is about what was asked.",
        model=model,
        instructions="You judge whether answers are about what was asked. You look at each "
        "statement by itself, allow for answers that help in part, and leave aside whether "
        "they are correct.",
        preprocess=PromptStage(extract, Statements, "Take the answer apart into statements"),
        analyze=PromptStage(judge, Results, "Say of each whether it is about what was asked"),
        score=score,
        reason=why(reason),
    )


# -- similarity ------------------------------------------------------------------------------------


class Units(TypedDict):
    """What both texts say."""

    outputUnits: list[str]
    groundTruthUnits: list[str]


class Match(TypedDict):
    """What became of one thing that the ground truth says."""

    groundTruthUnit: str
    outputUnit: str | None
    matchType: Literal["exact", "semantic", "partial", "missing"]
    explanation: str


class Contradiction(TypedDict):
    """Where the answer says the opposite."""

    outputUnit: str
    groundTruthUnit: str
    explanation: str


class Comparison(TypedDict):
    """How they compare."""

    matches: list[Match]
    extraInOutput: list[str]
    contradictions: list[Contradiction]


@python_options
def create_answer_similarity_scorer(
    *,
    model: ModelInput,
    require_ground_truth: bool = True,
    semantic_threshold: float = 0.8,
    exact_match_bonus: float = 0.2,
    missing_penalty: float = 0.15,
    contradiction_penalty: float = 1.0,
    extra_info_penalty: float = 0.05,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of how like an answer is to the ground truth in what it says (0 to `scale`).

    Args:
        model: The judge.
        require_ground_truth: Whether a run without a ground truth is an error; else it scores 0.
        semantic_threshold: What a match in other words counts; one in part counts half of it.
        exact_match_bonus: What a match in the same words counts beyond 1.
        missing_penalty: What each missing thing costs.
        contradiction_penalty: What each contradiction costs.
        extra_info_penalty: What each further thing costs, 0.2 in all at most.
        scale: The best score.
    """

    def extract(ctx: StageContext) -> str:
        has_truth = bool(ctx.run.ground_truth)
        if not has_truth and require_ground_truth:
            raise InputValidationError("Answer similarity needs a ground truth, and has none.")
        return prompt(
            """Take both texts apart into the things that they say: facts, claims, figures with
            their units, and how they belong together. Write the same thing in the same way in
            both. Do not split what is one thing.""",
            ("Answer", answer_of(ctx) if has_truth else ""),
            ("Ground truth", truth_of(ctx) if has_truth else ""),
            'Answer with JSON: {"outputUnits": ["…"], "groundTruthUnits": ["…"]}.',
        )

    def compare(ctx: StageContext) -> str:
        found = ctx.results.preprocess_step_result
        return prompt(
            """Say of each thing in the ground truth what became of it in the answer.

            matchType "exact": said in the same words or nearly; "semantic": said in other words;
            "partial": said in part; "missing": not said, or said wrongly.
            Whatever the answer says that the ground truth does not is in extraInOutput. Whatever
            is against it (another name, another figure, the opposite) is in contradictions, and
            the thing itself is "missing".""",
            ("Things in the answer", numbered(texts_of(found, "outputUnits"))),
            ("Things in the ground truth", numbered(texts_of(found, "groundTruthUnits"))),
            """Answer with JSON: {"matches": [{"groundTruthUnit": "…", "outputUnit": "… or null",
            "matchType": "exact", "explanation": "…"}], "extraInOutput": ["…"],
            "contradictions": [{"outputUnit": "…", "groundTruthUnit": "…", "explanation": "…"}]}.""",
        )

    def score(ctx: StageContext) -> float:
        found = ctx.results.analyze_step_result
        matches = texts_of(found, "matches")
        if not ctx.run.ground_truth or not matches:
            return 0.0
        counts = {
            "exact": 1 + exact_match_bonus,
            "semantic": semantic_threshold,
            "partial": semantic_threshold * 0.5,
            "missing": -missing_penalty,
        }
        total = sum(counts[match["matchType"]] for match in matches)
        total /= len(matches) * (1 + exact_match_bonus)
        total -= len(texts_of(found, "contradictions")) * contradiction_penalty
        total -= min(len(texts_of(found, "extraInOutput")) * extra_info_penalty, 0.2)
        return round_to_two(within_unit(total) * scale)

    def reason(ctx: StageContext) -> str:
        if not ctx.run.ground_truth:
            return "There is no ground truth to compare with. Say that the score is 0 for this."
        return prompt(
            f"""Explain in three sentences at most why the answer has this score for likeness to the
            ground truth, out of {scale}: how like it is, what is right, what is missing or wrong,
            and what would make it better.""",
            ("Answer", answer_of(ctx)),
            ("Ground truth", truth_of(ctx)),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
            f'Begin with: "The score is …/{scale} because …".',
        )

    return judged(
        id="answer-similarity-scorer",
        name="Answer Similarity Scorer",
        description="How like the answer is to the ground truth in what it says.",
        model=model,
        instructions="You compare answers with what they should have been. What is said "
        "counts, not the words it is said in. You find what is missing, what is there in part, "
        "and what contradicts.",
        preprocess=PromptStage(extract, Units, "Take answer and ground truth apart"),
        analyze=PromptStage(compare, Comparison, "Compare them"),
        score=score,
        reason=why(reason),
    )


# -- prompt alignment ------------------------------------------------------------------------------


class Intent(TypedDict):
    """Whether it does what was wanted."""

    score: float
    primaryIntent: str
    isAddressed: bool
    reasoning: str


class Requirement(TypedDict):
    """One thing that was asked for."""

    requirement: str
    isFulfilled: bool
    reasoning: str


class Requirements(TypedDict):
    """All that was asked for."""

    requirements: list[Requirement]
    overallScore: float


class Completeness(TypedDict):
    """Whether anything is missing."""

    score: float
    missingElements: list[str]
    reasoning: str


class Appropriateness(TypedDict):
    """Whether form and tone fit."""

    score: float
    formatAlignment: bool
    toneAlignment: bool
    reasoning: str


class Alignment(TypedDict):
    """How an answer meets its prompt."""

    intentAlignment: Intent
    requirementsFulfillment: Requirements
    completeness: Completeness
    responseAppropriateness: Appropriateness
    overallAssessment: str


_USER = (0.4, 0.3, 0.2, 0.1)
_SYSTEM = (0.35, 0.35, 0.15, 0.15)


@python_options
def create_prompt_alignment_scorer_llm(
    *,
    model: ModelInput,
    evaluation_mode: Literal["user", "system", "both"] = "both",
    include_conversation_history: bool | int = False,
    scale: float = 1,
) -> Scorer:
    """Return a scorer of how an answer meets what the user and the system asked (0 to `scale`).

    Args:
        model: The judge.
        evaluation_mode: Whose prompt counts.
        include_conversation_history: Whether the judge sees what was said before, for prompts that
            refer to it: the last ten messages, or as many as a number says.
        scale: The best score.
    """

    def history(ctx: StageContext) -> str | None:
        most = include_conversation_history
        return conversation_history(ctx.run.input, 10 if most is True else most) if most else None

    def asked(ctx: StageContext) -> list[tuple[str, str]]:
        parts = [("Said before, only to understand the prompt", history(ctx) or "")]
        if evaluation_mode != "system":
            parts.append(("The user's prompt", question_of(ctx)))
        if evaluation_mode != "user":
            parts.append(("The system's prompt", system_prompt(ctx.run.input)))
        return [part for part in parts if part[1]]

    def analyze(ctx: StageContext) -> str:
        user, system = question_of(ctx), system_prompt(ctx.run.input)
        seen = {"user": user, "system": system, "both": user or system}[evaluation_mode]
        if not seen:
            raise InputValidationError(
                f"Prompt alignment in mode {evaluation_mode!r} has no prompt to compare with."
            )
        if not answer_of(ctx):
            raise InputValidationError("Prompt alignment needs an answer with text.")
        return prompt(
            """Judge how the answer meets the prompt, each side from 0.0 to 1.0: what was wanted
            (intentAlignment), each thing that was asked for, said or meant
            (requirementsFulfillment), whether anything is missing (completeness), and whether
            form and tone fit (responseAppropriateness).""",
            *asked(ctx),
            ("Answer", answer_of(ctx)),
            """Answer with JSON: {"intentAlignment": {"score": 1.0, "primaryIntent": "…",
            "isAddressed": true, "reasoning": "…"}, "requirementsFulfillment": {"requirements":
            [{"requirement": "…", "isFulfilled": true, "reasoning": "…"}], "overallScore": 1.0},
            "completeness": {"score": 1.0, "missingElements": [], "reasoning": "…"},
            "responseAppropriateness": {"score": 1.0, "formatAlignment": true, "toneAlignment":
            true, "reasoning": "…"}, "overallAssessment": "…"}.""",
        )

    def score(ctx: StageContext) -> float:
        return round_to_two(_alignment(ctx.results.analyze_step_result, evaluation_mode) * scale)

    def reason(ctx: StageContext) -> str:
        return prompt(
            f"""Explain in a few sentences why the answer has this score for meeting its prompt, out
            of {scale}: what it meets, what it does not, and what weighs most.""",
            *asked(ctx),
            ("Score", ctx.score),
            ("What was found", js_json(ctx.results.analyze_step_result)),
            'Begin with: "The score is … because …".',
        )

    return judged(
        id="prompt-alignment-scorer",
        name="Prompt Alignment (LLM)",
        description="How the answer meets what the user and the system asked.",
        model=model,
        instructions="You judge how answers meet their prompts: what was wanted, what was "
        "asked for, whether it is complete, and whether form and tone fit. You give figures "
        "that you can give reasons for.",
        kind=None,
        analyze=PromptStage(analyze, Alignment, "Judge the answer against the prompt"),
        score=score,
        reason=why(reason),
    )


def _alignment(found: Any, mode: str) -> float:
    sides = (
        found["intentAlignment"]["score"],
        found["requirementsFulfillment"]["overallScore"],
        found["completeness"]["score"],
        found["responseAppropriateness"]["score"],
    )
    # In mode `both` the original weighs one judgement twice, so the user's weights decide.
    weights = _SYSTEM if mode == "system" else _USER
    total = sum(side * weight for side, weight in zip(sides, weights, strict=True))
    return total * 0.7 + total * 0.3 if mode == "both" else total
