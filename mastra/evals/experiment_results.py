"""What came of an experiment, as it is stored and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mastra.errors import NotFoundError
from mastra.evals.datasets import store_of
from mastra.evals.grading import Grading, Rule, RuleResult, Verdict, tally, verdict_of
from mastra.ids import stable_id
from mastra.jsonable import Json
from mastra.names import python_names
from mastra.storage.evals import EvalFilter

__all__ = ["ExperimentItem", "ExperimentResult", "load_experiment", "result_id"]


@python_names
@dataclass(frozen=True, slots=True)
class ExperimentItem:
    """What came of one item at one attempt."""

    item_id: str
    attempt: int
    """From 0, where there are repeats."""
    input: Json
    output: Json
    ground_truth: Json
    scores: Mapping[str, float | None]
    """By scorer; `None` where there is none."""
    reasons: Mapping[str, str]
    """Why, or what went wrong, by scorer."""
    error: Mapping[str, Json] | None
    """Why the target failed: `message` and `code`."""
    duration_ms: int
    run_id: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return what is stored of it."""
        found: Mapping[str, Any] = data.get("scores") or {}
        return cls(
            str(data["itemId"]),
            data.get("attempt", 0),
            data.get("input"),
            data.get("output"),
            data.get("groundTruth"),
            {name: one.get("score") for name, one in found.items()},
            {name: text for name, one in found.items() if (text := _told(one)) is not None},
            data.get("error"),
            data.get("durationMs", 0),
            data.get("targetRunId") or "",
        )


def _told(one: Mapping[str, Any]) -> str | None:
    return one.get("error") or one.get("reason")


@python_names
@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """What came of an experiment."""

    id: str
    name: str
    status: str
    """`running`, `completed` or `failed`: whether it came to its end, not how good it is."""
    dataset_id: str | None
    dataset_version: int | None
    items: Sequence[ExperimentItem]
    """In the order of the dataset, the attempts of one item side by side."""
    rule_results: Sequence[RuleResult]
    """What each scorer made of all answers."""
    verdict: Verdict | None
    """`failed` where a gate did or an item, `scored` where a threshold was missed, else `passed`;
    `None` where there is nothing to pass."""
    total_items: int

    @property
    def scores(self) -> dict[str, float]:
        """The mean score of each scorer."""
        return {one.id: one.score for one in self.rule_results}

    @property
    def succeeded_count(self) -> int:
        """For how many items the target gave something."""
        return sum(item.error is None for item in self.items)

    @property
    def failed_count(self) -> int:
        """For how many it failed."""
        return len(self.items) - self.succeeded_count


def result_id(experiment_id: str, item_id: str, attempt: int) -> str:
    """Return the id of the row of a result: the same each time it is stored."""
    return stable_id(experiment_id, item_id, str(attempt))


async def load_experiment(
    kept_in: Any, experiment_id: str, *, grading: Grading = ()
) -> ExperimentResult:
    """Return what is stored of an experiment.

    Args:
        kept_in: A `Mastra` or a storage.
        experiment_id: Its id.
        grading: What the scores have to be, which is not stored.

    Raises:
        NotFoundError: There is none.
    """
    store = store_of(kept_in)
    record = await store.get("experiment", experiment_id)
    if record is None:
        raise NotFoundError(f"Experiment not found: {experiment_id}")
    where = EvalFilter(parent_id=experiment_id)
    page = await store.list("experiment_result", where, is_ascending=True)
    # They are stored in the order in which they ended.
    rows: list[dict[str, Any]] = [one.data for one in page.records]
    rows.sort(key=lambda row: (row.get("position", len(rows)), row.get("attempt", 0)))
    items = [ExperimentItem.of(row) for row in rows]
    data: dict[str, Any] = record.data
    names = list(dict.fromkeys(name for item in items for name in item.scores))
    known = {rule.name: rule for rule in grading}
    rules = [_rule_result(name, rows, known.get(name)) for name in names]
    failed = any(item.error is not None for item in items)
    return ExperimentResult(
        experiment_id,
        data.get("name") or experiment_id,
        data.get("status", "pending"),
        data.get("datasetId"),
        data.get("datasetVersion"),
        items,
        rules,
        "failed" if failed else verdict_of(rules),
        data.get("totalItems", len(items)),
    )


def _rule_result(name: str, rows: Sequence[Mapping[str, Any]], rule: Rule | None) -> RuleResult:
    scored: list[Mapping[str, Any]] = [row["scores"] for row in rows if row.get("scores")]
    of_scorer: list[Mapping[str, Any]] = [one[name] for one in scored if name in one]
    errors = sum("error" in one for one in of_scorer)
    scores = [float(one["score"]) for one in of_scorer if one.get("score") is not None]
    unable = sum(one.get("score") is None and "error" not in one for one in of_scorer)
    return tally(name, scores, errors=errors, not_scorable=unable, rule=rule)
