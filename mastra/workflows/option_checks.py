"""What the options of workflows, calls of runs and the application take; see `mastra.given`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, cast

from mastra.errors import ConfigError, WorkflowDefinitionError
from mastra.given import (
    CLOCK,
    COUNT,
    FLAG,
    FUNCTION,
    IDS,
    MAPPING,
    TEXT,
    Form,
    check_given,
    either,
    having,
)
from mastra.names import hint, python_name
from mastra.workflows.spec import RetryConfig

__all__ = ["check_application", "check_call", "check_workflow", "retry_of"]

_OF_WORKFLOW: Final = {
    "version": either(TEXT, COUNT),
    "description": TEXT,
    "retry_config": Form(
        "a RetryConfig or a dict of its options",
        lambda value: isinstance(value, (RetryConfig, Mapping)),
    ),
    "on_start": FUNCTION,
    "on_finish": FUNCTION,
    "on_error": FUNCTION,
    "should_persist_snapshot": FUNCTION,
    "validate_inputs": FLAG,
    "validate_outputs": FLAG,
    "metadata": MAPPING,
    "scorers": MAPPING,
    "strict": FLAG,
    "first_match": FLAG,
}
_OF_CALL: Final = {
    "per_step": FLAG,
    "label": TEXT,
    "for_each_index": COUNT,
    "context": MAPPING,
    "nested_steps_context": MAPPING,
}


def check_workflow(workflow_id: str, options: Mapping[str, Any]) -> None:
    """Check the values of options of a workflow.

    Raises:
        WorkflowDefinitionError: One of them cannot be meant.
    """
    check_given(f"Workflow {workflow_id!r}", options, _OF_WORKFLOW, WorkflowDefinitionError)


def retry_of(given: Any) -> RetryConfig:
    """Return a `RetryConfig`, given as one or as a dict of its options in either language's names.

    Raises:
        WorkflowDefinitionError: There is no such option, or one makes no sense.
    """
    if isinstance(given, RetryConfig):
        return given
    known = [one.name for one in fields(RetryConfig)]
    options = cast("Mapping[Any, Any]", given or {}).items()
    named = {python_name(str(name), known) or str(name): value for name, value in options}
    if unknown := sorted(named.keys() - set(known)):
        raise WorkflowDefinitionError(
            f"RetryConfig has no {', '.join(map(repr, unknown))}. It takes {', '.join(known)}."
            f"{hint(unknown, known)}"
        )
    return RetryConfig(**named)


def check_call(run_id: str, **options: Any) -> None:
    """Check the values of options of a call of a run.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    check_given(f"Run {run_id!r}", options, _OF_CALL)


_OF_APPLICATION: Final = {
    "logger": having("a logger, such as logging.getLogger('app')", "warning", "error"),
    "mcp_servers": Form(
        "a dict of MCPServers by key",
        lambda value: (
            isinstance(value, Mapping)
            and all(hasattr(one, "registered_with") for one in cast("Any", value).values())
        ),
    ),
    "scheduler": Form(
        "a SchedulerConfig or False",
        lambda value: isinstance(value, bool) or hasattr(value, "tick_interval"),
    ),
    "clock": CLOCK,
    "ids": IDS,
}


_PARTS: Final = (
    ("storage", "workflows", "SQLStorage('sqlite:///mastra.db')"),
    ("engine", "launch", "InngestEngine(client)"),
    ("server", "api_routes", "ServerConfig(port=4111)"),
)


def check_application(options: Mapping[str, Any]) -> None:
    """Check what `Mastra` is given: what has not what its place needs would be found out late.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    for name, part, example in _PARTS:
        given = options[name]
        if given is not None and (isinstance(given, type) or not hasattr(given, part)):
            shown = given.__name__ if isinstance(given, type) else repr(given)[:60]
            raise ConfigError(f"Mastra's {name} is {shown}: give an object, such as {example}.")
    check_given("Mastra", options, _OF_APPLICATION)
