"""What type checkers tell people who use the library."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = (ROOT / "tests" / "typing" / "mistakes.txt").read_text()
EXPECTED = {
    number for number, line in enumerate(SOURCE.splitlines(), 1) if line.endswith("# error")
}
CHECKERS = {
    "mypy": (sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
    "basedpyright": (sys.executable, "-m", "basedpyright"),
}


@pytest.mark.every_engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_are_found_and_nothing_else(checker: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    # Statements that only read are what a checker is asked about here.
    file.write_text(f"# pyright: strict, reportUnusedExpression=false\n{SOURCE}")
    done = subprocess.run(
        [*CHECKERS[checker], str(file)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {int(line) - 1 for line in re.findall(r"program\.py:(\d+):.*error", done.stdout)}
    assert found == EXPECTED, done.stdout + done.stderr
