"""What `create_workflow` takes, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mastra.names import hint
from mastra.workflows.flow_control import FlowControl, FlowOptions
from mastra.workflows.spec import RetryConfig

__all__ = ["WorkflowOptions", "checked_options"]


class WorkflowOptions(FlowOptions, total=False):
    """What `create_workflow` takes beside its id and the two schemas."""

    version: str | None
    description: str | None
    state_schema: Any
    request_context_schema: Any
    retry_config: RetryConfig | Mapping[str, Any] | None
    on_start: Callable[[Any], Any] | None
    on_finish: Callable[[Any], Any] | None
    on_error: Callable[[Any], Any] | None
    should_persist_snapshot: Callable[[Any], bool] | None
    validate_inputs: bool
    validate_outputs: bool
    metadata: Mapping[str, Any] | None
    strict: bool
    schedule: Any


_REQUIRED: Final = ("id", "input_schema", "output_schema")


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given of them.

    Raises:
        TypeError: One is not known.
        ConfigError: One is not of its form.
    """
    known = FlowOptions.__annotations__
    if unknown := [name for name in given if name not in known]:
        raise TypeError(
            f"create_workflow() got an unexpected keyword argument {unknown[0]!r}."
            f"{hint(unknown, (*_REQUIRED, *WorkflowOptions.__annotations__))}"
        )
    options = {name: value for name, value in given.items() if value is not None}
    flow = FlowControl.of(options)
    if flow is not None:
        flow.check_names()
    return options
