"""The table of known differences says only what can be so, and no engine is left out of the repeats."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.engines.conftest import ENGINES, KNOWN_DIFFERENCES


def test_in_process_and_replay_differ_in_nothing() -> None:
    here = [key for key in KNOWN_DIFFERENCES if key[0].startswith(("inprocess", "replay"))]
    assert here == []


def test_every_line_names_an_engine_and_a_case_that_are_there() -> None:
    cases = {
        f"{file.stem}::{name}"
        for file in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert {case for _, case in KNOWN_DIFFERENCES} <= cases
    assert {engine for engine, _ in KNOWN_DIFFERENCES} <= {
        getattr(name, "values", (name,))[0] for name in ENGINES
    }


def test_every_line_has_a_reason() -> None:
    assert all(KNOWN_DIFFERENCES.values())


def test_make_soak_repeats_the_cases_on_every_engine() -> None:
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    soak, repeat = (
        re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[0]
        for target in ("soak", "repeat")
    )
    assert "$(MAKE) --no-print-directory repeat" in soak
    [marks] = re.findall("-m '(.+)'", repeat)
    left_out = set(re.findall(r"not (\w+)", marks))
    assert left_out
    assert not [
        engine
        for engine in ENGINES
        for mark in getattr(engine, "marks", ())
        if mark.name in left_out
    ]
