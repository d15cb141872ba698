"""Logs and metrics as Studio reads them."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import (
    Agent,
    InMemoryStorage,
    Mastra,
    ModelConfig,
    ServerConfig,
    SQLStorage,
    StepContext,
    create_step,
    create_workflow,
    step,
)
from mastra import __file__ as package
from mastra.clock import iso_from_ms, now_ms
from mastra.evals import Dataset, Experiment
from mastra.evals.experiment_results import result_id
from mastra.observability import Observability
from mastra.observability.logs import CALLERS_MESSAGE, LogCollector
from mastra.observability.records import LogRecord, SpanRecord
from mastra.server import BearerAuth, create_app
from mastra.storage import observability as kept_spans
from mastra.storage.sql import observability as kept_in_sql
from mastra.testing import ScriptedModel
from tests.server.wire_app import build
from tests.support.openai_server import openai_server, text_reply

pytestmark = pytest.mark.anyio
LOGS = "/api/observability/logs"
METRICS = "/api/observability/metrics"


@asynccontextmanager
async def served(mastra: Mastra, **config: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(mastra, ServerConfig(**config))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield client


def talking(observability: Observability | None) -> Mastra:
    async def talk(ctx: StepContext[Any]) -> Any:
        ctx.logger.warning("attempt %s", ctx.retry_count + 1)
        if ctx.retry_count == 0:
            raise RuntimeError("not yet")
        raise ValueError("never")

    step = create_step(id="talk", execute=talk, retries=1)
    flow = create_workflow(id="flow", input_schema=Any, output_schema=Any).then(step).commit()
    return Mastra(workflows={"flow": flow}, observability=observability)


async def run(client: httpx.AsyncClient, run_id: str = "r", **options: Any) -> None:
    path = f"/api/workflows/flow/start-async?runId={run_id}"
    (await client.post(path, json={"inputData": 1}, **options)).raise_for_status()


async def logs(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(LOGS, params={"perPage": 100, "direction": "ASC", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["logs"]
    return found


async def test_what_steps_log_is_kept_with_run_step_attempt_and_trace() -> None:
    async with served(talking(Observability())) as client:
        await run(client)
        first, failed, _, last = await logs(client)
        traces = (await client.get("/api/observability/traces")).json()["spans"]
    assert (first["level"], first["message"], first["runId"]) == ("warn", "attempt 1", "r")
    assert first["data"]["step_id"] == "talk"
    assert first["data"]["attempt"] == 1
    assert first["traceId"] == traces[0]["traceId"]
    assert first["entityName"] == "talk"
    assert "attempt 1 of 2" in failed["message"]
    assert (last["level"], last["data"]["attempt"]) == ("error", 2)
    assert "ValueError: never" in last["data"]["exception"]


async def test_logs_are_filtered_and_paged() -> None:
    async with served(talking(Observability())) as client:
        await run(client, "one")
        await run(client, "two")
        assert len(await logs(client)) == 8
        assert {log["runId"] for log in await logs(client, runId="two")} == {"two"}
        assert {log["level"] for log in await logs(client, level="error")} == {"error"}
        assert len(await logs(client, level=["error", "warn"])) == 8
        start = json.dumps({"start": "2999-01-01T00:00:00Z"})
        assert await logs(client, timestamp=start) == []
        page = (await client.get(LOGS, params={"perPage": 3, "page": 2})).json()
        assert page["pagination"] == {"total": 8, "page": 2, "perPage": 3, "hasMore": False}
        assert len(page["logs"]) == 2
        for wrong in ({"timestamp": "now"}, {"timestamp": '{"start":"x"}'}, {"level": "loud"}):
            assert (await client.get(LOGS, params=wrong)).status_code == 400


async def test_clients_read_them_as_a_transport() -> None:
    async with served(talking(Observability())) as client:
        await run(client, "one")
        await run(client, "two")
        assert (await client.get("/api/logs/transports")).json() == {"transports": ["storage"]}
        found = (await client.get("/api/logs", params={"transportId": "storage"})).json()
        assert found["total"] == 8
        assert {"level", "msg", "time", "pid", "hostname", "name", "runId"} <= set(found["logs"][0])
        one = (await client.get("/api/logs/one", params={"logLevel": "error"})).json()
        assert [log["runId"] for log in one["logs"]] == ["one"]
        for dates, count in (({"fromDate": "2999-01-01"}, 0), ({"toDate": "2999-01-01"}, 8)):
            assert (await client.get("/api/logs", params=dates)).json()["total"] == count
        assert (await client.get("/api/logs", params={"toDate": "soon"})).status_code == 400
        other = await client.get("/api/logs", params={"transportId": "other"})
        assert other.json()["logs"] == []


async def test_without_observability_there_are_no_logs() -> None:
    async with served(talking(None)) as client:
        await run(client)
        assert await logs(client) == []
        assert (await client.get("/api/logs/transports")).json() == {"transports": []}


async def test_two_applications_do_not_see_what_the_steps_of_the_other_log() -> None:
    async with served(talking(Observability())) as one, served(talking(Observability())) as two:
        await run(one)
        assert await logs(two) == []


async def test_nothing_is_collected_once_the_server_has_stopped() -> None:
    before = list(logging.getLogger("mastra").handlers)
    async with served(talking(Observability())):
        assert len(logging.getLogger("mastra").handlers) == len(before) + 1
    assert logging.getLogger("mastra").handlers == before


async def test_a_caller_sees_the_logs_of_its_own_resource() -> None:
    auth = BearerAuth({"a": "ada", "b": "bob"})
    ada, bob = ({"authorization": f"Bearer {token}"} for token in "ab")
    async with served(talking(Observability()), auth=auth) as client:
        await run(client, headers=ada)
        for headers, count in ((ada, 4), (bob, 0)):
            found = (await client.get(LOGS, headers=headers)).json()
            assert found["pagination"]["total"] == count
            query = {"name": ["mastra_workflow_duration_ms"], "aggregation": "count"}
            answer = await client.post(f"{METRICS}/aggregate", json=query, headers=headers)
            assert answer.json()["value"] == (1 if count else None)


async def test_a_caller_with_a_resource_sees_no_traceback() -> None:
    auth = BearerAuth({"a": "ada", "operator": None})
    ada, operator = ({"authorization": f"Bearer {token}"} for token in ("a", "operator"))
    async with served(talking(Observability()), auth=auth) as client:
        await run(client, headers=ada)
        for path in (LOGS, "/api/logs?transportId=storage", "/api/logs/r?transportId=storage"):
            shown = (await client.get(path, headers=ada)).text
            assert "attempt 1" in shown
            assert "Step 'talk' of workflow 'flow' failed: ValueError: …" in shown
            assert not any(word in shown for word in ("Traceback", "never", ".py", CALLERS_MESSAGE))
            whole = (await client.get(path, headers=operator)).text
            assert "Traceback" in whole
            assert "failed: ValueError: never" in whole
            assert f"test_observability.py:{line_of('raise ValueError(')}" in whole
            assert CALLERS_MESSAGE not in whole


@pytest.mark.parametrize(
    ("where", "template", "args", "shown"),
    [
        ("storage/x.py", "Asked again: %s", (FileNotFoundError("/srv/db"),), "Asked again: FileNotFoundError"),
        ("storage/x.py", "Run %r: %s", ("r-1", "no such file: /srv/db"), "Run 'r-1': …"),
        ("storage/x.py", "Run %r: %s", ("r-1", "StorageError"), None),
        ("storage/x.py", "%d of %s", (2, "flow"), None),
        ("storage/x.py", "said it all", (), None),
        ("/home/app.py", "paid %s", ("100 EUR to ann",), None),
        ("/home/app.py", "not paid: %s", (OSError("/srv/db"),), "not paid: OSError"),
    ],
)  # fmt: skip
def test_of_what_was_raised_a_caller_is_shown_the_name_alone(
    where: str, template: str, args: tuple[Any, ...], shown: str | None
) -> None:
    kept: list[LogRecord] = []
    path = str(Path(package).parent / where)
    LogCollector(kept.append).emit(logging.LogRecord("mastra", 30, path, 1, template, args, None))
    assert kept[0].message == template % args
    assert kept[0].data.get(CALLERS_MESSAGE) == shown


def line_of(code: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(at for at, text in enumerate(lines, 1) if code in text)


async def test_the_log_of_a_failure_has_the_place_in_users_own_code() -> None:
    @step
    async def read(text: str) -> Any:
        return json.loads(text)  # it fails in the standard library

    @step
    def add(text: str) -> Any:
        return 1 + text  # type: ignore[operator] # in a thread

    flows = [
        create_workflow(id=one.id, input_schema=str, output_schema=Any).then(one).commit()
        for one in (read, add)
    ]
    async with served(Mastra(workflows=flows, observability=Observability())) as client:
        for name in ("read", "add"):
            path = f"/api/workflows/{name}/start-async?runId={name}"
            (await client.post(path, json={"inputData": "{"})).raise_for_status()
        found = {one["runId"]: one["data"]["place"] for one in await logs(client, level="error")}
    for name, code in (("read", "return json.loads"), ("add", "return 1 + text")):
        assert found[name].endswith(f"test_observability.py:{line_of(code)} in {name}")


async def ask(client: httpx.AsyncClient, what: str, **body: Any) -> Any:
    answer = await client.post(f"{METRICS}/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_metrics_are_counted_from_the_spans() -> None:
    mastra = build()
    async with served(mastra) as client:
        for _ in range(3):
            await client.post("/api/agents/planningAgent/generate", json={"messages": "hello"})
        await client.post(
            "/api/workflows/failWorkflow/start-async", json={"inputData": {"value": 1}}
        )
        runs = await ask(
            client, "aggregate", name=["mastra_agent_duration_ms"], aggregation="count"
        )
        assert runs["value"] == 3
        tokens = await ask(
            client,
            "breakdown",
            name=["mastra_model_total_output_tokens"],
            groupBy=["entityName", "model"],
        )
        (group,) = tokens["groups"]
        assert group["dimensions"]["entityName"] == "planningAgent"
        assert group["value"] > 0
        failed = await ask(
            client,
            "breakdown",
            name=["mastra_workflow_duration_ms"],
            groupBy=["status"],
            aggregation="count",
        )
        assert failed["groups"][0]["dimensions"] == {"status": "error"}
        series = await ask(
            client,
            "timeseries",
            name=["mastra_agent_duration_ms"],
            aggregation="count",
            interval="1d",
        )
        assert sum(point["value"] for point in series["series"][0]["points"]) == 3
        shares = await ask(
            client,
            "percentiles",
            name="mastra_agent_duration_ms",
            percentiles=[0.5, 0.95],
            interval="1d",
        )
        assert [item["percentile"] for item in shares["series"]] == [0.5, 0.95]


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "sqlite"])
async def test_percentiles_are_of_all_spans_and_few_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    for module in (kept_spans, kept_in_sql):
        monkeypatch.setattr(module, "FIGURES_AT_ONCE", 7)
    storage = SQLStorage(f"sqlite:///{tmp_path}/spans.db") if stored else InMemoryStorage()
    hour = 3_600_000.0
    start = now_ms() // hour * hour
    took = {0: [float(n) for n in range(101)][::-1], 2: [5.0], 3: [3.0, 1.0]}
    spans = [
        SpanRecord(
            f"t{at}-{n}", "s", None, "tool_call", "tool", ended - ms, ended, entity_name="look"
        )
        for at, values in took.items()
        for n, ms in enumerate(values)
        for ended in [start + at * hour + n * 1000 + 500]
    ]
    mastra = Mastra(storage=storage, observability=Observability())
    async with served(mastra) as client:
        await storage.observability.save(spans, [])
        read: list[int] = []
        figures = storage.observability.figures

        async def counted(where: Any) -> AsyncIterator[Any]:
            async for page in figures(where):
                read.append(len(page))
                yield page

        monkeypatch.setattr(storage.observability, "figures", counted)
        given = {"name": "mastra_tool_duration_ms", "percentiles": [0.0, 0.5, 1.0]}
        found = await ask(client, "percentiles", **given, interval="1h")
        moments = [iso_from_ms(start + at * hour) for at in took]
        for series, values in zip(
            found["series"], ([0.0, 5.0, 1.0], [50.0, 5.0, 2.0], [100.0, 5.0, 3.0]), strict=True
        ):
            assert [one["timestamp"] for one in series["points"]] == moments
            assert [round(one["value"], 6) for one in series["points"]] == values
        assert (sum(read), max(read)) == (len(spans), 7)
        early = {"timestamp": {"end": iso_from_ms(start + hour)}}
        found = await ask(client, "percentiles", **given, interval="1h", filters=early)
        assert [len(one["points"]) for one in found["series"]] == [1, 1, 1]


async def test_metrics_of_an_experiment_are_those_of_its_items() -> None:
    mastra = build()
    agent = mastra.get_agent("planningAgent")
    dataset = Dataset("questions", [{"input": "hello"}, {"input": "again"}])
    async with served(mastra) as client:
        await client.post("/api/agents/planningAgent/generate", json={"messages": "hello"})
        for name in ("first", "second"):
            await Experiment("e", dataset=dataset, target=agent, mastra=mastra).run(name)
        counted: dict[str, Any] = {"name": ["mastra_agent_duration_ms"], "aggregation": "count"}
        for named, runs in (("first", 2), (["first", "second"], 4), ("none", None), (None, 5)):
            found = await ask(client, "aggregate", **counted, filters={"experimentId": named})
            assert found["value"] == runs, named
        name = result_id("first", dataset.items[0].id, 0)
        one = await mastra.storage.evals.get("experiment_result", name)
        assert one is not None
        filters = {"experimentId": "first", "traceIds": [one.trace_id, "other"]}
        found = await ask(client, "aggregate", **counted, filters=filters)
        assert found["value"] == 1


async def test_a_metric_is_compared_with_the_time_before() -> None:
    async with served(build()) as client:
        await client.post("/api/agents/planningAgent/generate", json={"messages": "hello"})
        period = {"start": "2000-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"}
        body = {"name": ["mastra_agent_duration_ms"], "aggregation": "count"}
        now = await ask(
            client,
            "aggregate",
            **body,
            filters={"timestamp": period},
            comparePeriod="previous_period",
        )
        assert (now["value"], now["previousValue"], now["changePercent"]) == (1, None, None)
        later = {"start": "2998-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"}
        assert (await ask(client, "aggregate", **body, filters={"timestamp": later}))[
            "value"
        ] is None
        for wrong in ({"timestamp": 1}, {"timestamp": {"start": "x"}}):
            answer = await client.post(f"{METRICS}/aggregate", json={**body, "filters": wrong})
            assert answer.status_code == 400


async def test_tokens_are_counted_with_what_they_cost() -> None:
    # Each answer takes 10 tokens, of which 4 were cached, and gives 6.
    given, received = 6 * 0.15e-6 + 4 * 0.075e-6, 6 * 0.6e-6
    async with openai_server() as openai:
        openai.queue(text_reply("a"), text_reply("b"))
        mini = ModelConfig(id="openai/gpt-4o-mini", url=openai.url, api_key="secret")
        agents = [
            Agent(id="known", model=mini),
            Agent(id="unknown", model=ScriptedModel("c")),
        ]
        async with served(Mastra(agents=agents, observability=Observability())) as client:
            for agent in ("known", "known", "unknown"):
                path = f"/api/agents/{agent}/generate"
                (await client.post(path, json={"messages": "q"})).raise_for_status()
            names = ["mastra_model_total_input_tokens", "mastra_model_total_output_tokens"]
            groups = (await ask(client, "breakdown", name=names, groupBy=["model", "name"]))[
                "groups"
            ]
            costs = {
                (one["dimensions"]["model"], one["dimensions"]["name"][19:-7]): one["estimatedCost"]
                for one in groups
            }
            assert costs == {
                ("gpt-4o-mini", "input"): pytest.approx(2 * given),
                ("gpt-4o-mini", "output"): pytest.approx(2 * received),
                ("model", "input"): None,
                ("model", "output"): None,
            }
            assert {one["costUnit"] for one in groups} == {"USD", None}
            whole = await ask(client, "aggregate", name=names, aggregation="avg")
            assert whole["estimatedCost"] == pytest.approx(2 * (given + received))
            period = {"start": "2000-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"}
            then = await ask(
                client,
                "aggregate",
                name=names,
                filters={"timestamp": period},
                comparePeriod="previous_period",
            )
            assert (then["previousEstimatedCost"], then["costChangePercent"]) == (None, None)
            series = await ask(client, "timeseries", name=names, interval="1d")
            assert series["series"][0]["costUnit"] == "USD"
            cost = sum(point["estimatedCost"] for point in series["series"][0]["points"])
            assert cost == pytest.approx(2 * (given + received))
            times = await ask(client, "aggregate", name=["mastra_agent_duration_ms"])
            assert (times["estimatedCost"], times["costUnit"]) == (None, None)


def asking() -> Mastra:
    @step
    async def double(n: int) -> int:
        return 2 * n

    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(double).commit()
    agent = Agent(id="guide", name="Guide", model=ScriptedModel(*["hi"] * 3))
    return Mastra(agents={"guide": agent}, workflows={"flow": flow}, observability=Observability())


def comparing(op: str, path: str, literal: Any) -> dict[str, Any]:
    return {"op": op, "left": {"path": path}, "right": {"literal": literal}}


AGENTS = comparing("eq", "entityType", "agent")
EARLY = comparing("lt", "startedAt", "2001-01-01")


@asynccontextmanager
async def traced() -> AsyncIterator[httpx.AsyncClient]:
    async with served(asking()) as client:
        await run(client)
        await client.post("/api/agents/guide/generate", json={"messages": "q"})
        yield client


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (AGENTS, {"agent"}),
        (comparing("ne", "entityType", "agent"), {"workflow_run"}),
        ({"op": "not", "arg": AGENTS}, {"workflow_run"}),
        ({"op": "and", "args": [AGENTS, comparing("eq", "status", "error")]}, set()),
        ({"op": "or", "args": [AGENTS, EARLY]}, {"agent"}),
        ({"op": "in", "value": {"path": "entityName"}, "set": ["flow", "x"]}, {"workflow_run"}),
        ({"op": "notIn", "value": {"path": "threadId"}, "set": ["t"]}, {"agent", "workflow_run"}),
        ({"op": "exists", "path": "threadId"}, set()),
        (comparing("eq", "metadata.runId", "r"), {"workflow_run"}),
        (comparing("gte", "durationMs", 0), {"agent", "workflow_run"}),
        (comparing("gt", "startedAt", "2001-01-01T00:00:00Z"), {"agent", "workflow_run"}),
        (EARLY, set()),
        (comparing("lt", "entityName", 5), set()),
        ({"spans": {"some": comparing("eq", "spanType", "model_generation")}}, {"agent"}),
        ({"spans": {"none": comparing("eq", "spanType", "model_generation")}}, {"workflow_run"}),
    ],
)
async def test_traces_are_searched(where: dict[str, Any], found: set[str]) -> None:
    async with traced() as client:
        answer = await client.post("/api/observability/traces/query", json={"where": where})
    assert {row["entityType"] for row in answer.json()["traces"]} == found


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"where": {"op": "like"}}, "no operator 'like'"),
        ({"where": comparing("eq", "", 1)}, "A path is text"),
        ({"where": {"op": "and", "args": 1}}, "needs a list 'args'"),
        ({"where": {"op": "not", "arg": 1}}, "an object, not int"),
        ({"where": {"spans": {"all": AGENTS}}}, "'some' or 'none'"),
        ({"timeRange": {"from": "yesterday"}}, "not a time"),
        ({"orderBy": [{"field": "name"}]}, "ordered by startedAt or endedAt"),
    ],
)
async def test_a_search_that_cannot_be_made_is_told_of(body: dict[str, Any], said: str) -> None:
    async with traced() as client:
        answer = await client.post("/api/observability/traces/query", json=body)
    assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text


async def test_pages_of_traces() -> None:
    async with traced() as client:
        base = "/api/observability/traces"
        light = (await client.get(f"{base}/light", params={"entityType": "agent"})).json()
        assert [row["entityName"] for row in light["spans"]] == ["Guide"]
        assert "attributes" not in light["spans"][0]
        assert (await client.get(base, params={"runId": "r"})).json()["pagination"]["total"] == 1
        late = json.dumps({"start": "2999-01-01T00:00:00Z"})
        assert (await client.get(base, params={"startedAt": late})).json()["spans"] == []
        assert (await client.get(base, params={"startedAt": "{"})).status_code == 400
        first = (await client.get(base, params={"direction": "ASC"})).json()["spans"][0]
        assert first["entityType"] == "workflow_run"
        trace = (await client.get(f"{base}/{first['traceId']}")).json()
        for span in trace["spans"]:
            path = f"{base}/{first['traceId']}/spans/{span['spanId']}"
            assert (await client.get(path)).json() == {"span": span}
        assert (await client.get(f"{base}/{first['traceId']}/spans/none")).status_code == 404
        asked = {"predicateScope": "trace", "path": "entityType"}
        values = (await client.post(f"{base}/query/values", json=asked)).json()
        assert {(one["value"], one["count"]) for one in values["values"]} == {
            ("agent", 1),
            ("workflow_run", 1),
        }
        fields = (
            await client.post(f"{base}/query/fields", json={"predicateScope": "spans"})
        ).json()
        assert "spanType" in {field["path"] for field in fields["canonicalFields"]}


LEAF = {"op": "eq", "left": {"path": "name"}, "right": {"literal": "x"}}
TOO_LARGE: list[tuple[str, dict[str, Any]]] = [
    ("observability/traces/query", {"where": {"op": "or", "args": [LEAF] * 200}}),
    ("observability/traces/query", {"where": {"spans": {"some": {"op": "and", "args": [LEAF] * 200}}}}),
    ("observability/traces/query", {"where": {**LEAF, "right": {"literal": ["x"] * 1001}}}),
    ("observability/traces/query", {"where": {**LEAF, "left": {"path": "a." * 600}}}),
    ("observability/metrics/aggregate", {"name": ["m"], "filters": {"entityName": ["x"] * 1001}}),
    ("observability/metrics/aggregate", {"name": ["m"], "filters": {f"n{i}": "x" for i in range(101)}}),
    ("observability/metrics/aggregate", {"name": ["m"] * 1001}),
    ("observability/metrics/breakdown", {"name": ["m"], "groupBy": ["x"] * 21}),
    ("observability/metrics/timeseries", {"name": ["m"], "filters": {"entityName": ["x"] * 1001}}),
    ("observability/metrics/percentiles", {"name": "m", "percentiles": [0.5] * 101}),
    ("observability/scores/aggregate", {"scorerId": "s", "filters": {"entityName": ["x"] * 1001}}),
]  # fmt: skip


async def test_a_question_is_no_larger_than_people_ask() -> None:
    async with served(talking(Observability())) as client:
        for path, body in TOO_LARGE:
            refused = await client.post(f"/api/{path}", json=body)
            assert refused.status_code == 400, (path, refused.text[:100])
        asked: dict[str, Any] = {"op": "or", "args": [LEAF] * 100}
        fine = await client.post("/api/observability/traces/query", json={"where": asked})
        assert fine.status_code == 200
        named = {"name": ["m"], "filters": {"entityName": ["x"] * 1000}}
        fine = await client.post("/api/observability/metrics/aggregate", json=named)
        assert fine.status_code == 200
