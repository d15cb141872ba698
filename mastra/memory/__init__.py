"""What agents remember."""

from __future__ import annotations

from mastra.memory.memory import Memory as Memory
from mastra.memory.notes import WorkingMemory as WorkingMemory
from mastra.memory.semantic import SemanticRecall as SemanticRecall
from mastra.storage.vectors import MessageMatch as MessageMatch
from mastra.storage.vectors import MessageVector as MessageVector
from mastra.storage.vectors import Vectors as Vectors

__all__ = [
    "Memory",
    "MessageMatch",
    "MessageVector",
    "SemanticRecall",
    "Vectors",
    "WorkingMemory",
]


def __dir__() -> list[str]:
    return sorted(__all__)
