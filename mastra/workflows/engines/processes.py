"""What tells a process from every other one, and whether it has ended.

A number alone tells nothing: containers and machines have the same ones, and one machine gives
them out again. Only where the boot of the machine, the namespace of its numbers and the
process's start are known, it can be looked up; of any other nothing is said.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["has_ended", "process_facts"]

_BOOT: Final = "/proc/sys/kernel/random/boot_id"
_NAMESPACE: Final = "/proc/self/ns/pid"
_ENDED_STATES: Final = ("Z", "X")
"""Of a process that has ended, though its parent has not asked how."""


def process_facts() -> str:
    """Return what is stored of this process: boot, namespace, number, start; empty if unknown."""
    pid = os.getpid()
    place, stat = _place(), _stat(pid)
    return f"{place}|{pid}|{stat[1]}" if place and stat else ""


def has_ended(about: str) -> bool:
    """Return whether a process is known to have ended, by what it stored of itself."""
    place, _, rest = about.rpartition("|")[0].rpartition("|")
    if not place or place != _place() or not rest.isdigit():
        return False
    pid = int(rest)
    stat = _stat(pid)
    if stat is not None:
        return stat[0] in _ENDED_STATES or stat[1] != about.rpartition("|")[2]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False  # it is there, and says nothing of itself


def _place() -> str:
    try:
        with open(_BOOT, encoding="ascii") as boot:  # noqa: PTH123 - no Path on this path
            return f"{boot.read().strip()}|{os.readlink(_NAMESPACE)}"  # noqa: PTH115 - as above
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str] | None:
    """Return a process's state, and its start in ticks since the boot."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - no Path on this path
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), fields[19].decode()
