"""What agents remember."""

from __future__ import annotations

from mastra.memory.memory import Memory as Memory
from mastra.memory.notes import WorkingMemory as WorkingMemory
from mastra.memory.semantic import SemanticRecall as SemanticRecall

__all__ = ["Memory", "SemanticRecall", "WorkingMemory"]


def __dir__() -> list[str]:
    return sorted(__all__)
