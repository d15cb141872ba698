"""What a store of traces and logs has to do, and one that keeps the latest in this process."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Final, Literal, Protocol, TypeAlias

from mastra.jsonable import load_json
from mastra.observability.records import LogRecord, SpanRecord
from mastra.observability.spans import SpanKind

__all__ = [
    "InMemoryObservability",
    "LogFilter",
    "LogPage",
    "ObservabilityStore",
    "SpanColumn",
    "SpanFilter",
    "TracePage",
]

MAX_SPANS: Final = 5_000
"""How many spans of one trace are read at once, the first first."""

FIGURES_AT_ONCE: Final = 2_000
"""How many spans are read at once where all of a time are."""

SpanColumn: TypeAlias = Literal[
    "trace_id", "thread_id", "resource_id", "run_id", "kind", "name", "entity_id", "entity_name",
    "model", "provider", "is_failed",
]  # fmt: skip
"""What values can be counted of."""


@dataclass(frozen=True, slots=True)
class SpanFilter:
    """Which spans; what is left out does not matter. Times in milliseconds since 1970."""

    trace_id: str | None = None
    span_id: str | None = None
    kinds: tuple[SpanKind, ...] | None = None
    name: str | None = None
    entity_id: str | None = None
    entity_name: str | None = None
    run_id: str | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    is_failed: bool | None = None
    started_from: float | None = None
    started_before: float | None = None
    ended_from: float | None = None
    ended_before: float | None = None

    def equal(self) -> dict[str, str | bool]:
        """Return the columns that must be equal to something."""
        return {name: found for name in _EQUAL if (found := getattr(self, name)) is not None}

    def bounds(self) -> dict[str, float]:
        """Return the bounds of times."""
        return {name: found for name in _BOUNDS if (found := getattr(self, name)) is not None}


_BOUNDS: Final = ("started_from", "started_before", "ended_from", "ended_before")
_EQUAL: Final = tuple(one.name for one in fields(SpanFilter) if one.name not in (*_BOUNDS, "kinds"))


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which log records; what is left out does not matter."""

    levels: tuple[str, ...] | None = None
    kinds: tuple[SpanKind, ...] | None = None
    """Of the spans that they were logged in."""
    run_id: str | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    entity_name: str | None = None
    from_ms: float | None = None
    before_ms: float | None = None

    def equal(self) -> dict[str, str]:
        """Return the columns that must be equal to something."""
        return {name: found for name in _OF_LOGS if (found := getattr(self, name)) is not None}


_OF_LOGS: Final = ("run_id", "thread_id", "resource_id", "trace_id", "span_id", "entity_name")


@dataclass(frozen=True, slots=True)
class TracePage:
    """Some traces, each by its first span, and how many there are in all."""

    roots: list[SpanRecord]
    total: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some log records, and how many there are in all."""

    records: list[LogRecord]
    total: int


class ObservabilityStore(Protocol):
    """Keeps spans and log records. A trace is known by the span of it that began first."""

    async def save(self, spans: Sequence[SpanRecord], logs: Sequence[LogRecord]) -> None:
        """Store both, all or none. What is there already stays.

        Raises:
            StorageError: They could not be stored.
        """
        ...

    async def list_traces(
        self,
        where: SpanFilter = SpanFilter(),
        *,
        offset: int = 0,
        limit: int,
        order_by: Literal["started_ms", "ended_ms"] = "started_ms",
        is_ascending: bool = False,
    ) -> TracePage:
        """Return traces whose first span is asked for, by the time of that span."""
        ...

    async def get_spans(self, trace_ids: Collection[str]) -> list[SpanRecord]:
        """Return the spans of traces in the order in which they began."""
        ...

    def figures(self, where: SpanFilter) -> AsyncIterator[list[SpanRecord]]:
        """Yield spans in the order in which they ended, without attributes and content.

        They come some at a time, so that however many there are, few are in memory.
        """
        ...

    async def count_values(
        self,
        column: SpanColumn,
        *,
        kinds: Collection[SpanKind] | None = None,
        of_roots: bool = False,
        resource_id: str | None = None,
        search: str = "",
        limit: int,
    ) -> list[tuple[str | bool, int]]:
        """Return the values of a column with how often each is there, the commonest first.

        Args:
            column: The column.
            kinds: Of spans of these kinds.
            of_roots: Of the first spans of traces alone.
            resource_id: Of traces of this owner.
            search: Only values that hold this text, in whatever case.
            limit: How many at most.
        """
        ...

    async def list_logs(
        self,
        where: LogFilter = LogFilter(),
        *,
        offset: int = 0,
        limit: int,
        is_ascending: bool = False,
    ) -> LogPage:
        """Return log records by time, the latest first."""
        ...

    async def delete_before(self, before_ms: int) -> int:
        """Delete log records, and traces of which nothing has ended since; return how many."""
        ...


MAX_TRACES: Final = 500
MAX_SPANS_KEPT: Final = 2000
"""Of one trace."""
MAX_LOGS: Final = 2000


class InMemoryObservability:
    """Keeps the latest traces and log records in this process."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, list[tuple[SpanRecord, bytes]]] = OrderedDict()
        self._logs: deque[tuple[LogRecord, bytes]] = deque(maxlen=MAX_LOGS)

    async def save(self, spans: Sequence[SpanRecord], logs: Sequence[LogRecord]) -> None:
        """Keep both; the oldest go first."""
        for span in spans:
            kept = self._traces.get(span.trace_id)
            if kept is None:
                kept = self._traces[span.trace_id] = []
                if len(self._traces) > MAX_TRACES:
                    self._traces.popitem(last=False)
            if len(kept) < MAX_SPANS_KEPT or span.parent_id is None:
                kept.append((span.with_content({}), span.content()))
        self._logs.extend((record.with_content({}), record.content()) for record in logs)

    def _roots(self) -> list[tuple[SpanRecord, bytes]]:
        return [min(spans, key=_began) for spans in self._traces.values() if spans]

    async def list_traces(
        self,
        where: SpanFilter = SpanFilter(),
        *,
        offset: int = 0,
        limit: int,
        order_by: Literal["started_ms", "ended_ms"] = "started_ms",
        is_ascending: bool = False,
    ) -> TracePage:
        """Return traces whose first span is asked for."""
        found = [kept for kept in self._roots() if _is_asked(kept[0], where)]
        found.sort(key=lambda kept: getattr(kept[0], order_by), reverse=not is_ascending)
        return TracePage([_read(kept) for kept in found[offset : offset + limit]], len(found))

    async def get_spans(self, trace_ids: Collection[str]) -> list[SpanRecord]:
        """Return the spans of traces in the order in which they began."""
        found = [kept for trace_id in trace_ids for kept in self._traces.get(trace_id, ())]
        return [_read(kept) for kept in sorted(found, key=_began)]

    async def figures(self, where: SpanFilter) -> AsyncIterator[list[SpanRecord]]:
        """Yield spans in the order in which they ended."""
        spans = (span for kept in self._traces.values() for span, _ in kept)
        found = [span for span in spans if _is_asked(span, where)]
        found.sort(key=lambda span: (span.ended_ms, span.trace_id, span.span_id))
        for place in range(0, len(found), FIGURES_AT_ONCE):
            yield found[place : place + FIGURES_AT_ONCE]

    async def count_values(
        self,
        column: SpanColumn,
        *,
        kinds: Collection[SpanKind] | None = None,
        of_roots: bool = False,
        resource_id: str | None = None,
        search: str = "",
        limit: int,
    ) -> list[tuple[str | bool, int]]:
        """Return the values of a column with how often each is there."""
        counts: Counter[str | bool] = Counter()
        for root, _ in self._roots():
            if resource_id is not None and root.resource_id != resource_id:
                continue
            spans = [root] if of_roots else (span for span, _ in self._traces[root.trace_id])
            for span in spans:
                value: str | bool | None = getattr(span, column)
                if value is None or (kinds is not None and span.kind not in kinds):
                    continue
                if search.lower() in str(value).lower():
                    counts[value] += 1
        return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:limit]

    async def list_logs(
        self,
        where: LogFilter = LogFilter(),
        *,
        offset: int = 0,
        limit: int,
        is_ascending: bool = False,
    ) -> LogPage:
        """Return log records by time."""
        found = [kept for kept in self._logs if _is_asked_log(kept[0], where)]
        found.sort(key=lambda kept: kept[0].time_ms, reverse=not is_ascending)
        shown = islice(found, offset, offset + limit)
        records = [record.with_content(load_json(data)) for record, data in shown]
        return LogPage(records, len(found))

    async def delete_before(self, before_ms: int) -> int:
        """Delete what is older."""
        old = [
            trace_id
            for trace_id, spans in self._traces.items()
            if all(span.ended_ms < before_ms for span, _ in spans)
        ]
        for trace_id in old:
            del self._traces[trace_id]
        kept = [one for one in self._logs if one[0].time_ms >= before_ms]
        gone = len(self._logs) - len(kept)
        self._logs = deque(kept, MAX_LOGS)
        return len(old) + gone


def _began(kept: tuple[SpanRecord, bytes]) -> float:
    return kept[0].started_ms


def _read(kept: tuple[SpanRecord, bytes]) -> SpanRecord:
    return kept[0].with_content(load_json(kept[1]))


def _is_asked(span: SpanRecord, where: SpanFilter) -> bool:
    if where.kinds is not None and span.kind not in where.kinds:
        return False
    if any(getattr(span, name) != value for name, value in where.equal().items()):
        return False
    for name, bound in where.bounds().items():
        column, _, side = name.rpartition("_")
        moment: float = getattr(span, f"{column}_ms")
        if moment < bound if side == "from" else moment >= bound:
            return False
    return True


def _is_asked_log(record: LogRecord, where: LogFilter) -> bool:
    return (
        (where.levels is None or record.level in where.levels)
        and (where.kinds is None or record.kind in where.kinds)
        and all(getattr(record, name) == value for name, value in where.equal().items())
        and (where.from_ms is None or record.time_ms >= where.from_ms)
        and (where.before_ms is None or record.time_ms < where.before_ms)
    )
