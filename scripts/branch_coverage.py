"""Print how many branches of each package the tests reach, and fail where it is fewer than before.

Reads what `pytest --cov` has left in `.coverage`. With names of packages as arguments it lists, for
those, the branches that are not reached. `--check-python` says only whether this Python can measure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

WANTED = 95.0
"""Per cent of the branches of a package that are to be reached."""

FLOORS = {
    "a2a": 98.0,
    "ag_ui": 99.0,
    "agents": 95.0,
    "ai_sdk": 99.0,
    "cli": 97.0,
    "console": 97.0,
    "evals": 99.0,
    "inngest": 96.0,
    "mastra": 98.0,
    "mcp": 99.0,
    "memory": 99.0,
    "models": 99.0,
    "observability": 99.0,
    "pages": 97.0,
    "processors": 99.0,
    "schedules": 98.0,
    "server": 99.0,
    "storage": 97.0,
    "stream": 100.0,
    "testing": 98.0,
    "tools": 99.0,
    "workflows": 95.0,
}
"""What was measured of each by all tests, with Chromium. Raise them with what is measured."""


def measured() -> dict[str, Any]:
    """Return what coverage knows of each file."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(found)]
        subprocess.run(command, check=True)  # noqa: S603 - our own command
        return json.loads(found.read_text(encoding="utf-8"))["files"]


def package_of(path: str) -> str:
    """Return the package that a file belongs to; `mastra` for those at its top."""
    parts = Path(path).parts
    place = parts.index("mastra")
    return parts[place + 1] if len(parts) > place + 2 else "mastra"


def main() -> int:
    """Print the table and return 1 where a package is below its floor."""
    if sys.version_info < (3, 12):
        print(
            "Python 3.11 cannot measure this: its tracer loses its place where an exception was "
            "awaited. `make cov` takes the newest Python that scripts/find_pythons.sh finds; "
            "install 3.12 or a later one.",
            file=sys.stderr,
        )
        return 1
    if "--check-python" in sys.argv[1:]:
        return 0
    files = measured()
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, file in files.items():
        count = counts[package_of(path)]
        count[0] += file["summary"]["covered_branches"]
        count[1] += file["summary"]["num_branches"]
    below: list[str] = []
    for package, (reached, there) in sorted(counts.items()):
        share = 100 * reached / there if there else 100.0
        note = "" if share >= WANTED else f"{WANTED:g} wanted"
        if share < FLOORS.get(package, 0):
            below.append(package)
            note = f"BELOW its {FLOORS[package]:g}"
        print(f"{package:14} {share:5.1f} %  {there - reached:4} of {there:4} not reached  {note}")
    for path, file in sorted(files.items()):
        if package_of(path) in sys.argv[1:] and file["missing_branches"]:
            lines = [f"{start}->{end}" for start, end in file["missing_branches"]]
            print(f"{path}: {', '.join(lines)}")
    return int(bool(below))


if __name__ == "__main__":
    sys.exit(main())
