"""Scorers over one answer, and what their scores come to over many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from mastra.errors import ConfigError, MastraError
from mastra.evals.datasets import DatasetItem
from mastra.evals.option_checks import several
from mastra.evals.outcomes import ScorerResult
from mastra.evals.scorer import Scorer
from mastra.evals.targets import Answer
from mastra.failures import text_of
from mastra.given import shown

__all__ = [
    "Grade",
    "Grading",
    "Rule",
    "RuleResult",
    "Threshold",
    "Verdict",
    "grade",
    "grading_of",
    "rule_result",
    "summed",
    "tally",
    "verdict_of",
]

Verdict: TypeAlias = Literal["passed", "scored", "failed"]
Threshold: TypeAlias = float | Mapping[str, float]
"""The least mean score, or a dict of `min` and `max`."""
Place: TypeAlias = Literal["whole", "trajectory", "step"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One scorer, where it looks, and what its mean has to be."""

    scorer: Scorer
    place: Place = "whole"
    step_id: str | None = None
    threshold: Threshold | None = None
    is_gate: bool = False
    """Whether every score of it has to be 1."""

    @property
    def name(self) -> str:
        """What its scores are found under."""
        return self.scorer.id if self.step_id is None else f"{self.step_id}/{self.scorer.id}"

    def passes(self, scores: Sequence[float]) -> bool:
        """Return whether scores, or their mean, are as they have to be."""
        if self.is_gate:
            return all(score >= 1 for score in scores)
        if self.threshold is None:
            return True
        if not scores:
            return False
        score = mean(scores)
        if isinstance(self.threshold, Mapping):
            least, most = self.threshold.get("min", -math.inf), self.threshold.get("max", math.inf)
            return least <= score <= most
        return score >= self.threshold


Grading: TypeAlias = tuple[Rule, ...]


def grading_of(scorers: Any, gates: Iterable[Any] | None, mastra: Any) -> Grading:
    """Return the rules that are meant.

    Args:
        scorers: A list of scorers, of `{"scorer": …, "threshold": …}`, and of keys or ids of
            scorers of the application; or a dict of such lists: `agent` or `workflow` for the
            whole, `trajectory` for the steps that were taken, and `steps` with a dict of those by
            step id.
        gates: Scorers of which every score has to be 1.
        mastra: The application, if any.

    Raises:
        ConfigError: It is none of these.
    """
    rules: list[Rule] = []
    if isinstance(scorers, Mapping) and "scorer" not in scorers:
        groups = cast("Mapping[str, Any]", scorers)
        unknown = groups.keys() - {"agent", "workflow", "trajectory", "steps"}
        if unknown:
            raise ConfigError(
                f"scorers has {', '.join(map(repr, sorted(unknown)))}. There are: agent, workflow, "
                "trajectory, steps."
            )
        of_steps: Any = groups.get("steps") or {}
        if not isinstance(of_steps, Mapping):
            raise ConfigError(
                f"scorers['steps'] is {shown(of_steps)}. It takes a dict of lists by step id."
            )
        for name in ("agent", "workflow"):
            rules += [_rule(one, mastra) for one in _scorers(groups.get(name), name)]
        of_path = _scorers(groups.get("trajectory"), "trajectory")
        rules += [_rule(one, mastra, "trajectory") for one in of_path]
        for step_id, of_step in cast("Mapping[str, Any]", of_steps).items():
            rules += [_rule(one, mastra, "step", step_id) for one in _scorers(of_step, step_id)]
    else:
        rules += [_rule(one, mastra) for one in _scorers(scorers, "scorers")]
    rules += [_rule(one, mastra, is_gate=True) for one in _scorers(gates, "gates")]
    return tuple(rules)


def refuse_none(what: str, scorers: Any, gates: Iterable[Any] | None) -> None:
    """Refuse scorers that were given and are none: whoever reads the verdict would take it for passed.

    Raises:
        ConfigError: An empty list, or a dict of such, was given.
    """
    given = scorers if scorers is not None else gates
    if given is not None:
        raise ConfigError(
            f"{what}: {'gates' if scorers is None else 'scorers'} is {given!r}, and so nothing would be "
            "scored. Give at least one, or leave it out where the target is only to be run."
        )


def _scorers(given: Any, what: str) -> list[Any]:
    """Return what is given as a list of scorers: one stands for itself."""
    return [given] if isinstance(given, (Scorer, str, Mapping)) else several(given, what)


def _rule(
    given: Any,
    mastra: Any,
    place: Place = "whole",
    step_id: str | None = None,
    *,
    is_gate: bool = False,
) -> Rule:
    threshold: Any = None
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        given, threshold = fields.get("scorer"), fields.get("threshold")
        _check_threshold(threshold)
    if isinstance(given, str) and mastra is not None:
        given = mastra.get_scorer_by_id(given)
    if not isinstance(given, Scorer):
        raise ConfigError(
            f"{given!r} is no scorer: give one that create_scorer makes, or the id of one of the "
            "application."
        )
    scorer = given if given.mastra is not None or mastra is None else given.bound_to(mastra)
    if place == "whole" and scorer.type == "trajectory":
        place = "trajectory"
    return Rule(scorer, place, step_id, threshold, is_gate)


def _check_threshold(threshold: Any) -> None:
    bounds: Sequence[Any] = (threshold,)
    if isinstance(threshold, Mapping):
        named = cast("Mapping[str, Any]", threshold)
        bounds = [*named.values()] if named.keys() <= {"min", "max"} and named else ("?",)
    is_number = all(
        isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound)
        for bound in bounds
    )
    if threshold is not None and not is_number:
        raise ConfigError(
            f"A threshold is a number, or a dict of min and max with numbers, not {threshold!r}."
        )


# -- one answer ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grade:
    """What one scorer made of one answer."""

    rule: Rule
    result: ScorerResult | None = None
    error: str | None = None
    """Why there is none."""

    @property
    def score(self) -> float | None:
        """The score; of a gate that failed itself 0; `None` where there is none."""
        if self.result is not None:
            return self.result.score
        return 0.0 if self.rule.is_gate else None


async def grade(rule: Rule, item: DatasetItem, answer: Answer) -> Grade:
    """Score one answer. What the scorer raises is in the grade."""
    given, output = answer.input, answer.output
    if rule.place == "trajectory":
        output = answer.trajectory()
    elif rule.place == "step":
        step: Any = (answer.steps or {}).get(rule.step_id or "")
        if not step or step.get("status") != "success":
            return Grade(rule, error=f"step {rule.step_id!r} did not run to its end")
        given, output = step.get("payload"), step.get("output")
    try:
        result = await rule.scorer.run(
            input=given,
            output=output,
            ground_truth=item.ground_truth,
            expected_trajectory=item.expected_trajectory,
            request_context=item.request_context,
            additional_context=item.metadata,
            run_id=answer.run_id,
        )
    except MastraError as error:
        return Grade(rule, error=text_of(error))
    return Grade(rule, result)


# -- many ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one scorer made of all answers."""

    id: str
    score: float
    """The mean."""
    passed: bool
    """Whether it is as it has to be."""
    threshold: Threshold | None = None
    is_gate: bool = False
    count: int = 0
    """How many answers have a score."""
    errors: int = 0
    """How often the scorer failed."""
    not_scorable: int = 0
    """How many answers it said it cannot score."""
    scores: Sequence[float] = field(default=(), repr=False)


def mean(scores: Sequence[float]) -> float:
    """Return the mean; of nothing it is 0."""
    return sum(scores) / len(scores) if scores else 0.0


def verdict_of(results: Sequence[RuleResult]) -> Verdict | None:
    """Return `failed` where a gate did, `scored` where a threshold was missed, else `passed`.

    `None` where there is neither gate nor threshold.
    """
    if not all(one.passed for one in results if one.is_gate):
        return "failed"
    if not all(one.passed for one in results):
        return "scored"
    has_rules = any(one.is_gate or one.threshold is not None for one in results)
    return "passed" if has_rules else None


def summed(grading: Grading, grades: Iterable[Grade]) -> list[RuleResult]:
    """Return what each scorer made of all answers."""
    by: dict[Rule, list[Grade]] = {rule: [] for rule in grading}
    for one in grades:
        by[one.rule].append(one)
    return [rule_result(rule, found) for rule, found in by.items()]


def rule_result(rule: Rule, grades: Sequence[Grade]) -> RuleResult:
    """Return what one scorer made of all answers."""
    return tally(
        rule.name,
        [score for one in grades if (score := one.score) is not None],
        errors=sum(one.error is not None for one in grades),
        not_scorable=sum(one.result is not None and one.result.score is None for one in grades),
        rule=rule,
    )


def tally(
    name: str,
    scores: Sequence[float],
    *,
    errors: int = 0,
    not_scorable: int = 0,
    rule: Rule | None = None,
) -> RuleResult:
    """Return what scores come to.

    Args:
        name: Whose they are.
        scores: The scores there are; of a gate that failed itself 0.
        errors: How often the scorer failed.
        not_scorable: How many answers it said it cannot score. Where it said so of all, it passes.
        rule: What they have to be, where that is known.
    """
    has_none = not scores and not_scorable > 0 and errors == 0
    return RuleResult(
        name,
        mean(scores),
        rule is None or has_none or rule.passes(scores),
        None if rule is None else rule.threshold,
        rule is not None and rule.is_gate,
        len(scores),
        errors,
        not_scorable,
        scores,
    )
