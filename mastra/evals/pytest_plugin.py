"""The pytest plugin: one test for each item of a dataset, and what they came to at the end.

    @pytest.mark.mastra_eval(dataset="evals/cities.jsonl")
    async def test_planner(item, evaluation):
        await evaluation.run(planner, item, scorers=[completeness], gates=[polite])

`dataset` is a `Dataset`, a list of items, or the path of a JSONL or CSV file next to the test or
under the folder that pytest was called in. The test fails where a gate does, or the target. Where no
plugin for async tests takes it, it is run by asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from inspect import iscoroutinefunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from mastra.evals.datasets import Dataset, DatasetItem
    from mastra.evals.runs import ItemResult

__all__ = [
    "Evaluation",
    "evaluation",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_terminal_summary",
]

_MARK = "mastra_eval"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(dataset=...): run the test once for each item of a dataset, as the argument "
        "`item`; the fixture `evaluation` scores and records.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each item."""
    mark = metafunc.definition.get_closest_marker(_MARK)
    if mark is None:
        return
    where = f"{metafunc.definition.nodeid}: @pytest.mark.{_MARK}"
    given: Any = mark.kwargs.get("dataset", mark.args[0] if mark.args else None)
    if given is None:
        raise pytest.UsageError(f"{where} needs dataset=.")
    if "item" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{where} is of a test without the argument `item`.")
    from mastra.errors import MastraError  # noqa: PLC0415 - only where there are evals

    try:
        dataset = _dataset(given, metafunc.definition.path.parent)
    except MastraError as error:
        raise pytest.UsageError(f"{where}: {error.message}") from error
    if not len(dataset):
        # pytest would skip the test, and nobody would see that nothing is evaluated.
        raise pytest.UsageError(f"{where}: dataset {dataset.name!r} has no items.")
    metafunc.parametrize(
        "item", list(dataset), ids=[_short(item, at) for at, item in enumerate(dataset)]
    )


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that no other plugin takes; those for async tests are asked before."""
    if pyfuncitem.get_closest_marker(_MARK) is None or not iscoroutinefunction(pyfuncitem.obj):
        return None
    taken = signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in taken}))
    return True


def _dataset(given: Any, folder: Path) -> Dataset:
    from mastra.errors import ConfigError  # noqa: PLC0415 - only where there are evals
    from mastra.evals.datasets import Dataset  # noqa: PLC0415

    if isinstance(given, Dataset):
        return given
    if not isinstance(given, (str, Path)):
        return Dataset("items", cast("Iterable[Any]", given))
    places = [place for place in (folder / given, Path(given)) if place.exists()]
    if not places:
        raise ConfigError(f"There is no file {given}, neither in {folder} nor here.")
    read = Dataset.from_csv if places[0].suffix == ".csv" else Dataset.from_jsonl
    return read(places[0])


def _short(item: DatasetItem, at: int) -> str:
    text = item.input if isinstance(item.input, str) else ""
    plain = "".join(letter if letter.isalnum() else "-" for letter in text[:30].lower())
    return f"{at}-{plain.strip('-')}" if plain.strip("-") else str(at)


class Evaluation:
    """Scores in one test. Made by the fixture `evaluation`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        node: Any = request.node
        self._properties: list[tuple[str, object]] = node.user_properties
        self._name: str = node.nodeid.partition("[")[0]
        self.unawaited = 0
        """How many runs were asked for that nobody awaited."""

    def record(self, name: str, score: float) -> None:
        """Have a score in the summary."""
        self._properties.append((_MARK, {"test": self._name, "scorer": name, "score": score}))

    def run(
        self,
        target: Any,
        item: DatasetItem,
        *,
        scorers: Any = None,
        gates: Any = None,
        **options: Any,
    ) -> Awaitable[ItemResult]:
        """Run a target on an item, score what it gives, and record the scores. To be awaited.

        Args:
            target: As of `run_evals`.
            item: The item.
            scorers: As of `run_evals`; one with a threshold fails the test below it.
            gates: As of `run_evals`.
            options: Options of the target.

        Raises:
            AssertionError: A gate or a threshold was missed, or a scorer failed.
            Exception: What the target raised.
        """
        self.unawaited += 1
        return self._run(target, item, scorers, gates, options)

    async def _run(
        self, target: Any, item: DatasetItem, scorers: Any, gates: Any, options: dict[str, Any]
    ) -> ItemResult:
        from mastra.evals.runs import run_evals  # noqa: PLC0415 - only where there are evals

        self.unawaited -= 1
        summary = await run_evals(
            data=[item], target=target, scorers=scorers, gates=gates, target_options=options
        )
        (found,) = summary.items
        for name, score in found.scores.items():
            if score is not None:
                self.record(name, score)
        if found.error is not None:
            raise found.error
        missed = [one for one in summary.rule_results if not one.passed or one.errors]
        if missed:
            reasons = {
                one.rule.name: one.error or (one.result.reason if one.result else None)
                for one in found.grades
            }
            told = [
                (f"{one.id} gave {one.score:g}" if one.count else f"{one.id} gave nothing")
                + (f": {reasons[one.id]}" if reasons[one.id] else "")
                for one in missed
            ]
            pytest.fail("; ".join(told), pytrace=False)
        return found


@pytest.fixture
def evaluation(request: pytest.FixtureRequest) -> Iterator[Evaluation]:
    """Scores what a target gives for an item, and records the scores for the summary."""
    made = Evaluation(request)
    yield made
    if made.unawaited:
        pytest.fail("evaluation.run(…) was not awaited: the test must be async.", pytrace=False)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what the scores came to."""
    scores: dict[tuple[str, str], list[float]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in report.user_properties:
                if name == _MARK:
                    key = (value["test"], value["scorer"])
                    scores.setdefault(key, []).append(value["score"])
    if not scores:
        return
    terminalreporter.section("evals")
    width = max(len(f"{test} {scorer}") for test, scorer in scores)
    for (test, scorer), found in sorted(scores.items()):
        mean = sum(found) / len(found)
        terminalreporter.write_line(
            f"{f'{test} {scorer}':<{width}}  mean {mean:.3f}  lowest {min(found):.3f}  "
            f"of {len(found)}"
        )
