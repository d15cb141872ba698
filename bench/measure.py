"""How everything here is measured: subjects take turns, and the ratios of each turn are compared.

A shared machine is slow one moment and fast the next. Two subjects that run one right after the
other see the same machine, so the ratio of such a pair says more than two times on their own.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

__all__ = [
    "Options",
    "Row",
    "Subject",
    "Turns",
    "compare",
    "missing",
    "processor_s",
    "take_turns",
]

LONGEST_ROW_S = 5.0
"""A row that has taken this long takes no more turns, on whatever machine."""

FEWEST_TURNS = 4

FLAT = 1.3
"""By how much the cost of a unit may grow at ten times the size and still count as flat."""


def processor_s(pid: int) -> float:
    """Return the seconds that another process has had a processor for.

    Linux tells it to the nanosecond in `schedstat`; what `psutil` reads counts ticks of 10 ms.
    """
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        import psutil  # noqa: PLC0415 - only there

        return sum(psutil.Process(pid).cpu_times()[:2])


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure."""

    quick: bool = False
    """A few turns only, and little at ten times the size: shows that the harness works."""

    def turns(self, full: int) -> int:
        """Return how many turns to take where `full` are wanted."""
        return max(2, full // 8) if self.quick else full


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    group: str
    name: str
    unit: str
    """What the figures count: `us`, `ms`, `MB`, `chunks/s`."""
    ours: float | None
    limit: float | None
    """The same work without us."""
    ratio: float | None
    """The median of the turns' ratios, which need not be the ratio of the medians."""
    target: float | None = None
    """The highest ratio that counts as reached."""
    target_text: str = ""
    growth: float | None = None
    """Cost of a unit at ten times the size over the cost at this size; 1 is flat."""
    ours_least: float | None = None
    limit_least: float | None = None
    """The least samples: the nearest to what an idle machine would give."""
    spread: float | None = None
    """How far the limit's own samples lie apart: the noise of the machine."""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the ratio meets its target; `None` where there is none to meet."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio <= self.target

    @property
    def is_flat(self) -> bool | None:
        """Whether ten times the size costs the same a unit."""
        return None if self.growth is None else self.growth <= FLAT

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON data."""
        return {**asdict(self), "reached": self.reached, "is_flat": self.is_flat}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """Return what `to_json` gave."""
        return cls(**{key: data[key] for key in data if key not in ("reached", "is_flat")})


@dataclass(slots=True)
class Subject:
    """Something to time: work that is done again and again, and how many units it has."""

    work: Callable[[], Awaitable[object]]
    units: int
    waits: bool = True
    """Whether it waits for anything outside the process. What never does is timed by the
    processor's clock, which stands still while another process has the processor."""
    repeats: int = 1
    close: Callable[[], Awaitable[object]] | None = None
    """Ends what the work has opened, in the loop where it runs."""

    @property
    def _clock(self) -> Callable[[], float]:
        return time.perf_counter if self.waits else time.process_time

    async def warm_up(self, sample_s: float) -> None:
        """Run until everything lazy is done, and find how often to repeat for a sample."""
        await self.work()
        clock = self._clock
        begun, done = clock(), 0
        while done < 2 or clock() - begun < sample_s:
            await self.work()
            done += 1
        one_s = (clock() - begun) / done
        self.repeats = max(1, round(sample_s / one_s))

    async def sample(self) -> float:
        """Return the seconds that one unit takes now."""
        # Every sample starts with an empty young generation; the collector stays on, as it is
        # for users.
        gc.collect()
        clock = self._clock
        begun = clock()
        for _ in range(self.repeats):
            await self.work()
        return (clock() - begun) / (self.repeats * self.units)


@dataclass(frozen=True, slots=True)
class Turns:
    """The samples of subjects that took turns, in seconds a unit."""

    samples: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Return a subject's median."""
        return median(self.samples[name])

    def least(self, name: str) -> float:
        """Return a subject's least sample: the nearest to what an idle machine would give."""
        return min(self.samples[name])

    def ratio(self, name: str, to: str) -> float:
        """Return the median of the ratios of each turn."""
        pairs = zip(self.samples[name], self.samples[to], strict=True)
        return median(ours / limit for ours, limit in pairs)

    def spread(self, name: str) -> float:
        """Return the distance between a subject's quartiles, over its median."""
        samples = self.samples[name]
        if len(samples) < 4:
            return 0.0
        low, middle, high = quantiles(samples, n=4)
        return (high - low) / middle


async def take_turns(
    subjects: Mapping[str, Subject], turns: int, *, sample_s: float = 0.01
) -> Turns:
    """Time subjects one after the other, again and again."""
    for subject in subjects.values():
        await subject.warm_up(sample_s)
    gc.collect()
    gc.freeze()  # what the imports left behind is not collected again in every sample
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    begun = time.perf_counter()
    for turn in range(turns):
        if turn >= FEWEST_TURNS and time.perf_counter() - begun > LONGEST_ROW_S:
            break
        for name, subject in subjects.items():
            samples[name].append(await subject.sample())
            await asyncio.sleep(0)
    gc.unfreeze()
    for subject in subjects.values():
        if subject.close is not None:
            await subject.close()
    return Turns(samples)


async def compare(
    group: str,
    name: str,
    *,
    ours: Subject,
    limit: Subject,
    turns: int,
    larger: Subject | None = None,
    unit: str = "us",
    target: float | None = None,
    target_text: str = "",
    sample_s: float = 0.01,
) -> Row:
    """Time a subject beside its limit, and at ten times the size where there is one."""
    subjects = {"ours": ours, "limit": limit}
    if larger is not None:
        subjects["larger"] = larger
    taken = await take_turns(subjects, turns, sample_s=sample_s)
    scale = {"us": 1e6, "ms": 1e3, "s": 1.0}[unit]
    return Row(
        group,
        name,
        unit,
        taken.median("ours") * scale,
        taken.median("limit") * scale,
        taken.ratio("ours", "limit"),
        target,
        target_text or ("" if target is None else f"{target:.2f} x"),
        growth=None if larger is None else taken.ratio("larger", "ours"),
        ours_least=taken.least("ours") * scale,
        limit_least=taken.least("limit") * scale,
        spread=taken.spread("limit"),
    )


def missing(group: str, names: Iterable[str], why: str) -> list[Row]:
    """Return rows that say why they could not be measured here."""
    return [Row(group, name, "", None, None, None, note=why) for name in names]
