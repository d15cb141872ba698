"""`mastra eval` and the pytest plugin, called as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import Calls

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).resolve().parents[2]

EVALS = """
from mastra import SQLStorage
from mastra.evals import Dataset, Experiment, checks, create_scorer

exact = create_scorer(id="exact", description="").generate_score(
    lambda ctx: float(ctx.run.output == ctx.run.ground_truth)
)
words = Dataset("words", [{"input": "one", "ground_truth": "ONE"}, {"input": "two", "ground_truth": "two"}])
storage = SQLStorage("sqlite:///evals.db")

def upper(text):
    return text.upper()

good = Experiment("good", dataset=words, target=upper, scorers=[{"scorer": exact, "threshold": 0.9}], storage=storage)
gated = Experiment("gated", dataset=words, target=upper, gates=[exact], storage=storage)
"""


def mastra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from mastra.cli import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_experiments_are_run_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "evals.py").write_text(EVALS)
    done = mastra(tmp_path, "eval", "evals.py::good", "--id", "first")
    assert done.returncode == 0, done.stderr
    assert "good (first)" in done.stdout
    assert "exact" in done.stdout
    assert "0.500" in done.stdout
    assert "good: 2 of 2" in done.stderr
    found = mastra(tmp_path, "eval", ".", "--json", "--baseline", "first")
    assert found.returncode == 1  # the gate of the other one fails
    good, gated = json.loads(found.stdout)
    assert (good["verdict"], gated["verdict"]) == ("scored", "failed")
    assert good["scorers"][0]["score"] == 0.5
    assert good["comparison"]["scorers"][0]["pValue"] == 1
    assert [item["output"] for item in good["items"]] == ["ONE", "TWO"]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setenv("COLUMNS", "120")
    return Calls(tmp_path, monkeypatch)


def test_what_cannot_be_run_is_said(call: Calls) -> None:
    (call.folder / "evals.py").write_text(EVALS)
    assert call("eval", "evals.py::good").exit_code == 0
    assert call("eval", "evals.py::good", "--strict").exit_code == 1
    (call.folder / "notes.txt").write_text("")
    (call.folder / "none_eval.py").write_text("")
    (call.folder / "odd_eval.py").write_text(
        EVALS.replace("target=upper", "target=upper, repeats=0")
    )
    for words, told in (
        (["evals.py", "--id", "x"], "there are several"),
        (["nowhere.py"], "There is no nowhere.py"),
        (["notes.txt"], "notes.txt is no Python file"),
        (["evals.py::better"], "There is no experiment in evals.py::better"),
        (["none_eval.py"], "There is no experiment in none_eval.py"),
        (["odd_eval.py"], "repeats is 0"),
    ):
        done = call("eval", *words)
        assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_an_experiment_is_gone_on_with_and_compared(call: Calls) -> None:
    (call.folder / "evals.py").write_text(EVALS + "same = good\n")
    assert call("eval", ".", "--id", "x").exit_code == 2  # two of them, one of which has two names
    call("eval", "evals.py::good", "--id", "first")
    again = call("eval", "evals.py::good", "--id", "first")
    assert "good: " not in again.stderr  # nothing is left of it
    assert "0.500" in again.stdout
    compared = call("eval", "evals.py::good", "--baseline", "first")
    assert "compared with first" in compared.stdout
    assert "may be chance" in compared.stdout
    gated = call("eval", "evals.py::gated")
    assert gated.exit_code == 1
    assert "1 each" in gated.stdout


BROKEN = """
from mastra import SQLStorage
from mastra.evals import Dataset, Experiment, checks, create_scorer

async def fail(ctx):
    raise ValueError("kaputt [größe]")

def target(text):
    if text == "two":
        raise RuntimeError("not two")
    return text

words = Dataset("words", [{"input": "one", "id": "1"}, {"input": "two", "id": "2"}])
broken = create_scorer(id="broken", description="").generate_score(fail)
both = Experiment(
    "a name that is longer than the table [x]", dataset=words, target=target,
    scorers=[broken, checks.includes("n")], storage=SQLStorage("sqlite:///evals.db"),
)
"""


MIXED = """
from mastra.evals import Dataset, Experiment, create_scorer

async def judge(ctx):
    if ctx.run.output == "3":
        raise ValueError("no such number")
    return 1.0 if ctx.run.output == "2" else 0.0

strict = (
    create_scorer(id="strict", description="")
    .generate_score(judge)
    .generate_reason(lambda ctx: f"it is {ctx.run.output}")
)
numbers = Dataset("numbers", [{"input": str(n), "id": str(n)} for n in range(1, 31)])
mixed = Experiment("mixed", dataset=numbers, target=lambda text: text, scorers=[strict], concurrency=1)
"""


def test_a_low_score_is_no_failure_and_progress_is_told_some_times(call: Calls) -> None:
    (call.folder / "evals.py").write_text(MIXED)
    done = call("eval", "evals.py")
    (told,) = [line for line in done.stdout.splitlines() if "strict: item" in line]
    assert "item 3" in told
    assert "no such number" in told
    progress = [line for line in done.stderr.splitlines() if line.startswith("mixed: ")]
    assert progress == [f"mixed: {count} of 30" for count in range(3, 31, 3)]
    found = json.loads(call("eval", "evals.py", "--json").stdout)
    assert "comparison" not in found[0]


def test_what_fails_is_told_with_its_reason(call: Calls) -> None:
    (call.folder / "evals.py").write_text(BROKEN)
    (call.folder / "empty_eval.py").write_text("raise SystemExit(0)")
    done = call("eval", "evals.py", "--id", "first")
    assert done.exit_code == 1
    assert "a name that is longer than the table [x] (first)" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["scorer", "mean", "items", "errors", "wanted"] in lines
    assert ["broken", "-", "0", "1"] in lines
    assert ["check-includes", "1.000", "1", "0"] in lines
    assert "(target): item 2: not two" in done.stdout
    assert "broken: item 1: Stage generate_score" in done.stdout
    assert "kaputt [größe]" in done.stdout
    # An experiment of which the baseline is nowhere is not run, and a file that ends is no success.
    nothing = call("eval", "evals.py", "--baseline", "nothing", "--id", "second")
    assert nothing.exit_code != 0
    assert " of 2" not in nothing.stderr
    ended = call("eval", "empty_eval.py")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "'empty_eval.py' cannot be imported: SystemExit" in ended.stderr


TESTS = """
import pytest
from mastra.evals import checks

def upper(text):
    return text.upper()

@pytest.mark.anyio
@pytest.mark.mastra_eval(dataset="words.jsonl")
async def test_words(item, evaluation):
    result = await evaluation.run(upper, item, gates=[checks.includes("O", ignore_case=False)])
    assert result.answer.value == item.ground_truth

@pytest.mark.mastra_eval(dataset=[{"input": 1}, {"input": 2}])
def test_numbers(item, evaluation):
    evaluation.record("size", item.input)
"""


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.every_engine)])
def test_each_item_is_a_test_and_the_scores_are_summed_up(tmp_path: Path, workers: str) -> None:
    rows = [
        {"input": "one", "groundTruth": "ONE"},
        {"input": "sky", "groundTruth": "SKY"},
        {"input": "to", "groundTruth": "to"},
    ]
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test_words.py").write_text(TESTS)
    # The plugin is found by its entry point.
    plugins = ["-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "--no-header", "-n", workers, *plugins, "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    out = done.stdout
    assert "FAILED test_words.py::test_words[asyncio-1-sky]" in out, out
    assert "check-includes gave 0" in out
    assert "3 passed, 2 failed" in out or "2 failed, 3 passed" in out, out
    assert "test_words.py::test_words check-includes  mean 0.667  lowest 0.000  of 3" in out
    assert "test_words.py::test_numbers size          mean 1.500  lowest 1.000  of 2" in out


ASYNC = """
import pytest

@pytest.fixture
def shout():
    return str.upper

@pytest.mark.mastra_eval(dataset=[{"input": "one"}, {"input": "two"}])
async def test_plain(item, evaluation, shout):
    result = await evaluation.run(shout, item)
    assert result.answer.value == "ONE"

class TestInClass:
    @pytest.mark.mastra_eval(dataset=[{"input": "one"}])
    async def test_method(self, item, evaluation):
        await evaluation.run(str.upper, item)
"""


@pytest.mark.every_engine
def test_an_async_test_needs_no_further_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_async.py").write_text(ASYNC)
    plugins = [f"no:{name}" for name in ("cacheprovider", "randomly", "anyio", "asyncio")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(part for one in plugins for part in ("-p", one)), "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "'TWO' == 'ONE'" in done.stdout
