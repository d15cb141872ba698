"""What scorers see of an answer, and where it is offered to those that score live."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from mastra.agents.context import resolve_dynamic
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.models.stored_messages import to_stored_wire
from mastra.services import Scorable

if TYPE_CHECKING:
    from mastra.agents.run import AgentRun

__all__ = ["offer_scores", "scoring_data"]


def scoring_data(run: AgentRun) -> dict[str, Json]:
    """Return what a scorer sees of a run: `input` and `output`, in the original's form."""
    said = run.transcript
    owner = {"threadId": run.thread_id, "resourceId": run.resource_id}
    remembered = {message.id for message in said.remembered}
    known = said.shown | remembered
    given = [message for message in said.messages[: said.input_count] if message.id not in known]
    return {
        "input": {
            "inputMessages": to_stored_wire(given, **owner),
            "rememberedMessages": to_stored_wire(said.remembered, **owner),
            "systemMessages": [{"role": "system", "content": part.text} for part in said.system],
            "taggedSystemMessages": {},
        },
        "output": to_stored_wire(said.messages[said.input_count :], **owner),
    }


async def offer_scores(run: AgentRun) -> None:
    """Offer an answer to the scorers of its agent. What goes wrong there changes nothing here."""
    given: Any = run.options.get("scorers", run.spec.scorers)
    if given is None or run.services is None:
        return
    try:
        scorers = cast("Mapping[str, Any]", await resolve_dynamic(given, run.context))
        trace = None if run.span is None else run.span.to_stored()
        key = run.run_id if trace is None else str(trace["traceId"])
        run.services.score(scorers, key, partial(_scorable, run, trace))
    except Exception:  # noqa: BLE001 - a user's function may raise anything, and the answer is there
        get_logger({"agent": run.spec.id, "run": run.run_id}).exception(
            "The scorers of agent %r could not be asked", run.spec.id
        )


def _scorable(run: AgentRun, trace: Mapping[str, Json] | None) -> Scorable:
    seen = scoring_data(run)
    return Scorable(
        "AGENT",
        {"id": run.spec.id, "name": run.spec.name},
        run.run_id,
        seen["input"],
        seen["output"],
        run.request_context.to_json(),
        run.resource_id,
        run.thread_id,
        trace,
        is_structured=run.object is not None,
    )
