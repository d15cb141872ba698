"""What a workflow says about when it is to run: one schedule, or several with ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, cast

from mastra.cron import cron_of
from mastra.errors import ConfigError
from mastra.given import MAPPING, Form, check_given
from mastra.jsonable import Json
from mastra.names import hint, python_name
from mastra.request_context import RequestContext
from mastra.schema import ANY
from mastra.workflows.run_input import check_context, checked_input, checked_state
from mastra.workflows.spec import WorkflowSpec

__all__ = ["CATCH_UP", "CatchUp", "WorkflowSchedule", "schedules_of", "target_values"]

CatchUp: TypeAlias = Literal["one", "all", "none"]
CATCH_UP: Final = ("one", "all", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSchedule:
    """When a workflow is to run by itself, and with what."""

    cron: str
    """Five fields, or six with seconds first, or a name such as `"@daily"`."""
    id: str | None = None
    """Which of the workflow's schedules it is. Where there are several, each needs one."""
    timezone: str | None = None
    """An IANA name; left out, UTC."""
    input_data: Any = None
    """The input of its runs."""
    initial_state: Any = None
    """The state that its runs begin with."""
    request_context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values for the steps of its runs."""
    metadata: Mapping[str, Any] | None = None
    """Facts of your own, kept with it."""
    catch_up: CatchUp = "one"
    """What becomes of moments that passed while nothing was there to start runs: `"one"` run for
    all of them, `"all"` of them one after the other, or `"none"`."""


def schedules_of(given: Any, spec: WorkflowSpec) -> tuple[WorkflowSchedule, ...]:
    """Return the schedules that a workflow was given, checked.

    Raises:
        ConfigError: One is not of its form, or two have one id.
        InputValidationError: What one starts runs with does not meet the workflow's schemas.
        MissingDependencyError: The extra `schedules` is not installed.
    """
    if given is None:
        return ()
    is_list = isinstance(given, Sequence) and not isinstance(given, str)
    several: list[Any] = [*given] if is_list else [given]
    found = tuple(_schedule(one, spec) for one in several)
    ids = [one.id for one in found]
    if is_list and (None in ids or len(set(ids)) < len(ids)):
        raise ConfigError(
            f"Workflow {spec.id!r} has a list of schedules: give each an id of its own, under which "
            "it is kept."
        )
    return found


_FORMS: Final = {
    "id": Form("text that is not empty", lambda value: isinstance(value, str) and value != ""),
    "metadata": MAPPING,
}


def _schedule(given: Any, spec: WorkflowSpec) -> WorkflowSchedule:
    if not isinstance(given, WorkflowSchedule):
        given = _from_mapping(given, spec)
    what = f"A schedule of workflow {spec.id!r}"
    check_given(what, {"id": given.id, "metadata": given.metadata}, _FORMS)
    cron_of(given.cron, given.timezone)
    if given.catch_up not in CATCH_UP:
        raise ConfigError(
            f"{what} has catch_up={given.catch_up!r}. Use one of {', '.join(map(repr, CATCH_UP))}."
        )
    target_values(spec, given.input_data, given.initial_state, given.request_context)
    return given


def _from_mapping(given: Any, spec: WorkflowSpec) -> WorkflowSchedule:
    known = [one.name for one in fields(WorkflowSchedule)]
    named = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
    options: dict[str, Any] = {
        python_name(str(name), known) or str(name): value for name, value in named.items()
    }
    unknown = options.keys() - set(known)
    if unknown or "cron" not in options:
        raise ConfigError(
            f"schedule of workflow {spec.id!r} is {{'cron': '0 9 * * *', …}} with {', '.join(known)},"
            f" or a list of them, not {given!r}.{hint(unknown, known)}"
        )
    return WorkflowSchedule(**options)


def target_values(
    spec: WorkflowSpec, input_data: Any, initial_state: Any, request_context: Any
) -> dict[str, Json]:
    """Return what the runs of a schedule are started with, as it is kept, once it is checked.

    Raises:
        InputValidationError: It does not meet the workflow's schemas.
    """
    context = RequestContext.of(request_context)
    check_context(spec, context)
    values: dict[str, Json] = {"inputData": checked_input(spec, _or_empty(input_data))}
    if initial_state is not None:
        checked_state(spec, initial_state)
        values["initialState"] = ANY.pack(initial_state, what="Initial state")
    if context.to_json():
        values["requestContext"] = context.to_json()
    return values


def _or_empty(input_data: Any) -> Any:
    return {} if input_data is None else input_data
