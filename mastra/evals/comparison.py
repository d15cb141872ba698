"""Two experiments side by side: what got better, what got worse, and whether that is chance."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mastra.errors import ConfigError
from mastra.evals.experiment_results import ExperimentResult
from mastra.evals.grading import mean
from mastra.names import python_names

__all__ = ["Comparison", "ScorerComparison", "compare_experiments", "compare_scores"]
__all__ += ["paired_test"]

_EXACT: Final = 18
"""Up to so many differences all ways to turn their signs are tried: 2 to this power."""
_RESAMPLES: Final = 10_000
_SAME: Final = 1e-9


@python_names
@dataclass(frozen=True, slots=True)
class ScorerComparison:
    """What one scorer says of two experiments."""

    id: str
    baseline: float
    """The mean over the items that both have."""
    candidate: float
    better: Sequence[str]
    """The ids of items whose score went up, the most first."""
    worse: Sequence[str]
    """The ids of items whose score went down, the most first."""
    same: Sequence[str]
    p_value: float
    """How often a difference as large as this, either way, comes by chance alone."""

    @property
    def difference(self) -> float:
        """How much the mean went up."""
        return self.candidate - self.baseline

    def is_chance(self, alpha: float = 0.05) -> bool:
        """Return whether the difference may well be chance."""
        return self.p_value > alpha


@python_names
@dataclass(frozen=True, slots=True)
class Comparison:
    """What two experiments have in common, scorer by scorer."""

    baseline_id: str
    candidate_id: str
    scorers: Mapping[str, ScorerComparison]
    only_baseline: Sequence[str]
    """Items that only the first has a result of."""
    only_candidate: Sequence[str]
    """Items that only the second has a result of."""


def compare_experiments(baseline: ExperimentResult, candidate: ExperimentResult) -> Comparison:
    """Compare two experiments item by item.

    Items are the same where their ids are. Of an item that was repeated the mean counts, since its
    attempts are no further items. An item that failed has no score, and is in neither mean.

    Raises:
        ConfigError: They have no item in common.
    """
    first, second = _by_scorer(baseline), _by_scorer(candidate)
    ids = [dict.fromkeys(item.item_id for item in one.items) for one in (baseline, candidate)]
    if not ids[0].keys() & ids[1].keys():
        raise ConfigError(
            f"Experiments {baseline.id!r} and {candidate.id!r} have no item in common."
        )
    return Comparison(
        baseline.id,
        candidate.id,
        {
            name: compare_scores(name, scores, second[name])
            for name, scores in first.items()
            if name in second
        },
        [name for name in ids[0] if name not in ids[1]],
        [name for name in ids[1] if name not in ids[0]],
    )


def _by_scorer(result: ExperimentResult) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for item in result.items:
        for name, score in item.scores.items():
            of_scorer = found.setdefault(name, {})
            if score is not None:
                of_scorer.setdefault(item.item_id, []).append(score)
    return {
        name: {item_id: mean(scores) for item_id, scores in items.items()}
        for name, items in found.items()
    }


def compare_scores(
    name: str, first: Mapping[str, float], second: Mapping[str, float]
) -> ScorerComparison:
    """Compare what a scorer gave in two experiments, by item; those that both have count."""
    both = [item_id for item_id in first if item_id in second]
    change = {item_id: second[item_id] - first[item_id] for item_id in both}
    better = [item_id for item_id in both if change[item_id] > _SAME]
    worse = [item_id for item_id in both if change[item_id] < -_SAME]
    return ScorerComparison(
        name,
        mean([first[item_id] for item_id in both]),
        mean([second[item_id] for item_id in both]),
        sorted(better, key=lambda item_id: -change[item_id]),
        sorted(worse, key=lambda item_id: change[item_id]),
        [item_id for item_id in both if abs(change[item_id]) <= _SAME],
        paired_test(list(change.values())),
    )


def paired_test(differences: Sequence[float]) -> float:
    """Return the p-value of a paired permutation test, two-sided.

    Were it all the same which of two experiments a score comes from, each difference might as well
    have the other sign. The p-value is the share of all ways to set the signs whose sum is at least
    as far from 0 as the one found: exact up to 18 differences that are not 0, else by 10,000 ways
    that are the same each time. Nothing is taken for granted of how scores are spread.
    """
    sizes = [abs(one) for one in differences if abs(one) > _SAME]
    found = abs(sum(differences)) - _SAME * max(1, len(sizes))
    if not sizes:
        return 1.0
    if len(sizes) <= _EXACT:
        return sum(abs(total) >= found for total in _all_sums(sizes)) / 2 ** len(sizes)
    rng = random.Random(0)  # noqa: S311 - no secret: a fixed sequence
    whole, count = math.fsum(sizes), 1
    for _ in range(_RESAMPLES):
        bits = rng.getrandbits(len(sizes))
        turned = math.fsum(size for at, size in enumerate(sizes) if bits >> at & 1)
        count += abs(whole - 2 * turned) >= found
    return count / (_RESAMPLES + 1)


def _all_sums(sizes: Sequence[float]) -> list[float]:
    sums = [0.0]
    for size in sizes:
        sums = [*(one + size for one in sums), *(one - size for one in sums)]
    return sums
