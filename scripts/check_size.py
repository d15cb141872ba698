"""Fail when a source file has grown too long to be read in one sitting.

A file aims at 400 lines or fewer. Up to 500 it is only named; above that the check fails, and
the file is to be split by noun. The console's files have a limit together.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mastra", "agents", "tools", "workflows", "app")
AIM = 400
LIMIT = 500
WHOLE = {"mastra/console": 2500}
"""How long all files of a folder may be together: `docs/architecture.md` says why."""


def count_lines(path: Path) -> int:
    """Count the lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> int:
    """Print the files over the aim and return 1 when one is over the limit."""
    files = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    sizes = {path.relative_to(ROOT): count_lines(path) for path in files}
    for path, size in sizes.items():
        if size > LIMIT:
            print(f"{path}: {size} lines, over the limit of {LIMIT}. Split it.")
        elif size > AIM:
            print(f"note: {path} has {size} lines; aim at {AIM}.")
    is_over = any(size > LIMIT for size in sizes.values())
    for folder, most in WHOLE.items():
        whole = sum(size for path, size in sizes.items() if path.is_relative_to(folder))
        if whole > most:
            print(f"{folder}: {whole} lines together, over the limit of {most}. Make it simpler.")
            is_over = True
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
