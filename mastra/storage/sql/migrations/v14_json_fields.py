"""Version 14: what a field of stored JSON says, whatever stands in other rows."""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import Dialect

__all__ = ["json_fields"]

# A cast fails, and with it the statement, over one row that is no JSON. `json` and not `jsonb`, which
# refuses a text with a NUL in any field. `OTHERS` leaves out a query that somebody cancels.
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {name}(data text, VARIADIC path text[]) RETURNS {type}
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    found json;
BEGIN
    found := data::json #> path;
    IF json_typeof(found) = '{of}' THEN
        RETURN (found #>> '{{}}')::{type};
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$
"""


def json_fields(dialect: Dialect) -> list[str]:
    """Return the statements that make the functions; SQLite has what it needs."""
    if dialect.name == "sqlite":
        return []
    return [
        _FUNCTION.format(name="mastra_json_text", type="text", of="string"),
        _FUNCTION.format(name="mastra_json_number", type="double precision", of="number"),
    ]
