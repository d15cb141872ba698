"""`run_evals`: a target over some items, scored, in this process and kept nowhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mastra.errors import ConfigError, InputValidationError
from mastra.evals.datasets import ITEMS, Dataset, DatasetItem, item_of
from mastra.evals.grading import (
    Grade,
    Grading,
    Rule,
    RuleResult,
    Verdict,
    grade,
    grading_of,
    refuse_none,
    rule_result,
    summed,
    verdict_of,
)
from mastra.evals.targets import Answer, Target, target_of
from mastra.evals.workers import each
from mastra.given import COUNT_FROM_1, FUNCTION, MAPPING, check_given, shown
from mastra.names import python_names, python_options

__all__ = ["EvalSummary", "ItemResult", "TurnResult", "run_evals"]


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of one item."""

    item: DatasetItem
    answer: Answer | None
    """What the target gave; `None` where it failed."""
    scores: Mapping[str, float | None]
    """By scorer; `None` where there is none."""
    grades: Sequence[Grade] = ()
    error: Exception | None = None
    """Why the target failed."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What came of one turn of the conversations, over all of them."""

    index: int
    """From 0."""
    rule_results: Sequence[RuleResult]


@python_names
@dataclass(frozen=True, slots=True)
class EvalSummary:
    """What came of all items."""

    scores: Mapping[str, float]
    """The mean score of each scorer, by its id."""
    rule_results: Sequence[RuleResult]
    """What each scorer made of all answers."""
    items: Sequence[ItemResult]
    """In the order of the items."""
    verdict: Verdict | None
    """`failed` where a gate did or an item, `scored` where a threshold was missed, else `passed`;
    `None` where there is nothing to pass."""
    turn_results: Sequence[TurnResult] = field(default=())

    @property
    def total_items(self) -> int:
        """How many items there were."""
        return len(self.items)

    @property
    def gate_results(self) -> list[RuleResult]:
        """What the gates came to."""
        return [one for one in self.rule_results if one.is_gate]

    @property
    def threshold_results(self) -> list[RuleResult]:
        """What the scorers with a threshold came to."""
        return [one for one in self.rule_results if one.threshold is not None]


OnItem = Callable[[ItemResult], Awaitable[None] | None]

_FORMS: Final = {
    "data": ITEMS,
    "concurrency": COUNT_FROM_1,
    "target_options": MAPPING,
    "on_item_complete": FUNCTION,
}


@python_options
async def run_evals(
    *,
    data: Dataset | Iterable[DatasetItem | Mapping[str, Any]],
    target: Any,
    scorers: Any = None,
    gates: Iterable[Any] | None = None,
    concurrency: int = 1,
    target_options: Mapping[str, Any] | None = None,
    on_item_complete: OnItem | None = None,
) -> EvalSummary:
    """Run a target on items and score what it gives.

    Nothing is stored: an `Experiment` does that, and goes on after a crash.

    Args:
        data: A dataset, or items as dicts with `input`, `ground_truth` and so on. For an agent,
            `inputs` is what the user says turn by turn, and `turns` is the same with `gates` and
            `scorers` of each turn.
        target: An agent, a workflow, a scorer, or a function of the input.
        scorers: A list of scorers, some as `{"scorer": …, "threshold": …}`, or a dict of such
            lists: `agent` or `workflow`, `trajectory`, and `steps` by step id. Left out, nothing is
            scored.
        gates: Scorers that must give 1 for every item.
        concurrency: How many items run at once.
        target_options: Options of the target: of `generate`, or of a run's `start`.
        on_item_complete: Called with each `ItemResult`, sync or async.

    Raises:
        ConfigError: There are no items, an empty list of scorers or gates is all that is given, or
            something is none of these.
    """
    check_given("run_evals", locals(), _FORMS)
    items = [item_of(item, place) for place, item in enumerate(data)]
    if not items:
        raise ConfigError("There are no items to evaluate.")
    about = target_of(target, target_options)
    rules = grading_of(scorers, gates, about.mastra)
    of_turns = [_turn_rules(item, about) for item in items]
    _check_names(rules)
    if not (rules or any(map(any, of_turns))):
        refuse_none("run_evals", scorers, gates)
    results: list[ItemResult | None] = [None] * len(items)
    turns: list[list[tuple[Rule, Grade]]] = [[] for _ in items]

    async def work(place: int) -> None:
        found = await _evaluated(about, rules, items[place])
        given = () if found.answer is None else found.answer.turns
        for turn_rules, turn in zip(of_turns[place], given, strict=False):
            turns[place] += [(rule, await grade(rule, items[place], turn)) for rule in turn_rules]
        results[place] = found
        if on_item_complete is not None:
            told = on_item_complete(found)
            if told is not None:
                await told

    await each(range(len(items)), work, at_once=concurrency)
    done = cast("list[ItemResult]", results)
    totals = summed(rules, (one for result in done for one in result.grades))
    by_turn = _by_turn(of_turns, turns)
    verdict = verdict_of([*totals, *(one for turn in by_turn for one in turn.rule_results)])
    if any(result.error is not None for result in done):
        verdict = "failed"
    return EvalSummary({one.id: one.score for one in totals}, totals, done, verdict, by_turn)


async def _evaluated(target: Target, rules: Grading, item: DatasetItem) -> ItemResult:
    try:
        answer = await target.run(item)
    except Exception as error:  # noqa: BLE001 - what is evaluated may raise anything
        return ItemResult(item, None, {rule.name: None for rule in rules}, error=error)
    grades = [await grade(rule, item, answer) for rule in rules]
    return ItemResult(item, answer, {one.rule.name: one.score for one in grades}, grades)


def _turn_rules(item: DatasetItem, target: Target) -> list[Grading]:
    found: list[Grading] = []
    for place, turn in enumerate(item.turns or ()):
        is_turn = isinstance(cast("Any", turn), Mapping) and "input" in turn
        if not is_turn or turn.keys() - {"input", "gates", "scorers"}:
            raise InputValidationError(
                f"Turn {place} of an item is {shown(turn)}. It takes a dict with an input, gates and "
                "scorers."
            )
        found.append(grading_of(turn.get("scorers", ()), turn.get("gates"), target.mastra))
    return found


def _by_turn(
    rules: Sequence[Sequence[Grading]], graded: Sequence[Sequence[tuple[Rule, Grade]]]
) -> list[TurnResult]:
    """Return what the rules of each turn came to; those with one name are one rule."""
    found: dict[int, dict[tuple[str, bool], list[Grade]]] = {}
    for of_item, grades in zip(rules, graded, strict=True):
        left = iter(grades)
        for index, of_turn in enumerate(of_item):
            for rule in of_turn:
                one = next(left, None)
                if one is not None:
                    key = (rule.name, rule.is_gate)
                    found.setdefault(index, {}).setdefault(key, []).append(one[1])
    return [
        TurnResult(index, [rule_result(grades[0].rule, grades) for grades in by_name.values()])
        for index, by_name in sorted(found.items())
    ]


def _check_names(rules: Grading) -> None:
    names = [rule.name for rule in rules]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"Two scorers are called {min(twice)!r}, and scores are told apart by that. Give "
            "one of them another id: create_scorer(id=…)."
        )
