"""Who drives runs in a storage that several processes see.

A driver is a process start with an id of its own. It holds a lease, on the storage's clock: no
two processes have to agree on the time, and one whose clock jumps loses nothing.
"""

from __future__ import annotations

from typing import Protocol

from mastra.dataclass import dataclass

__all__ = ["DRIVER_ID_LENGTH", "DriverFacts", "DriverStore"]

DRIVER_ID_LENGTH = 36
"""An owner of a run is the id of its driver, a colon, and which of the driver's claims it is."""


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

    async def release(self, owner: str) -> None:
        """Let others have at once what is claimed under a name: runs of workflows and agents."""
        ...

    async def forget(self, driver_id: str) -> None:
        """Remove a driver, and with it its lease; also those whose lease ended long ago."""
        ...

    def apart(self) -> DriverStore:
        """Return the same store on a connection of its own, for another thread."""
        ...

    async def aclose(self) -> None:
        """Close the connection, where it is one of its own."""
        ...
