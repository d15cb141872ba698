"""What a function's docstring says of it and of its parameters: as Google, NumPy or Sphinx write it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from mastra.plain_functions import inner_of

__all__ = ["describe"]

_SECTIONS: Final = re.compile(
    r"^\s*(?:(?:Args|Arguments|Params|Parameters|Returns?|Raises|Yields?|Attributes|Examples?"
    r"|Exceptions|Except|Other Parameters|Keyword Args|Keyword Arguments)\s*:?\s*$|[:@]\w+[^:\n]*:)",
    re.MULTILINE,
)


def describe(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a function, and of each parameter."""
    inner = inner_of(function)
    texts = [inspect.getdoc(inner) or ""]
    if not inspect.isroutine(inner):
        # An object that can be called: its class says what it is for, the call what it takes.
        texts.append(inspect.getdoc(type(inner).__call__) or "")
    told, found = "", dict[str, str]()
    for text in texts:
        head, parameters = _read(text)
        told = told or head
        found.update(parameters)
    return told, found


def _read(text: str) -> tuple[str, dict[str, str]]:
    if not _SECTIONS.search(text):
        return _one_line(text), {}
    import docstring_parser  # noqa: PLC0415 - a tenth of a second, where there is something to read

    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return _one_line(_SECTIONS.split(text)[0]), {}
    found: dict[str, str] = {}
    for item in parsed.params:
        said = _one_line(item.description or "")
        for name in item.arg_name.split(","):
            if said:
                found[name.strip().lstrip("*")] = said
    return _one_line(parsed.description or ""), found


def _one_line(text: str) -> str:
    return " ".join(text.split())
