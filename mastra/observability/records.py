"""The latest log records, in memory: what Studio's page of logs reads."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from mastra.jsonable import Json, to_jsonable
from mastra.logs import cause_of
from mastra.observability.spans import Span, Tracer, current_span

__all__ = ["LogRecord", "LogStore"]

_LEVELS = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"))
# What a record's facts are called on the wire; others travel as its data.
_NAMES = {
    "run_id": "runId",
    "run": "runId",
    "thread": "threadId",
    "thread_id": "threadId",
    "resource_id": "resourceId",
}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record that was logged. The time is in milliseconds since 1970."""

    number: int
    """Counts from 1 in its store."""
    time_ms: float
    level: str
    """`debug`, `info`, `warn`, `error` or `fatal`."""
    logger: str
    message: str
    data: dict[str, Json] = field(default_factory=dict[str, Any])
    """What the logger knew beside the ids, such as workflow, step and attempt."""
    ids: dict[str, Json] = field(default_factory=dict[str, Any])
    """`runId`, `threadId` and `resourceId`, as far as they are known."""
    span: Span | None = None
    """The span that it was logged in."""


class LogStore:
    """Keeps the latest log records of an application, up to a bound.

    Args:
        max_records: How many; the oldest go first.
    """

    def __init__(self, *, max_records: int = 2000) -> None:
        self._records: deque[LogRecord] = deque(maxlen=max_records)
        self._count = 0

    @property
    def count(self) -> int:
        """How many records have come, those that were dropped included."""
        return self._count

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[LogRecord]:
        """Go through the records, the latest first."""
        return reversed(self._records.copy())

    def add(self, record: logging.LogRecord, exception: str | None = None) -> None:
        """Keep a record of Python's logging.

        Args:
            record: The record.
            exception: The traceback that belongs to it.
        """
        found: Any = getattr(record, "mastra", None)
        facts = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        span = current_span()
        ids: dict[str, Json] = {} if span is None else dict(span.facts)
        data: dict[str, Json] = {}
        for key, value in facts.items():
            name = _NAMES.get(key)
            (data if name is None else ids)[name or key] = to_jsonable(value)
        if exception is not None:
            data["exception"] = exception
        self._count += 1
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        self._records.append(
            LogRecord(
                self._count,
                record.created * 1000,
                level,
                record.name,
                record.getMessage(),
                data,
                ids,
                span,
            )
        )


class LogCollector(logging.Handler):
    """Puts what is logged into a store, except what belongs to another application's trace."""

    def __init__(self, store: LogStore, tracer: Tracer | None = None) -> None:
        super().__init__()
        self._store = store
        self._tracer = tracer
        self._formatter = logging.Formatter()
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        if record is self._last:
            return  # come by two ways: the application's logger, and the one above it
        self._last = record
        span = current_span()
        if span is not None and self._tracer is not None and span.tracer is not self._tracer:
            return
        try:
            raised = record.exc_info or cause_of(record)
            exception = None if not raised else self._formatter.formatException(raised)
            self._store.add(record, exception)
        except Exception:  # noqa: BLE001 - as every handler: logging must not end what logs
            self.handleError(record)
