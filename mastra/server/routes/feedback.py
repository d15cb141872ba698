"""What people think of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request

from mastra.clock import iso_from_ms, now_ms
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.server.context import ServerDep, caller_of
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import FeedbackBody, FeedbackIdsBody, ReviewStatusBody, given
from mastra.server.handling import add
from mastra.server.paging import Direction, Page, PerPage, paged
from mastra.server.payloads import Identifier
from mastra.server.routes.metrics import asked_ms
from mastra.server.routes.scores import delete_own, save_own
from mastra.storage.evals import EvalFilter, EvalRecord, FieldCondition

__all__ = ["add_feedback_routes", "feedback_to_wire"]

_FILTERS = (
    "traceId",
    "spanId",
    "runId",
    "threadId",
    "entityType",
    "entityName",
    "experimentId",
    "sourceId",
    "feedbackType",
    "feedbackSource",
    "feedbackUserId",
    "reviewStatus",
)


def feedback_to_wire(record: EvalRecord) -> dict[str, Json]:
    """Return feedback as it is on the wire."""
    data: dict[str, Any] = record.data
    return {
        **dict.fromkeys((*_FILTERS, "comment", "metadata", "entityId", "tags")),
        **data,
        "feedbackId": record.id,
        "timestamp": iso_from_ms(record.created_at),
        "resourceId": record.resource_id,
        **record.fault(),
    }


async def list_feedback(
    server: ServerDep,
    request: Request,
    page: Page = 0,
    per_page: PerPage = 10,
    direction: Direction = "DESC",
) -> dict[str, Json]:
    """List feedback, the latest first."""
    query = request.query_params
    asked = {name: query[name] for name in _FILTERS if query.get(name)}
    from_ms, before_ms = asked_ms(request)
    where = EvalFilter(
        trace_id=asked.get("traceId"),
        run_id=asked.get("runId"),
        resource_id=server.owner(request, query.get("resourceId") or None),
        from_ms=from_ms,
        before_ms=before_ms,
        fields=tuple(FieldCondition(((name,),), (value,)) for name, value in asked.items()),
    )
    found = await server.mastra.storage.evals.list(
        "feedback",
        where,
        offset=page * per_page,
        limit=per_page,
        is_ascending=direction == "ASC",
    )
    return {
        "pagination": paged(found.total, page, per_page),
        "feedback": [feedback_to_wire(one) for one in found.records],
        "deltaCursor": str(found.total),
    }


async def create_feedback(
    server: ServerDep, request: Request, body: FeedbackBody
) -> dict[str, Json]:
    """Store what somebody thinks of an answer."""
    data = given(body.feedback)
    name = str(data.pop("feedbackId", None) or new_id())
    data["feedbackUserId"] = data.pop("userId", None) or data.get("feedbackUserId")
    # Who says it is known of a caller who has said who they are, and taken from nobody else.
    owner = server.owner(request)
    known = caller_of(request).claims.get("sub") or owner
    if known is not None:
        data["feedbackUserId"] = str(known)
    record = EvalRecord(
        "feedback",
        name,
        {key: value for key, value in data.items() if value is not None},
        subject=body.feedback.source_id,
        run_id=body.feedback.run_id,
        trace_id=body.feedback.trace_id,
        resource_id=owner,
    )
    await save_own(server, request, record)
    return {"success": True}


async def delete_feedback(
    server: ServerDep, request: Request, body: FeedbackIdsBody
) -> dict[str, Json]:
    """Delete feedback. What is not there does not matter."""
    await delete_own(server, request, "feedback", body.feedback_ids)
    return {"success": True}


async def review_feedback(
    server: ServerDep,
    request: Request,
    feedback_id: Annotated[Identifier, Path(alias="feedbackId")],
    body: ReviewStatusBody,
) -> dict[str, Json]:
    """Say whether feedback was looked at."""
    store = server.mastra.storage.evals
    record = await store.get("feedback", feedback_id)
    if record is None:
        raise Refusal(404, f"Feedback not found: {feedback_id}")
    server.check_owner(request, record.resource_id, "feedback")
    data = {**record.data, "reviewStatus": body.review_status}
    changed = replace(record, data=data, updated_at=now_ms())
    await store.save([changed])
    return feedback_to_wire(changed)


def add_feedback_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    base = "/observability/feedback"
    add(router, "GET", base, list_feedback)
    add(router, "POST", base, create_feedback)
    add(router, "DELETE", base, delete_feedback)
    add(router, "PATCH", f"{base}/{{feedbackId}}/review-status", review_feedback)
