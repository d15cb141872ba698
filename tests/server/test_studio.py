"""The original's Studio in a browser: what its pages show is what is stored.

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

FOUND_OUT: dict[str | None, tuple[list[str], set[str]]] = {
    None: (["workflows", "agents", "evals", "pages"], set()),
    "state": (["workflows"], {"the planner as it is stored", "the resumed run as it is stored"}),
    "span": (["workflows"], {"the trace as it is stored"}),
    "thread": (["agents"], {"the thread as it is stored"}),
    "score": (["evals"], {"the scores as they are stored"}),
    "result": (["evals"], {"the results as they are stored"}),
    "review": (["evals"], {"the result to review as it is counted"}),
}
"""What a server in between tells differently, on which pages, and where that has to be found."""


@pytest.mark.parametrize("lie", FOUND_OUT)
async def test_what_the_pages_show_is_what_is_stored(lie: str | None, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no Chromium")
    await install(studio_check.PACKAGES)
    parts, false = FOUND_OUT[lie]
    facts = await studio_check.check(tmp_path, browser, parts=parts, lie=lie)
    assert len(facts) > 10
    failed = {fact["name"] for fact in facts if fact["value"] not in (True, [])}
    if lie is None:
        assert failed == set(), facts
    else:
        assert failed >= false, facts
