"""Evals: scorers, scores, datasets and experiments, row by row."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at
from mastra.console.frame import Look, console_page
from mastra.console.show import ago, heading, show_json, table

_MOST: Final = 200
"""How many rows of a list are shown: the latest."""


@console_page("/evals", "Evals")
async def _evals_page(look: Look) -> None:
    scorers = await look.api.get("/scores/scorers")
    datasets = (await look.api.get("/datasets", perPage=_MOST))["datasets"]
    heading("Scorers", 1)
    used = {
        key: ", ".join([*one["agentNames"], *one["workflowIds"]]) for key, one in scorers.items()
    }
    rows = [
        {**one["scorer"]["config"], "used": used[key], "href": look.url("evals", "scorers", key)}
        for key, one in scorers.items()
    ]
    columns = {"name": "Scorer", "description": "What it is for", "used": "Scores"}
    table(columns, rows, name="link")
    heading("Datasets", 1)
    rows = [{**one, "href": look.url("evals", "datasets", one["id"])} for one in datasets]
    columns = {"name": "Dataset", "version": "Version", "updatedAt": "Changed"}
    table(columns, rows, name="link", updatedAt="at")
    heading("Experiments", 1)
    await _experiments(look, "/experiments")


async def _experiments(look: Look, path: str) -> None:
    found = (await look.api.get(path, perPage=_MOST))["experiments"]
    rows = [
        {
            **one,
            "name": one["name"] or one["id"],
            "state": one["status"],
            "href": look.url("evals", "datasets", str(one["datasetId"]), "experiments", one["id"]),
        }
        for one in found
    ]
    columns = {"name": "Experiment", "state": "State", "targetId": "Of", "totalItems": "Items"}
    columns |= {"succeededCount": "Succeeded", "failedCount": "Failed", "startedAt": "Began"}
    table(columns, rows, name="link", state="state", startedAt="at")


@console_page("/evals/scorers/{scorer_id}", "Scorer")
async def _scorer_page(look: Look, scorer_id: str) -> None:
    one = (await look.api.get(at("scores", "scorers", scorer_id)))["scorer"]
    heading(one["config"]["name"], 1)
    ui.label(one["config"]["description"])
    found = await look.api.get(at("scores", "scorer", scorer_id), perPage=_MOST)
    heading(f"Scores ({found['pagination']['total']} in all)")
    rows = [{**score, "score": _number(score["score"])} for score in found["scores"]]
    columns = {"score": "Score", "reason": "Reason", "entityId": "Of", "createdAt": "When"}
    made = table(columns, rows, score="choice", createdAt="at")
    detail = ui.column().classes("w-full")
    known = {score["id"]: score for score in found["scores"]}

    def show(event: Any) -> None:
        detail.clear()
        with detail:
            show_json(known[event.args[1]["id"]])

    made.on("rowClick", show, [[], ["id"], None])


def _number(score: Any) -> str:
    return f"{score:.3g}" if isinstance(score, int | float) else str(score)


@console_page("/evals/datasets/{dataset_id}", "Dataset")
async def _dataset_page(look: Look, dataset_id: str) -> None:
    path = at("datasets", dataset_id)
    one = await look.api.get(path)
    items = await look.api.get(f"{path}/items", perPage=_MOST)
    heading(f"{one['name']}, version {one['version']}", 1)
    heading("Experiments")
    await _experiments(look, f"{path}/experiments")
    heading(f"Items ({items['pagination']['total']})")
    rows = [
        {"id": item["id"], "input": _short(item["input"]), "truth": _short(item.get("groundTruth"))}
        for item in items["items"]
    ]
    table({"input": "Input", "truth": "Ground truth"}, rows)


@console_page("/evals/datasets/{dataset_id}/experiments/{experiment_id}", "Experiment")
async def _experiment_page(look: Look, dataset_id: str, experiment_id: str) -> None:
    path = f"{at('datasets', dataset_id)}/experiments"
    one = await look.api.get(f"{path}{at(experiment_id)}")
    here = ("evals", "datasets", dataset_id, "experiments", experiment_id)
    heading(one["name"] or experiment_id, 1)
    ui.label(f"{one['status']}, {one['succeededCount']} of {one['totalItems']} items")
    if one["status"] in {"pending", "running"}:
        ui.timer(2.0, lambda: ui.navigate.to(look.url(*here)), once=True)
    results = (await look.api.get(f"{path}{at(experiment_id)}/results", perPage=_MOST))["results"]
    scores = await _scores(look, experiment_id)
    for name, given in scores.items():
        ui.label(f"{name}: {_number(sum(given.values()) / len(given))} on average")
    rows = [
        {
            "id": row["id"],
            "state": "failed" if row.get("error") else "success",
            **{key: _short(row.get(key)) for key in ("input", "groundTruth")},
            "output": _short(row.get("error") or row["output"]),
            **{name: _number(given.get(row["itemId"], "-")) for name, given in scores.items()},
            "took": ago(row.get("durationMs") or 0),
        }
        for row in results
    ]
    columns = {"state": "State", "input": "Input", "output": "Output"}
    columns |= {"groundTruth": "Ground truth", **{name: name for name in scores}}
    table({**columns, "took": "Time"}, rows, state="state")


async def _scores(look: Look, experiment_id: str) -> dict[str, dict[str, Any]]:
    """Return the scores of an experiment, by scorer and item."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    listed = await look.api.get(at("scores", "run", experiment_id), perPage=1000)
    for score in listed["scores"]:
        found[score["scorerId"]][score["datasetItemId"]] = score["score"]
    return found


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 300 else f"{text[:299]}…"
