"""Scores of what came of an experiment: what they are called, and which are an experiment's."""

from __future__ import annotations

from mastra.storage.evals import EvalFilter, EvalRecord, EvalStore

__all__ = ["score_id", "scores_of"]


def score_id(experiment_id: str, item_id: str, attempt: int, scorer: str) -> str:
    """Return the id of a score of a result: the same each time it is stored, and no other's.

    Callers choose the parts, so none of them may say where another begins.
    """
    parts = (experiment_id, item_id, str(attempt), scorer)
    plain = (part.replace("%", "%25").replace(":", "%3A") for part in parts)
    return ":".join(("expscore", *plain))


async def scores_of(store: EvalStore, experiment: EvalRecord) -> list[EvalRecord]:
    """Return the scores of an experiment.

    Its id may be chosen by a caller, and then be that of a run of somebody else's, which has scores
    of its own.
    """
    found = await store.list("score", EvalFilter(run_id=experiment.id))
    return [
        one
        for one in found.records
        if one.resource_id == experiment.resource_id and one.data.get("source") == "TEST"
    ]
