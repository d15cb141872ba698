"""The built-in scorers of trajectories that measure by code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from mastra.errors import ConfigError
from mastra.evals.scorer import Scorer, StageContext, create_scorer
from mastra.evals.trajectories import (
    analyze_tool_failures,
    check_blacklist,
    check_efficiency,
    compare_trajectories,
)
from mastra.names import python_options

__all__ = [
    "create_trajectory_accuracy_scorer_code",
    "create_trajectory_scorer_code",
    "expected_steps",
]

Fields = Mapping[str, Any]
Ordering = Literal["strict", "relaxed", "unordered"]


def expected_steps(given: Any) -> list[Fields] | None:
    """Return the steps that a trajectory should have.

    Args:
        given: A list of them, or a trajectory that was as it should be, with all that it has but
            times and metadata; `None` gives `None`.
    """
    if given is None or not isinstance(given, Mapping):
        return None if given is None else list(cast("Sequence[Fields]", given))
    return [_as_expected(step) for step in cast("Fields", given)["steps"]]


def _as_expected(step: Fields) -> Fields:
    left_out = ("durationMs", "metadata", "children")
    kept = {key: value for key, value in step.items() if key not in left_out}
    if step.get("children"):
        kept["children"] = {"steps": [_as_expected(child) for child in step["children"]]}
    return kept


@python_options
def create_trajectory_accuracy_scorer_code(
    *,
    expected_trajectory: Sequence[Fields] | Fields | None = None,
    ordering: Ordering = "relaxed",
    allow_repeated_steps: bool = True,
) -> Scorer:
    """Return a scorer of which share of the expected steps a trajectory has (0 to 1).

    Args:
        expected_trajectory: The steps, or a trajectory that was right; left out, what the item's
            `expected_trajectory` says.
        ordering: `strict`, `relaxed` or `unordered`, unless the item says otherwise.
        allow_repeated_steps: Whether a step taken more than once costs nothing, likewise.
    """
    fixed = expected_steps(expected_trajectory)

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        actual = ctx.run.output
        of_item: Fields = ctx.run.expected_trajectory or {}
        wanted = of_item.get("steps") if fixed is None else fixed
        names = [step["name"] for step in actual["steps"]]
        if wanted is None:
            return {
                "actualStepNames": names,
                "expectedStepNames": [],
                "error": "No trajectory is expected: give expected_trajectory to the scorer or "
                "to the item.",
            }
        repeats = of_item.get("allowRepeatedSteps", allow_repeated_steps)
        comparison = compare_trajectories(
            actual,
            wanted,
            ordering=of_item.get("ordering", ordering),
            allow_repeated_steps=repeats,
        )
        return {
            "comparison": comparison,
            "actualStepNames": names,
            "expectedStepNames": [step["name"] for step in wanted],
        }

    def score(ctx: StageContext) -> float:
        comparison = ctx.results.preprocess_step_result.get("comparison")
        return comparison["score"] if comparison else 0.0

    scorer = create_scorer(
        id="code-trajectory-accuracy-scorer",
        name="Trajectory Accuracy Scorer",
        description=f"Which share of the expected steps was taken ({ordering} order).",
        type="trajectory",
    )
    return scorer.preprocess(preprocess).generate_score(score)


# -- several sides at once -------------------------------------------------------------------------

_WEIGHTS = {"accuracy": 0.4, "efficiency": 0.3, "toolFailures": 0.2, "blacklist": 0.1}


_EXPECTED: Final = (
    "steps",
    "ordering",
    "allowRepeatedSteps",
    "maxSteps",
    "maxTotalTokens",
    "maxTotalDurationMs",
    "noRedundantCalls",
    "blacklistedTools",
    "blacklistedSequences",
    "maxRetriesPerTool",
)
"""What may be expected of a trajectory."""


@python_options
def create_trajectory_scorer_code(
    *, defaults: Fields | None = None, weights: Mapping[str, float] | None = None
) -> Scorer:
    """Return a scorer of a trajectory's accuracy, efficiency, tool failures and forbidden steps.

    Args:
        defaults: What is expected unless the item says otherwise, as JSON: `steps`, `ordering`,
            `allowRepeatedSteps`, `maxSteps`, `maxTotalTokens`, `maxTotalDurationMs`,
            `noRedundantCalls`, `blacklistedTools`, `blacklistedSequences`, `maxRetriesPerTool`.
        weights: Of `accuracy` (0.4), `efficiency` (0.3), `toolFailures` (0.2) and `blacklist`
            (0.1). A forbidden step makes the score 0.

    Raises:
        ConfigError: `defaults` has something else.
    """
    unknown = [name for name in defaults or {} if name not in _EXPECTED]
    if unknown:
        known = ", ".join(map(repr, _EXPECTED))
        raise ConfigError(f"defaults has {unknown[0]!r}: it knows {known}.")
    weighed = {name: max(0.0, (weights or {}).get(name, own)) for name, own in _WEIGHTS.items()}

    def preprocess(ctx: StageContext) -> dict[str, Any]:
        of_item: Fields = ctx.run.expected_trajectory or {}
        config: Fields = {**(defaults or {}), **of_item}
        found = _sides(ctx.run.output, config)
        steps = config.get("steps")
        nested = _nested(steps, ctx.run.output["steps"], weighed) if steps else []
        return {**found, **({"nested": nested} if nested else {}), "config": config}

    scorer = create_scorer(
        id="code-trajectory-scorer",
        name="Trajectory Scorer",
        description="Accuracy, efficiency, tool failures and forbidden steps of a trajectory.",
        type="trajectory",
    )
    return (
        scorer.preprocess(preprocess)
        .generate_score(lambda ctx: _score(ctx.results.preprocess_step_result, weighed))
        .generate_reason(lambda ctx: _reason(ctx.results.preprocess_step_result, ctx.score))
    )


def _sides(trajectory: Fields, config: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # An empty list of steps is an expectation too.
    if config.get("steps") is not None:
        found["accuracy"] = compare_trajectories(
            trajectory,
            config["steps"],
            ordering=config.get("ordering", "relaxed"),
            allow_repeated_steps=config.get("allowRepeatedSteps", True),
        )
    budgets = ("maxSteps", "maxTotalTokens", "maxTotalDurationMs", "noRedundantCalls")
    if any(config.get(name) is not None for name in budgets):
        found["efficiency"] = check_efficiency(
            trajectory,
            max_steps=config.get("maxSteps"),
            max_total_tokens=config.get("maxTotalTokens"),
            max_total_duration_ms=config.get("maxTotalDurationMs"),
            no_redundant_calls=config.get("noRedundantCalls", True),
        )
    if config.get("blacklistedTools") or config.get("blacklistedSequences"):
        found["blacklist"] = check_blacklist(
            trajectory,
            tools=config.get("blacklistedTools") or (),
            sequences=config.get("blacklistedSequences") or (),
        )
    retries = config.get("maxRetriesPerTool")
    found["toolFailures"] = analyze_tool_failures(
        trajectory, max_retries_per_tool=2 if retries is None else retries
    )
    return found


def _level(found: Fields, weights: Mapping[str, float]) -> float | None:
    """Return the weighed score of the sides that were looked at, or `None` for none."""
    names = [name for name in ("accuracy", "efficiency") if name in found]
    if found["toolFailures"]["patterns"]:
        names.append("toolFailures")
    if "blacklist" in found:
        names.append("blacklist")
    if not names:
        return None
    total = sum(weights[name] for name in names)
    if total <= 0:
        return 1.0
    return sum(weights[name] / total * found[name]["score"] for name in names)


def _score(found: Fields, weights: Mapping[str, float]) -> float:
    nested: Sequence[Fields] = found.get("nested", ())
    if _is_forbidden(found) or any(map(_is_violated, nested)):
        return 0.0
    level = _level(found, weights)
    if nested:
        mean = sum(part["score"] for part in nested) / len(nested)
        level = 0.7 * (1.0 if level is None else level) + 0.3 * mean
    return _to_hundredths(1.0 if level is None else level)


def _to_hundredths(number: float) -> float:
    return math.floor(number * 100 + 0.5) / 100


def _is_forbidden(found: Fields) -> bool:
    return "blacklist" in found and found["blacklist"]["score"] == 0


def _is_violated(part: Fields) -> bool:
    return _is_forbidden(part) or any(map(_is_violated, part.get("nested", ())))


def _nested(
    expected: Sequence[Fields], steps: Sequence[Fields], weights: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return how the steps inside steps compare with what is expected of them."""
    results: list[dict[str, Any]] = []
    used: set[int] = set()
    for wanted in expected:
        config: Any = wanted.get("children")
        if not config:
            continue
        place = next(
            (
                at
                for at, step in enumerate(steps)
                if at not in used
                and step["name"] == wanted["name"]
                and wanted.get("stepType") in (None, step.get("stepType"))
            ),
            None,
        )
        if place is None:
            empty: Fields = {"steps": []}
            inner = config.get("steps")
            missed = {"accuracy": compare_trajectories(empty, inner)} if inner else {}
            results.append({"stepName": wanted["name"], "score": 0.0, **missed})
            continue
        used.add(place)
        results.append(_inside(wanted["name"], steps[place], config, weights))
    return results


def _inside(
    name: str, step: Fields, config: Fields, weights: Mapping[str, float]
) -> dict[str, Any]:
    children: dict[str, Any] = {"steps": step.get("children") or []}
    if step.get("durationMs") is not None:
        children["totalDurationMs"] = step["durationMs"]
    found = _sides(children, config)
    steps = config.get("steps")
    nested = _nested(steps, children["steps"], weights) if steps else []
    if nested:
        found["nested"] = nested
    return {"stepName": name, "score": _score(found, weights), **found}


def _reason(found: Fields, score: float | None) -> str:
    lines = [f"Score: {0 if score is None else score:g}"]
    if _is_forbidden(found):
        blacklist = found["blacklist"]
        parts = (
            [f"tools {', '.join(blacklist['violatedTools'])}"] if blacklist["violatedTools"] else []
        )
        parts += [f"sequence {' → '.join(row)}" for row in blacklist["violatedSequences"]]
        return "\n".join([*lines, f"Forbidden: {'; '.join(parts)}."])
    nested: Sequence[Fields] = found.get("nested", ())
    violating = [part["stepName"] for part in nested if _is_violated(part)]
    if violating:
        return "\n".join([*lines, f"Forbidden steps inside {', '.join(violating)}."])
    lines += _told(found)
    if nested:
        inside = ", ".join(f"{part['stepName']}: {part['score']:g}" for part in nested)
        lines.append(f"Inside steps: {inside}.")
    return "\n".join(lines)


def _told(found: Fields) -> list[str]:
    lines: list[str] = []
    if "accuracy" in found:
        side = found["accuracy"]
        parts = [f"{side['matchedSteps']} of {side['totalExpectedSteps']} expected steps"]
        for key, word in (
            ("missingSteps", "missing"),
            ("extraSteps", "extra"),
            ("outOfOrderSteps", "out of order"),
        ):
            if side[key]:
                parts.append(f"{word}: {', '.join(side[key])}")
        lines.append(f"Accuracy {side['score']:g}: {'; '.join(parts)}.")
    if "efficiency" in found:
        side = found["efficiency"]
        parts = [
            f"{side[used]:g} {what} is over the limit"
            for used, over, what in (
                ("totalSteps", "overStepBudget", "steps"),
                ("totalTokens", "overTokenBudget", "tokens"),
                ("totalDurationMs", "overDurationBudget", "ms"),
            )
            if side[over]
        ]
        if side["redundantCalls"]:
            names = ", ".join(call["name"] for call in side["redundantCalls"])
            parts.append(f"called again with the same input: {names}")
        lines.append(f"Efficiency {side['score']:g}: {'; '.join(parts) or 'within its limits'}.")
    failures = found["toolFailures"]
    if failures["patterns"]:
        often = ", ".join(failures["excessiveRetryTools"])
        text = f"{failures['totalRetries']} retries" + (f"; too many of {often}" if often else "")
        lines.append(f"Tool failures {failures['score']:g}: {text}.")
    return lines
