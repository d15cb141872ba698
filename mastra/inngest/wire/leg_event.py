"""What an event says that begins a leg: the data of the original, and what this engine adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mastra.given import COUNT, LIST, MAPPING, TEXT, TEXTS, check_given
from mastra.inngest.wire.envelope import decode_exact, encode_exact
from mastra.inngest.wire.names import PROCESS
from mastra.jsonable import Json
from mastra.storage.base import WorkflowStore
from mastra.workflows.engines.commands import Command

__all__ = ["LegEvent", "encode_leg", "read_leg", "store_identity"]


def store_identity(store: WorkflowStore) -> str:
    """Return a text that is the same in all processes that see the same runs.

    Stores that are shared are taken to be the same one.
    """
    return "shared" if store.is_shared else f"{PROCESS}:{id(store)}"


@dataclass(slots=True)
class LegEvent:
    """One leg, as its event tells of it."""

    run_id: str | None
    """`None` where whoever sent it named none."""
    input: Json = None
    initial_state: Any = None
    request_context: dict[str, Json] = field(default_factory=dict[str, Any])
    resource_id: str | None = None
    per_step: bool = False
    kind: str = "start"
    token: str | None = None
    """Names the leg; `None` where the event is not from this library."""
    number: int = 0
    """How many legs came before."""
    goes_on: bool = False
    """Whether it goes on with a leg that was full; see `continuation`."""
    is_on_schedule: bool = False
    """Whether the server's clock has begun it."""
    store: str = ""
    """Which storage its sender has."""
    inbox: str = ""
    """Where its sender hears of the run."""
    reopening: dict[str, Json] | None = None
    dropped: list[str] = field(default_factory=list[str])
    given: list[dict[str, Json]] = field(default_factory=list[dict[str, Any]])
    resume_steps: list[str] = field(default_factory=list[str])
    carried: dict[str, Any] | None = None
    """The run as far as it has come, of a sender whose storage is its own; see `carried`."""


def encode_leg(
    command: Command,
    token: str,
    number: int,
    reopening: dict[str, Json] | None,
    inbox: str,
    *,
    carried: dict[str, Json] | None = None,
) -> dict[str, Json]:
    """Return the data of the event that begins a leg.

    Args:
        command: What is to be done.
        token: Names the leg.
        number: How many legs came before.
        reopening: What storage has of where the run goes on.
        inbox: The channel where the sender hears of the run.
        carried: The run as far as it has come, for a worker that does not know it.
    """
    target, travel = command.target, command.reopening.travel
    stored = None if reopening is None else dict(reopening)
    is_resume = command.reopening.target is not None
    payload = stored.pop("data", None) if stored and is_resume else command.input
    exact: dict[str, Json] = {
        "inputData": payload,
        "initialState": command.initial_state,
        "requestContext": command.request_context.to_json(),
        "reopening": stored,
        "given": [] if travel is None else [record.to_stored() for record in travel.given],
        # A worker with a storage of its own may not have the run's first input.
        "input": command.input if is_resume else None,
        "carried": carried,
    }
    value, is_text = encode_exact(exact, what=f"Input of run {target.run_id!r}")
    data: dict[str, Json] = {"runId": target.run_id, "workflowId": target.workflow_id}
    ours: dict[str, Json] = {
        "leg": token,
        "kind": command.kind,
        "n": number,
        "store": store_identity(target.store),
        "inbox": inbox,
        "dropped": [] if travel is None else list(travel.dropped),
    }
    if is_text:
        ours["exact"] = value
    else:
        for name in ("inputData", "initialState", "requestContext"):
            data[name] = exact[name]
        for name in ("reopening", "given", "input", "carried"):
            if exact[name]:
                ours[name] = exact[name]
    if command.resource_id is not None:
        data["resourceId"] = command.resource_id
    if command.per_step:
        data["perStep"] = True
    if is_resume and stored is not None:
        data["resume"] = {"steps": list(stored["ops"])}
    data["mastra"] = ours
    return data


_TAKEN: Final = {
    "initialState": MAPPING,
    "requestContext": MAPPING,
    "resourceId": TEXT,
    "steps": LIST,
    "mastra": MAPPING,
    "leg": TEXT,
    "n": COUNT,
    "reopening": MAPPING,
    "dropped": TEXTS,
    "given": LIST,
    "carried": MAPPING,
}


def read_leg(data: Mapping[str, Any]) -> LegEvent:
    """Return the leg that an event begins, whoever sent it.

    Raises:
        ConfigError: Part of its data is of another form.
    """
    check_given("The event's data", data, _TAKEN)
    ours = cast("dict[str, Any]", data.get("mastra") or {})
    facts: dict[str, Any] = {**ours, **data}
    if "exact" in ours:
        facts |= decode_exact(ours["exact"], is_text=True)
    check_given("The event's data", facts, _TAKEN)
    reopening = cast("dict[str, Json] | None", facts.get("reopening"))
    is_resume = reopening is not None and "ops" in reopening
    if reopening is not None and is_resume:
        reopening = {**reopening, "data": facts.get("inputData")}
    resume: Any = data.get("resume")
    asked = cast("dict[str, Any]", resume) if isinstance(resume, dict) else {}
    check_given("The event's data, resume", asked, _TAKEN)
    steps = cast("list[Any] | None", asked.get("steps"))
    run_id = data.get("runId")
    return LegEvent(
        run_id=None if run_id is None else str(run_id),
        input=facts.get("input") if is_resume else facts.get("inputData"),
        initial_state=facts.get("initialState"),
        request_context=dict(facts.get("requestContext") or {}),
        resource_id=data.get("resourceId"),
        per_step=bool(data.get("perStep")),
        kind=str(ours.get("kind") or ("resume" if steps is not None else "start")),
        token=ours.get("leg"),
        number=int(ours.get("n") or 0),
        goes_on=bool(ours.get("goesOn")),
        store=str(ours.get("store") or ""),
        inbox=str(ours.get("inbox") or ""),
        reopening=reopening or None,
        dropped=list(ours.get("dropped") or []),
        given=list(facts.get("given") or []),
        carried=facts.get("carried") or None,
        resume_steps=[str(step) for step in steps or []],
    )
