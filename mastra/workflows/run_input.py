"""What a run is given, checked before anything runs."""

from __future__ import annotations

from typing import Any, cast

from mastra.errors import InputValidationError, RunStateError, SerializationError
from mastra.jsonable import Json, dump_json
from mastra.request_context import RequestContext
from mastra.schema import ANY, SchemaMismatch
from mastra.storage.base import RunChanges
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.graph import note_of

__all__ = ["check_context", "check_same_start", "checked_input", "checked_state", "start_changes"]


def checked_input(spec: WorkflowSpec, value: Any) -> Json:
    """Return a workflow's input as JSON, defaults filled.

    Raises:
        InputValidationError: It does not meet the input schema.
    """
    schema = spec.input_schema
    if not spec.validate_inputs or schema.is_any:
        return ANY.pack(value, what=f"Input of workflow {spec.id!r}")
    try:
        loaded = schema.load(value)
    except SchemaMismatch as mismatch:
        what = f"Input of workflow {spec.id!r}"
        raise mismatch.into(InputValidationError, what, workflowId=spec.id) from None
    try:
        return schema.pack(loaded)
    except SerializationError:  # again, for its name: to make that for each run takes time
        return schema.pack(loaded, what=f"Input of workflow {spec.id!r}")


def checked_state(spec: WorkflowSpec, value: Any) -> dict[str, Json]:
    """Return an initial state as JSON, defaults filled.

    Raises:
        InputValidationError: It does not meet the state schema, or is no mapping.
    """
    schema = spec.state_schema
    if value is None and schema is None:
        return {}
    what = f"Initial state of workflow {spec.id!r}"
    if schema is None or not spec.validate_inputs:
        state: Json = ANY.pack({} if value is None else value, what=what)
    else:
        if value is None:
            # Defaults are filled where the schema has them for all; else steps set the state.
            try:
                return schema.pack(schema.load({}), what=what)
            except SchemaMismatch:
                return {}
        try:
            state = schema.pack(schema.load(value), what=what)
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


def start_changes(command: Command) -> RunChanges:
    """Return what is written of a pending run when it starts."""
    state, context = command.initial_state, command.request_context.to_json()
    changes: RunChanges = {
        "status": "running",
        "input": command.input,
        "data": {"initialState": state, **note_of(command.target.spec)},
    }
    # Of a run that is pending, both are empty.
    if state:
        changes["state"] = state
    if context:
        changes["request_context"] = context
    return changes


def check_same_start(target: RunTarget, known: tuple[Json, Json], given: tuple[Any, Any]) -> None:
    """Refuse to start a run that was started with something else.

    Args:
        target: The run.
        known: The input and the initial state that it was started with, as stored.
        given: Those of this call; `None` asks for nothing.

    Raises:
        RunStateError: They differ.
        InputValidationError: What is given does not meet its schema.
    """
    spec = target.spec
    for what, checked, old, new in (
        ("input", checked_input, known[0], given[0]),
        ("initial state", checked_state, known[1], given[1]),
    ):
        # Twice, to see which defaults differ each time, such as an id or the time: nobody asked
        # for those.
        if new is None or _agree(checked(spec, new), checked(spec, new), old):
            continue
        raise RunStateError(
            f"Run {target.run_id!r} of workflow {spec.id!r} was started before with another {what}. "
            f"Start it with the same {what} or none to wait for its result, or make a new run "
            "with `create_run()`.",
            code="RUN_ALREADY_STARTED",
            details={"runId": target.run_id, "workflowId": spec.id},
        )


def _agree(new: Json, again: Json, old: Json) -> bool:
    """Return whether a value is what was stored, but for what differs each time it is made."""
    if _is_same(new, again):
        return _is_same(new, old)
    made, remade = _parts(new), _parts(again)
    if not made or made.keys() != remade.keys():
        return True
    stored = _parts(old)
    return made.keys() == stored.keys() and all(
        _agree(part, remade[key], stored[key]) for key, part in made.items()
    )


def _parts(value: Any) -> dict[Any, Json]:
    """Return what a value holds by key or place; nothing where it holds nothing."""
    if isinstance(value, list):
        return dict(enumerate(cast("list[Json]", value)))
    return cast("dict[Any, Json]", value) if isinstance(value, dict) else {}


def _is_same(one: Json, other: Json) -> bool:
    return one == other or dump_json(one) == dump_json(other)  # as texts, since NaN is not NaN
