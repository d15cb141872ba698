"""What the generations of Anthropic's models can do, told by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["ModelFacts", "facts_of"]

_ANY: tuple[int, int] = (99, 0)
"""The version of a Claude whose name has none: newer than all that are known."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model can do."""

    is_claude: bool
    """Whether it is one of Anthropic's own: others speak the same API with rules of their own."""
    max_output_tokens: int
    """The longest answer that it may be asked for."""
    thinks_adaptively: bool
    """Whether it is told how hard to think; an older one is given a number of tokens."""
    hides_thoughts: bool
    """Whether it shows a summary of its thoughts only where it is asked to."""
    samples: bool
    """Whether it takes `temperature`, `top_p` and `top_k`."""
    samples_one_way: bool
    """Whether it takes `temperature` or `top_p`, not both."""
    keeps_schemas: bool
    """Whether it can be held to a JSON Schema, for answers and for tools."""
    may_interleave: bool
    """Whether it thinks between calls of tools only where a header says so."""


@lru_cache(maxsize=256)
def facts_of(model_name: str) -> ModelFacts:
    """Return what a model of this name can do; what is not known is assumed of the newest."""
    name = model_name.lower()
    is_claude = "claude" in name
    version = _version(name) if is_claude else None
    at = _ANY if version is None else version
    return ModelFacts(
        is_claude=is_claude,
        max_output_tokens=_longest(name, at) if is_claude else 4096,
        thinks_adaptively=is_claude and at >= (4, 6),
        hides_thoughts=is_claude and at >= (4, 7),
        samples=not is_claude or at < (4, 7),
        samples_one_way=is_claude and at >= (4, 1),
        keeps_schemas=is_claude and at >= (4, 5),
        may_interleave=is_claude and (4, 0) <= at < (4, 6),
    )


def _version(name: str) -> tuple[int, int] | None:
    """Return the version in `claude-3-7-sonnet-20250219` or `claude-sonnet-4-5`, wherever it is."""
    words = re.split(r"[-.@:/_]", name.partition("claude")[2])
    numbers = [int(word) for word in words if word.isdigit() and len(word) < 3]
    if not numbers:
        return None
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0)


def _longest(name: str, version: tuple[int, int]) -> int:
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    if version < (4, 5):
        return 32_000 if "opus" in name else 64_000
    if version < (4, 6) or (version == (4, 6) and "opus" not in name) or version == _ANY:
        return 64_000
    return 128_000
