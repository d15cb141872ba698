"""The same items, outputs and judge's answers get the same scores as from the original.

What the original gave is in `recorded_scores.json`; another test asks it anew, from npm.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mastra import evals
from mastra.errors import MastraError
from mastra.evals import checks
from mastra.testing import ScriptedModel
from tests.evals.cases import cases
from tests.support.npm import install, node_of

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "js"
RECORDED = Path(__file__).parent / "recorded_scores.json"

CASES = cases()


def _some() -> list[dict[str, Any]]:
    """Return every fifth case of each scorer: all of them take their time."""
    seen: Counter[str] = Counter()
    chosen: list[dict[str, Any]] = []
    for case in CASES:
        if seen[case["scorer"]] % 5 == 0:
            chosen.append(case)
        seen[case["scorer"]] += 1
    return chosen


SOME = _some()


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def options_of(args: dict[str, Any]) -> dict[str, Any]:
    """Return the original's options as ours: flat, in snake case."""
    found: dict[str, Any] = {}
    for name, value in args.items():
        if name in ("options", "comparisonOptions", "penalties", "scoring"):
            found |= options_of(value)
        elif name == "availableTools":
            found["available_tools"] = {one["id"]: _tool(one) for one in value}
        else:
            found[snake(name)] = value
    return found


def _tool(given: dict[str, str]) -> Any:
    from mastra import create_tool

    return create_tool(id=given["id"], description=given["description"], execute=lambda: None)


def scorer_of(case: dict[str, Any]) -> evals.Scorer:
    name = snake(case["scorer"])
    if case["positional"] is not None:
        *given, last = [*case["positional"], {}]
        if case["positional"] and isinstance(case["positional"][-1], dict):
            *given, last = case["positional"]
        return getattr(checks, name)(*given, **options_of(last))
    options = options_of(case["args"] or {})
    if case["answers"] is not None:
        turns = [one if isinstance(one, str) else json.dumps(one) for one in case["answers"]]
        options["model"] = ScriptedModel(turns)
    return getattr(evals, name)(**options)


async def scores_of_ours(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for case in chosen:
        try:
            result = await scorer_of(case).run(case["run"])
        except MastraError:
            found[case["name"]] = "error"
        else:
            found[case["name"]] = result.score
    return found


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    different = {
        name: (ours[name], score)
        for name, score in theirs.items()
        if not _is_equal(ours[name], score)
    }
    assert different == {}
    assert ours.keys() == theirs.keys()


def _is_equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, str) or isinstance(ours, str):
        return isinstance(theirs, str) and isinstance(ours, str)  # both refuse
    return abs(ours - theirs) <= 1e-6


async def test_scores_are_those_that_the_original_gave() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded.keys() == {case["name"] for case in CASES}
    theirs = {case["name"]: recorded[case["name"]] for case in SOME}
    assert_equal(await scores_of_ours(SOME), theirs)
    scored = [score for score in theirs.values() if not isinstance(score, str)]
    assert len(scored) > 0.9 * len(theirs)
    assert len({round(score, 6) for score in scored}) > 60  # or the cases would tell nothing


async def test_every_built_in_scorer_is_compared() -> None:
    compared = {snake(case["scorer"]) for case in SOME}
    made = {name for name in evals.__all__ if re.fullmatch(r"create_\w+_scorer(_\w+)?", name)}
    assert made | {*checks.__all__} - {"matches"} <= compared


async def scores_of_theirs() -> dict[str, Any]:
    await install(FOLDER)
    process = await asyncio.create_subprocess_exec(
        node_of(FOLDER),
        FOLDER / "score.mjs",
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(json.dumps(CASES).encode())
    assert process.returncode == 0, errors.decode()[-3000:]
    return json.loads(output.decode().strip().splitlines()[-1])


@pytest.mark.npm
@pytest.mark.timeout(400)
async def test_scores_are_those_that_the_original_gives() -> None:
    assert_equal(await scores_of_ours(CASES), await scores_of_theirs())
