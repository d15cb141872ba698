"""What the stores need of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from sqlalchemy.engine import Dialect

from mastra.errors import VALUE_NOT_STORABLE, StorageError
from mastra.storage.sql.statements import Statement

__all__ = [
    "Database",
    "Durability",
    "EncodedRow",
    "Row",
    "Undone",
    "Values",
    "append_failed",
    "failed",
    "open_failed",
    "whole",
]

Durability: TypeAlias = Literal["normal", "full"]

Row: TypeAlias = Sequence[Any]
"""One row of a result, by place."""

Values: TypeAlias = Mapping[str, object]
"""Parameters of a statement, by name."""

EncodedRow: TypeAlias = tuple[str, str]
"""A journal row as it is stored: key and JSON."""


class Database(Protocol):
    """Runs compiled statements. Opens itself on first use.

    Everything raises `StorageError`, which says what was being done.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes can open it too."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Compiles statements for it."""
        ...

    async def open(self) -> None:
        """Connect, and bring the schema up to date. May be called again."""
        ...

    async def aclose(self) -> None:
        """Close every connection. The next call opens it again."""
        ...

    async def fetch(
        self, statement: Statement, values: Values, *, what: str, is_point: bool = False
    ) -> Sequence[Row]:
        """Read rows.

        Args:
            statement: Reads only: it may run again after a lost connection.
            values: Its parameters.
            what: What is being done, for messages, such as `read run 'r1'`.
            is_point: It finds at most a few small rows by an index.
        """
        ...

    async def change(self, statement: Statement, values: Values, *, what: str) -> int:
        """Write, in a transaction of its own, and return how many rows were changed."""
        ...

    async def change_all(
        self, statements: Sequence[tuple[Statement, Values]], *, what: str, needed: int = 0
    ) -> list[int]:
        """Write with several statements in one transaction, and return how many rows each changed.

        Args:
            statements: What to do, in this order.
            what: What is being done, for messages.
            needed: How many of the first must change something: where one does not, nothing is
                changed, and the counts say which.
        """
        ...

    def append(
        self, workflow_id: str, run_id: str, rows: Sequence[EncodedRow]
    ) -> Awaitable[None] | None:
        """Add journal rows, durably. Rows of a run that is not there are dropped."""
        ...


class Undone(Exception):  # noqa: N818 - an outcome rather than a fault
    """Rolls a transaction back whose first statements did not all change something."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts = counts


def whole(counts: list[int], needed: int) -> list[int]:
    """Return the counts of a transaction.

    Raises:
        Undone: One of the first `needed` is 0.
    """
    if 0 in counts[:needed]:
        raise Undone(counts)
    return counts


def failed(what: str, where: str, cause: BaseException, hint: str = "") -> StorageError:
    """Return the error for a call that the database refused or that did not reach it."""
    error = StorageError(f"Could not {what} in {where}: {_reason(cause)}.{hint}")
    if _is_about_a_value(cause):
        error.code = VALUE_NOT_STORABLE
    return error


def _is_about_a_value(cause: BaseException) -> bool:
    """Return whether the same call with another text, number or date would have passed."""
    if isinstance(cause, (ValueError, OverflowError)) or type(cause).__name__ == "DataError":
        return True
    # Class 22 of SQL's states: data exceptions.
    return str(getattr(cause, "sqlstate", None) or "").startswith("22")


def open_failed(where: str, cause: BaseException, hint: str = "") -> StorageError:
    """Return the error for a database that cannot be opened."""
    return StorageError(f"Could not open {where}: {_reason(cause)}.{hint}")


def append_failed(
    workflow_id: str, run_id: str, where: str, cause: BaseException, hint: str = ""
) -> StorageError:
    """Return the error for journal rows that could not be stored."""
    error = failed(
        f"append to the journal of run {run_id!r} of workflow {workflow_id!r}", where, cause, hint
    )
    error.details.update(workflow_id=workflow_id, run_id=run_id)
    return error


def _reason(cause: BaseException) -> str:
    return (str(cause) or type(cause).__name__).rstrip(".")
