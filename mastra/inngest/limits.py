"""What an Inngest server takes of a workflow, told before anything is sent to it.

The server finds out when a run gets there, and then ends it with a text of its own. What a
definition says beforehand is found when a run is begun, and named in the log when the workflow is
served; what a function says, by the sleep itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from mastra.errors import (
    ConfigError,
    MastraError,
    RunError,
    SerializationError,
    WorkflowDefinitionError,
)
from mastra.given import CLOCK, COUNT, DURATION, FLAG, check_given, having
from mastra.inngest.wire.api import signing_bytes
from mastra.inngest.wire.envelope import MAX_LEG_BYTES, MAX_OUTPUT_BYTES
from mastra.inngest.wire.names import cancel_event
from mastra.jsonable import Json, dump_json
from mastra.workflows.engines.waits import moment_of, refuse_sleep
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import (
    RetryConfig,
    SleepNode,
    StepNode,
    Unit,
    WorkflowSpec,
)

__all__ = [
    "LOOK_AFTER_S",
    "MAX_OPERATIONS",
    "MAX_SLEEP_S",
    "check_engine",
    "check_limits",
    "check_operations",
    "check_size",
    "check_steps_per_run",
    "least_operations",
    "may_wait",
    "most_steps",
]

MAX_SLEEP_S: Final = 365 * 86_400.0
"""How long one sleep may be: a year."""

MAX_OPERATIONS: Final = 999
"""How many steps and sleeps one function may have: a run since it was started or resumed."""

LOOK_AFTER_S: Final = (2, 8, 30, 120, 600, 3600, 4 * 3600, 24 * 3600)
"""After how long, each time, a run of the server that is full looks whether the one that goes on
after it has begun. Flow control may hold that back for long."""

MAX_EVENT_NAME: Final = 255
"""How many characters the name of an event may have: a workflow's id and what we add to it."""


def most_steps() -> int:
    """Return how many operations a run of the server may have that another one goes on after."""
    return MAX_OPERATIONS - 1 - len(LOOK_AFTER_S)


def check_steps_per_run(steps: int) -> int:
    """Refuse a number of operations of a run of the server that cannot be.

    Raises:
        ConfigError: It is less than one, or more than the server takes.
    """
    if 1 <= steps <= most_steps():
        return steps
    raise ConfigError(
        f"steps_per_run={steps!r}: a run of an Inngest server has from 1 to {most_steps()} steps "
        "before another one goes on."
    )


def check_limits(spec: WorkflowSpec) -> None:
    """Refuse a workflow that an Inngest server could not run to its end.

    Raises:
        WorkflowDefinitionError: `INNGEST_LIMIT`: a sleep or a delay before a retry of more than a
            year, or an id that is too long.
    """
    for one in spec.with_nested():
        name = cancel_event(one.id)
        if len(name.encode()) > MAX_EVENT_NAME:
            most = MAX_EVENT_NAME - len(cancel_event(""))
            raise _refused(
                f"The id of workflow {one.id[:40]!r}… is too long: Inngest takes {most} bytes."
            )
        _check_retries(one.id, one.retry)
        for node in one.nodes:
            if isinstance(node, SleepNode) and not callable(node.duration):
                try:
                    refuse_sleep(moment_of(node.duration, node), node, MAX_SLEEP_S)
                except MastraError as error:
                    raise _refused(f"Workflow {one.id!r}: {error.message}") from None


def least_operations(spec: WorkflowSpec) -> int:
    """Return how many operations a workflow has at least, where nothing of it is suspended."""
    return sum(
        min(map(_least, units))
        if node.kind == "branch" and (units := node.units)
        else 0
        if node.shape == "list"
        else 1
        if not node.units
        else sum(map(_least, node.units))
        for node in spec.nodes
    )


def _least(unit: Unit) -> int:
    return 1 if unit.inner is None else least_operations(unit.inner)


def may_wait(spec: WorkflowSpec) -> bool:
    """Return whether a workflow says that a step of it may be suspended. It need not say so."""
    for one in spec.with_nested():
        units = [unit for node in one.nodes for unit in node.units]
        if any(
            isinstance(unit, StepNode)
            and (unit.step.resume_schema is not None or unit.step.suspend_schema is not None)
            for unit in units
        ):
            return True
    return False


def check_operations(step_id: str, unit: Unit | None, before: int, count: int) -> None:
    """Refuse operations that the server would not take.

    Args:
        step_id: Which step is to run.
        unit: It, or the workflow in its place; `None` for a step.
        before: How many operations the leg has.
        count: How often it is to run.

    Raises:
        RunError: `RUN_TOO_LONG`.
    """
    wanted = count * (1 if unit is None else _least(unit))
    # The last one tells of the refusal.
    if before + wanted < MAX_OPERATIONS:
        return
    what = f"Step {step_id!r} is" if count == 1 else f"The {count:,} items of {step_id!r} are"
    raise RunError(
        f"{what} too much for Inngest, which takes {MAX_OPERATIONS - 1} steps and sleeps from a run "
        f"between its start or a resume and its next suspension or end; this one has {before:,} by "
        "then. Where all processes have one storage (SQLite in a file, or PostgreSQL) and the run "
        "was begun by this library, it goes on in another run of the server. Else do more in one "
        "step, such as a batch of items, start other runs for parts of the work, or run the "
        "workflow in process.",
        code="RUN_TOO_LONG",
        details={"stepId": step_id, "limit": MAX_OPERATIONS - 1, "before": before},
    )


def check_size(record: StepRecord, given: int) -> int:
    """Refuse what a try at a step gave where the server does not take so much.

    Args:
        record: The step's record. What is refused is taken out of it.
        given: How many bytes the steps of the leg have given before.

    Returns:
        How many they have given with it.

    Raises:
        SerializationError: `STEP_OUTPUT_TOO_LARGE` or `RUN_OUTPUTS_TOO_LARGE`.
    """
    values = (record.output, record.suspend_payload, record.state)
    size = len(dump_json(values, what=f"Output of step {record.step_id!r}"))
    total = given + size
    if size <= MAX_OUTPUT_BYTES and total <= MAX_LEG_BYTES:
        return total
    record.output = record.suspend_payload = record.state = None
    advice = (
        "put large data into a storage of your own and give a reference to it. Where all processes "
        "have one storage (SQLite in a file, or PostgreSQL) and the run was begun by this library, "
        "that has what the server does not take."
    )
    details: dict[str, Json] = {"stepId": record.step_id, "bytes": size}
    if size > MAX_OUTPUT_BYTES:
        raise SerializationError(
            f"Step {record.step_id!r} gave {size:,} bytes of JSON. The engine takes at most "
            f"{MAX_OUTPUT_BYTES:,} bytes from a step: {advice}",
            code="STEP_OUTPUT_TOO_LARGE",
            details={**details, "limit": MAX_OUTPUT_BYTES},
        )
    raise SerializationError(
        f"Step {record.step_id!r} gave {size:,} bytes of JSON, which makes {total:,} bytes of "
        f"all steps since the run was started or resumed. The engine takes at most "
        f"{MAX_LEG_BYTES:,} bytes of them together: {advice}",
        code="RUN_OUTPUTS_TOO_LARGE",
        details={**details, "limit": MAX_LEG_BYTES, "total": total},
    )


def _check_retries(workflow_id: str, retry: RetryConfig) -> None:
    # Each delay is at least as long as the one before.
    longest = retry.delay_before(retry.attempts) if retry.attempts else 0.0
    if longest > MAX_SLEEP_S:
        raise _refused(
            f"Workflow {workflow_id!r} waits {longest / 86_400:,.0f} days before its last retry. "
            "Inngest lets a run sleep for at most 365: give `RetryConfig` a `max_delay`."
        )


def _refused(text: str) -> WorkflowDefinitionError:
    return WorkflowDefinitionError(text, code="INNGEST_LIMIT")


_OF_ENGINE: Final = {
    "client": having("the SDK's client, inngest.Inngest(app_id=...)", "app_id", "send"),
    "checkpoint": FLAG,
    "max_request": DURATION,
    "buffered_steps": COUNT,
    "watched": FLAG,
    "clock": CLOCK,
}


def check_engine(options: Mapping[str, Any]) -> float:
    """Check what `InngestEngine` is given; return for how many seconds steps begin in a request.

    Raises:
        ConfigError: It cannot be meant.
    """
    check_given("InngestEngine", options, _OF_ENGINE, needed=["client"])
    for name in ("signing_key", "signing_key_fallback"):
        key: str | None = getattr(options["client"], name, None)
        try:
            signing_bytes(key or "")
        except ValueError:
            raise ConfigError(
                f"InngestEngine: the client's {name} is none. Take the one that your server shows "
                "or was started with: hexadecimal digits, behind such as `signkey-prod-`. A dev "
                "server needs none: unset INNGEST_SIGNING_KEY."
            ) from None
    given = options["max_request"]
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
