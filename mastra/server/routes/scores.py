"""Scorers and scores, as Studio and clients read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.clock import iso_from_ms
from mastra.errors import NotFoundError
from mastra.evals.live import ScorerEntry
from mastra.evals.scorer import Scorer
from mastra.evals.scores import score_to_wire
from mastra.failures import text_of
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.server.context import Server, ServerDep
from mastra.server.eval_payloads import ScoreBody, ScoreIdsBody, SignalScoreBody, given
from mastra.server.handling import add
from mastra.server.observed import trace_of
from mastra.server.paging import Direction, Page, PerPage, paged
from mastra.server.payloads import Identifier
from mastra.server.routes.metrics import asked_ms
from mastra.storage.evals import EvalFilter, EvalKind, EvalRecord, FieldCondition

__all__ = [
    "add_score_routes",
    "delete_own",
    "save_own",
    "score_to_signal",
    "signal_conditions",
]

ScorerId = Annotated[Identifier, Path(alias="scorerId")]


async def save_own(server: Server, request: Request, record: EvalRecord) -> None:
    """Store a record, whose id must be free or of what is the caller's already.

    Raises:
        Refusal: The id is of somebody else's.
    """
    store = server.mastra.storage.evals
    known = await store.get(record.kind, record.id)
    if known is not None:
        server.check_owner(request, known.resource_id, record.kind.replace("_", " "))
        # Whoever may touch everything changes it, and it stays whose it is.
        record = replace(record, resource_id=known.resource_id)
    await store.save([record])


async def delete_own(server: Server, request: Request, kind: EvalKind, ids: Sequence[str]) -> None:
    """Delete records that are the caller's. Those that are not there do not matter.

    Raises:
        Refusal: One of them is somebody else's; then all are left alone.
    """
    store = server.mastra.storage.evals
    for record_id in ids:
        record = await store.get(kind, record_id)
        if record is not None:
            server.check_owner(request, record.resource_id, kind.replace("_", " "))
    await store.delete(kind, ids=ids)


# -- scorers -----------------------------------------------------------------------------------


async def list_scorers(server: ServerDep, request: Request) -> dict[str, Json]:
    """List the scorers, with the agents and workflows that they score."""
    found: dict[str, dict[str, Any]] = {}

    def put(scorer: Scorer, entry: ScorerEntry | None) -> dict[str, Any]:
        row = found.get(scorer.id)
        if row is None:
            row = found[scorer.id] = {
                "scorer": _scorer_wire(scorer),
                "agentIds": [],
                "agentNames": [],
                "workflowIds": [],
                "isRegistered": False,
                "source": "code",
            }
        if entry is not None and entry.rate < 1:
            row["sampling"] = {"type": "ratio", "rate": entry.rate}
        return row

    context = server.query_context(request)
    for agent in server.mastra.list_agents().values():
        about = AgentContext(context, server.mastra, agent.id)
        scorers = await resolve_dynamic(agent.spec.scorers, about)
        for scorer, entry in _named(server, scorers):
            row = put(scorer, entry)
            row["agentIds"].append(agent.id)
            row["agentNames"].append(agent.name)
    for workflow in server.mastra.list_workflows().values():
        for scorer, entry in _named(server, workflow.spec.scorers):
            put(scorer, entry)["workflowIds"].append(workflow.id)
    for scorer in server.mastra.list_scorers().values():
        put(scorer, None)["isRegistered"] = True
    return found


def _named(server: Server, scorers: Any) -> list[tuple[Scorer, ScorerEntry]]:
    found: list[tuple[Scorer, ScorerEntry]] = []
    if not isinstance(scorers, Mapping):
        return found
    for key, one in cast("Mapping[str, Any]", scorers).items():
        try:
            entry = ScorerEntry.of(one, key)
            scorer = entry.scorer
            if isinstance(scorer, str):
                scorer = server.mastra.get_scorer_by_id(scorer)
        except Exception as error:  # noqa: BLE001 - one that is set up wrongly hides no other
            server.logger.warning("Scorer %r cannot be listed: %s", key, text_of(error))
            continue
        found.append((scorer, entry))
    return found


def _scorer_wire(scorer: Scorer) -> dict[str, Json]:
    config: dict[str, Json] = {
        "id": scorer.id,
        "name": scorer.name,
        "description": scorer.description,
    }
    if scorer.type is not None:
        config["type"] = scorer.type
    if scorer.judge is not None:
        model = scorer.judge.model
        named = model if isinstance(model, str) else getattr(model, "id", type(model).__name__)
        config["judge"] = {"model": str(named), "instructions": scorer.judge.instructions}
    steps: list[Json] = [
        {"name": step["name"], "isPromptObject": step["type"] == "prompt"}
        for step in scorer.get_steps()
    ]
    return {"config": config, "steps": steps, "originalPromptObjects": {}}


async def get_scorer(server: ServerDep, request: Request, scorer_id: ScorerId) -> Json:
    """Return a scorer, or null."""
    return (await list_scorers(server, request)).get(scorer_id)


# -- scores ------------------------------------------------------------------------------------


async def _listed(
    server: Server, request: Request, page: int, per_page: int, where: EvalFilter
) -> dict[str, Json]:
    where = replace(where, resource_id=server.owner(request))
    found = await server.mastra.storage.evals.list(
        "score", where, offset=page * per_page, limit=per_page
    )
    return {
        "pagination": paged(found.total, page, per_page),
        "scores": [score_to_wire(one) for one in found.records],
    }


def _fields(asked: Mapping[str, str | None]) -> tuple[FieldCondition, ...]:
    """Return the conditions for what is asked for; what is `None` is not."""
    return tuple(
        FieldCondition(((name,),), (value,)) for name, value in asked.items() if value is not None
    )


async def scores_by_scorer(
    server: ServerDep,
    request: Request,
    scorer_id: ScorerId,
    *,
    entity_id: Annotated[Identifier | None, Query(alias="entityId")] = None,
    entity_type: Annotated[Identifier | None, Query(alias="entityType")] = None,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the scores that a scorer gave, the latest first."""
    asked = _fields({"entityId": entity_id, "entityType": entity_type})
    where = EvalFilter(parent_id=scorer_id, fields=asked)
    return await _listed(server, request, page, per_page, where)


async def scores_by_run(
    server: ServerDep,
    request: Request,
    run_id: Annotated[Identifier, Path(alias="runId")],
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the scores of a run, or of an experiment, the latest first."""
    return await _listed(server, request, page, per_page, EvalFilter(run_id=run_id))


async def scores_by_entity(
    server: ServerDep,
    request: Request,
    entity_type: Annotated[Identifier, Path(alias="entityType")],
    entity_id: Annotated[Identifier, Path(alias="entityId")],
    *,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the scores of an agent or a workflow, the latest first."""
    name = entity_id
    try:
        if entity_type == "AGENT":
            name = server.mastra.get_agent_by_id(entity_id).id
        elif entity_type == "WORKFLOW":
            name = server.mastra.get_workflow_by_id(entity_id).id
    except NotFoundError:
        pass  # scores stay where what they are of is gone, and those of experiments name items
    where = EvalFilter(subject=f"{entity_type}/{name}")
    return await _listed(server, request, page, per_page, where)


async def save_score(server: ServerDep, request: Request, body: ScoreBody) -> dict[str, Json]:
    """Store a score that somebody else gave."""
    data = given(body.score)
    record = _record(server, request, data, str(data.pop("id", None) or new_id()))
    await save_own(server, request, record)
    stored = await server.mastra.storage.evals.get("score", record.id)
    return {"score": None if stored is None else score_to_wire(stored)}


def _record(server: Server, request: Request, data: dict[str, Any], name: str) -> EvalRecord:
    data.setdefault("runId", "")
    data.setdefault("source", "LIVE")
    data.setdefault("scorer", {"id": data["scorerId"], "name": data["scorerId"]})
    data.setdefault("entity", {"id": data.get("entityId", "")})
    named = data["entity"].get("id")
    data.setdefault("entityId", "" if named is None else str(named))
    owner = server.owner(request)
    return EvalRecord(
        "score",
        name,
        data,
        parent_id=data["scorerId"],
        subject=f"{data.get('entityType', 'AGENT')}/{data['entityId']}",
        run_id=data["runId"] or None,
        trace_id=data.get("traceId"),
        resource_id=owner,
    )


# -- as signals of traces ----------------------------------------------------------------------

_FILTERS = (
    "traceId",
    "spanId",
    "scorerId",
    "runId",
    "threadId",
    "entityType",
    "entityName",
    "experimentId",
    "scoreSource",
)
_PLAIN = ("traceId", "spanId", "scorerId", "runId", "threadId", "resourceId", "entityId", "reason")
"""What a signal has as it is stored."""


def signal_conditions(name: str, values: Sequence[str]) -> tuple[FieldCondition, ...] | None:
    """Return what must be stored of a score whose signal has one of some texts under a name.

    `None` where that cannot be told by what is stored.
    """
    match name:
        case "scorerName":
            return (FieldCondition((("scorer", "name"),), (*values,)),)
        case "entityName":
            return (FieldCondition((("entity", "name"), ("entityId",)), (*values,)),)
        case "entityType":
            stored = {form for one in values if one.islower() for form in (one, one.upper())}
            return (FieldCondition((("entityType",),), (*stored,)),)
        case "scoreSource":
            stored = {"experiment": "TEST", "live": "LIVE"}
            known = tuple(stored[one] for one in values if one in stored)
            return (FieldCondition((("source",),), known),)
        case "experimentId":
            of_it = FieldCondition((("runId",),), (*values,))
            return (of_it, FieldCondition((("source",),), ("TEST",)))
        case _:
            return (FieldCondition(((name,),), (*values,)),) if name in _PLAIN else None


def score_to_signal(record: EvalRecord) -> dict[str, Json]:
    """Return a score as a signal of a trace."""
    data: dict[str, Any] = record.data
    scorer: Mapping[str, Any] = data.get("scorer") or {}
    entity: Mapping[str, Any] = data.get("entity") or {}
    named = ("traceId", "spanId", "runId", "threadId", "resourceId", "reason", "metadata")
    return {
        **{key: data.get(key) for key in named},
        "scoreId": record.id,
        "timestamp": iso_from_ms(record.created_at),
        "scorerId": data.get("scorerId", record.parent_id),
        "scorerName": scorer.get("name"),
        "scoreSource": "experiment" if data.get("source") == "TEST" else "live",
        "score": data.get("score"),
        "entityType": str(data.get("entityType", "")).lower() or None,
        "entityId": data.get("entityId"),
        "entityName": entity.get("name") or data.get("entityId"),
        "experimentId": data.get("runId") if data.get("source") == "TEST" else None,
        **record.fault(),
    }


async def list_signals(
    server: ServerDep,
    request: Request,
    page: Page = 0,
    per_page: PerPage = 10,
    direction: Direction = "DESC",
) -> dict[str, Json]:
    """List scores as signals of traces, the latest first."""
    query = request.query_params
    asked = {name: query[name] for name in _FILTERS if query.get(name)}
    from_ms, before_ms = asked_ms(request)
    where = EvalFilter(
        trace_id=asked.get("traceId"),
        parent_id=asked.get("scorerId"),
        resource_id=server.owner(request, query.get("resourceId") or None),
        from_ms=from_ms,
        before_ms=before_ms,
        fields=tuple(
            condition
            for name, value in asked.items()
            for condition in signal_conditions(name, [value]) or ()
        ),
    )
    found = await server.mastra.storage.evals.list(
        "score",
        where,
        offset=page * per_page,
        limit=per_page,
        is_ascending=direction == "ASC",
    )
    return {
        "pagination": paged(found.total, page, per_page),
        "scores": [score_to_signal(one) for one in found.records],
        "deltaCursor": str(found.total),
    }


async def get_signal(
    server: ServerDep, request: Request, score_id: Annotated[Identifier, Path(alias="scoreId")]
) -> dict[str, Json]:
    """Return a score as a signal of a trace."""
    record = await server.mastra.storage.evals.get("score", score_id)
    if record is None:
        return {"score": None}
    server.check_owner(request, record.resource_id, "score")
    return {"score": score_to_signal(record)}


async def create_signal(
    server: ServerDep, request: Request, body: SignalScoreBody
) -> dict[str, Json]:
    """Store a score of a trace."""
    data = given(body.score)
    name = str(data.pop("scoreId", None) or new_id())
    shown = data.pop("scorerName", None) or data["scorerId"]
    data["scorer"] = {"id": data["scorerId"], "name": shown}
    data["source"] = "TEST" if data.pop("scoreSource", None) == "experiment" else "LIVE"
    data["entity"] = {
        "id": data.get("entityId", ""),
        "name": data.pop("entityName", None) or data.get("entityId", ""),
    }
    data["entityType"] = str(data.get("entityType", "agent")).upper()
    record = _record(server, request, data, name)
    await save_own(server, request, record)
    return {"success": True}


async def delete_signals(
    server: ServerDep, request: Request, body: ScoreIdsBody
) -> dict[str, Json]:
    """Delete scores. Those that are not there do not matter."""
    await delete_own(server, request, "score", body.score_ids)
    return {"success": True}


async def scores_by_span(
    server: ServerDep,
    request: Request,
    trace_id: str,
    span_id: str,
    *,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the scores of a span."""
    await trace_of(server, request, trace_id)
    where = EvalFilter(trace_id=trace_id, fields=_fields({"spanId": span_id}))
    return await _listed(server, request, page, per_page, where)


def add_score_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/scores/scorers", list_scorers)
    add(router, "GET", "/scores/scorers/{scorerId}", get_scorer)
    add(router, "GET", "/scores/scorer/{scorerId}", scores_by_scorer)
    add(router, "GET", "/scores/run/{runId}", scores_by_run)
    add(router, "GET", "/scores/entity/{entityType}/{entityId}", scores_by_entity)
    add(router, "POST", "/scores", save_score)
    add(router, "GET", "/observability/scores", list_signals)
    add(router, "POST", "/observability/scores", create_signal)
    add(router, "DELETE", "/observability/scores", delete_signals)
    add(router, "GET", "/observability/scores/{scoreId}", get_signal)
    add(router, "GET", "/observability/traces/{trace_id}/{span_id}/scores", scores_by_span)
