"""The long description of the package: the README, for a page that knows none of the repository's files.

Where `[project.urls]` names the `Source`, its links lead there; else each is its text, and pictures are left
out. The backend calls it when it builds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)")


def for_package_page(readme: str, source: str | None) -> str:
    """Return the README with no link that is relative.

    Args:
        readme: Its Markdown.
        source: The repository's address, as of a host that shows files at `blob/` and `raw/`.
    """

    def absolute(found: re.Match[str]) -> str:
        mark, text, path = found.groups()
        if source is None:
            return "" if mark else text
        return f"{mark}[{text}]({source.rstrip('/')}/{'raw' if mark else 'blob'}/HEAD/{path})"

    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(absolute, readme))


class LongDescription(MetadataHookInterface):
    """Gives the project its `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add it to what pyproject.toml says."""
        source = metadata.get("urls", {}).get("Source")
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = for_package_page(readme, source)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
