"""What an agent's run waits for, and with what it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mastra.agents.records.requested_call import NeedsApproval, RequestedCall, Suspended
from mastra.agents.records.waiting_leg import WaitingLeg
from mastra.jsonable import Json

__all__ = ["Claim", "Resume", "Wait"]


@dataclass(frozen=True, slots=True)
class Resume:
    """An answer to a run that waits."""

    tool_call_id: str | None = None
    """Which call is answered, where several wait."""
    approved: bool | None = None
    """The answer to an approval."""
    reason: str | None = None
    """Why not."""
    args: Mapping[str, Any] | None = None
    """In place of the arguments of a call that is approved."""
    data: Any = None
    """The answer to a suspended tool."""


class Claim(Protocol):
    """The run as it is stored, which no other process goes on with then."""

    async def confirm(self) -> None:
        """See to it that nobody has taken the run over, after a time in which that may be.

        Raises:
            RunClaimedError: Somebody has.
        """
        ...

    async def wait(self, waiting: dict[str, Json]) -> None:
        """Store the run as one that waits, which ends the claim."""
        ...

    async def forget(self) -> None:
        """Let nobody answer the run any more, which goes on."""
        ...

    async def end(self) -> None:
        """Give the claim up: store how the run has ended, or leave it to who answers next."""
        ...


@dataclass(slots=True)
class Wait:
    """One run's."""

    calls: dict[str, tuple[RequestedCall, NeedsApproval | Suspended]] = field(
        default_factory=dict[str, "tuple[RequestedCall, NeedsApproval | Suspended]"]
    )
    """The calls that wait, by id, with what each waits for."""
    payload: Json = None
    """What whoever answers the first of them needs to know."""
    schema: str | None = None
    """The JSON Schema of the answer, as text."""
    resume: Resume | None = None
    """Of a run that goes on: what it goes on with."""
    held: Claim | None = None
    """Of a run that goes on: what is stored of it."""
    leg: WaitingLeg | None = None
    """Of a run that waits or goes on: what of it is recorded."""
    is_over: bool = False
    """Whether a step has ended since."""
