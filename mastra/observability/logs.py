"""Log records as JSON lines, with run, step and attempt as fields."""

from __future__ import annotations

import logging
from typing import Any, cast

from mastra.clock import iso_from_ms
from mastra.jsonable import dump_wire, to_jsonable
from mastra.observability.spans import current_span

__all__ = ["JsonLogFormatter"]


class JsonLogFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    What a logger of this package knows (run, workflow, step, attempt) becomes fields, and so do
    the ids of the trace.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": iso_from_ms(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts: Any = getattr(record, "mastra", None)
        if isinstance(facts, dict):
            line.update(to_jsonable(cast("dict[str, Any]", facts)))
        span = current_span()
        if span is not None:
            line["trace_id"], line["span_id"] = span.trace_id, span.span_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return dump_wire(line).decode()
