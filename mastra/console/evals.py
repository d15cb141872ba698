"""Evals: scorers, scores, datasets and experiments, row by row."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean
from typing import Any, Final

from nicegui import ui

from mastra.console.api import Refused, at, facts
from mastra.console.frame import Look, console_page
from mastra.console.show import ago, compare_two, heading, show_json, state_text, table

_MOST: Final = 500  # how many rows of a list are shown: the latest
_LOOK_S: Final = 0.5


@console_page("/evals", "Evals")
async def _evals_page(look: Look) -> None:
    scorers = await look.api.get("/scores/scorers")
    datasets = (await look.api.get("/datasets", perPage=_MOST))["datasets"]
    heading("Scorers")
    rows: list[dict[str, Any]] = []
    for key, one in scorers.items():
        used = ", ".join([*one["agentNames"], *one["workflowIds"]])
        own = {"used": used, "href": look.url("evals", "scorers", key)}
        rows.append({**one["scorer"]["config"], **own})
    columns = {"name": "Scorer", "description": "What it is for", "used": "Scores"}
    table(columns, rows, name="link")
    heading("Datasets")
    rows = [{**one, "href": look.url("evals", "datasets", one["id"])} for one in datasets]
    columns = {"name": "Dataset", "version": "Version", "updatedAt": "Changed"}
    table(columns, rows, name="link", updatedAt="at")
    heading("Experiments")
    await _experiments(look, "/experiments")


async def _experiments(look: Look, path: str) -> ui.table:
    found = (await look.api.get(path, perPage=_MOST))["experiments"]
    rows: list[dict[str, Any]] = []
    for one in found:
        url = look.url("evals", "datasets", str(one["datasetId"]), "experiments", one["id"])
        own = {"name": one["name"] or one["id"], "state": one["status"], "href": url}
        rows.append({**one, **own})
    columns = {"name": "Experiment", "state": "State", "targetId": "Of", "totalItems": "Items"}
    columns |= {"succeededCount": "Succeeded", "failedCount": "Failed", "startedAt": "Began"}
    return table(columns, rows, name="link", state="state", startedAt="at")


@console_page("/evals/scorers/{scorer_id}", "Scorer")
async def _scorer_page(look: Look, scorer_id: str) -> None:
    one = facts(facts(await look.api.get(at("scores", "scorers", scorer_id))).get("scorer"))
    if not one:
        raise Refused(404, f"There is no scorer {scorer_id!r}.")
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
    await _starter(look, dataset_id)
    heading("Experiments")
    here = ("evals", "datasets", dataset_id, "compare")
    made = await _experiments(look, f"{path}/experiments")
    compare_two(made, lambda a, b: look.url(*here, left=a, right=b))
    heading(f"Items ({items['pagination']['total']})")
    rows = [
        {"id": item["id"], "input": _short(item["input"]), "truth": _short(item.get("groundTruth"))}
        for item in items["items"]
    ]
    table({"input": "Input", "truth": "Ground truth"}, rows)


async def _starter(look: Look, dataset_id: str) -> None:
    targets = {
        f"{kind}/{key}": f"{kind} {key}"
        for kind in ("agent", "workflow")
        for key in await look.api.get(f"/{kind}s")
    }
    scorers = list(await look.api.get("/scores/scorers"))
    with ui.row().classes("w-full items-center gap-3"):
        target: Any = ui.select(targets, label="Run on it").props("outlined dense")
        chosen: Any = ui.select(scorers, label="Scored by", multiple=True, value=[])
        name = ui.input("Name of the experiment").props("outlined dense")
        for field in (target, chosen.props("outlined dense use-chips"), name):
            field.classes("grow basis-48")

        async def start() -> None:
            if target.value is None:
                raise Refused(400, "Say what is to be run on it.")
            kind, _, key = target.value.partition("/")
            asked = {"targetType": kind, "targetId": key, "scorerIds": chosen.value}
            asked |= {"name": name.value} if name.value else {}
            path = f"{at('datasets', dataset_id)}/experiments"
            made = (await look.api.post(path, asked))["experimentId"]
            ui.navigate.to(look.url("evals", "datasets", dataset_id, "experiments", made))

        ui.button("Start", icon="play_arrow", on_click=start)


@console_page("/evals/datasets/{dataset_id}/experiments/{experiment_id}", "Experiment")
async def _experiment_page(look: Look, dataset_id: str, experiment_id: str) -> None:
    place = ui.column().classes("w-full")

    async def draw() -> None:
        path = f"{at('datasets', dataset_id)}/experiments{at(experiment_id)}"
        one = await look.api.get(path)
        results = (await look.api.get(f"{path}/results", perPage=_MOST))["results"]
        scores = await _scores(look, experiment_id)
        place.clear()
        with place:
            heading(one["name"] or experiment_id, 1)
            _progress(one)
            for name, given in scores.items():
                ui.label(f"{name}: {_number(mean(given.values()))} on average")
            _results(results, scores)
        again.active = one["status"] in {"pending", "running"}

    again = ui.timer(_LOOK_S, draw, immediate=False)
    await draw()


def _progress(one: dict[str, Any]) -> None:
    succeeded, failed = one["succeededCount"], one["failedCount"]
    told = f"{succeeded} of {one['totalItems']} items succeeded, {failed} failed"
    ui.label(f"{state_text(one['status'])}: {told}").props("role=status")
    done = (succeeded + failed) / (one["totalItems"] or 1)
    ui.linear_progress(done, show_value=False).props('aria-label="How far it is"')


def _results(results: list[dict[str, Any]], scores: dict[str, dict[str, Any]]) -> None:
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


@console_page("/evals/datasets/{dataset_id}/compare", "Compare experiments")
async def _compare_page(look: Look, dataset_id: str, left: str = "", right: str = "") -> None:
    path = at("datasets", dataset_id)
    body = {"experimentIdA": left, "experimentIdB": right}
    found = await look.api.post(f"{path}/compare", body)
    heading("Two experiments", 1)
    columns = {"input": "Input", "truth": "Ground truth"}
    for key in (left, right):
        one = await look.api.get(f"{path}/experiments{at(key)}")
        columns[key] = one["name"] or key
        ui.link(columns[key], look.url("evals", "datasets", dataset_id, "experiments", key))
    rows: dict[str, dict[str, Any]] = {}
    for item in found["items"]:
        both = [facts(item["results"][key]) for key in (left, right)]
        row = {key: _short(one.get("output")) for key, one in zip((left, right), both, strict=True)}
        told = {"input": _short(item["input"]), "truth": _short(item["groundTruth"])}
        rows[item["itemId"]] = {"id": item["itemId"], **told, **row}
        for name, one in found["scorers"].items():
            scores = [_number(facts(side.get("scores")).get(name, "-")) for side in both]
            signs = {"▲": one["better"], "▼": one["worse"], "=": one["same"]}
            sign = next((sign for sign, ids in signs.items() if item["itemId"] in ids), "")
            rows[item["itemId"]][name] = f"{sign} {scores[0]} → {scores[1]}"
    for name, one in found["scorers"].items():
        means = f"{_number(one['baseline'])} → {_number(one['candidate'])} on average"
        counts = f"▲ {len(one['better'])} better, ▼ {len(one['worse'])} worse"
        ui.label(f"{name}: {means}, {counts}, by chance alone with p = {one['pValue']:.2g}")
    table(columns | {name: name for name in found["scorers"]}, [*rows.values()])


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
