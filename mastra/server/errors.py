"""From exceptions to answers: `{"error": message, …}` with the right status, never a stack."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mastra.errors import (
    OPTION_REFUSED,
    VALUE_NOT_STORABLE,
    AccessDeniedError,
    DefinitionChangedError,
    IdTakenError,
    MastraError,
    ModelError,
    NotFoundError,
    ResumeClaimedError,
    RunClaimedError,
    RunNotFoundError,
    RunStateError,
    StorageError,
    StreamOverflowError,
    ToolApprovalError,
    TripwireError,
    UsageLimitError,
    ValidationError,
)
from mastra.storage.damage import is_unreadable

__all__ = [
    "CODE_HEADER",
    "READ_AS_NO_JSON",
    "Refusal",
    "answer_to",
    "error_response",
    "message_of",
    "not_found_page",
    "status_of",
]

CODE_HEADER = "x-mastra-error-code"
"""Where an answer says which error it is, for programs."""

_STATUSES: tuple[tuple[type[MastraError], int], ...] = (
    (AccessDeniedError, 403),
    (NotFoundError, 404),
    (RunNotFoundError, 404),
    (ValidationError, 400),
    (IdTakenError, 409),
    (DefinitionChangedError, 409),
    (ResumeClaimedError, 409),
    (RunClaimedError, 409),
    (RunStateError, 409),
    (StreamOverflowError, 410),
    (TripwireError, 422),
    (UsageLimitError, 429),
    (ToolApprovalError, 403),
    (ModelError, 502),
    (StorageError, 503),
)


READ_AS_NO_JSON = "The body was not read as JSON: send the header content-type: application/json"


class Refusal(Exception):  # noqa: N818 - an answer rather than a fault
    """Ends a request with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def status_of(error: BaseException) -> int:
    """Return the HTTP status for an exception."""
    if getattr(error, "code", None) == "THREAD_OF_ANOTHER_RESOURCE":
        return 403
    if is_unreadable(error):
        return 500
    if getattr(error, "code", None) in {OPTION_REFUSED, VALUE_NOT_STORABLE}:
        return 400
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return 500


def error_response(
    status: int, message: str, headers: dict[str, str] | None = None, **facts: Any
) -> JSONResponse:
    """Return an error as it is sent."""
    return JSONResponse({"error": message, **facts}, status, headers)


_HEADERS: dict[int, dict[str, str]] = {
    401: {"www-authenticate": "Bearer"},
    # What is left of the body is not waited for.
    408: {"connection": "close"},
    413: {"connection": "close"},
}


def answer_to(error: BaseException) -> Response | None:
    """Return the answer to an exception that was raised on purpose, else `None`."""
    match error:
        case Refusal():
            return error_response(error.status, error.message, _HEADERS.get(error.status))
        case RequestValidationError():
            return _invalid_request(error)
        case HTTPException():
            headers = dict(error.headers) if error.headers else None
            return error_response(error.status_code, str(error.detail), headers)
        case MastraError():
            # The original's answers have the message alone, so the code travels beside them.
            return error_response(status_of(error), message_of(error), {CODE_HEADER: error.code})
        case _:
            return None


def message_of(error: MastraError | Refusal) -> str:
    """Return what callers are told of an error: of the storage no more than that it is away."""
    return error.told(error.code) if isinstance(error, StorageError) else error.message


_PARTS = {"body": "request body", "query": "query parameters", "path": "path parameters"}


def _invalid_request(error: RequestValidationError) -> Response:
    issues: list[dict[str, str]] = []
    part = "body"
    for item in error.errors():
        part, *path = item["loc"]
        message: str = item["msg"]
        if item["type"] == "json_invalid":
            # FastAPI says of a body where instead of which field.
            path = [] if part == "body" else path
            message = f"This is no JSON that is taken: {item['ctx']['error']}"
        elif not path and isinstance(item.get("input"), bytes):
            message = READ_AS_NO_JSON
        issues.append({"field": ".".join(map(str, path)), "message": message})
    return error_response(400, f"Invalid {_PARTS.get(str(part), 'request')}", issues=issues)


def not_found_page() -> Response:
    """Return the answer of a path that is no route, as the original writes it."""
    return PlainTextResponse("404 Not Found", 404, {"content-type": "text/plain; charset=UTF-8"})
