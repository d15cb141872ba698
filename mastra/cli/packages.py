"""What is installed, by what distributions say of themselves."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

__all__ = ["brought_by", "lacks", "needed_by", "version_of"]

_OF_EXTRA: Final = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?.*\bextra == ['\"]([\w-]+)['\"]")


def version_of(package: str) -> str | None:
    """Return which version of a package is installed, if it is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def brought_by(package: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Return what each extra of a package asks for: packages, and which extras of those."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for line in (requires(package) or ()) if version_of(package) else ():
        asked = _OF_EXTRA.match(line)
        if asked is not None:
            names = [name for name in (asked[2] or "").split(",") if name]
            found.setdefault(asked[3], []).append((asked[1], names))
    return found


def lacks(package: str, extras: list[str]) -> bool:
    """Return whether a package, or what its extras ask for, is not installed."""
    if version_of(package) is None:
        return True
    brought = brought_by(package) if extras else {}
    return any(lacks(*one) for extra in extras for one in brought.get(extra, ()))


def needed_by(package: str) -> list[str]:
    """Return the names of what a package asks for without any extra."""
    lines = (line for line in requires(package) or () if "extra ==" not in line)
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
