"""Control flow of a step: suspend and bail end it where they are called.

They derive from `BaseException`, so that a step's own `except Exception` lets them through, and
the step runner turns them into a record: no signal ever leaves the operation.
"""

from __future__ import annotations

from typing import Any

from mastra.failures import Signal
from mastra.jsonable import Json

__all__ = ["Bail", "Suspend"]


class Suspend(Signal):
    """Ends a step that waits for somebody's answer."""

    def __init__(self, payload: Any, labels: tuple[str, ...]) -> None:
        super().__init__("suspended")
        self.payload = payload
        self.labels = labels


class Bail(Signal):
    """Ends the whole workflow in success, with this result."""

    def __init__(self, result: Any) -> None:
        super().__init__("bailed")
        self.result: Json = result
