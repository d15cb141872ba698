"""Version 10: traces and logs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created

__all__ = ["observability_tables"]


def observability_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables of traces, spans and log records."""
    metadata = MetaData()
    traces = Table(
        "mastra_traces",
        metadata,
        Column("trace_id", Text, primary_key=True),
        Column("root_id", Text, nullable=False),
        Column("started_ms", Double, nullable=False),
        Column("last_ms", Double, nullable=False),
    )
    spans = Table(
        "mastra_spans",
        metadata,
        Column("trace_id", Text, primary_key=True),
        Column("span_id", Text, primary_key=True),
        Column("parent_id", Text),
        Column("kind", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("started_ms", Double, nullable=False),
        Column("ended_ms", Double, nullable=False),
        Column("entity_id", Text, nullable=False),
        Column("entity_name", Text, nullable=False),
        Column("run_id", Text),
        Column("thread_id", Text),
        Column("resource_id", Text),
        Column("is_failed", Boolean, nullable=False),
        Column("model", Text),
        Column("provider", Text),
        Column("input_tokens", BigInteger),
        Column("output_tokens", BigInteger),
        Column("content", Text, nullable=False),
    )
    logs = Table(
        "mastra_logs",
        metadata,
        Column("id", Text, primary_key=True),
        Column("time_ms", Double, nullable=False),
        Column("level", Text, nullable=False),
        Column("logger", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("run_id", Text),
        Column("thread_id", Text),
        Column("resource_id", Text),
        Column("trace_id", Text),
        Column("span_id", Text),
        Column("kind", Text),
        Column("entity_id", Text),
        Column("entity_name", Text),
        Column("content", Text, nullable=False),
    )
    indexes = [
        Index("mastra_traces_started", traces.c.started_ms),
        Index("mastra_traces_last", traces.c.last_ms),
        Index("mastra_spans_ended", spans.c.kind, spans.c.ended_ms),
        Index("mastra_spans_run", spans.c.run_id),
        Index("mastra_logs_time", logs.c.time_ms),
        Index("mastra_logs_run", logs.c.run_id),
    ]
    return created(dialect, [traces, spans, logs], indexes)
