"""The original's Studio in a browser: what its pages show of runs and traces is what is stored.

A server in between that tells something else is found out, so the check can fail.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import studio_check
from tests.support.npm import install

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.npm,
    pytest.mark.timeout(900),
]

FOUND_OUT = {
    None: set(),
    "state": {"the planner as it is stored", "the resumed run as it is stored"},
    "span": {"the trace as it is stored"},
}


@pytest.mark.parametrize("lie", FOUND_OUT)
async def test_what_the_pages_show_is_what_is_stored(lie: str | None, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no Chromium")
    await install(studio_check.PACKAGES)
    facts = await studio_check.check(tmp_path, browser, parts=["workflows"], lie=lie)
    assert len(facts) > 15
    failed = {fact["name"] for fact in facts if fact["value"] not in (True, [])}
    if lie is None:
        assert failed == set(), facts
    else:
        assert failed >= FOUND_OUT[lie], facts
