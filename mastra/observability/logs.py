"""Log records with run, step and attempt as fields: as JSON lines, and as records to be kept."""

from __future__ import annotations

import functools
import logging
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from mastra.clock import iso_from_ms
from mastra.errors import SerializationError
from mastra.failures import Told, name_of, place_in_code, text_of
from mastra.ids import random_id
from mastra.jsonable import Json, dump_wire, to_jsonable
from mastra.logs import cause_of
from mastra.observability.records import LogRecord, known_text, plain_text
from mastra.observability.spans import Tracer, current_span

__all__ = ["CALLERS_MESSAGE", "JsonLogFormatter", "LogCollector"]

CALLERS_MESSAGE: Final = "callersMessage"
"""In a record's data: what a caller is shown in place of its message."""
_PACKAGE: Final = __file__.rpartition(os.sep)[0].rpartition(os.sep)[0] + os.sep
_NAME: Final = re.compile(r"[\w.:@#\[\]+-]{1,255}")
_LEVELS: Final = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"))
_IDS: Final[Mapping[str, str]] = {
    "run_id": "runId",
    "run": "runId",
    "thread": "threadId",
    "thread_id": "threadId",
    "resource_id": "resourceId",
}
"""What a record's facts are called in those of a span; others are its data."""


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


class LogCollector(logging.Handler):
    """Has log records kept, except those that belong to another application's trace.

    Args:
        keep: Takes each record.
        tracer: The application's.
    """

    def __init__(self, keep: Callable[[LogRecord], None], tracer: Tracer | None = None) -> None:
        super().__init__()
        self._keep = keep
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
            told: dict[str, Json] = {}
            if raised and raised[1] is not None:
                told["exception"] = plain_text(self._formatter.formatException(raised))
                place = place_in_code(raised[1])
                told |= {} if place is None else {"place": plain_text(place)}
            shown = _without_raised(record, None if not raised else raised[1])
            if shown is not None:
                told[CALLERS_MESSAGE] = plain_text(shown)
            self._keep(_kept(record, told))
        except Exception:  # noqa: BLE001 - as every handler: logging must not end what logs
            self.handleError(record)


def _without_raised(record: logging.LogRecord, raised: BaseException | None) -> str | None:
    """Return what a record says without what was raised said, `None` where that is all of it.

    That is for whoever runs the application: a driver's text has addresses, a file's name a path.
    """
    args: Any = record.args
    if not isinstance(args, tuple) or not args:
        return None
    given = cast("tuple[object, ...]", args)
    said = None if raised is None else text_of(raised)
    is_ours = record.pathname.startswith(_PACKAGE)
    shown = tuple(_shown(one, said, is_ours=is_ours) for one in given)
    return None if shown == given else str(record.msg) % shown


def _shown(value: object, said: str | None, *, is_ours: bool) -> object:
    if isinstance(value, BaseException):
        return name_of(value)
    if isinstance(value, Told):
        return f"{value.name}: …"
    if isinstance(value, (int, float)) or value is None or value == "":
        return value
    # Of this package's own, whatever is no name or id may be the text of something raised earlier.
    text = str(value)
    is_text = is_ours and _NAME.fullmatch(text) is None
    return "…" if is_text or (said is not None and said in text) else value


def _kept(record: logging.LogRecord, raised: dict[str, Json]) -> LogRecord:
    found: Any = getattr(record, "mastra", None)
    facts = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    span = current_span()
    ids: dict[str, Json] = {} if span is None else dict(span.facts)
    data: dict[str, Json] = {}
    for key, value in facts.items():
        name = _IDS.get(key)
        (data if name is None else ids)[name or key] = _plain(value)
    data |= raised
    return LogRecord(
        id=random_id(),
        time_ms=record.created * 1000,
        level=next((name for least, name in _LEVELS if record.levelno >= least), "debug"),
        logger=plain_text(record.name),
        message=plain_text(record.getMessage()),
        run_id=known_text(ids.get("runId")),
        thread_id=known_text(ids.get("threadId")),
        resource_id=known_text(ids.get("resourceId")),
        trace_id=None if span is None else span.trace_id,
        span_id=None if span is None else span.span_id,
        kind=None if span is None else span.kind,
        entity_id=None if span is None else plain_text(span.entity_id),
        entity_name=None if span is None else plain_text(span.entity_name),
        data=data,
        process=_process(os.getpid()),
    )


def _plain(value: object) -> Json:
    try:
        return to_jsonable(value)
    except SerializationError:
        return plain_text(str(value))


@functools.lru_cache(1)
def _process(pid: int) -> dict[str, Json]:
    return {"pid": pid, "hostname": socket.gethostname()}
