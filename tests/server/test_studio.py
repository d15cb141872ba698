"""The original's Studio in a browser: what its pages show of runs and traces is what is stored.

A server in between that tells something else is found out, so the check can fail.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from scripts import studio_check

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.every_engine,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("studio"),
]

FOUND_OUT = {
    None: set(),
    "state": {"the planner as it is stored", "the resumed run as it is stored"},
    "span": {"the trace as it is stored"},
}


@pytest.fixture(scope="module")
def packages() -> Path:
    """Studio and a browser's driver from npm, fetched once on a machine."""
    if shutil.which("npm") is None or shutil.which("chromium") is None:
        pytest.skip("npm or Chromium is not installed")
    folder = Path(tempfile.gettempdir(), "mastra-studio-packages")
    try:
        studio_check.install(folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm cannot be reached: {error}")
    return folder


@pytest.mark.parametrize("lie", FOUND_OUT)
async def test_what_the_pages_show_is_what_is_stored(
    lie: str | None, packages: Path, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or ""
    facts = await studio_check.check(tmp_path, packages, browser, parts=["workflows"], lie=lie)
    assert len(facts) > 15
    failed = {fact["name"] for fact in facts if fact["value"] not in (True, [])}
    if lie is None:
        assert failed == set(), facts
    else:
        assert failed >= FOUND_OUT[lie], facts
