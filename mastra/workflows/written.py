"""What a step writes in a form of its own: shorter where it is stored than where it is read.

A durable agent's chunk need not be stored with what a record has: it names the record. Stored it is
`[records, body]` or `[records, body, usage]`: `0`, or the operations in the step's block that it
is to be read with, or `1` for all of them; what the step itself reads; and the tokens that an
agent's whole answer has used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from mastra.jsonable import Json
from mastra.workflows.records import Journal, StepRecord

__all__ = ["Packed", "Unpack", "Written", "records_in"]

Unpack: TypeAlias = Callable[[Json, str, StepRecord, Mapping[str, StepRecord]], Json]
"""Returns what clients see of a body: of which run, in which block, read with which records."""


class Written:
    """A value that a step writes, and that knows how it is stored and sent."""

    __slots__ = ()

    @property
    def usage(self) -> Mapping[str, Any]:
        """The tokens that an agent's answer has used, where it ends with this."""
        raise NotImplementedError

    def to_stored(self) -> Json:
        """Return it as it is stored."""
        raise NotImplementedError

    def to_wire(self, run_id: str, block: StepRecord, unpack: Unpack | None) -> Json:
        """Return what clients see."""
        raise NotImplementedError


class Packed(Written):
    """One that comes from storage, with the records that it is to be read with."""

    __slots__ = ("_records", "_stored")

    def __init__(self, stored: Json, block: StepRecord, journal: Journal) -> None:
        self._stored = cast("list[Any]", stored)
        # As they are here: a run that goes back in time drops records, and makes them anew.
        self._records = _records(self._stored[0], f"{block.op_id}/", journal)

    @property
    def usage(self) -> Mapping[str, Any]:
        """The tokens that an agent's answer has used."""
        return self._stored[2] if len(self._stored) > 2 else {}

    def to_stored(self) -> Json:
        """Return it as it is stored."""
        return self._stored

    def to_wire(self, run_id: str, block: StepRecord, unpack: Unpack | None) -> Json:
        """Return what clients see; without its step, what is stored."""
        body = self._stored[1]
        return body if unpack is None else unpack(body, run_id, block, self._records)


def _records(wanted: Any, prefix: str, journal: Journal) -> Mapping[str, StepRecord]:
    if not wanted:
        return {}
    if wanted == 1:
        return records_in(journal, prefix)
    return _named(journal, prefix, wanted)


def records_in(journal: Journal, prefix: str) -> Mapping[str, StepRecord]:
    """Return the records of a block by their operations in it, of each its last try."""
    start = len(prefix)
    found = [op[start:] for op in journal if op.startswith(prefix) and "#" not in op]
    return _named(journal, prefix, found)


def _named(journal: Journal, prefix: str, wanted: Iterable[str]) -> Mapping[str, StepRecord]:
    found = ((name, _last_try(journal, prefix + name)) for name in wanted)
    return {name: record for name, record in found if record is not None}


def _last_try(journal: Journal, op_id: str) -> StepRecord | None:
    record = journal.get(op_id)
    while record is not None and record.status == "retry":
        record = journal.get(f"{op_id}#{record.retry_count}")
    return record
