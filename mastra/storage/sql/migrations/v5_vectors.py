"""Version 5: what messages mean."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created

__all__ = ["vector_tables"]

_CASCADE_IN_SQLITE = """
CREATE TRIGGER mastra_messages_delete AFTER DELETE ON mastra_messages
BEGIN
    DELETE FROM mastra_message_vectors WHERE message_key = OLD.message_key;
END
"""
"""SQLite looks at foreign keys only where each connection asks it to."""


def vector_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the table of messages' vectors."""
    metadata = MetaData()
    Table("mastra_messages", metadata, Column("message_key", BigInteger, primary_key=True))
    is_sqlite = dialect.name == "sqlite"
    follows = [] if is_sqlite else [ForeignKey("mastra_messages.message_key", ondelete="CASCADE")]
    vectors = Table(
        "mastra_message_vectors",
        metadata,
        Column(
            "message_key",
            BigInteger().with_variant(Integer, "sqlite"),
            *follows,
            primary_key=True,
            autoincrement=False,
        ),
        Column("model", Text, primary_key=True),
        Column("digest", Text, nullable=False),
        Column("sketch", LargeBinary, nullable=False),
        Column("vector", LargeBinary, nullable=False),
    )
    made = created(dialect, [vectors])
    return [*made, _CASCADE_IN_SQLITE] if is_sqlite else made
