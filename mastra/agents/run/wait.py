"""What an agent's run waits for, and with what it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mastra.jsonable import Json

if TYPE_CHECKING:
    from mastra.agents.records.requested_call import NeedsApproval, RequestedCall, Suspended
    from mastra.agents.records.waiting_leg import WaitingLeg
    from mastra.agents.waiting.held_run import HeldRun
    from mastra.agents.waiting.resume import Resume

__all__ = ["Wait"]


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
    held: HeldRun | None = None
    """Of a run that goes on: what is stored of it, which no other process has then."""
    leg: WaitingLeg | None = None
    """Of a run that waits or goes on: what of it is recorded."""
    is_over: bool = False
    """Whether a step has ended since."""
