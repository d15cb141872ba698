"""Every public exception, in one tree, each with a stable `code`.

MastraError
├── ConfigError                  your code or your environment
│   ├── NotFoundError            no agent, workflow, tool or step under that name
│   ├── WorkflowDefinitionError  a workflow that cannot be built or run as written
│   └── MissingDependencyError   an optional package is not installed
├── AccessDeniedError            what was asked for by id is somebody else's
├── ValidationError              your data
│   ├── InputValidationError     what was given to a run, a tool or an agent
│   ├── StepValidationError      what reached a step or came out of it
│   ├── ResumeValidationError    what was given to resume a run
│   └── SerializationError       a value that JSON cannot hold
├── RunError                     it failed while running
│   ├── StepError                a step raised; its own exception is `__cause__`
│   ├── UserCodeError            your code raised what is no ordinary exception, as sys.exit() does
│   ├── WorkflowFailedError      the run ended as failed
│   ├── RunNotFoundError         no run under that id
│   ├── RunStateError            the run is not in a state that allows the call
│   ├── DefinitionChangedError   the workflow was changed before the place that the run is at
│   ├── ResumeClaimedError       somebody else resumed it first
│   ├── RunClaimedError          another process is driving the run
│   ├── IdTakenError             an id that a caller chose is somebody else's row
│   ├── StorageError             the store refused or could not be reached
│   ├── StreamOverflowError      a reader fell behind what is kept for it
│   ├── TripwireError            a processor refused
│   ├── UsageLimitError          an agent's run met one of its limits
│   ├── ScorerError              a stage of a scorer failed; its own exception is `__cause__`
│   └── ToolError                a tool could not be run
│       ├── ToolNotFoundError    there is none of that name
│       └── ToolApprovalError    a person must agree first, and nobody was asked
├── ModelError                   the model's provider failed
└── NonRetryableError            raise it in a step to stop its retries

And one warning: WorkflowOutputWarning, at `commit()`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar, Final, cast

__all__ = [
    "AccessDeniedError",
    "ConfigError",
    "DefinitionChangedError",
    "IdTakenError",
    "InputValidationError",
    "MastraError",
    "MissingDependencyError",
    "ModelError",
    "NonRetryableError",
    "NotFoundError",
    "ResumeClaimedError",
    "ResumeValidationError",
    "RunClaimedError",
    "RunError",
    "RunNotFoundError",
    "RunStateError",
    "ScorerError",
    "SerializationError",
    "StepError",
    "StepValidationError",
    "StorageError",
    "StreamOverflowError",
    "ToolApprovalError",
    "ToolError",
    "ToolNotFoundError",
    "TripwireError",
    "UsageLimitError",
    "UserCodeError",
    "ValidationError",
    "WorkflowDefinitionError",
    "WorkflowFailedError",
    "WorkflowOutputWarning",
]


class MastraError(Exception):
    """Base of every exception that this package raises on purpose.

    Args:
        message: What went wrong, where, and what to do about it.
        code: Overrides the class's own code.
        details: Facts for programs: ids, field paths, status codes. JSON values only.
    """

    code: ClassVar[str] | str = "MASTRA_ERROR"
    """Stable, upper case; safe to compare and to send."""
    # What a subclass has that does not call this `__init__`.
    message: str = ""
    details: dict[str, Any] = cast("dict[str, Any]", MappingProxyType[str, Any]({}))

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.details = details or {}


class ConfigError(MastraError):
    """The program or its environment is set up wrongly."""

    code = "CONFIG_ERROR"


OPTION_REFUSED: Final = "OPTION_REFUSED"
"""The code of a `ConfigError` about an option of one call, which a client may have asked for."""


class NotFoundError(ConfigError):
    """Nothing is registered under that name."""

    code = "NOT_FOUND"


class WorkflowDefinitionError(ConfigError):
    """A workflow cannot be built, committed or run as it is written."""

    code = "WORKFLOW_DEFINITION_INVALID"


class MissingDependencyError(ConfigError):
    """An optional package is needed and not installed."""

    code = "MISSING_DEPENDENCY"


class AccessDeniedError(MastraError):
    """What was asked for by its id belongs to another resource than the caller's."""

    code = "ACCESS_DENIED"


class ValidationError(MastraError):
    """A value does not meet its schema.

    Attributes:
        issues: One entry a problem, `{"path": [...], "message": "..."}`.
    """

    code = "VALIDATION_ERROR"

    def __init__(
        self,
        message: str,
        *,
        issues: list[dict[str, Any]] | None = None,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.issues: list[dict[str, Any]] = issues or []


class InputValidationError(ValidationError):
    """What the caller handed to a run, a tool or an agent is not valid."""

    code = "WORKFLOW_SCHEMA_VALIDATION_FAILED"


class StepValidationError(ValidationError):
    """A step's input, output, state or suspend payload is not valid."""

    code = "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"


class ResumeValidationError(ValidationError):
    """Resume data does not meet the step's resume schema."""

    code = "WORKFLOW_RESUME_DATA_VALIDATION_FAILED"


class SerializationError(ValidationError):
    """A value cannot be stored or sent, since JSON cannot hold it."""

    code = "NOT_SERIALIZABLE"


class RunError(MastraError):
    """Something failed while it ran."""

    code = "RUN_ERROR"


class StepError(RunError):
    """A step raised. Its own exception, where there is one, is `__cause__`."""

    code = "STEP_FAILED"


class UserCodeError(RunError):
    """A function of yours raised what is no ordinary exception; that is `raised`, and `__cause__`.

    Such as `SystemExit`, `StopIteration`, or a `CancelledError` where nobody had cancelled. An
    exception that raises when it is asked about itself is `raised` alone: whoever shows a traceback
    asks each cause.
    """

    code = "USER_CODE_ENDED"
    raised: BaseException | None = None
    """What the function raised, in the process in which it did."""


class WorkflowFailedError(RunError):
    """A run did not end in success and its output was asked for."""

    code = "WORKFLOW_FAILED"


class RunNotFoundError(RunError):
    """No run is stored under that id."""

    code = "RUN_NOT_FOUND"


class RunStateError(RunError):
    """The run is not in a state that allows what was asked of it."""

    code = "RUN_STATE_INVALID"


class DefinitionChangedError(RunError):
    """A run cannot go on by the definition at hand, which differs in what the run has passed.

    The run stays as it is. `details` has the ids in `added`, `removed`, `moved` and `changed`.
    """

    code = "DEFINITION_CHANGED"


class ResumeClaimedError(RunError):
    """Another caller resumed the same suspension first."""

    code = "WORKFLOW_RESUME_ALREADY_CLAIMED"


class RunClaimedError(RunError):
    """Another process is driving the run."""

    code = "RUN_CLAIMED"


class IdTakenError(RunError):
    """An id that a caller chose is that of somebody else's run, thread or message.

    Nothing was written.
    """

    code = "ID_TAKEN"


VALUE_NOT_STORABLE: Final = "VALUE_NOT_STORABLE"
"""The code of a `StorageError` about what was to be stored or looked for, not about the database."""


ROW_UNREADABLE: Final = "ROW_UNREADABLE"
"""The code of a `StorageError` about something stored that cannot be read."""


_STORAGE_SAYS: Final = {
    VALUE_NOT_STORABLE: "The request holds a text, a number or a date that cannot be stored.",
    ROW_UNREADABLE: "What is stored under this id cannot be read. It is damaged, or of another "
    "program.",
}


class StorageError(RunError):
    """The storage refused a call or could not be reached.

    Attributes:
        is_lasting: Whether the same call would be refused again, however well the storage is.
    """

    code = "STORAGE_ERROR"
    is_lasting: bool = False

    @staticmethod
    def told(code: str) -> str:
        """Return what callers are told: neither which database it is, nor what its driver said.

        Args:
            code: The error's.
        """
        return _STORAGE_SAYS.get(code, "The storage cannot be used at the moment.")


class StreamOverflowError(RunError):
    """A reader fell so far behind that the events it wanted are no longer kept."""

    code = "STREAM_OVERFLOW"


class TripwireError(RunError):
    """A processor refused to let an agent go on."""

    code = "TRIPWIRE"


class UsageLimitError(RunError):
    """A run of an agent met one of its `UsageLimits`.

    `details` has the name of the `limit`, its `max`, and `used`: what it would have come to.

    Attributes:
        result: The `AgentResult` so far; `None` where the error came from another process.
    """

    code = "USAGE_LIMIT"
    result: Any = None


class ScorerError(RunError):
    """A stage of a scorer failed; what it raised is `__cause__`."""

    code = "SCORER_FAILED"

    def __init__(self, message: str, *, failed_step: str, result: Any) -> None:
        details = {"scorerId": result.scorer_id, "failedStep": failed_step}
        super().__init__(message, details=details)
        self.failed_step = failed_step
        """The stage: `preprocess`, `analyze`, `generate_score` or `generate_reason`."""
        self.result = result
        """What the stages before have given, as a `ScorerResult` without a score."""


class ToolError(RunError):
    """A tool could not be run."""

    code = "TOOL_ERROR"


class ToolNotFoundError(ToolError):
    """A model called a tool that there is not; the model is told, and the run goes on."""

    code = "TOOL_NOT_FOUND"


class ToolApprovalError(ToolError):
    """A person must agree before the tool runs, and nobody was asked, or said no."""

    code = "TOOL_APPROVAL_REQUIRED"


class ModelError(MastraError):
    """The model's provider failed, after retries and fallbacks.

    Attributes:
        status_code: The HTTP status, or `None` where there was no answer.
        model_id: `provider/model` as it was asked for.
        is_retryable: Whether the same call could succeed later.
    """

    code = "MODEL_ERROR"

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        model_id: str | None = None,
        is_retryable: bool = False,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.status_code = status_code
        self.model_id = model_id
        self.is_retryable = is_retryable


class NonRetryableError(MastraError):
    """Raise this in a step, or subclass it, to fail the step at once, whatever its retries."""

    code = "NON_RETRYABLE"


class WorkflowOutputWarning(UserWarning):
    """What a workflow's last node gives can never meet its `output_schema`.

    With `strict=True` it is a `WorkflowDefinitionError`.
    """


def __dir__() -> list[str]:
    return sorted(__all__)
