"""Who drives runs in a storage that several processes see.

A driver is a process start with an id of its own. It holds a lease, on the storage's clock: no
two processes have to agree on the time, and one whose clock jumps loses nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from mastra.dataclass import dataclass

__all__ = ["DRIVER_ID_LENGTH", "WHOLE", "DriverFacts", "DriverStore", "Work", "Worker"]

DRIVER_ID_LENGTH = 36
"""An owner of a run is the id of its driver, a colon, and which of the driver's claims it is."""

WHOLE = ""
"""The part of a run that is all of it."""


@dataclass(frozen=True, slots=True)
class Work:
    """A part of a run that one driver at a time is at work on; all of it is beside no other."""

    workflow_id: str
    run_id: str
    part: str = WHOLE


@dataclass(frozen=True, slots=True)
class Worker:
    """Who is noted as being at work."""

    owner: str
    lease_until: int | None
    """When the lease of its driver ends or has ended; `None` where no such driver is known."""
    is_over: bool
    """Whether that has passed on the storage's clock, which may have been set since."""


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """What is stored of a driver."""

    driver_id: str
    about: str
    """What a process of the same machine can tell its death by; may be empty."""
    lease_until: int
    """When its lease ends or has ended, in milliseconds on the storage's clock."""


class DriverStore(Protocol):
    """Keeps drivers and their leases."""

    @property
    def lease_s(self) -> float:
        """For how long a driver is trusted to be alive without another sign of it, in seconds."""
        ...

    async def beat(self, driver_id: str, about: str) -> None:
        """Begin a driver's lease, or prolong it, from now on the storage's clock.

        Raises:
            StorageError: It could not be stored.
        """
        ...

    async def find(self, driver_id: str) -> DriverFacts | None:
        """Return what is known of a driver."""
        ...

    async def list_drivers(self) -> list[DriverFacts]:
        """Return those that hold a lease, or did not long ago."""
        ...

    async def begin_work(
        self, work: Work, owner: str, *, dead_owners: Collection[str] = ()
    ) -> bool:
        """Note who is at work on a part of a run, in one atomic step.

        It succeeds where nobody else is at work on it or on all of the run, for all of a run on
        no part of it either, and where those who are, are among `dead_owners`.
        """
        ...

    async def workers(self, work: Work) -> list[Worker]:
        """Return who is noted as being at work on a part of a run, or on what is not beside it."""
        ...

    async def end_work(self, work: Work, owner: str) -> None:
        """Note that an owner is no longer at work on a part of a run."""
        ...

    async def release(self, owner: str) -> None:
        """Let others have at once what is claimed under a name: runs, and parts of them."""
        ...

    async def forget(self, driver_id: str) -> None:
        """Remove a driver, and with it its lease and work; also those whose lease ended long ago."""
        ...

    def apart(self) -> DriverStore:
        """Return the same store on a connection of its own, for another thread."""
        ...

    async def aclose(self) -> None:
        """Close the connection, where it is one of its own."""
        ...
