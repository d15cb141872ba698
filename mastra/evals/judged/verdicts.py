"""What the judged scorers share: their stages, what judges answer with, how prompts are put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from typing_extensions import TypedDict

from mastra.errors import ConfigError
from mastra.evals.messages import assistant_text, is_agent_input, is_agent_output, user_text
from mastra.evals.scorer import (
    PromptStage,
    Scorer,
    ScorerType,
    Stage,
    StageContext,
    create_scorer,
)
from mastra.models.resolve import ModelInput

__all__ = [
    "ContextSource",
    "Reasoned",
    "Verdict",
    "Verdicts",
    "answer_of",
    "context_of",
    "is_yes",
    "judged",
    "numbered",
    "prompt",
    "question_of",
    "share",
    "texts_of",
    "truth_of",
    "why",
]

ContextSource = Callable[[Any, Any], Sequence[str]]
"""Gives the pieces of context of an agent's input and output."""


class Reasoned(TypedDict):
    """`yes`, `no` or `unsure` with the reason."""

    result: str
    reason: str


class Verdict(TypedDict):
    """`yes`, `no` or `unsure` with the reason, under the original's other name."""

    verdict: str
    reason: str


class Verdicts(TypedDict):
    """One verdict for each thing asked about."""

    verdicts: list[Verdict]


def judged(
    *,
    id: str,
    name: str,
    description: str,
    model: ModelInput,
    instructions: str,
    analyze: PromptStage,
    score: Callable[[StageContext], float],
    reason: Stage,
    preprocess: Stage | None = None,
    kind: ScorerType | None = "agent",
) -> Scorer:
    """Return a scorer whose judge looks at something, of which code makes the score."""
    made = create_scorer(
        id=id,
        name=name,
        description=description,
        judge={"model": model, "instructions": instructions},
        type=kind,
    )
    if preprocess is not None:
        made = made.preprocess(preprocess)
    return made.analyze(analyze).generate_score(score).generate_reason(reason)


def why(create_prompt: Callable[[StageContext], Any]) -> PromptStage:
    """Return the stage in which the judge gives the reason."""
    return PromptStage(create_prompt, description="Say why")


def prompt(*parts: str | tuple[str, Any]) -> str:
    """Return a prompt of paragraphs; a pair is a heading and what stands under it."""
    texts = [part if isinstance(part, str) else f"{part[0]}:\n{part[1]}" for part in parts]
    return "\n\n".join(
        inspect.cleandoc(text) if isinstance(part, str) else text
        for part, text in zip(parts, texts, strict=True)
    )


def numbered(items: Iterable[Any], start: int = 1) -> str:
    """Return things one a line with their numbers."""
    return "\n".join(f"{at}. {item}" for at, item in enumerate(items, start)) or "(none)"


def question_of(ctx: StageContext) -> str:
    """Return what the user said."""
    return user_text(ctx.run.input) or ""


def answer_of(ctx: StageContext) -> str:
    """Return what the assistant answered."""
    return assistant_text(ctx.run.output) or ""


def truth_of(ctx: StageContext) -> str:
    """Return what the answer should have been, as text."""
    from mastra.evals.numbers import js_json  # noqa: PLC0415 - only for what is no text

    truth = ctx.run.ground_truth
    return truth if isinstance(truth, str) else js_json(truth)


def texts_of(found: Any, key: str) -> list[Any]:
    """Return a list in what a stage gave, empty where there is none."""
    fields: Mapping[str, Any] = {}
    if isinstance(found, Mapping):
        fields = cast("Mapping[str, Any]", found)
    return list(fields.get(key) or ())


def is_yes(text: str) -> bool:
    """Return whether a verdict is `yes`, however it is written."""
    return text.strip().lower() == "yes"


def share(part: float, whole: float) -> float:
    """Return which part of a whole something is; nothing of nothing is 0."""
    return part / whole if whole else 0.0


def context_of(
    name: str, context: Sequence[str] | None, extractor: ContextSource | None
) -> Callable[[StageContext], Sequence[str]]:
    """Return what gives the pieces of context of a run.

    Raises:
        ConfigError: There are none.
    """
    if context is None and extractor is None:
        raise ConfigError(f"{name} needs the context: pass context= or context_extractor=.")
    if context is not None and not context:
        raise ConfigError(f"{name} needs the context, and context= is empty.")

    def pieces(ctx: StageContext) -> Sequence[str]:
        run = ctx.run
        if extractor is not None and is_agent_input(run.input) and is_agent_output(run.output):
            return extractor(run.input, run.output)
        return context or ()

    return pieces
