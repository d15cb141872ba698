"""What a model suggests to whoever keeps a dataset, and scores of traces that are there."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request

from mastra.errors import NotFoundError
from mastra.evals.suggestions import group_failures, suggest_items
from mastra.evals.traced import scorable_of
from mastra.jsonable import Json
from mastra.observability.records import SpanRecord
from mastra.server.caller_settings import allowed_model
from mastra.server.context import ServerDep
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import FailuresBody, SuggestionsBody, TracesBody, given
from mastra.server.handling import add
from mastra.server.observed import trace_of
from mastra.server.routes.datasets import DatasetId, dataset_of

__all__ = ["add_suggestion_routes"]


async def generate_items(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: SuggestionsBody
) -> dict[str, Json]:
    """Have a model write items for a dataset. They are answered, and added nowhere."""
    dataset = await dataset_of(server, request, dataset_id)
    model = allowed_model(body.model_id, server.config.allowed_models, "modelId")
    about = given(body.agent_context) if body.agent_context is not None else None
    items = await suggest_items(model, dataset.data, body.prompt, count=body.count, agent=about)
    return {"items": [*items]}


async def cluster_failures(server: ServerDep, body: FailuresBody) -> dict[str, Json]:
    """Have a model say which failures have one cause, and what to tag them with."""
    model = allowed_model(body.model_id, server.config.allowed_models, "modelId")
    return await group_failures(
        model,
        [given(item) for item in body.items],
        tags=body.available_tags or (),
        wanted=body.prompt,
    )


async def score_traces(server: ServerDep, request: Request, body: TracesBody) -> dict[str, Json]:
    """Have a scorer score traces that are there, in the background."""
    try:
        scorer = server.mastra.get_scorer_by_id(body.scorer_name)
    except NotFoundError as error:
        raise Refusal(404, error.message) from None
    found: list[tuple[list[SpanRecord], SpanRecord]] = []
    for target in body.targets:
        spans = await trace_of(server, request, target.trace_id)
        asked = [one for one in spans if target.span_id in (None, one.span_id)]
        if not asked:
            where = "" if target.span_id is None else f", span '{target.span_id}'"
            raise Refusal(404, f"Trace with ID '{target.trace_id}'{where} not found")
        found.append((spans, asked[0]))
    for spans, span in found:
        subject = partial(scorable_of, spans, span, is_of_agent=scorer.type == "agent")
        server.mastra.live_scores.offer({scorer.id: scorer}, span.trace_id, subject)
    count = len(found)
    return {
        "status": "success",
        "message": f"Scoring started for {count} {'trace' if count == 1 else 'traces'}",
        "traceCount": count,
    }


def add_suggestion_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "POST", "/datasets/cluster-failures", cluster_failures)
    add(router, "POST", "/datasets/{datasetId}/generate-items", generate_items)
    add(router, "POST", "/observability/traces/score", score_traces)
