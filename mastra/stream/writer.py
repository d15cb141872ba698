"""What a step or a tool writes to while it runs, so that readers see it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["NullWriter", "Writer"]


class Writer(Protocol):
    """Sends values to whoever reads the run or the agent's stream."""

    async def write(self, value: Any) -> None:
        """Send a value: `workflow-step-output` from a step, `tool-output` from a tool.

        Never waits for a reader.
        """
        ...

    async def custom(self, chunk: Mapping[str, Any]) -> None:
        """Send a chunk of your own: `{"type": "data-<name>", "data": …}`, passed on as it is.

        Raises:
            ValidationError: The type does not begin with `data-`, or `data` is missing.
        """
        ...


class NullWriter:
    """A writer that nobody reads."""

    __slots__ = ()

    async def write(self, value: Any) -> None:
        """Drop the value."""

    async def custom(self, chunk: Mapping[str, Any]) -> None:
        """Drop the chunk."""
