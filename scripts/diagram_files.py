"""Puts what draws the diagrams of the documentation beside its pages.

The theme would fetch it from another host whenever a page is read. The console's toolkit brings it, so it
is taken from there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nicegui

START = """import { mermaid } from "./index.js";
// The theme draws with what it finds under this name, and fetches it elsewhere where there is nothing.
window.mermaid = mermaid;
"""


def main(folder: Path) -> None:
    """Write the files into a folder."""
    source = Path(nicegui.__file__).parent / "elements" / "mermaid" / "dist"
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map"))
    (folder / "start.js").write_text(START)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
