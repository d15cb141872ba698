"""What every store in a SQL database begins with."""

from __future__ import annotations

from mastra.storage.sql.database import Database
from mastra.storage.sql.statements import StatementCache

__all__ = ["SQLStore"]


class SQLStore:
    """Runs statements on a database, each compiled once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect.name
        self._statements = StatementCache(database.dialect)
