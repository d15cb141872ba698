"""Finds the JSON in what a model said, among thoughts, words and code fences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pydantic_core

__all__ = ["json_in", "json_start", "without_thoughts"]

_THOUGHTS: Final = ("<think>", "<thinking>", "<reasoning>")
_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_TRIES: Final = 64
"""How many places of a text are looked at for a value that begins there."""
_DECODER: Final = json.JSONDecoder()


def json_start(text: str) -> int:
    """Return where JSON may begin in a text; -1 where it is empty."""
    found = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    return min(found) if found else (0 if text.strip() else -1)


def without_thoughts(text: str) -> str:
    """Return an answer without the thoughts that a model wrote before it; nothing while it thinks."""
    begun = text.lstrip()
    for tag in _THOUGHTS:
        if begun.startswith(tag):
            return begun.partition(tag.replace("<", "</"))[2]
        if tag.startswith(begun):
            return ""  # it may still become one
    return text


def json_in(text: str) -> Iterator[Any]:
    """Return the values in an answer, the likeliest first.

    The whole of it, what follows the thoughts, what stands in a code fence, and what stands
    between words, the longest first.
    """
    answer = without_thoughts(text)
    yield from _read(text, answer)
    fenced = [found.strip() for found in _FENCE.findall(answer)]
    yield from _read(*reversed(fenced))
    yield from _between(answer)


def _read(*texts: str) -> Iterator[Any]:
    for text in texts:
        try:
            yield pydantic_core.from_json(text)
        except ValueError:
            continue


def _between(text: str) -> Iterator[Any]:
    found: list[tuple[int, Any]] = []
    at = 0
    for _ in range(_TRIES):
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            break
        at = min(starts)
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        found.append((end - at, value))
        at = end
    for _, value in sorted(found, key=lambda item: -item[0]):
        yield value
