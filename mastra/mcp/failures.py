"""What became of a request that an MCP server did not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar, cast

from mastra.errors import ToolError
from mastra.failures import text_of
from mastra.logs import get_logger

__all__ = ["Fate", "fate_of", "of_each", "request_failed"]

T = TypeVar("T")
Fate = Literal["refused", "lost", "answered"]
"""Not run; perhaps run, by a server that then went away; or answered with an error."""

_CLOSED: Final = -32000
_TIMED_OUT: Final = -32001
_ENDS: Final = ("Connection closed", "SSE stream")  # servers give that code to errors of theirs too


async def of_each(
    servers: Iterable[str], ask: Callable[[str], Awaitable[T]]
) -> tuple[dict[str, T], dict[str, ToolError]]:
    """Ask servers one after the other; return what they gave, and what was wrong with the others."""
    found: dict[str, T] = {}
    errors: dict[str, ToolError] = {}
    for server in servers:
        try:
            found[server] = await ask(server)
        except ToolError as error:
            errors[server] = error
            get_logger({"mcpServer": server}).warning("%s", error)
    return found, errors


def fate_of(error: Exception) -> Fate:
    """Return what an error of the SDK says of its request."""
    data: Any = getattr(error, "data", None)
    if isinstance(data, Mapping):
        fate: Any = cast("Mapping[str, Any]", data).get("mastraFate")
        if fate in {"refused", "lost"}:
            return cast("Fate", fate)
    if getattr(error, "code", None) == _CLOSED and text_of(error).startswith(_ENDS):
        return "lost"
    return "answered"


def request_failed(
    server: str, what: str, error: Exception, fate: Fate, *, tries: int = 1
) -> ToolError:
    """Return the error that says what an MCP server did with a request.

    Args:
        server: What the client calls it.
        what: What was asked, such as `tool 'search'`.
        error: What the SDK raised.
        fate: What it says of the request.
        tries: How often it was asked.
    """
    text = text_of(error)
    facts = {"server": server}
    if fate == "lost":
        once = "It may have acted already, so this was not repeated"
        repeated = once if tries == 1 else f"It did so each of {tries} times"
        return ToolError(
            f"MCP server {server!r} went away during {what}: {text}. {repeated}; the next call "
            "connects again.",
            code="MCP_CONNECTION_LOST",
            details=facts,
        )
    if fate == "refused":
        return ToolError(
            f"MCP server {server!r} did not take {what}: {text}.",
            code="MCP_UNREACHABLE",
            details=facts,
        )
    code: Any = getattr(error, "code", None)
    if code == _TIMED_OUT:
        return ToolError(
            f"MCP server {server!r} did not answer {what} in time: {text}.",
            code="MCP_TIMEOUT",
            details=facts,
        )
    if isinstance(code, int):
        facts["code"] = str(code)
        return ToolError(f"MCP server {server!r} refused {what}: {text}", details=facts)
    return ToolError(
        f"What MCP server {server!r} answered to the request for {what} cannot be used: {text}",
        details=facts,
    )
