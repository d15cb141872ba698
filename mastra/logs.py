"""The `mastra` logger.

Records carry their facts as attributes under `mastra` (a dict), which a structured handler can
print as fields. Nothing is configured on import: the application decides where logs go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TypeAlias

__all__ = ["BoundLogger", "cause_of", "get_logger", "show_cause"]


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
    facts: Mapping[str, object] | None = None,
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
) -> BoundLogger:
    """Return the `mastra` logger, or another, with facts bound to it."""
    plain: Any = getattr(logger, "logger", logger)
    return BoundLogger(plain or logging.getLogger("mastra"), dict(facts or {}))


Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]


def cause_of(record: logging.LogRecord) -> Raised | None:
    """Return what a failed step raised, which its record carries without showing it."""
    cause: Any = getattr(record, "cause", None)
    if not isinstance(cause, BaseException):
        return None
    return type(cause), cause, cause.__traceback__


def show_cause(record: logging.LogRecord) -> bool:
    """Let a record show the traceback of a failed step; a filter for handlers of a server."""
    record.exc_info = record.exc_info or cause_of(record)
    return True
