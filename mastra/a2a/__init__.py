"""The protocol A2A: agents of other programs, as agents here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.a2a.agent import A2AAgent

__all__ = ["A2AAgent"]

_HOMES = {"A2AAgent": "mastra.a2a.agent"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="a2a")
