"""What the documents say is so: their examples run, their links and commands lead somewhere."""

from __future__ import annotations

import asyncio
import builtins
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from ag_ui.core import EventType
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from pytest_examples import CodeExample, EvalExample, find_examples

import mastra
from scripts import diagram_files, llms_text, long_description, reference_pages

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]


def examples() -> list[CodeExample]:
    # The gallery shows the files of `examples/`, which have a test of their own.
    pages = (ROOT / page for page in PAGES if page != "docs/examples.md")
    return list(find_examples(*pages))


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


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages == {page for page in listed if "/" not in page}


def test_every_public_name_has_an_entry(tmp_path: Path) -> None:
    reference_pages.main(tmp_path)
    pages = "".join(page.read_text() for page in tmp_path.glob("*.md"))
    listed = set(re.findall(r"^::: \S+\.(\w+)$", pages, re.MULTILINE))
    for package_name in reference_pages.PACKAGES:
        assert set(import_module(package_name).__all__) <= listed, package_name
    # Each package that has public names has a page, and the navigation knows it.
    public = {
        found.name
        for found in walk_packages(mastra.__path__, "mastra.")
        if found.ispkg and found.name.count(".") == 1
        if getattr(import_module(found.name), "__all__", None) and found.name != "mastra.cli"
    }
    assert public <= set(reference_pages.PACKAGES)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert all(f"reference/{page.name}" in navigation for page in tmp_path.glob("*.md"))


def test_the_map_for_language_models_has_every_page(tmp_path: Path) -> None:
    reference_pages.main(tmp_path / "docs" / "reference")
    for page in (ROOT / "docs").glob("*.md"):
        shutil.copy(page, tmp_path / "docs")
    llms_text.main(tmp_path / "docs", tmp_path / "site")
    text = (tmp_path / "site" / "llms.txt").read_text()
    assert text.startswith("# Mastra for Python\n\n> ")
    listed = dict(re.findall(r"^- \[.+?\]\((\S+)\)(?:: (.+))?$", text, re.MULTILINE))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= listed.keys()
    assert all(summary for name, summary in listed.items() if name != "examples.md"), listed
    assert all((tmp_path / "site" / name).exists() for name in listed)


@cache
def names_in_code() -> tuple[set[str], set[str]]:
    """Return the errors that there are, and every text in capitals that the code knows."""
    folders = (
        "mastra",
        "app",
        "agents",
        "tools",
        "workflows",
        "examples",
        "scripts",
        "tests/support",
    )
    paths = [path for name in folders for path in (ROOT / name).rglob("*")]
    texts = [path.read_text() for path in paths if path.suffix in (".py", ".txt")]
    texts += [(ROOT / name).read_text() for name in ("Makefile", "compose.yaml")]
    errors, capitals = set(dir(builtins)) | set(dir(asyncio)), set(EventType.__members__)
    for text in texts:
        errors |= set(re.findall(r"^class (\w+(?:Error|Warning))\b", text, re.MULTILINE))
        capitals |= set(re.findall(r"(?<![A-Z0-9_])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))
    return errors, capitals


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_errors_and_codes_are_there(page: str) -> None:
    errors, capitals = names_in_code()
    code = " ".join(re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()))
    assert set(re.findall(r"\b[A-Z]\w*(?:Error|Warning)\b", code)) <= errors
    assert set(re.findall(r"(?<![A-Z0-9_$])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", code)) <= capitals


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


def test_diagrams_are_drawn_without_another_host(tmp_path: Path) -> None:
    diagram_files.main(tmp_path)
    imported = re.findall(r'from ?"\./(.+?)"', (tmp_path / "start.js").read_text())
    assert imported
    assert all((tmp_path / name).exists() for name in imported)
    assert "path: mermaid/start.js, type: module" in (ROOT / "mkdocs.yml").read_text()
    assert "scripts/diagram_files.py docs/mermaid" in (ROOT / "Makefile").read_text()


def test_the_packages_page_has_no_link_that_is_relative() -> None:
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    page = metadata.core.readme
    assert page.startswith("# Mastra for Python")
    relative = r"\]\((?!\w+:)"
    assert re.search(relative, (ROOT / "README.md").read_text())
    assert not re.search(relative, page)
    at_home = long_description.for_package_page(
        "[a](docs/a.md) ![p](p.png)", "https://h.example/r/"
    )
    assert at_home == (
        "[a](https://h.example/r/blob/HEAD/docs/a.md) ![p](https://h.example/r/raw/HEAD/p.png)"
    )
    assert metadata.core.authors


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
