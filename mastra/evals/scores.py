"""A score as it is stored and served: one output, one scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mastra.clock import iso_from_ms
from mastra.evals.outcomes import ScorerResult
from mastra.evals.scorer import Scorer
from mastra.ids import new_id
from mastra.jsonable import Json, to_jsonable
from mastra.services import Scorable
from mastra.storage.evals import EvalRecord

__all__ = ["ScoreRecord", "judge_facts", "score_data", "score_to_wire"]


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """One row of scores."""

    scorer: Scorer
    result: ScorerResult
    entity_type: str
    """`AGENT`, `WORKFLOW` or `STEP`."""
    entity: Mapping[str, Json]
    source: str = "LIVE"
    """`LIVE` where the application ran, `TEST` in an experiment."""
    trace: Mapping[str, Json] | None = None
    resource_id: str | None = None
    thread_id: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict[str, Json])
    more: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Of an experiment: `batchId`, `datasetId` and `datasetItemId`."""

    @classmethod
    def of_live(cls, scorer: Scorer, subject: Scorable, result: ScorerResult) -> ScoreRecord:
        """Return the row for what was scored while the application ran."""
        return cls(
            scorer,
            result,
            subject.entity_type,
            subject.entity,
            trace=subject.trace,
            resource_id=subject.resource_id,
            thread_id=subject.thread_id,
            metadata={"structuredOutput": subject.is_structured},
        )

    def to_stored(self, record_id: str | None = None) -> EvalRecord:
        """Return the record for a store.

        Args:
            record_id: Its id, where it must be the same each time; left out, a new one.
        """
        scorer, trace = self.scorer, self.trace or {}
        entity_id = str(self.entity.get("id"))
        result = self.result
        data: dict[str, Any] = {
            **score_data(scorer),
            "entityId": entity_id,
            "entityType": self.entity_type,
            "entity": dict(self.entity),
            "source": self.source,
            "metadata": {**self.metadata, **judge_facts(result)},
            "traceId": trace.get("traceId"),
            "spanId": trace.get("spanId"),
            "resourceId": self.resource_id,
            "threadId": self.thread_id,
            **self.more,
            **result.to_wire(),
        }
        return EvalRecord(
            "score",
            record_id or new_id(),
            {key: value for key, value in data.items() if value is not None},
            parent_id=scorer.id,
            subject=f"{self.entity_type}/{entity_id}",
            run_id=result.run_id,
            trace_id=str(trace["traceId"]) if trace.get("traceId") else None,
            resource_id=self.resource_id,
        )


def score_data(scorer: Scorer) -> dict[str, Json]:
    """Return what a score says of its scorer."""
    return {
        "scorerId": scorer.id,
        "scorer": {
            "id": scorer.id,
            "name": scorer.name,
            "description": scorer.description,
            "hasJudge": scorer.judge is not None,
        },
    }


def judge_facts(result: ScorerResult) -> dict[str, Json]:
    """Return what the judge took, as facts of the score."""
    asked = [one for stage in result.judge.values() for one in stage]
    if not asked:
        return {}
    facts: dict[str, Json] = {
        "judgeModel": asked[0].model,
        "judgeCalls": len(asked),
        "judgeTokens": sum(int(one.usage.get("totalTokens") or 0) for one in asked),
    }
    if result.cost_usd is not None:
        facts["judgeCostUsd"] = result.cost_usd
    return facts


def score_to_wire(record: EvalRecord) -> dict[str, Json]:
    """Return a stored score as the original's row."""
    wire: dict[str, Json] = {"input": None, "output": None, **record.data}
    wire |= {
        "id": record.id,
        "createdAt": iso_from_ms(record.created_at),
        "updatedAt": iso_from_ms(record.updated_at),
    }
    if fault := record.fault():
        wire |= {"score": None, **fault}
    return to_jsonable(wire, what=f"Score {record.id!r}")
