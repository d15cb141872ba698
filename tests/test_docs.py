"""What the documents say is so: their examples run, their links and commands lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]


def examples() -> list[CodeExample]:
    return list(find_examples(*(ROOT / page for page in PAGES)))


@pytest.mark.xdist_group("embedded-model")
@pytest.mark.timeout(150)
@pytest.mark.parametrize("example", examples(), ids=lambda e: f"{e.path.name}:{e.start_line}")
def test_an_example_runs(example: CodeExample, eval_example: EvalExample) -> None:
    eval_example.run(example)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, heading = target.partition("#")
        other = (ROOT / page).parent / path if path else ROOT / page
        assert other.exists(), f"{page} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", found.lower()).replace(" ", "-") for found in headings}
            assert heading in slugs, f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= made


def test_options_of_the_app_are_there() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    said = {
        option
        for line in re.findall(r"python -m app (.+)", text)
        for option in re.findall(r"--[a-z]+", line.split("#")[0])
    }
    assert {"--demo", "--model", "--json"} <= said
    shown = subprocess.run(
        [sys.executable, "-m", "app", "plan", "--help"],
        cwd=ROOT,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(option in shown for option in said)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
