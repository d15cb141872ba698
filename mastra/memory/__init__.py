"""What agents remember."""

from __future__ import annotations

from typing import Any

from mastra.memory.clones import ClonedThread as ClonedThread
from mastra.memory.memory import Memory as Memory
from mastra.memory.notes import WorkingMemory as WorkingMemory
from mastra.memory.semantic import SemanticRecall as SemanticRecall
from mastra.storage.vectors import MessageMatch as MessageMatch
from mastra.storage.vectors import MessageVector as MessageVector
from mastra.storage.vectors import Vectors as Vectors

__all__ = [
    "ClonedThread",
    "Memory",
    "MessageMatch",
    "MessageVector",
    "SemanticRecall",
    "Vectors",
    "WorkingMemory",
]


def __getattr__(name: str) -> Any:
    from mastra.extras import missing_name  # noqa: PLC0415 - only where a name is not there

    raise missing_name(__name__, name, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
