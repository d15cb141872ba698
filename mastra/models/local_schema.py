"""JSON Schemas in the form that the embedded model's server holds it to.

The server keeps to much more than OpenAI does: lengths of strings and lists, limits of whole numbers,
fields that may be left out. Of the patterns it keeps to those that cover a whole string, letter by
letter; one that it cannot keep to is left out, since it would fail the answer, or stand in the way of
a length. The agent checks the answer against the whole schema in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.jsonable import Json

__all__ = ["held_form"]

_ESCAPES: Final = {"d": "0-9", "w": "A-Za-z0-9_", "s": " "}
"""Classes that the server does not know, as those that it does. What is JSON's own (a line's end in a
string) cannot be let through."""
_LITERAL: Final = r"A-Za-z0-9 _@:/,;#%&=!~<>'`\-"
_PUNCTUATION: Final = r"\\[-.\/+*?()\[\]{}|^$]"
_TOKEN: Final = re.compile(
    rf"(?:[{_LITERAL}]|{_PUNCTUATION}|\\[dws]"
    rf"|\[(?:[{_LITERAL}.+*?()|{{}}$]|{_PUNCTUATION}|\\[dws])+\]"
    r"|\((?:\?:)?|[|)+*?]|\{\d+(?:,\d*)?\})*"
)
_CLASS_OR_ESCAPE: Final = re.compile(r"\[(?:\\.|[^\]\\])+\]|\\.")


def held_form(schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return a schema as the embedded model can be held to it; the given one is not changed."""
    return cast("dict[str, Json]", _form(schema, is_schema=True))


def _form(node: Any, *, is_schema: bool) -> Any:
    """Return a part of a schema.

    Args:
        node: It.
        is_schema: Whether its keys are keywords, and not names of fields or values.
    """
    if isinstance(node, list):
        return [_form(item, is_schema=is_schema) for item in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    found = dict(cast("Mapping[str, Any]", node))
    if not is_schema:
        return {name: _form(part, is_schema=True) for name, part in found.items()}
    if "pattern" in found:
        pattern = _pattern(found.pop("pattern"))
        if pattern is not None:
            found["pattern"] = pattern
    for key, part in found.items():
        if key in ("properties", "$defs", "definitions"):
            found[key] = _form(part, is_schema=False)
        elif key not in ("enum", "const", "default", "examples"):
            found[key] = _form(part, is_schema=True)
    return found


def _pattern(pattern: Any) -> str | None:
    """Return a pattern in the words that the server knows; `None` where there are none."""
    if not isinstance(pattern, str) or not (pattern.startswith("^") and pattern.endswith("$")):
        return None
    inner = pattern[1:-1]
    try:
        re.compile(pattern)
    except re.error:
        return None
    if not _TOKEN.fullmatch(inner) or inner.endswith("\\") or "(?" in inner.replace("(?:", ""):
        return None
    return f"^{_CLASS_OR_ESCAPE.sub(_known, inner)}$"


def _known(found: re.Match[str]) -> str:
    """Return a class, or one character that is escaped, with the classes that the server knows."""
    text = found.group()
    if text.startswith("["):
        return re.sub(r"\\([dws])", lambda escape: _ESCAPES[escape.group(1)], text)
    return f"[{_ESCAPES[text[1]]}]" if text[1] in _ESCAPES else text
