"""Version 9: an agent's run that waits is a run as any other, with a head and a journal."""

from __future__ import annotations

from sqlalchemy.engine import Dialect

__all__ = ["agent_runs_as_runs"]

_NAME = "replace(replace(replace(replace(agent_id, '.', '_'), '/', '_'), '[', '_'), ']', '_')"

# The record itself is not looked into, as it may be damaged: it says early on whose it is.
_OWNER = {
    "sqlite": "CASE WHEN json_valid(record) THEN json_extract(record, '$.resourceId') END",
    "postgresql": (
        '(\'"\' || substring(record from \'"resourceId":"((?:[^"\\\\]|\\\\.)*)"\') || \'"\')'
        "::json #>> '{}'"
    ),
}
_QUOTED = {"sqlite": "json_quote(agent_id)", "postgresql": "to_json(agent_id)::text"}


def agent_runs_as_runs(dialect: Dialect) -> list[str]:
    """Return the statements that move the runs that wait out of the table that they were in.

    One that somebody has claimed stays claimed, for as long as they have a lease.
    """
    data = f"""'{{"initialState":{{}},"agentId":' || {_QUOTED[dialect.name]}
        || ',"waiting":' || record || '}}'"""
    return [
        f"""
        INSERT INTO mastra_workflow_runs (workflow_id, run_id, status, resource_id, created_at,
            updated_at, state, request_context, owner, lease_until, data)
        SELECT 'agent:' || {_NAME}, run_id,
            CASE WHEN is_waiting THEN 'suspended' ELSE 'running' END, {_OWNER[dialect.name]},
            saved_at, saved_at, '{{}}', '{{}}', owner, lease_until, {data}
        FROM mastra_agent_runs ORDER BY run_key
        """,  # noqa: S608 - all of it is written here
        # The table stays, empty: a process of the release before, which a deploy has not replaced
        # yet, looks into it.
        "DELETE FROM mastra_agent_runs",
    ]
