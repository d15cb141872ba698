"""Validate, run, validate: one call of a tool, and the form in which it fails.

What is wrong with the input or the output is the *result*, so that a model can mend its call.
What the tool raises is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pydantic_core

from mastra.errors import SerializationError
from mastra.jsonable import Json, to_jsonable
from mastra.schema import Schema, SchemaMismatch

__all__ = ["error_result", "is_error_result"]


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


def load_input(tool_id: str, schema: Schema[Any], value: object) -> tuple[Any, Json | None]:
    """Return the validated input, or what is wrong with it."""
    try:
        return schema.load(value), None
    except SchemaMismatch as mismatch:
        return None, error_result(tool_id, mismatch, value)
