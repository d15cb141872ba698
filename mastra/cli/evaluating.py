"""`mastra eval`: the experiments of some files, with progress, a table and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mastra.cli.load import not_imported
from mastra.cli.terminal import FAILED, JsonOption, in_loop, notes, plain, print_json
from mastra.errors import ConfigError, MastraError, NotFoundError
from mastra.evals.comparison import Comparison, compare_experiments
from mastra.evals.experiment_results import ExperimentItem, ExperimentResult
from mastra.evals.experiments import Experiment
from mastra.ids import new_id
from mastra.jsonable import Json

__all__ = ["evaluate", "experiments_in"]

_PATTERNS = ("eval_*.py", "*_eval.py", "evals.py")


def experiments_in(path: Path) -> list[tuple[str, Experiment]]:
    """Return the experiments in a file, or in the files of a folder that are called for them.

    Raises:
        ConfigError: There is no such file, or no experiment in it.
    """
    where, _, name = str(path).partition("::")
    place = Path(where)
    if not place.exists():
        raise ConfigError(f"There is no {where}.")
    files = [place]
    if place.is_dir():
        files = sorted({file for pattern in _PATTERNS for file in place.rglob(pattern)})
    found = [one for file in files for one in _experiments_of(file) if name in ("", one[0])]
    if not found:
        raise ConfigError(
            f"There is no experiment in {path}: put one at the top of a file, as in `evals = "
            f"Experiment('…', dataset=…, target=…, scorers=[…])`, in one called "
            f"{' or '.join(_PATTERNS)}, or name the file."
        )
    return found


def _experiments_of(file: Path) -> Iterator[tuple[str, Experiment]]:
    for folder in (str(file.parent.resolve()), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is no Python file.")
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except MastraError:
        raise
    except (Exception, SystemExit) as error:
        # Its own exit code would be taken for what the experiments came to.
        raise not_imported(str(file), error, Path.cwd()) from error
    seen: set[int] = set()
    for name, value in vars(module).items():
        if isinstance(value, Experiment) and id(value) not in seen:
            seen.add(id(value))
            yield name, value


def evaluate(
    path: Annotated[
        Path, typer.Argument(help="A file, one of its experiments as file.py::name, or a folder.")
    ],
    experiment_id: Annotated[
        str | None,
        typer.Option("--id", help="The experiment's id: one that was cut off goes on."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The id of an experiment in the same storage to compare with."),
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Fail where a threshold is missed, too, and not only a gate.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run experiments; exit with 1 where a gate fails, or an item."""
    found = in_loop(_run, path, experiment_id, baseline, as_json)
    if as_json:
        print_json([_wire(result, compared) for result, compared in found])
    verdicts = {result.verdict for result, _ in found}
    if "failed" in verdicts or (strict and "scored" in verdicts):
        raise typer.Exit(FAILED)


async def _run(
    path: Path, experiment_id: str | None, baseline: str | None, as_json: bool
) -> list[tuple[ExperimentResult, Comparison | None]]:
    experiments = experiments_in(path)
    if experiment_id is not None and len(experiments) > 1:
        names = ", ".join(f"{path}::{name}" for name, _ in experiments)
        raise ConfigError(f"--id is of one experiment, and there are several: {names}.")
    console = notes()
    found: list[tuple[ExperimentResult, Comparison | None]] = []
    try:
        for name, experiment in experiments:
            # It is looked for first: an experiment may take an hour.
            before = None if baseline is None else await experiment.result(baseline)
            chosen = experiment_id or new_id()
            try:
                result = await _watched(experiment, chosen, console)
            except asyncio.CancelledError:
                if experiment.storage.workflows.is_shared:
                    again = f"mastra eval {str(path).partition('::')[0]}::{name} --id {chosen}"
                    told = f"The experiment was cut off. It goes on with: {again}"
                    console.print(told, soft_wrap=True)
                raise
            compared = None if before is None else compare_experiments(before, result)
            if not as_json:
                _show(result, compared)
            found.append((result, compared))
            await experiment.aclose()
    finally:
        # The files' own: nobody else is there to close them.
        for storage in {id(one.storage): one.storage for _, one in experiments}.values():
            await storage.aclose()
    return found


async def _watched(
    experiment: Experiment, experiment_id: str, console: Console
) -> ExperimentResult:
    total, done, failed = len(experiment.dataset) * experiment.repeats, 0, 0
    with contextlib.suppress(NotFoundError):
        known = await experiment.result(experiment_id)
        total, done, failed = known.total_items, len(known.items), known.failed_count
    step = max(1, total // 10)

    def told(item: ExperimentItem) -> None:
        nonlocal done, failed
        done += 1
        failed += item.error is not None
        bad = f", {failed} failed" if failed else ""
        if console.is_terminal:
            console.print(f"{experiment.name}: {done} of {total}{bad}", end="\r")
        elif done % step == 0 or done == total:
            console.print(f"{experiment.name}: {done} of {total}{bad}")

    result = await experiment.run(experiment_id, on_item_complete=told)
    if console.is_terminal and done:
        console.print()
    return result


def _show(result: ExperimentResult, compared: Comparison | None) -> None:
    has_errors = any(one.errors for one in result.rule_results)
    columns = ["scorer", "mean", "items", *(["errors"] if has_errors else []), "wanted", ""]
    table = Table(*columns, box=None)
    for one in result.rule_results:
        wanted = "1 each" if one.is_gate else "" if one.threshold is None else str(one.threshold)
        mark = "" if not wanted else "passed" if one.passed else "failed"
        mean = f"{one.score:.3f}" if one.count else "-"
        errors = [str(one.errors)] if has_errors else []
        table.add_row(one.id, mean, str(one.count), *errors, wanted, mark)
    if result.failed_count:
        gap = [""] if has_errors else []
        table.add_row("(target)", "", str(result.failed_count), *gap, "no failures", "failed")
    console = plain()
    # The title of a table is as wide as the table, and an id must stay whole to be copied.
    console.print(f"{result.name} ({result.id})", soft_wrap=True)
    console.print(table)
    for told in _reasons(result):
        console.print(told, soft_wrap=True)
    if compared is not None:
        console.print(_changes(compared))


def _reasons(result: ExperimentResult) -> list[str]:
    """Return why the target and scorers failed, of each the first reason."""
    told: dict[str, str] = {}
    failing = {one.id for one in result.rule_results if one.errors}
    for item in result.items:
        if item.error is not None:
            told.setdefault("(target)", f"{item.item_id}: {item.error['message']}")
        for name in failing & item.reasons.keys():
            if item.scores.get(name) is None:
                told.setdefault(name, f"{item.item_id}: {item.reasons[name]}")
    return [f" {name}: item {text}" for name, text in told.items()]


def _changes(compared: Comparison) -> Table:
    columns = ("scorer", "before", "after", "better", "worse", "p", "")
    table = Table(*columns, box=None, title_justify="left")
    table.title = f"compared with {compared.baseline_id}"
    for one in compared.scorers.values():
        table.add_row(
            one.id,
            f"{one.baseline:.3f}",
            f"{one.candidate:.3f}",
            str(len(one.better)),
            str(len(one.worse)),
            f"{one.p_value:.3f}",
            "may be chance" if one.is_chance() else "",
        )
    return table


def _wire(result: ExperimentResult, compared: Comparison | None) -> dict[str, Json]:
    wire: dict[str, Any] = {
        "experimentId": result.id,
        "name": result.name,
        "status": result.status,
        "verdict": result.verdict,
        "totalItems": result.total_items,
        "failedCount": result.failed_count,
        "scorers": [
            {
                "id": one.id,
                "score": one.score,
                "count": one.count,
                "errors": one.errors,
                "notScorable": one.not_scorable,
                "passed": one.passed,
                "isGate": one.is_gate,
                "threshold": one.threshold,
            }
            for one in result.rule_results
        ],
        "items": [
            {
                "itemId": item.item_id,
                "attempt": item.attempt,
                "input": item.input,
                "output": item.output,
                "scores": dict(item.scores),
                "reasons": dict(item.reasons),
                "error": item.error,
            }
            for item in result.items
        ],
    }
    if compared is not None:
        wire["comparison"] = {
            "baselineId": compared.baseline_id,
            "scorers": [
                {
                    "id": one.id,
                    "baseline": one.baseline,
                    "candidate": one.candidate,
                    "better": list(one.better),
                    "worse": list(one.worse),
                    "pValue": one.p_value,
                }
                for one in compared.scorers.values()
            ],
        }
    return wire
