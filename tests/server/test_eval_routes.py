"""Datasets, experiments, results, scores and feedback over the API, without a client of theirs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig, create_workflow, step
from mastra.evals import Scorer, create_scorer
from mastra.request_context import RESOURCE_ID
from mastra.server import BearerAuth, create_app
from mastra.testing import FunctionModel, ScriptedModel

pytestmark = pytest.mark.anyio

BOB = {"authorization": "Bearer b"}


@step
async def double(n: int) -> int:
    return n * 2


def whole(_ctx: Any) -> float:
    return 1.0


def nothing(_ctx: Any) -> float:
    raise ValueError("no score")


def scorers() -> dict[str, Scorer]:
    length = create_scorer(id="length", description="How long it is", type="agent")
    judged = create_scorer(
        id="judged",
        description="What a model says",
        judge={"model": ScriptedModel(), "instructions": "Be strict."},
    )
    plain = create_scorer(id="plain", description="Nothing but one")
    failing = create_scorer(id="failing", description="Never scores")
    return {
        "length": length.generate_score(whole),
        "judged": judged.generate_score(whole),
        "plain": plain.generate_score(whole),
        "failing": failing.generate_score(nothing),
    }


def application() -> Mastra:
    found = scorers()
    agent = Agent(
        id="helper",
        name="Helper",
        model=FunctionModel(lambda request: request.messages[-1].text),
        scorers={
            "length": {"scorer": found["length"], "sampling": {"type": "ratio", "rate": 0.5}},
            "named": {"scorer": "plain"},
            "broken": {"scorer": "nobody"},
        },
    )
    of_flow: dict[str, Any] = {"scorers": {"length": {"scorer": found["length"]}}}
    flow = create_workflow(id="flow", input_schema=int, output_schema=int, **of_flow)
    return Mastra(
        agents={"helper": agent},
        workflows={"flow": flow.then(double).commit()},
        scorers=found,
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    auth = BearerAuth({"a": "alice", "b": "bob"})
    app = create_app(application(), ServerConfig(auth=auth))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1/api",
            headers={"authorization": "Bearer a"},
        ) as opened,
    ):
        yield opened


async def got(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def posted(client: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    answer = await client.post(path, json={} if body is None else body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- datasets ----------------------------------------------------------------------------------


async def test_datasets_are_listed_in_the_order_that_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    for name in ("b", "c", "a"):
        await posted(client, "/datasets", {"name": name})

    async def names(**query: Any) -> list[str]:
        return [one["name"] for one in (await got(client, "/datasets", **query))["datasets"]]

    assert await names() == ["a", "c", "b"]
    by_name = {"orderBy[field]": "name", "orderBy[direction]": "ASC"}
    assert await names(**by_name) == ["a", "b", "c"]
    assert await names(orderBy=json.dumps({"field": "name"})) == ["c", "b", "a"]
    assert await names(orderBy=json.dumps({"field": "name", "direction": "ASC"})) == list("abc")
    assert await names(orderBy="{}") == ["a", "c", "b"]
    wrong: list[Any] = ["x", [], {"field": "nope"}, {"field": []}, {"direction": "UP"}]
    for value in wrong:
        refused = await client.get("/datasets", params={"orderBy": json.dumps(value)})
        assert refused.status_code == 400, value
        assert refused.json()["error"]
    assert (await client.get("/datasets", params={"orderBy": "{"})).status_code == 400


async def test_items_say_who_calls_nowhere_and_are_found_by_their_text(
    client: httpx.AsyncClient,
) -> None:
    dataset = (await posted(client, "/datasets", {"name": "d"}))["id"]
    items = f"/datasets/{dataset}/items"
    context = {"user": "mallory", "mastra__resourceId": "bob", "tier": "gold"}
    made = await posted(
        client, items, {"externalId": "one", "input": "Rome", "requestContext": context}
    )
    assert made["requestContext"] == {"tier": "gold"}
    await posted(client, items, {"externalId": "two", "input": {"city": "Oslo"}})
    found = await got(client, items, search="oslo")
    assert [one["id"] for one in found["items"]] == ["two"]
    changed = await client.patch(f"{items}/one", json={"requestContext": context, "metadata": {}})
    assert changed.json()["requestContext"] == {"tier": "gold"}
    # A change leaves alone what it does not name.
    assert changed.json()["input"] == "Rome"
    refused = await client.post(items, json={"input": 1, "unmockedToolPolicy": "deny"})
    assert (refused.status_code, "toolMocks" in refused.text) == (400, True)
    mocks: dict[str, Any] = {"input": 1, "toolMocks": [{}]}
    refused = await client.post(items, json=mocks)
    assert refused.status_code == 400
    refused = await client.patch(f"/datasets/{dataset}", json={"name": None})
    assert (refused.status_code, refused.json()["error"]) == (400, "A dataset needs a name")
    for path in (f"/datasets/{dataset}", items):
        assert (await client.get(path, headers=BOB)).status_code == 403


# -- experiments that are run elsewhere --------------------------------------------------------


async def experiment(client: httpx.AsyncClient, dataset: str, **facts: Any) -> str:
    body = {"start": False, "scorerIds": ["s"], **facts}
    return (await posted(client, f"/datasets/{dataset}/experiments", body))["experimentId"]


async def test_an_experiment_that_is_asked_for_twice_is_one(client: httpx.AsyncClient) -> None:
    dataset = (await posted(client, "/datasets", {"name": "d"}))["id"]
    other = (await posted(client, "/datasets", {"name": "e"}))["id"]
    assert await experiment(client, dataset, id="x") == "x"
    assert await experiment(client, dataset, id="x", name="again") == "x"
    listed = (await got(client, f"/datasets/{dataset}/experiments"))["experiments"]
    assert [(one["id"], one.get("name")) for one in listed] == [("x", None)]
    taken = await client.post(f"/datasets/{other}/experiments", json={"start": False, "id": "x"})
    assert taken.status_code == 409
    theirs = (await client.post("/datasets", json={"name": "f"}, headers=BOB)).json()["id"]
    taken = await client.post(
        f"/datasets/{theirs}/experiments", json={"start": False, "id": "x"}, headers=BOB
    )
    assert taken.status_code == 403


async def test_results_are_sent_looked_at_and_compared(client: httpx.AsyncClient) -> None:
    dataset = (await posted(client, "/datasets", {"name": "d"}))["id"]
    for name in ("one", "two"):
        await posted(client, f"/datasets/{dataset}/items", {"externalId": name, "input": name})
    first, second = [await experiment(client, dataset, targetType="agent") for _ in range(2)]
    scores: dict[str, list[float]] = {first: [0.2, 0.4], second: [0.6, 0.9]}
    for name, given in scores.items():
        base = f"/datasets/{dataset}/experiments/{name}"
        for item, score in zip(("one", "two"), given, strict=True):
            sent = {"itemId": item, "output": f"{item}!", "startedAt": "2026-01-01T00:00:00"}
            rated = [{"scorerId": "s", "score": score}]
            rated += [{"scorerId": "only", "score": 1}] if name == first else []
            result = await posted(client, f"{base}/results", {**sent, "scores": rated})
            assert result["startedAt"] == "2026-01-01T00:00:00.000Z"
    base = f"/datasets/{dataset}/experiments/{first}"
    await posted(
        client, f"{base}/results", {"itemId": "two", "attempt": 1, "error": {"message": "x"}}
    )
    listed = await got(client, f"{base}/results")
    assert [one["itemId"] for one in listed["results"]] == ["two", "two", "one"]
    one = listed["results"][-1]["id"]

    seen = await client.patch(f"{base}/results/{one}", json={"status": "reviewed", "tags": ["t"]})
    assert (seen.json()["status"], seen.json()["tags"]) == ("reviewed", ["t"])
    gone = await client.patch(f"{base}/results/nope", json={})
    assert gone.status_code == 404
    elsewhere = f"/datasets/{dataset}/experiments/{second}/results/{one}"
    assert (await client.patch(elsewhere, json={})).status_code == 404
    tagged = await got(client, f"{base}/results", tags="t")
    assert [row["id"] for row in tagged["results"]] == [one]
    ordered = await got(client, f"{base}/results", orderBy=json.dumps({"field": "status"}))
    assert ordered["results"][0]["id"] == one
    counts = {
        row["experimentId"]: row
        for row in (await got(client, "/experiments/review-summary"))["counts"]
    }
    assert (counts[first]["total"], counts[first]["reviewed"]) == (3, 1)
    assert (counts[second]["total"], counts[second]["reviewed"]) == (2, 0)

    both = {"experimentIdA": first, "experimentIdB": second}
    compared = await posted(client, f"/datasets/{dataset}/compare", both)
    rows = {row["itemId"]: row["results"] for row in compared["items"]}
    assert rows["one"][second] == {"output": "one!", "scores": {"s": 0.6}}
    # Of a scorer that only one of them has there is nothing to compare.
    assert list(compared["scorers"]) == ["s"]
    assert sorted(compared["scorers"]["s"]["better"]) == ["one", "two"]

    ended = await posted(client, f"{base}/finalize")
    facts = {
        name: ended[name] for name in ("status", "succeededCount", "failedCount", "skippedCount")
    }
    assert facts == {
        "status": "completed",
        "succeededCount": 2,
        "failedCount": 1,
        "skippedCount": 0,
    }
    assert (await posted(client, f"{base}/finalize"))["completedAt"] == ended["completedAt"]
    late = await client.post(f"{base}/results", json={"itemId": "one"})
    assert late.status_code == 409


async def test_one_item_of_an_experiment_is_run(client: httpx.AsyncClient) -> None:
    dataset = (await posted(client, "/datasets", {"name": "d"}))["id"]
    await posted(client, f"/datasets/{dataset}/items", {"externalId": "one", "input": "Rome"})
    facts = {"targetType": "agent", "targetId": "helper", "scorerIds": ["length", "failing"]}
    name = await experiment(client, dataset, **facts)
    base = f"/datasets/{dataset}/experiments"
    run = await posted(client, f"{base}/{name}/items/one/run")
    assert run["result"]["input"] == "Rome"
    scores = [(one["scorerId"], one["score"]) for one in run["scores"]]
    assert scores == [("length", 1.0), ("failing", None)]
    # What has no score is compared with nothing.
    other = await experiment(client, dataset, **facts)
    await posted(client, f"{base}/{other}/items/one/run")
    both = {"experimentIdA": name, "experimentIdB": other}
    compared = await posted(client, f"/datasets/{dataset}/compare", both)
    assert list(compared["scorers"]) == ["length"]
    assert (await client.post(f"{base}/{name}/items/nope/run", json={})).status_code == 404
    bare = await experiment(client, dataset)
    refused = await client.post(f"{base}/{bare}/items/one/run", json={})
    assert (refused.status_code, "no target" in refused.text) == (400, True)
    missing = await client.post(base, json={"targetType": "agent", "targetId": "nobody"})
    assert missing.status_code == 404
    assert (await client.post(base, json={"targetType": "agent"})).status_code == 400


# -- scorers and scores ------------------------------------------------------------------------


async def test_scorers_are_listed_with_what_they_score(client: httpx.AsyncClient) -> None:
    listed = await got(client, "/scores/scorers")
    length, judged, plain = listed["length"], listed["judged"], listed["plain"]
    assert set(listed) == {"length", "judged", "plain", "failing"}
    assert (length["agentIds"], length["agentNames"]) == (["helper"], ["Helper"])
    assert (length["workflowIds"], length["isRegistered"]) == (["flow"], True)
    assert length["sampling"] == {"type": "ratio", "rate": 0.5}
    assert length["scorer"]["config"]["type"] == "agent"
    assert (plain["agentIds"], "sampling" in plain) == (["helper"], False)
    assert judged["scorer"]["config"]["judge"]["instructions"] == "Be strict."
    assert judged["scorer"]["steps"] == [{"name": "generateScore", "isPromptObject": False}]
    assert await got(client, "/scores/scorers/judged") == judged
    assert await got(client, "/scores/scorers/nope") is None


async def test_scores_stay_whose_they_are(client: httpx.AsyncClient) -> None:
    entity = {"entityType": "WORKFLOW", "entityId": "flow"}
    given = {"id": "x", "scorerId": "length", "score": 1, **entity}
    made = (await posted(client, "/scores", {"score": given}))["score"]
    assert (made["id"], made["entity"]) == ("x", {"id": "flow"})
    bare = {"scorerId": "length", "score": 1, "entity": {"id": None}}
    assert (await posted(client, "/scores", {"score": bare}))["score"]["entityId"] == ""
    listed = await got(client, "/scores/entity/WORKFLOW/flow")
    assert [one["id"] for one in listed["scores"]] == ["x"]
    assert (await got(client, "/scores/entity/AGENT/gone"))["scores"] == []
    taken = await client.post("/scores", json={"score": given}, headers=BOB)
    assert taken.status_code == 403
    both = {"scoreIds": ["x", "never"]}
    refused = await client.request("DELETE", "/observability/scores", json=both, headers=BOB)
    assert refused.status_code == 403
    assert (await got(client, "/observability/scores/x"))["score"]["scoreId"] == "x"
    deleted = await client.request("DELETE", "/observability/scores", json=both)
    assert deleted.json() == {"success": True}
    assert await got(client, "/observability/scores/x") == {"score": None}


async def test_feedback_is_whoevers_it_is(client: httpx.AsyncClient) -> None:
    path = "/observability/feedback"
    given = {"feedbackId": "f", "feedbackType": "rating", "value": 4, "userId": "mallory"}
    await posted(client, path, {"feedback": given})
    (row,) = (await got(client, path))["feedback"]
    assert (row["feedbackUserId"], row["value"]) == ("alice", 4)
    review = {"reviewStatus": "reviewed"}
    seen = await client.patch(f"{path}/f/review-status", json=review)
    assert seen.json()["reviewStatus"] == "reviewed"
    assert (
        await client.patch(f"{path}/f/review-status", json=review, headers=BOB)
    ).status_code == 403
    assert (await client.patch(f"{path}/nope/review-status", json=review)).status_code == 404
    endless = '{"feedback": {"feedbackType": "rating", "value": 1e999}}'
    json_type = {"content-type": "application/json"}
    assert (await client.post(path, content=endless, headers=json_type)).status_code == 400
    app = create_app(application())
    transport = httpx.ASGITransport(app)
    # Where nobody says who they are, it is what they say.
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as open_:
        await posted(open_, path, {"feedback": given})
        (row,) = (await got(open_, path))["feedback"]
        assert row["feedbackUserId"] == "mallory"

    async def named(request: Any, call_next: Any) -> Any:
        request.state.request_context = {RESOURCE_ID: "carol"}
        return await call_next(request)

    named_app = create_app(application(), ServerConfig(middleware=[named]))
    transport = httpx.ASGITransport(named_app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as of_carol:
        await posted(of_carol, path, {"feedback": given})
        (row,) = (await got(of_carol, path))["feedback"]
        assert row["feedbackUserId"] == "carol"
