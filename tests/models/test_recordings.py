"""What providers really sent, played against agents: 109 recorded conversations with 18 providers.

The recordings and their player lie beside the repository, so they are skipped where those are not.
What still differs is in `docs/models.md`, with its reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT.parent / "shared" / "data" / "recordings"

DIFFER = {
    # litellm reads Cohere's events wrongly: it parses the line that names an event as JSON.
    "cohere/cached_tokens": "fails",
    "cohere/tool_auto": "fails",
    # litellm tells of Nova's own tool as of one of ours.
    "bedrock/stream_code_interpreter": "tool calls",
    # litellm has no place for it: a tool's message in OpenAI's form says nothing of failing.
    "bedrock/tool_error_retry": "tool error not flagged",
}
"""Recordings that differ, with the first kind of difference; one that no longer does fails."""

PARTS = ("anthropic", "gemini", "vertex", "openai", "openrouter")


def played(tmp_path: Path, folders: list[str]) -> dict[str, list[list[str]]]:
    found = tmp_path / "found.json"
    paths = [str(RECORDINGS / folder) for folder in folders]
    done = subprocess.run(
        [sys.executable, str(RECORDINGS / "play.py"), *paths, "--json", str(found)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(found.read_text())


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings are not beside this repository")
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "part",
    [
        "anthropic",
        "gemini",
        *(pytest.param(part, marks=pytest.mark.every_engine) for part in (*PARTS[2:], "the rest")),
    ],
)
def test_recorded_conversations(part: str, tmp_path: Path) -> None:
    folders = sorted(path.name for path in RECORDINGS.iterdir() if path.is_dir())
    wanted = [part] if part != "the rest" else [f for f in folders if f not in PARTS]
    wanted = [folder for folder in wanted if folder != "__pycache__"]

    found = played(tmp_path, wanted)

    assert found
    differs = {name: kinds[0][0] for name, kinds in found.items() if kinds}
    wanted_kinds = {name: kind for name, kind in DIFFER.items() if name in found}
    assert differs == wanted_kinds, {name: kinds for name, kinds in found.items() if kinds}
