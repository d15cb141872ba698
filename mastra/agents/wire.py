"""Values of chunks as Mastra's JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mastra.errors import StepError, StorageError
from mastra.failures import error_to_json
from mastra.jsonable import Json, to_jsonable

__all__ = ["error_to_wire", "plain"]


def plain(value: Any) -> Json:
    """Return any value of a payload as JSON data, in Mastra's spelling."""
    if type(value) is str or value is None:
        return value
    to_wire: Callable[[], Json] | None = getattr(value, "to_wire", None)
    if to_wire is not None:
        return to_wire()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return to_jsonable(value, what="An agent's chunk")


def error_to_wire(error: BaseException) -> dict[str, Json]:
    """Return an error as Mastra sends it; of the storage only what callers are told."""
    if isinstance(error, StepError) and "name" in error.details:
        # Made from what was stored of another error, as which it is sent.
        known: dict[str, Json] = error.details
    else:
        known = error_to_json(error)
    wire = {key: known[key] for key in ("message", "name", "code", "details") if key in known}
    if "code" in wire:
        wire["code"] = str(wire["code"])
    if isinstance(error, StorageError) or wire.get("name") == StorageError.__name__:
        wire["message"] = StorageError.told(str(wire.get("code")))
    return wire
