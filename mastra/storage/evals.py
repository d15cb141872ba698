"""What a store of evaluations has to do, and one that keeps them in this process.

Scores, datasets with their items, experiments with their results, and feedback are records of one
form: a few columns to look for, and data. A store knows nothing of what is in the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from mastra.clock import now_ms
from mastra.errors import IdTakenError
from mastra.failures import error_to_json
from mastra.jsonable import Json, dump_json, load_json
from mastra.observability.percentiles import percentiles
from mastra.storage.damage import unreadable
from mastra.storage.limits import check_columns

__all__ = [
    "EvalFilter",
    "EvalGuard",
    "EvalKind",
    "EvalPage",
    "EvalRecord",
    "EvalStore",
    "FieldCondition",
    "InMemoryEvals",
    "Path",
    "Percentiles",
]

EvalKind: TypeAlias = Literal[
    "score",
    "dataset",
    "dataset_item",
    "dataset_version",
    "experiment",
    "experiment_result",
    "feedback",
]


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One record. Times in milliseconds since 1970."""

    kind: EvalKind
    id: str
    """Unique among those of its kind."""
    data: dict[str, Json] = field(default_factory=dict[str, Json])
    parent_id: str | None = None
    """Of a score its scorer; of an item, a version and an experiment the dataset; of a result the
    experiment."""
    subject: str | None = None
    """Of a score what was scored, as `AGENT/planner`; of an item and a result the item."""
    run_id: str | None = None
    trace_id: str | None = None
    resource_id: str | None = None
    """Whose it is; `None` for what belongs to the application."""
    version: int = 0
    """Of a dataset how often it was changed; of an item from which version on it is there."""
    valid_to: int | None = None
    """Of an item the version from which on it is no longer there."""
    created_at: int = 0
    """Set by the store where it is 0."""
    updated_at: int = 0
    """Likewise."""
    error: str | None = None
    """Why the data could not be read. It is not stored."""

    def fault(self) -> dict[str, Json]:
        """Return the `error` that an entry of a list has, of a record that could not be read."""
        if self.error is None:
            return {}
        what = f"{self.kind.replace('_', ' ').capitalize()} {self.id!r}"
        return {"error": error_to_json(unreadable(what, self.error))}


Path: TypeAlias = tuple[str, ...]
"""Where a value stands in the data: names, each within the one before."""


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A text in the data must be one of some."""

    paths: tuple[Path, ...]
    """Where it stands: at the first of these where there is a text that is not empty."""
    values: tuple[str, ...]
    """What it may be. None of them, and no record meets it."""


@dataclass(frozen=True, slots=True)
class EvalFilter:
    """Which records; what is left out does not matter."""

    parent_id: str | None = None
    subject: str | None = None
    run_id: str | None = None
    trace_id: str | None = None
    resource_id: str | None = None
    at_version: int | None = None
    """Of items: those that are there at this version of their dataset."""
    from_ms: int | None = None
    """Those that were first stored at this time or after it, in milliseconds since 1970."""
    before_ms: int | None = None
    """Those that were first stored before this time."""
    fields: tuple[FieldCondition, ...] = ()
    """What must stand in the data. A record whose data cannot be read meets no condition."""

    def columns(self) -> dict[str, str]:
        """Return the columns that must be equal to something."""
        return {name: value for name in _LOOKED_AT if (value := getattr(self, name)) is not None}


_LOOKED_AT: Final = ("parent_id", "subject", "run_id", "trace_id", "resource_id")


@dataclass(frozen=True, slots=True)
class EvalGuard:
    """A record that must be as it was read, in one atomic step with what is written."""

    kind: EvalKind
    id: str
    updated_at: int


@dataclass(frozen=True, slots=True)
class EvalPage:
    """Some of the records there are, the newest first unless asked otherwise."""

    records: list[EvalRecord]
    total: int


Percentiles: TypeAlias = list[tuple[int, list[float]]]
"""Of each stretch of time its begin, in milliseconds since 1970, and a value for each share."""


class EvalStore(Protocol):
    """Keeps evaluations. Every call is safe from several processes where the store itself is."""

    async def save(self, records: Sequence[EvalRecord], *, guard: EvalGuard | None = None) -> bool:
        """Store records, in place of older ones of the same kind, id and resource: all or none.

        Returns:
            Whether they were stored; `False` where the guard does not hold.

        Raises:
            IdTakenError: An older one of that kind and id is another resource's.
            StorageError: They could not be stored.
        """
        ...

    async def get(self, kind: EvalKind, record_id: str) -> EvalRecord | None:
        """Return a record, or `None`."""
        ...

    async def list(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),
        *,
        offset: int = 0,
        limit: int | None = None,
        is_ascending: bool = False,
    ) -> EvalPage:
        """Return records in the order in which they were first stored, the newest first."""
        ...

    async def count_statuses(
        self, kind: EvalKind, where: EvalFilter = EvalFilter()
    ) -> dict[tuple[str | None, str | None], int]:
        """Return how many records there are by parent and by the `status` in their data.

        Where that is no text or the data cannot be read, the status is `None`.
        """
        ...

    def pages(
        self, kind: EvalKind, where: EvalFilter = EvalFilter()
    ) -> AsyncIterator[Sequence[EvalRecord]]:
        """Yield all records, the oldest first, a few hundred at a time."""
        ...

    async def percentiles(
        self,
        kind: EvalKind,
        path: Path,
        where: EvalFilter = EvalFilter(),
        *,
        shares: Sequence[float],
        interval_ms: int,
    ) -> Percentiles:
        """Return percentiles of a number in the data, by when the records were first stored.

        Args:
            kind: Of which records.
            path: Where the number stands. Records without one are left out.
            where: Of which of them.
            shares: From 0 to 1. A value between two records lies between theirs.
            interval_ms: How long a stretch of time is.
        """
        ...

    async def delete(
        self,
        kind: EvalKind,
        *,
        ids: Collection[str] | None = None,
        parent_id: str | None = None,
        subject: str | None = None,
        before_ms: int | None = None,
    ) -> int:
        """Delete the records that meet all that is given, and return how many there were."""
        ...


def check_eval(record: EvalRecord) -> bytes:
    """Return the data as JSON, of a record that every store takes.

    Raises:
        SerializationError: One of them would not take it.
    """
    what = f"{record.kind.replace('_', ' ').capitalize()} {record.id!r}"
    names = ("id", *_LOOKED_AT, "version", "valid_to", "created_at", "updated_at")
    check_columns(what, record, *names)
    return dump_json(record.data, what=what)


def eval_taken(record: EvalRecord) -> IdTakenError:
    """Return the error about a record whose id is that of another resource's."""
    what = record.kind.replace("_", " ").capitalize()
    return IdTakenError(
        f"{what} {record.id!r} belongs to another resource. Choose another id, or leave it out.",
        details={"kind": record.kind, "id": record.id},
    )


MAX_SCORES: Final = 10_000
"""How many scores a store in this process keeps; older ones are forgotten."""


PAGE: Final = 200
"""How many records are read at a time where all are gone through."""


class InMemoryEvals:
    """Keeps evaluations in dicts, and of scores and feedback only the latest."""

    def __init__(self) -> None:
        self._kept: dict[EvalKind, dict[str, tuple[EvalRecord, bytes]]] = {}

    def _of(self, kind: EvalKind) -> dict[str, tuple[EvalRecord, bytes]]:
        return self._kept.setdefault(kind, {})

    async def save(self, records: Sequence[EvalRecord], *, guard: EvalGuard | None = None) -> bool:
        """Store records, in place of older ones of the same kind and id."""
        written = [(record, check_eval(record)) for record in records]
        if guard is not None:
            found = self._of(guard.kind).get(guard.id)
            if found is None or found[0].updated_at != guard.updated_at:
                return False
        for record in records:
            older = self._of(record.kind).get(record.id)
            if older is not None and older[0].resource_id != record.resource_id:
                raise eval_taken(record)
        now = now_ms()
        for record, data in written:
            kept = replace(
                record,
                created_at=record.created_at or now,
                updated_at=record.updated_at or now,
                data={},
            )
            of_kind = self._of(record.kind)
            of_kind[record.id] = (kept, data)
            if record.kind in ("score", "feedback") and len(of_kind) > MAX_SCORES:
                del of_kind[next(iter(of_kind))]
        return True

    async def get(self, kind: EvalKind, record_id: str) -> EvalRecord | None:
        """Return a record, or `None`."""
        found = self._of(kind).get(record_id)
        return None if found is None else _read(found)

    async def list(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),
        *,
        offset: int = 0,
        limit: int | None = None,
        is_ascending: bool = False,
    ) -> EvalPage:
        """Return records in the order in which they were first stored, the newest first."""
        found = self._found(kind, where)
        if not is_ascending:
            found.reverse()
        end = None if limit is None else offset + limit
        return EvalPage([_read(kept) for kept in found[offset:end]], len(found))

    def _found(self, kind: EvalKind, where: EvalFilter) -> list[tuple[EvalRecord, bytes]]:
        columns = where.columns()
        look = attrgetter(*columns) if columns else None
        wanted = tuple(columns.values()) if len(columns) > 1 else next(iter(columns.values()), None)
        return [
            kept
            for kept in self._of(kind).values()
            if (look is None or look(kept[0]) == wanted)
            and _is_at(kept[0], where.at_version)
            and (where.from_ms is None or kept[0].created_at >= where.from_ms)
            and (where.before_ms is None or kept[0].created_at < where.before_ms)
            and (not where.fields or _has(load_json(kept[1]), where.fields))
        ]

    async def count_statuses(
        self, kind: EvalKind, where: EvalFilter = EvalFilter()
    ) -> dict[tuple[str | None, str | None], int]:
        """Return how many records there are by parent and by the `status` in their data."""
        found = map(_read, self._found(kind, where))
        return Counter((one.parent_id, _text_at(one.data, ("status",))) for one in found)

    async def pages(
        self, kind: EvalKind, where: EvalFilter = EvalFilter()
    ) -> AsyncIterator[Sequence[EvalRecord]]:
        """Yield all records, the oldest first, a few hundred at a time."""
        found = self._found(kind, where)
        for start in range(0, len(found), PAGE):
            yield [_read(kept) for kept in found[start : start + PAGE]]

    async def percentiles(
        self,
        kind: EvalKind,
        path: Path,
        where: EvalFilter = EvalFilter(),
        *,
        shares: Sequence[float],
        interval_ms: int,
    ) -> Percentiles:
        """Return percentiles of a number in the data, by when the records were first stored."""
        stretches: dict[int, list[float]] = {}
        async for page in self.pages(kind, where):
            for one in page:
                number = _at(one.data, path)
                if isinstance(number, int | float) and not isinstance(number, bool):
                    begin = one.created_at // interval_ms * interval_ms
                    stretches.setdefault(begin, []).append(float(number))
        return [(begin, percentiles(values, shares)) for begin, values in sorted(stretches.items())]

    async def delete(
        self,
        kind: EvalKind,
        *,
        ids: Collection[str] | None = None,
        parent_id: str | None = None,
        subject: str | None = None,
        before_ms: int | None = None,
    ) -> int:
        """Delete the records that meet all that is given, and return how many there were."""
        gone = [
            name
            for name, (record, _) in self._of(kind).items()
            if (ids is None or name in ids)
            and (parent_id is None or record.parent_id == parent_id)
            and (subject is None or record.subject == subject)
            and (before_ms is None or record.created_at < before_ms)
        ]
        for name in gone:
            del self._of(kind)[name]
        return len(gone)


def _read(kept: tuple[EvalRecord, bytes]) -> EvalRecord:
    return replace(kept[0], data=load_json(kept[1]))


def _at(data: Json, path: Path) -> Json:
    found: Any = data
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = cast("Mapping[str, Any]", found).get(name)
    return found


def _text_at(data: Json, *paths: Path) -> str | None:
    texts = (found for path in paths if isinstance(found := _at(data, path), str))
    return next(filter(None, texts), None)


def _has(data: Json, conditions: Sequence[FieldCondition]) -> bool:
    return all(_text_at(data, *one.paths) in one.values for one in conditions)


def _is_at(record: EvalRecord, version: int | None) -> bool:
    if version is None:
        return True
    return record.version <= version and (record.valid_to is None or record.valid_to > version)
