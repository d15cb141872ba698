"""The built-in scorers that measure by code, with the ids and formulas of the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, cast

from mastra.errors import ConfigError, InputValidationError
from mastra.evals.messages import input_texts, output_texts, tool_calls
from mastra.evals.scorer import Scorer, StageContext, create_scorer
from mastra.evals.texts import (
    count_changes,
    dice_similarity,
    elements_in,
    keywords_in,
    sentence_sentiments,
    sentiment,
    sequence_ratio,
    squeezed,
)
from mastra.names import python_options

__all__ = [
    "create_completeness_scorer",
    "create_content_similarity_scorer",
    "create_keyword_coverage_scorer",
    "create_textual_difference_scorer",
    "create_tone_scorer",
    "create_tool_call_accuracy_scorer_code",
]


def _texts(ctx: StageContext) -> tuple[str, str]:
    """Return what was said to the agent and what it answered."""
    return ", ".join(input_texts(ctx.run.input)), ", ".join(output_texts(ctx.run.output))


def create_completeness_scorer() -> Scorer:
    """Return a scorer of which share of the input's words comes up in the answer (0 to 1).

    It reads English. Verbs count by their infinitive, and longer words also where one is more than
    six tenths of the other.
    """

    async def preprocess(ctx: StageContext) -> dict[str, Any]:
        if not ctx.run.input or not ctx.run.output:
            raise InputValidationError("Completeness is of an input and an output; one is empty.")
        given, answer = [await elements_in(text) for text in _texts(ctx)]
        known = set(answer)
        return {
            "inputElements": given,
            "outputElements": answer,
            "missingElements": [element for element in given if element not in known],
            "elementCounts": {"input": len(given), "output": len(answer)},
        }

    def score(ctx: StageContext) -> float:
        found = ctx.results.preprocess_step_result
        given, answer = found["inputElements"], found["outputElements"]
        if not given:
            return 0.0 if answer else 1.0
        return _count_covered(given, answer) / len(given)

    scorer = create_scorer(
        id="completeness-scorer",
        name="Completeness Scorer",
        description="Which share of the input's words and verbs comes up in the answer.",
        type="agent",
    )
    return scorer.preprocess(preprocess).generate_score(score)


_WORD: Final = 64
"""Longer than nearly every word."""


def _count_covered(elements: Sequence[str], others: Sequence[str]) -> int:
    """Return how many elements one of the others covers, without comparing each with each."""
    exact = set(others)
    whole = [other for other in exact if len(other) <= _WORD]
    parts = {part for other in whole for part in _parts(other)}
    # Of these there are few: no text is made of them.
    long = [other for other in exact if len(other) > _WORD * 0.6]

    def is_covered(element: str) -> bool:
        if element in exact or len(element) <= 3:
            return element in exact
        if len(element) <= _WORD and (
            element in parts or any(part in exact for part in _parts(element))
        ):
            return True
        return any(
            _covers(element, other) for other in long if max(map(len, (element, other))) > _WORD
        )

    return sum(map(is_covered, elements))


def _parts(word: str) -> Iterator[str]:
    """Yield what stands in a word that is more than six tenths of it."""
    for size in range(len(word), 0, -1):
        if size / len(word) <= 0.6:
            return
        for start in range(len(word) - size + 1):
            yield word[start : start + size]


def _covers(element: str, other: str) -> bool:
    if len(element) <= 3:
        return element == other
    shorter, longer = sorted((element, other), key=len)
    return shorter in longer and len(shorter) / len(longer) > 0.6


def create_textual_difference_scorer() -> Scorer:
    """Return a scorer of how much of input and answer is the same text in the same order (0 to 1)."""

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        given, answer = _texts(ctx)
        longest = max(len(given), len(answer))
        difference = abs(len(given) - len(answer)) / longest if longest else 0
        return {
            "ratio": sequence_ratio(given, answer),
            "confidence": 1 - difference,
            "changes": count_changes(given, answer),
            "lengthDiff": difference,
        }

    scorer = create_scorer(
        id="textual-difference-scorer",
        name="Textual Difference Scorer",
        description="How much of input and answer is the same text in the same order.",
        type="agent",
    )
    return scorer.preprocess(preprocess).generate_score(
        lambda ctx: ctx.results.preprocess_step_result["ratio"]
    )


def create_keyword_coverage_scorer() -> Scorer:
    """Return a scorer of which share of the input's English keywords is in the answer (0 to 1)."""

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        given, answer = _texts(ctx)
        return {
            "referenceKeywords": keywords_in(given),
            "responseKeywords": keywords_in(answer),
        }

    def analyze(ctx: StageContext) -> dict[str, int]:
        found = ctx.results.preprocess_step_result
        answered = set(found["responseKeywords"])
        matched = [word for word in found["referenceKeywords"] if word in answered]
        return {
            "totalKeywordsLength": len(found["referenceKeywords"]),
            "matchedKeywordsLength": len(matched),
        }

    def score(ctx: StageContext) -> float:
        found = ctx.results.analyze_step_result
        total = found["totalKeywordsLength"]
        return found["matchedKeywordsLength"] / total if total else 1.0

    scorer = create_scorer(
        id="keyword-coverage-scorer",
        name="Keyword Coverage Scorer",
        description="Which share of the input's keywords is in the answer.",
        type="agent",
    )
    return scorer.preprocess(preprocess).analyze(analyze).generate_score(score)


@python_options
def create_content_similarity_scorer(
    *, ignore_case: bool = True, ignore_whitespace: bool = True
) -> Scorer:
    """Return a scorer of how alike input and answer are, by pairs of characters (0 to 1)."""

    def tidied(text: str) -> str:
        cased = text.lower() if ignore_case else text
        return squeezed(cased) if ignore_whitespace else cased

    def preprocess(ctx: StageContext) -> dict[str, str]:
        given, answer = map(tidied, _texts(ctx))
        return {"processedInput": given, "processedOutput": answer}

    def score(ctx: StageContext) -> float:
        found = ctx.results.preprocess_step_result
        return dice_similarity(found["processedInput"], found["processedOutput"])

    scorer = create_scorer(
        id="content-similarity-scorer",
        name="Content Similarity Scorer",
        description="How alike input and answer are, by pairs of characters.",
        type="agent",
    )
    return scorer.preprocess(preprocess).generate_score(score)


@python_options
def create_tone_scorer(*, reference_tone: str | None = None) -> Scorer:
    """Return a scorer of the tone of an English answer (0 to 1).

    Args:
        reference_tone: A text whose tone it should have; left out, the score says how steady the
            tone is from sentence to sentence.
    """

    def preprocess(ctx: StageContext) -> dict[str, float]:
        answer = _texts(ctx)[1]
        if reference_tone:
            of_answer, of_reference = sentiment(answer), sentiment(reference_tone)
            difference = abs(of_answer - of_reference)
            return {
                "score": max(0.0, 1 - difference),
                "responseSentiment": of_answer,
                "referenceSentiment": of_reference,
                "difference": difference,
            }
        found = sentence_sentiments(answer)
        mean = sum(found) / len(found)
        variance = sum((one - mean) ** 2 for one in found) / len(found)
        return {
            "score": max(0.0, 1 - variance),
            "avgSentiment": mean,
            "sentimentVariance": variance,
        }

    scorer = create_scorer(
        id="tone-scorer",
        name="Tone Scorer",
        description="How steady the tone of the answer is, or how near to a reference.",
        type="agent",
    )
    return scorer.preprocess(preprocess).generate_score(
        lambda ctx: ctx.results.preprocess_step_result["score"]
    )


@python_options
def create_tool_call_accuracy_scorer_code(
    *,
    expected_tool: str | None = None,
    expected_tool_order: Sequence[str] | None = None,
    strict_mode: bool = False,
) -> Scorer:
    """Return a scorer of whether the agent called the tool it should have (0 or 1).

    Args:
        expected_tool: The tool.
        expected_tool_order: Or several, in this order; goes before `expected_tool`.
        strict_mode: Whether no other call may be among them.

    Raises:
        ConfigError: Neither is given.
    """
    if not expected_tool and expected_tool_order is None:
        raise ConfigError("Say what should be called: expected_tool= or expected_tool_order=.")

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        given = ctx.run.input
        messages: Any = given
        if isinstance(given, Mapping):
            messages = cast("Mapping[str, Any]", given).get("inputMessages")
        if not messages or not ctx.run.output:
            raise InputValidationError("Tool calls are looked for in an answer; there is none.")
        called, infos = tool_calls(ctx.run.output)
        is_only = called == [expected_tool] if strict_mode else expected_tool in called
        in_order = None
        if expected_tool_order is not None:
            in_order = _is_in_order(called, list(expected_tool_order), strict=strict_mode)
        return {
            "expectedTool": expected_tool,
            "actualTools": called,
            "strictMode": strict_mode,
            "expectedToolOrder": expected_tool_order,
            "hasToolCalls": bool(called),
            "correctToolCalled": expected_tool is not None and is_only,
            "toolCallInfos": infos,
            "correctOrderCalled": in_order,
        }

    def score(ctx: StageContext) -> int:
        found = ctx.results.preprocess_step_result
        if not found["hasToolCalls"]:
            return 0
        return int(found["correctOrderCalled" if expected_tool_order else "correctToolCalled"])

    asked = " then ".join(expected_tool_order or ()) or repr(expected_tool)
    scorer = create_scorer(
        id="code-tool-call-accuracy-scorer",
        name="Tool Call Accuracy Scorer",
        description=f"Whether the agent called {asked}.",
        type="agent",
    )
    return scorer.preprocess(preprocess).generate_score(score)


def _is_in_order(called: list[str], expected: list[str], *, strict: bool) -> bool:
    if strict:
        return called == expected
    if not set(expected) <= set(called):
        return False
    places = [called.index(tool) for tool in expected]
    return all(before < after for before, after in pairwise(places))
