"""Writes `llms.txt`, the map of the documentation for language models, and the pages that it names."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


class _Loader(yaml.SafeLoader):
    """Reads mkdocs' settings, which name functions of Python that nobody needs here."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def pages_of(nav: list[Any], section: str = "Documentation") -> Iterator[tuple[str, str, str]]:
    """Yield the section, the title and the file of each page of the navigation."""
    for entry in nav:
        [(title, what)] = entry.items()
        if isinstance(what, list):
            yield from pages_of(what, title)
        else:
            yield section, title, what


def summary_of(page: Path) -> str:
    """Return the first sentence of a page."""
    paragraphs = re.sub(r"(?m)^#.*$", "", page.read_text(encoding="utf-8")).strip().split("\n\n")
    prose = next((text for text in paragraphs if re.match(r"[A-Z`*\[]", text)), "")
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(prose.split()))
    return re.split(r"(?<=[.])\s", plain, maxsplit=1)[0].removesuffix(":")


def main(docs: Path, site: Path) -> None:
    """Write the map and the pages into a folder."""
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)  # noqa: S506
    lines = [f"# {settings['site_name']}", "", f"> {settings['site_description']}"]
    last = ""
    for section, title, file in pages_of(settings["nav"]):
        if section != last:
            lines += ["", f"## {section}", ""]
            last = section
        summary = summary_of(docs / file)
        lines.append(f"- [{title}]({file})" + (f": {summary}" if summary else ""))
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(docs / file, site / file)
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
