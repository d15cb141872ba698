"""What the options of workflows, steps and calls of runs take; see `mastra.given`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mastra.errors import WorkflowDefinitionError
from mastra.given import (
    COUNT,
    FLAG,
    FUNCTION,
    MAPPING,
    TEXT,
    Form,
    check_given,
    either,
)
from mastra.workflows.spec import RetryConfig

__all__ = ["check_call", "check_workflow"]

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


def check_call(run_id: str, **options: Any) -> None:
    """Check the values of options of a call of a run.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    check_given(f"Run {run_id!r}", options, _OF_CALL)
