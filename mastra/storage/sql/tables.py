"""The tables as they are at the latest version of the schema; what queries are built from.

How a database gets there is in `mastra.storage.sql.migrations`, which keeps its own copies.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

__all__ = [
    "HEAD_COLUMNS",
    "JSON_COLUMNS",
    "METADATA",
    "drivers",
    "evals",
    "flow_marks",
    "flow_tickets",
    "journal",
    "logs",
    "message_vectors",
    "messages",
    "resources",
    "run_journal",
    "runs",
    "schedule_triggers",
    "schedules",
    "spans",
    "threads",
    "traces",
    "versions",
    "work",
]

METADATA = MetaData()

versions = Table(
    "mastra_schema_version",
    METADATA,
    Column("version", Integer, primary_key=True),
    Column("applied_at", BigInteger, nullable=False),
)

runs = Table(
    "mastra_workflow_runs",
    METADATA,
    Column("run_key", BigInteger, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("resource_id", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("input", Text),
    Column("result", Text),
    Column("error", Text),
    Column("state", Text),
    Column("request_context", Text),
    Column("owner", Text),
    Column("lease_until", BigInteger, nullable=False),
    Column("data", Text),
    Column("answers", Text),
)
"""One row a run, rewritten. Answers have commas between them, and no brackets around: one is added without reading."""

HEAD_COLUMNS = tuple(column.name for column in runs.columns if column.name != "run_key")
JSON_COLUMNS = frozenset({"input", "result", "error", "state", "request_context", "data"})

drivers = Table(
    "mastra_drivers",
    METADATA,
    Column("driver_id", Text, primary_key=True),
    Column("about", Text, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("lease_ms", BigInteger, nullable=False),
)
"""One row a process that drives runs, with its lease on the database's clock."""

work = Table(
    "mastra_run_work",
    METADATA,
    Column("workflow_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("owner", Text, nullable=False),
)
"""One row a request of a server that is being answered, by which no other process does the same."""

journal = Table(
    "mastra_workflow_journal",
    METADATA,
    Column("position", BigInteger, primary_key=True),
    Column("key", Text, nullable=False),
    Column("data", Text, nullable=False),
)
"""One row an operation, appended; as SQLite has it.

The position is SQLite's own row number and starts with the run's key in its upper 31 bits: rows
of a run lie side by side and no second index has to be written, which halves the cost.
"""

run_journal = Table(
    "mastra_workflow_journal",
    MetaData(),
    Column("run_key", BigInteger, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("key", Text, nullable=False),
    Column("data", Text, nullable=False),
)
"""The same as PostgreSQL has it: positions come from a sequence."""

threads = Table(
    "mastra_threads",
    METADATA,
    Column("thread_key", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("resource_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""Conversations."""

messages = Table(
    "mastra_messages",
    METADATA,
    Column("message_key", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("resource_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""Messages of conversations. The key tells which of two of one moment was stored first."""

message_vectors = Table(
    "mastra_message_vectors",
    METADATA,
    Column("message_key", BigInteger, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
"""What messages mean. The sketch stands before the vector, which spills over to other pages."""

resources = Table(
    "mastra_resources",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("working_memory", Text),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""Owners of conversations, and what is remembered of them."""

evals = Table(
    "mastra_evals",
    METADATA,
    Column("record_key", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("parent_id", Text),
    Column("subject", Text),
    Column("run_id", Text),
    Column("trace_id", Text),
    Column("resource_id", Text),
    Column("version", BigInteger, nullable=False),
    Column("valid_to", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)
"""Scores, datasets, experiments and feedback. The name is the kind, a slash and the id."""

traces = Table(
    "mastra_traces",
    METADATA,
    Column("trace_id", Text, primary_key=True),
    Column("root_id", Text, nullable=False),
    Column("started_ms", Double, nullable=False),
    Column("last_ms", Double, nullable=False),
)
"""One row a trace: which span began first and when, and when the last one ended."""

spans = Table(
    "mastra_spans",
    METADATA,
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
    Column("input_cost_usd", Double),
    Column("output_cost_usd", Double),
)
"""Spans that have ended, never rewritten."""

logs = Table(
    "mastra_logs",
    METADATA,
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
"""Log records."""
schedules = Table(
    "mastra_schedules",
    METADATA,
    Column("schedule_key", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text),
    Column("status", Text, nullable=False),
    Column("next_fire_at", BigInteger, nullable=False),
    Column("last_fire_at", BigInteger),
    Column("last_run_id", Text),
    Column("resource_id", Text),
    Column("reserved_by", Text),
    Column("reserved_until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)
"""One row a schedule. Who has reserved it until when only saves work: `next_fire_at` decides."""

schedule_triggers = Table(
    "mastra_schedule_triggers",
    METADATA,
    Column("trigger_key", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("schedule_id", Text, nullable=False),
    Column("run_id", Text),
    Column("scheduled_at", BigInteger, nullable=False),
    Column("actual_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("error", Text),
    Column("data", Text, nullable=False),
)
"""One row a fire of a schedule."""

flow_tickets = Table(
    "mastra_flow_tickets",
    METADATA,
    Column("ticket_key", BigInteger, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("lane_a", Text),
    Column("limit_a", BigInteger, nullable=False),
    Column("lane_b", Text),
    Column("limit_b", BigInteger, nullable=False),
    Column("lane_s", Text),
    Column("lane_d", Text),
    Column("lane_t", Text),
    Column("emission_us", BigInteger, nullable=False),
    Column("tolerance_us", BigInteger, nullable=False),
)
"""One row a leg of a run that waits to begin or has begun, of workflows with flow control."""

flow_marks = Table(
    "mastra_flow_marks",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Up to when what was begun counts, in microseconds; and how often something changed at a door."""
