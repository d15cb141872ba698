"""Where an answer is offered to those that score live."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from mastra.agents.context import resolve_dynamic
from mastra.agents.run.agent_run import AgentRun
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.services import Scorable

__all__ = ["offer_scores"]


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
    seen = run.transcript.to_scoring(run.thread_id, run.resource_id)
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
