"""From stored error data back to exceptions: `failures.error_to_json` the other way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mastra import errors
from mastra.errors import MastraError, StepError
from mastra.jsonable import Json

__all__ = ["error_from_json"]

_PUBLIC_ERRORS: dict[str, type[MastraError]] = {
    name: found
    for name in errors.__all__
    if issubclass(found := getattr(errors, name), MastraError)
}


def error_from_json(data: Mapping[str, Json], cause: BaseException | None = None) -> MastraError:
    """Return the exception that stored error data stands for.

    Args:
        data: What `error_to_json` gave.
        cause: The step's own exception, where it was raised in this process.
    """
    if cause is not None and issubclass(type(cause), MastraError):
        return cast("MastraError", cause)
    name = str(data.get("name", "Error"))
    message = str(data.get("message", name))
    known = _PUBLIC_ERRORS.get(name)
    if known is None or known is StepError:
        code = None if data.get("code") is None else str(data["code"])
        error: MastraError = StepError(message, code=code, details=dict(data))
    else:
        details: Any = data.get("details")
        told = {} if not isinstance(details, dict) else {**cast("dict[str, Json]", details)}
        error = known(message, code=data.get("code"), details=told)
        if isinstance(error, errors.ValidationError):
            error.issues = list(data.get("issues") or [])
    error.__cause__ = cause
    return error
