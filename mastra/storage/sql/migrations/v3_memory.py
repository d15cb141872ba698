"""Version 3: conversations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["memory_tables"]


def memory_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables of threads, messages and resources."""
    metadata = MetaData()
    threads = Table(
        "mastra_threads",
        metadata,
        row_key("thread_key"),
        Column("id", Text, nullable=False),
        Column("resource_id", Text, nullable=False),
        Column("title", Text, nullable=False),
        Column("metadata", Text),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint("id"),
    )
    messages = Table(
        "mastra_messages",
        metadata,
        row_key("message_key"),
        Column("id", Text, nullable=False),
        Column("thread_id", Text, nullable=False),
        Column("resource_id", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        UniqueConstraint("id"),
    )
    resources = Table(
        "mastra_resources",
        metadata,
        Column("id", Text, primary_key=True, nullable=False),
        Column("working_memory", Text),
        Column("metadata", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    indexes = [
        Index("mastra_threads_resource", threads.c.resource_id, threads.c.updated_at),
        Index("mastra_threads_updated", threads.c.updated_at),
        Index("mastra_messages_thread", messages.c.thread_id, messages.c.created_at),
        Index("mastra_messages_resource", messages.c.resource_id, messages.c.created_at),
    ]
    return created(dialect, [threads, messages, resources], indexes)
