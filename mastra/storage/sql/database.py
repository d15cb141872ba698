"""What the stores need of a database, whichever it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from sqlalchemy.engine import Dialect

from mastra.errors import VALUE_NOT_STORABLE, RunClaimedError, StorageError
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
    "taken_over",
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

    async def insert(
        self, statements: Sequence[tuple[Statement, Sequence[Values]]], *, what: str
    ) -> None:
        """Run each statement for many rows, all in one transaction.

        Args:
            statements: Statements, each with the parameters of its rows.
            what: What is being done, for messages.
        """
        ...

    def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[EncodedRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> Awaitable[None] | None:
        """Add journal rows, durably. Rows of a run that is not there are dropped.

        Args:
            workflow_id: With `run_id`, the run.
            run_id: See above.
            rows: What to add, all or none.
            owner: Add nothing unless this is the run's owner, in one atomic step.
            is_again: The first of the rows may be there already.

        Raises:
            RunClaimedError: Somebody else is the owner.
        """
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
    error.is_lasting = _is_lasting(cause)
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


def taken_over(workflow_id: str, run_id: str, owner: str | None) -> RunClaimedError:
    """Return the error for rows of a run that somebody else drives by then."""
    by = "given up" if owner is None else f"taken over by {owner!r}"
    return RunClaimedError(
        f"Run {run_id!r} of workflow {workflow_id!r} was {by}, since this process gave no sign of "
        "life: nothing of it is stored from here.",
        details={"runId": run_id, "owner": owner},
    )


_PASSING_IN_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_LASTING_IN_POSTGRES = ("0A", "22", "23", "42")
"""Classes of SQLSTATE: not supported, data, integrity, syntax and access."""


def _is_lasting(cause: BaseException) -> bool:
    """Whether waiting would not help: what was asked for is wrong, not the state of the storage."""
    if isinstance(cause, ValueError | OverflowError):
        return True
    if isinstance(cause, sqlite3.Error):
        code: int | None = getattr(cause, "sqlite_errorcode", None)
        return code is None or code & 0xFF not in _PASSING_IN_SQLITE
    return str(getattr(cause, "sqlstate", "") or "").startswith(_LASTING_IN_POSTGRES)


def _reason(cause: BaseException) -> str:
    return (str(cause) or type(cause).__name__).rstrip(".")
