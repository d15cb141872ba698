"""The memory of many processes over time, each on its own, as a soak notes it."""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import psutil

__all__ = ["Memory", "tell_when_asked"]

MB = 2**20


class Memory:
    """What each process took, in MB, by how old it was.

    Args:
        path: A file that each sample is added to as it is taken, as a JSON line.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._begun: dict[str, float] = {}
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """Of each process: its age in seconds, and MB."""

    def sample(self, pids: dict[str, int], runs: int) -> None:
        """Note what each of these takes now, when so many runs have ended.

        One that has gone in the meantime is left out.
        """
        now, line = time.monotonic(), {}
        for name, pid in pids.items():
            try:
                taken = psutil.Process(pid).memory_info().rss / MB
            except psutil.NoSuchProcess:
                continue
            age = now - self._begun.setdefault(name, now)
            self._samples[name].append((age, taken))
            line[name] = [pid, round(age), round(taken, 1)]
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"runs": runs} | line) + "\n")

    def lines(self) -> list[str]:
        """Tell of each long-lived process by tenths of its life, and of workers by their age."""
        lines = []
        for name, samples in self._samples.items():
            if name.startswith("worker ") and name != "worker 1":
                continue
            label = "worker that lives" if name == "worker 1" else name
            cuts = [len(samples) * tenth // 10 for tenth in range(11)]
            parts = [samples[low:high] for low, high in itertools.pairwise(cuts)]
            levels = [_mean(mb for _, mb in part) for part in parts if part]
            lines.append(f"memory of the {label}, MB, by tenths of its time: {' '.join(levels)}")
        by_minute: dict[int, list[float]] = defaultdict(list)
        for name, samples in self._samples.items():
            if name.startswith("worker ") and name != "worker 1":
                for age, mb in samples:
                    by_minute[int(age // 60)].append(mb)
        ages = [f"{minute}: {_mean(found)} ({len(found)})" for minute, found in by_minute.items()]
        lines.append(f"workers that are killed, MB by minutes of age (samples): {', '.join(ages)}")
        return lines


def _mean(values: Iterable[float]) -> str:
    found = [*values]
    return f"{sum(found) / len(found):.0f}"


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def tell_when_asked(path: Path) -> None:
    """Have `kill -USR1` add to a file, as a JSON line, what the memory of this process is made of.

    Objects by type (those that the collector knows), what the C allocator has handed out and what
    it keeps. `kill -USR2` does so too and gives back to the system what is free (`rss_trimmed`).
    """
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo2

    def tell(number: int, _: object) -> None:
        gc.collect()
        objects = gc.get_objects()
        types = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in objects)
        info = libc.mallinfo2()
        found = {
            "seconds": time.monotonic(),
            "objects": len(objects),
            "rss": psutil.Process().memory_info().rss / MB,
            "malloc_used": (info.uordblks + info.hblkhd) / MB,
            "malloc_kept": info.fordblks / MB,
            "types": types.most_common(60),
        }
        if number == signal.SIGUSR2:
            libc.malloc_trim(0)
            found["rss_trimmed"] = psutil.Process().memory_info().rss / MB
        with path.open("a") as file:
            file.write(json.dumps(found) + "\n")

    signal.signal(signal.SIGUSR1, tell)
    signal.signal(signal.SIGUSR2, tell)
