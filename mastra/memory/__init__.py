"""What agents remember."""

from __future__ import annotations

from mastra.memory.memory import Memory as Memory
from mastra.memory.memory import WorkingMemory as WorkingMemory

__all__ = ["Memory", "WorkingMemory"]
