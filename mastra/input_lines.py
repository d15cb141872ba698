"""Lines, such as those of standard input, that whoever waits for can leave.

A read that nothing comes to cannot be ended, and neither asyncio nor anyio lets a program end
before a thread of theirs has come back from one. Here the thread is left behind.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

from mastra.errors import ConfigError
from mastra.threads import run_in_thread

__all__ = ["InputLines", "check_standard_input", "standard_input"]

_AT_ONCE: Final = 1 << 16


class InputLines:
    """Reads lines of UTF-8.

    Args:
        read: Waits for up to so many bytes and returns them; none at the end. Nobody else may read
            there meanwhile.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._more = read
        self._read = bytearray()

    async def next(self) -> str | None:
        """Return the next line with its end, which the last one may not have; `None` at the end.

        Whoever is cancelled while it waits loses what comes next.
        """
        looked = 0
        while (end := self._read.find(b"\n", looked)) < 0:
            looked = len(self._read)
            more = await run_in_thread(self._more, _AT_ONCE)
            if not more:
                return self._take(looked) if looked else None
            self._read += more
        return self._take(end + 1)

    async def rest(self) -> bytes:
        """Return all that is left."""
        while more := await run_in_thread(self._more, _AT_ONCE):
            self._read += more
        rest = bytes(self._read)
        self._read.clear()
        return rest

    def _take(self, length: int) -> str:
        line = self._read[:length].decode(errors="replace")
        del self._read[:length]
        return line

    def __aiter__(self) -> InputLines:
        return self

    async def __anext__(self) -> str:
        line = await self.next()
        if line is None:
            raise StopAsyncIteration
        return line


def check_standard_input() -> None:
    """Check that there is a standard input.

    Raises:
        ConfigError: It was closed when the program began, and another file may have its number.
    """
    if sys.stdin is None:
        raise ConfigError("There is no standard input to read: it is closed.")


@contextmanager
def standard_input() -> Generator[InputLines]:
    """Give the lines of standard input, and have all others find it empty meanwhile.

    What this program calls, and the programs that it starts, would read lines that are not theirs.

    Raises:
        ConfigError: There is none.
    """
    check_standard_input()
    kept, empty = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        yield InputLines(partial(os.read, kept))
    finally:
        # The copy stays open: a thread may still read there.
        os.dup2(kept, 0)
