"""Exceptions as JSON data, and back: what a failed step tells is stored and sent."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from mastra import errors
from mastra.errors import MastraError, StepError
from mastra.jsonable import Json, to_jsonable

__all__ = ["error_from_json", "error_to_json"]

_PUBLIC_ERRORS: dict[str, type[MastraError]] = {
    name: found
    for name in errors.__all__
    if issubclass(found := getattr(errors, name), MastraError)
}


def error_to_json(error: BaseException, depth: int = 0) -> dict[str, Json]:
    """Return an exception as Mastra writes it: `message`, `name`, and what else it tells.

    Such as its code, its cause, and those of its public attributes that JSON can hold.
    """
    data = _error_facts(error)
    if isinstance(error, StepError) and "name" in error.details:
        return data  # made from what was stored of its cause, and that is all of it
    if error.__cause__ is not None and depth < 8:
        data.setdefault("cause", error_to_json(error.__cause__, depth + 1))
    return data


def _error_facts(error: BaseException) -> dict[str, Json]:
    if isinstance(error, MastraError):
        data: dict[str, Json] = {"message": error.message, "name": type(error).__name__}
        if isinstance(error, StepError) and "name" in error.details:
            return {**error.details}
        data["code"] = error.code
        if error.details:
            data["details"] = to_jsonable(error.details)
        issues = getattr(error, "issues", None)
        if issues:
            data["issues"] = issues
        return data
    name = type(error).__name__
    facts: dict[str, Json] = {"message": str(error) or name, "name": name}
    for key, value in vars(error).items():
        if not key.startswith("_") and key not in facts:
            with contextlib.suppress(errors.SerializationError):
                facts[key] = to_jsonable(value)
    return facts


def error_from_json(data: Mapping[str, Json], cause: BaseException | None = None) -> MastraError:
    """Return the exception that stored error data stands for.

    Args:
        data: What `error_to_json` gave.
        cause: The step's own exception, where it was raised in this process.
    """
    if isinstance(cause, MastraError):
        return cause
    name = str(data.get("name", "Error"))
    message = str(data.get("message", name))
    known = _PUBLIC_ERRORS.get(name)
    if known is None or known is StepError:
        code = str(data["code"]) if data.get("code") else None
        error: MastraError = StepError(message, code=code, details=dict(data))
    else:
        error = known(message, code=data.get("code"), details=dict(data.get("details") or {}))
        if isinstance(error, errors.ValidationError):
            error.issues = list(data.get("issues") or [])
    error.__cause__ = cause
    return error
