"""What a run is given, checked before anything runs."""

from __future__ import annotations

from typing import Any, cast

from mastra.errors import InputValidationError
from mastra.jsonable import Json, to_jsonable
from mastra.request_context import RequestContext
from mastra.schema import SchemaMismatch
from mastra.workflows.spec import WorkflowSpec

__all__ = ["check_context", "checked_input", "checked_state"]


def checked_input(spec: WorkflowSpec, value: Any) -> Json:
    """Return a workflow's input as JSON, defaults filled.

    Raises:
        InputValidationError: It does not meet the input schema.
    """
    schema = spec.input_schema
    what = f"Input of workflow {spec.id!r}"
    if not spec.validate_inputs or schema.is_any:
        return to_jsonable(value, what=what)
    try:
        return schema.dump(schema.load(value), what=what)
    except SchemaMismatch as mismatch:
        raise mismatch.into(InputValidationError, what, workflowId=spec.id) from None


def checked_state(spec: WorkflowSpec, value: Any) -> dict[str, Json]:
    """Return an initial state as JSON, defaults filled.

    Raises:
        InputValidationError: It does not meet the state schema, or is no mapping.
    """
    what = f"Initial state of workflow {spec.id!r}"
    schema = spec.state_schema
    if schema is None or not spec.validate_inputs:
        state: Json = to_jsonable({} if value is None else value, what=what)
    else:
        if value is None:
            # Defaults are filled where the schema has them for all; else steps set the state.
            try:
                return schema.dump(schema.load({}), what=what)
            except SchemaMismatch:
                return {}
        try:
            state = schema.dump(schema.load(value), what=what)
        except SchemaMismatch as mismatch:
            raise mismatch.into(InputValidationError, what, workflowId=spec.id) from None
    if not isinstance(state, dict):
        raise InputValidationError(f"{what} must be a mapping, not {type(value).__name__}.")
    return cast("dict[str, Json]", state)


def check_context(spec: WorkflowSpec, context: RequestContext) -> None:
    """Refuse a request context that does not meet its schema.

    Raises:
        InputValidationError: It does not.
    """
    schema = spec.request_context_schema
    if schema is None:
        return
    try:
        schema.load(context.to_dict())
    except SchemaMismatch as mismatch:
        raise mismatch.into(
            InputValidationError, f"Request context of workflow {spec.id!r}"
        ) from None
