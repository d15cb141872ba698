"""Lists of an MCP server, which come page by page."""

from __future__ import annotations

from typing import Any, Final

from mastra.errors import ToolError

__all__ = ["Pages"]

_MOST: Final = 1000
"""How many pages a list may have: a server that never comes to an end would be read for ever."""


class Pages:
    """Follows one list to its last page.

    Args:
        server: What the client calls the server.
        what: What is listed, such as `the list of its tools`.
    """

    def __init__(self, server: str, what: str) -> None:
        self._server = server
        self._what = what
        self._seen: set[str] = set()

    def after(self, page: Any) -> str | None:
        """Return what to ask the next page with; `None` after the last one.

        Raises:
            ToolError: The server comes back to a page, or has too many of them.
        """
        cursor: str | None = page.next_cursor
        if cursor is None:
            return None
        if cursor in self._seen or len(self._seen) >= _MOST:
            raise ToolError(
                f"MCP server {self._server!r} comes to no end with {self._what}: after "
                f"{len(self._seen) + 1} pages it leads to {cursor[:100]!r}.",
                code="MCP_ENDLESS_LIST",
                details={"server": self._server},
            )
        self._seen.add(cursor)
        return cursor
