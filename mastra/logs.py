"""The `mastra` logger.

Records carry their facts as attributes under `mastra` (a dict), which a structured handler can
print as fields. Nothing is configured on import: the application decides where logs go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

__all__ = ["BoundLogger", "get_logger"]


class BoundLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the same facts to each record, such as run and step."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the bound facts under `record.mastra`."""
        extra = dict(kwargs.get("extra") or {})
        extra["mastra"] = {**(self.extra or {}), **extra.get("mastra", {})}
        kwargs["extra"] = extra
        return msg, kwargs


def get_logger(
    facts: Mapping[str, object] | None = None, logger: logging.Logger | None = None
) -> BoundLogger:
    """Return the `mastra` logger with facts bound to it."""
    return BoundLogger(logger or logging.getLogger("mastra"), dict(facts or {}))
