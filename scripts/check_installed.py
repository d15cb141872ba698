"""Fail when a package that is installed lacks what it requires.

The locked packages are installed one by one, with nothing resolved, so this looks afterwards. The
arguments are lock files of packages that stand alone on purpose: what those require is not looked
for.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

NOTHING = "No broken requirements found."


def names_in(lock: Path) -> set[str]:
    """Return the names of the packages that a lock file holds."""
    return set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def main() -> int:
    """Print what `pip check` has to say and return 1 when there is any."""
    alone = {name for lock in sys.argv[1:] for name in names_in(Path(lock))}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line and line != NOTHING]
    found = [line for line in said if line.split()[0] not in alone]
    if done.returncode and not said:
        found = [done.stderr or f"pip check ended with {done.returncode} and said nothing."]
    for line in found:
        print(line)
    if found:
        print("The lock is not complete: run 'make lock', then 'make clean install'.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
