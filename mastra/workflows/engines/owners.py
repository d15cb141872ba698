"""Names of engines in storage, and whether one of them is gone."""

from __future__ import annotations

import itertools
import os
import socket

__all__ = ["dead_owners", "numbers", "open_numbers", "process_owner"]


def _start_time(pid: int) -> str:
    # Tells a process from a later one with the same number, where the system says.
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - no Path on this path
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


_owners: dict[int, str] = {}
numbers = itertools.count(1)
"""Gives each engine of this process a number of its own."""
open_numbers: set[int] = set()
"""Numbers of the engines of this process that are not closed."""


def process_owner() -> str:
    """Return the name of this process: `host:pid:start`."""
    pid = os.getpid()
    if pid not in _owners:
        _owners[pid] = f"{socket.gethostname()}:{pid}:{_start_time(pid)}"
    return _owners[pid]


def dead_owners(owner: str | None) -> tuple[str, ...]:
    """Return the owner if it was an engine of this machine that is gone, else nothing."""
    if not owner:
        return ()
    process, _, number = owner.rpartition(":")
    if process == process_owner():
        return () if int(number) in open_numbers else (owner,)
    host, _, rest = process.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return ()
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return (owner,)
    except PermissionError:
        return ()
    return () if _start_time(pid) == process.rpartition(":")[2] else (owner,)
