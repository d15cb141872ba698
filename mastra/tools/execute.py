"""Validate, run, validate: one call of a tool, and the form in which it fails.

What is wrong with the input or the output is the *result*, so that a model can mend its call.
What the tool raises is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import pydantic_core

from mastra.errors import SerializationError
from mastra.jsonable import Json, to_jsonable
from mastra.models.schema_parts import without_nulls, without_text
from mastra.schema import Schema, SchemaMismatch

__all__ = ["as_meant", "error_result", "is_error_result", "load_input"]


def error_result(
    tool_id: str, mismatch: SchemaMismatch, value: object, *, what: str = "input"
) -> dict[str, Json]:
    """Return the result that says what is wrong with a tool's input or output."""
    lines = "\n".join(
        f"- {'.'.join(map(str, issue['path'])) or 'root'}: {issue['message']}"
        for issue in mismatch.issues
    )
    advice = " Please fix the following errors and try again" if what == "input" else ""
    label = "Provided arguments" if what == "input" else "Returned output"
    return {
        "error": True,
        "message": (
            f"Tool {what} validation failed for {tool_id}.{advice}:\n{lines}\n\n"
            f"{label}: {_shown(value)}"
        ),
        "validationErrors": _tree(mismatch.issues),
    }


def _shown(value: object) -> str:
    try:
        plain = to_jsonable(value)
    except SerializationError:
        plain = repr(value)
    text = pydantic_core.to_json(plain, indent=2).decode()
    return text if len(text) <= 1000 else text[:1000] + "…"


def _tree(issues: list[dict[str, Any]]) -> dict[str, Json]:
    root: dict[str, Any] = {"errors": [], "fields": {}}
    for issue in issues:
        node = root
        for key in issue["path"]:
            node = node["fields"].setdefault(str(key), {"errors": [], "fields": {}})
        node["errors"].append(issue["message"])
    return root


def is_error_result(value: object) -> bool:
    """Return whether a result is one that `error_result` made."""
    if not isinstance(value, Mapping):
        return False
    known = cast("Mapping[str, Any]", value)
    return known.get("error") is True and "validationErrors" in known


def load_input(
    tool_id: str, schema: Schema[Any], value: object, json_schema: Callable[[], Mapping[str, Any]]
) -> tuple[Any, Json | None]:
    """Return the validated input, or what is wrong with it.

    What models often write of a schema is read as it is meant, where it does not fit as it is: a
    list or an object that is given as JSON text, `null` for a field that is left out.

    Args:
        tool_id: Whose.
        schema: What it takes.
        value: What was given.
        json_schema: Returns the JSON Schema of what it takes.
    """
    try:
        return schema.load(value), None
    except SchemaMismatch as mismatch:
        meant = as_meant(value, json_schema())
        if meant is not value:
            with suppress(SchemaMismatch):
                return schema.load(meant), None
        return None, error_result(tool_id, mismatch, value)


def as_meant(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return what was given for a schema, as models mean it; the value itself where it fits."""
    read = without_text(value, schema, schema)
    found = without_nulls(read, schema, schema)
    return value if found == value else found
