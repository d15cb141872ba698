"""Whether what a memory and a call of it are given can be meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mastra.given import (
    COUNT,
    FLAG,
    MAPPING,
    Form,
    check_given,
    check_names,
    either,
    having,
    one_of,
)
from mastra.models.resolve import MODEL
from mastra.names import camel

__all__ = ["check_memory", "named"]

_NAMES: Final = (
    "generate_title",
    "last_messages",
    "read_only",
    "semantic_recall",
    "working_memory",
)
_SPELLINGS: Final = {camel(name): name for name in _NAMES}

_FORMS: Final = {
    "store": having("a store of conversations, such as SQLStorage(...).memory", "save_messages"),
    "vectors": having("a store of vectors, as mastra.storage.vectors.Vectors", "upsert", "query"),
    "last_messages": either(COUNT, one_of(False)),
    "read_only": FLAG,
    "embedder_options": MAPPING,
    "generate_title": either(FLAG, MODEL),
    "working_memory": Form(
        "True, False, a WorkingMemory or a dict of its options",
        lambda value: isinstance(value, (bool, Mapping)) or hasattr(value, "template"),
    ),
    "semantic_recall": Form(
        "True, False, a SemanticRecall or a dict of its options",
        lambda value: isinstance(value, (bool, Mapping)) or hasattr(value, "top_k"),
    ),
}


def check_memory(owner: str, options: Mapping[str, Any]) -> None:
    """Check the values of options of a memory, or of a call of it.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    check_given(owner, options, _FORMS)


def named(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of one call, in snake_case or camelCase, by their names in Python.

    Raises:
        ConfigError: There is no option of that name, or it cannot be meant.
    """
    known = {_SPELLINGS.get(key, key): value for key, value in options.items()}
    check_names("Memory has no option", known, _NAMES)
    check_memory("memory.options", known)
    return known
