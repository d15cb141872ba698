"""A row that cannot be read makes one entry of a list faulty, never the list."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg
import httpx
import pytest

from mastra import Agent, Mastra, SQLStorage, StorageError, create_workflow, step, tool
from mastra.evals import Dataset, Experiment, create_scorer
from mastra.memory import Memory
from mastra.models.messages import Message
from mastra.server import create_app
from mastra.storage import InMemoryStorage
from mastra.storage.conversations import ResourceRecord, StoredMessage, ThreadRecord
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.storage.evals import EvalRecord
from mastra.testing import ScriptedModel, ToolCall
from mastra.workflows.step_context import StepContext
from tests.support.databases import shared_url
from tests.support.lanes import first_ones
from tests.support.storage import append

__all__ = ["shared_url"]

DEEP = "[" * 5000 + "]" * 5000
GARBAGE = ["{", "[]", "7", '{"a": 1', DEEP, '{"n": ' + "9" * 5000 + "}"]
"""What is no JSON, of another type, and beyond what is ever written."""

ELSEWHERE = "e" * DRIVER_ID_LENGTH
HEADS = ("state", "request_context", "data", "error")
ASK = ToolCall("book", {"city": "Rome"})


@step
async def inc(n: int) -> int:
    return n + 1


@step(id="ask")
async def ask(n: int, ctx: StepContext[Any]) -> int:
    return n if ctx.resume_data is not None else await ctx.suspend({"why": n})


@tool(require_approval=True)
async def book(city: str) -> str:
    """Book a room."""
    return city


async def damage(url: str, sql: str, *values: Any) -> None:
    """Change rows behind the program's back; `?` stands for a value."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
            assert database.execute(sql, values).rowcount > 0
        database.close()
        return
    for number in range(1, len(values) + 1):
        sql = sql.replace("?", f"${number}", 1)
    connection: Any = await cast("Any", asyncpg).connect(url)
    assert not (await connection.execute(sql, *values)).endswith(" 0")
    await connection.close()


def once_on_postgres(url: str, garbage: str) -> None:
    if url.startswith("postgres") and garbage in GARBAGE[2:]:
        pytest.skip("both databases have one reader of JSON")


@asynccontextmanager
async def application(url: str, *turns: Any, **parts: Any) -> AsyncGenerator[Mastra]:
    flow = create_workflow(id="w", input_schema=int, output_schema=int).then(inc).commit()
    model = ScriptedModel(*turns)
    options: dict[str, Any] = {"model": model, "tools": {"book": book}, "memory": Memory()}
    agents = {
        "travel": Agent(id="travel", **options),
        "lasting": Agent(id="lasting", durable=True, **options),
    }
    storage = SQLStorage(url)
    async with Mastra(workflows={"w": flow}, agents=agents, storage=storage, **parts) as mastra:
        yield mastra
    await storage.aclose()


@asynccontextmanager
async def client_of(mastra: Mastra) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(mastra))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/api") as client:
        yield client


# -- runs of workflows -------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", ["{", "\x01", "[]", '{"a": 1}'])
async def test_a_damaged_row_of_a_journal_spoils_its_own_run_alone(
    shared_url: str, garbage: str
) -> None:
    async with application(shared_url) as mastra:
        for run_id in ("good", "bad"):
            await (await mastra.get_workflow("w").create_run(run_id)).start(1)
    run_key = "run_key" if shared_url.startswith("postgres") else "position >> 32"
    await damage(
        shared_url,
        f"update mastra_workflow_journal set data = ? where {run_key} = "
        "(select run_key from mastra_workflow_runs where run_id = 'bad')",
        garbage,
    )
    async with application(shared_url) as mastra:
        workflow = mastra.get_workflow("w")
        listed = {info.run_id: info for info in (await workflow.list_runs()).runs}
        assert listed["good"].error is None
        assert listed["good"].result == 2
        assert listed["bad"].error is not None
        assert listed["bad"].error.code == "ROW_UNREADABLE"
        assert listed["bad"].status == "success"
        assert await mastra.restart_all_active_workflow_runs() == {}
        with pytest.raises(StorageError, match=r"Run 'bad' of workflow 'w' cannot be read"):
            await (await workflow.create_run("bad")).restart()


class Damaged:
    """A row that is not what any program would write."""

    key = ""

    def __init__(self, text: str) -> None:
        self.text = text

    def encode(self) -> bytes:
        return self.text.encode()

    def to_stored(self) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("garbage", ["{", "[]", '{"a": 1}', '{"log": [[0, 77, null, null]]}'])
async def test_a_reader_of_a_run_elsewhere_is_told_of_a_row_that_comes_damaged(
    shared_url: str, garbage: str
) -> None:
    async with application(shared_url) as mastra:
        store = mastra.storage.workflows
        run = await mastra.get_workflow("w").create_run("bad")
        await run.start(1)
        # As if another process drove it, which is alive.
        assert store.drivers is not None
        await store.drivers.beat(ELSEWHERE, "")
        await store.update_run("w", "bad", {"status": "running", "owner": f"{ELSEWHERE}:1"})
        events = aiter(run.observe_stream())
        await anext(events)
        await append(store, "bad", Damaged(garbage))
        with pytest.raises(StorageError, match=r"Run 'bad' of workflow 'w' cannot be read"):
            [event async for event in events]


async def test_who_waits_for_a_run_that_cannot_be_read_is_told(shared_url: str) -> None:
    async with application(shared_url) as mastra:
        await (await mastra.get_workflow("w").create_run("bad")).start(1)
        change = "update mastra_workflow_runs set data = ?, status = ? where run_id = 'bad'"
        await damage(shared_url, change, "{", "running")
        with pytest.raises(StorageError, match=r"Run 'bad' of workflow 'w' cannot be read"):
            await (await mastra.get_workflow("w").create_run("bad")).result()


@pytest.mark.parametrize("column", HEADS)
@pytest.mark.parametrize("garbage", first_ones(1, GARBAGE))
async def test_a_damaged_head_spoils_its_own_run_alone(
    shared_url: str, column: str, garbage: str
) -> None:
    once_on_postgres(shared_url, garbage)
    async with application(shared_url) as mastra:
        for run_id in ("good", "bad"):
            await (await mastra.get_workflow("w").create_run(run_id)).start(1)
    change = f"update mastra_workflow_runs set {column} = ?, status = ? where run_id = 'bad'"
    await damage(shared_url, change, garbage, "running")
    async with application(shared_url) as mastra, client_of(mastra) as client:
        workflow = mastra.get_workflow("w")
        listed = {info.run_id: info for info in (await workflow.list_runs()).runs}
        assert (listed["good"].result, listed["good"].error) == (2, None)
        assert listed["bad"].error is not None
        assert listed["bad"].error.code == "ROW_UNREADABLE"
        assert column in listed["bad"].error.message
        assert await mastra.restart_all_active_workflow_runs() == {}
        assert await mastra.recover_all_durable_agents() == {}
        answer = await client.get("/workflows/w/runs")
        assert answer.status_code == 200, answer.text
        errors = {run["runId"]: run["snapshot"].get("error") for run in answer.json()["runs"]}
        assert errors["good"] is None
        assert errors["bad"]["code"] == "ROW_UNREADABLE"
        answer = await client.get("/workflows/w/runs/bad")
        assert answer.json()["error"]["code"] == "ROW_UNREADABLE"
        assert await workflow.delete_run("bad")


@pytest.mark.parametrize("column", ["status", "data", "created_at", "input", "resource_id"])
async def test_bytes_that_are_no_text_spoil_their_own_run_alone(
    tmp_path: Path, column: str
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with application(url) as mastra:
        for run_id in ("good", "bad"):
            await (await mastra.get_workflow("w").create_run(run_id)).start(1)
    for garbage in ("x'ff00'", "cast(x'ff00' as text)"):
        await damage(
            url, f"update mastra_workflow_runs set {column} = {garbage} where run_id = 'bad'"
        )
        async with application(url) as mastra, client_of(mastra) as client:
            listed = {
                info.run_id: info for info in (await mastra.get_workflow("w").list_runs()).runs
            }
            assert (listed["good"].result, listed["good"].error) == (2, None)
            assert listed["bad"].error is not None
            assert listed["bad"].error.code == "ROW_UNREADABLE"
            assert (await client.get("/workflows/w/runs")).status_code == 200


# -- runs of agents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        *GARBAGE,
        '{"runId": "bad", "agentId": "travel"}',
        '{"runId": "bad", "agentId": "travel", '
        '"createdAt": 1, "threadId": null, "resourceId": null, "waiting": [{"x": 1}]}',
    ],
)
async def test_a_damaged_run_of_an_agent_is_one_entry(shared_url: str, garbage: str) -> None:
    once_on_postgres(shared_url, garbage)
    async with application(shared_url, ASK, ASK, "done") as mastra:
        agent = mastra.get_agent("travel")
        for run_id in ("good", "bad"):
            await agent.generate("Rome", run_id=run_id)
        await damage(
            shared_url, "update mastra_workflow_runs set data = ? where run_id = 'bad'", garbage
        )
        found = {run.run_id: run for run in (await agent.list_suspended_runs()).runs}
        assert found["good"].error is None
        assert found["good"].tool_calls[0].tool_name == "book"
        assert found["bad"].error is not None
        assert found["bad"].error["code"] == "ROW_UNREADABLE"
        async with client_of(mastra) as client:
            listed = (await client.get("/agents/travel/suspended-runs")).json()
            assert {run["runId"]: "error" in run for run in listed["runs"]} == {
                "good": False,
                "bad": True,
            }
        with pytest.raises(StorageError) as caught:
            await agent.approve_tool_call_generate("bad")
        assert caught.value.code == "ROW_UNREADABLE"
        assert len((await agent.list_suspended_runs()).runs) == 2
        assert (await agent.approve_tool_call_generate("good")).text == "done"


async def test_a_damaged_run_of_a_durable_agent_is_one_entry(shared_url: str) -> None:
    async with application(shared_url, ASK, ASK, "done") as mastra:
        agent = mastra.get_agent("lasting")
        for run_id in ("good", "bad"):
            await agent.generate("Rome", run_id=run_id)
        change = "update mastra_workflow_runs set data = '{' where run_id = 'bad'"
        await damage(shared_url, change)
        found = {run.run_id: run for run in (await agent.list_suspended_runs()).runs}
        assert found["good"].tool_calls[0].tool_name == "book"
        assert found["bad"].error is not None
        assert found["bad"].error["code"] == "ROW_UNREADABLE"
        change = "update mastra_workflow_runs set data = '{}', input = '7' where run_id = 'bad'"
        await damage(shared_url, change)
        found = {run.run_id: run for run in (await agent.list_suspended_runs()).runs}
        assert found["bad"].error is not None
        await damage(shared_url, "update mastra_workflow_runs set status = 'running', data = '{'")
        assert await mastra.recover_all_durable_agents() == {}


# -- conversations -----------------------------------------------------------------------------


async def talk(mastra: Mastra) -> Memory:
    memory = Memory(mastra.storage.memory)
    for thread_id in ("good", "bad"):
        await memory.create_thread(thread_id=thread_id, resource_id="ann", metadata={"a": 1})
        said = [Message("user", text, id=f"{thread_id}-{text}") for text in ("one", "two")]
        await memory.save_messages(said, thread_id=thread_id, resource_id="ann")
    return memory


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_damaged_thread_is_one_entry(shared_url: str, garbage: str) -> None:
    once_on_postgres(shared_url, garbage)
    async with application(shared_url, "hello") as mastra:
        memory = await talk(mastra)
        change = "update mastra_threads set metadata = ? where id = 'bad'"
        await damage(shared_url, change, garbage)
        for listed in (
            (await memory.list_threads()).threads,
            (await memory.list_threads(resource_id="ann", per_page=5)).threads,
        ):
            found = {thread.id: thread for thread in listed}
            assert (found["good"].metadata, found["good"].error) == ({"a": 1}, None)
            assert found["bad"].metadata is None
            assert found["bad"].error is not None
            assert found["bad"].error["code"] == "ROW_UNREADABLE"
        async with client_of(mastra) as client:
            query = {"agentId": "travel", "resourceId": "ann"}
            answer = (await client.get("/memory/threads", params=query)).json()
            assert {row["id"]: "error" in row for row in answer["threads"]} == {
                "good": False,
                "bad": True,
            }
        # The conversation goes on; what cannot be read stays until it is given anew.
        await mastra.get_agent("travel").generate(
            "three", memory={"thread": "bad", "resource": "ann"}
        )
        await memory.update_thread("bad", title="Trips")
        thread = await memory.get_thread("bad")
        assert thread is not None
        assert thread.title == "Trips"
        assert thread.error is not None
        await memory.update_thread("bad", metadata={"b": 2})
        thread = await memory.get_thread("bad")
        assert thread is not None
        assert (thread.metadata, thread.error) == ({"b": 2}, None)


@pytest.mark.parametrize("garbage", [*GARBAGE, '{"parts": [{"type": "hologram"}]}', '{"a": 1}'])
async def test_a_damaged_message_is_one_entry(shared_url: str, garbage: str) -> None:
    once_on_postgres(shared_url, garbage)
    async with application(shared_url, "hello") as mastra:
        memory = await talk(mastra)
        change = "update mastra_messages set content = ? where id = 'bad-one'"
        await damage(shared_url, change, garbage)
        listed = {m.id: m for m in (await memory.list_messages(thread_id="bad")).messages}
        assert listed.keys() == {"bad-one", "bad-two"}
        assert listed["bad-two"].error is None
        if garbage in GARBAGE:
            error = listed["bad-one"].error
            assert error is not None
            assert error["code"] == "ROW_UNREADABLE"
            # Storing it again changes nothing.
            await memory.store_messages([listed["bad-one"]])
            [again] = (await memory.list_messages(ids=["bad-one"])).messages
            assert again.error is not None
        recalled = await memory.recall(thread_id="bad", resource_id="ann")
        assert [message.id for message in recalled] == ["bad-two"]
        near = await memory.store.list_around(["bad-two"], before=2, after=2)
        assert {message.id for message in near} == {"bad-one", "bad-two"}
        async with client_of(mastra) as client:
            for path in ("threads/bad/messages", "search"):
                query = {"agentId": "travel", "resourceId": "ann", "searchQuery": "two"}
                answer = await client.get(f"/memory/{path}", params=query)
                assert answer.status_code == 200, answer.text
        result = await mastra.get_agent("travel").generate(
            "three", memory={"thread": "bad", "resource": "ann"}
        )
        assert result.text == "hello"


async def test_a_damaged_resource_keeps_its_notes(shared_url: str) -> None:
    async with application(shared_url, "hello") as mastra:
        store = mastra.storage.memory
        await store.save_resource(ResourceRecord("ann", "likes tea", {"a": 1}, 1, 1))
        await damage(shared_url, "update mastra_resources set metadata = '{'")
        memory = Memory(store, working_memory=True)
        assert await memory.get_working_memory(resource_id="ann") == "likes tea"
        await memory.update_working_memory("likes coffee", resource_id="ann")
        found = await store.get_resource("ann")
        assert found is not None
        assert found.working_memory == "likes coffee"
        assert found.error is not None
        assert found.error["code"] == "ROW_UNREADABLE"


async def test_what_has_no_time_that_can_be_read_gets_one_when_it_is_changed(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/times.db"
    async with application(url, "hello") as mastra:
        memory = await talk(mastra)
        store = mastra.storage.memory
        await store.save_resource(ResourceRecord("ann", "likes tea", {"a": 1}, 1, 1))
        await damage(url, "update mastra_threads set updated_at = 'soon' where id = 'bad'")
        await damage(url, "update mastra_resources set updated_at = 'soon'")
        await memory.update_thread("bad", title="Trips")
        notes = Memory(store, working_memory=True)
        await notes.update_working_memory("likes coffee", resource_id="ann")
        thread, found = await memory.get_thread("bad"), await store.get_resource("ann")
        assert thread is not None
        assert found is not None
        assert (thread.title, thread.metadata, thread.error) == ("Trips", {"a": 1}, None)
        assert (found.working_memory, found.metadata, found.error) == (
            "likes coffee",
            {"a": 1},
            None,
        )


@pytest.mark.parametrize("table", ["threads", "messages", "workflow_runs"])
async def test_bytes_that_are_no_text_are_one_entry(tmp_path: Path, table: str) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with application(url, ASK, ASK) as mastra:
        memory = await talk(mastra)
        for run_id in ("good", "bad"):
            await mastra.get_agent("travel").generate("Rome", run_id=run_id)
        column, key = {
            "threads": ("title", "id = 'bad'"),
            "messages": ("content", "id = 'bad-one'"),
            "workflow_runs": ("data", "run_id = 'bad'"),
        }[table]
        for garbage in ("x'ff00'", "cast(x'ff00' as text)"):
            await damage(url, f"update mastra_{table} set {column} = {garbage} where {key}")
            threads = (await memory.list_threads()).threads
            assert {t.id for t in threads if t.error} == ({"bad"} if table == "threads" else set())
            said = (await memory.list_messages()).messages
            assert {m.id for m in said if m.error} == (
                {"bad-one"} if table == "messages" else set()
            )
            runs = (await mastra.get_agent("travel").list_suspended_runs()).runs
            assert {r.run_id for r in runs if r.error} == (
                {"bad"} if table == "workflow_runs" else set()
            )
            assert len(runs) == 2


# -- evaluations -------------------------------------------------------------------------------

EVALUATED = ["dataset", "dataset_item", "dataset_version", "experiment", "experiment_result"]
SIGNALS = ["score", "feedback"]


async def evaluate(mastra: Mastra) -> None:
    """Store two of everything, of which one is called bad."""
    scorer = create_scorer(id="s", description="Always one.").generate_score(lambda _: 1)
    mastra.add_scorer(scorer)
    for name in ("good", "bad"):
        items = [{"id": name, "input": "Rome"}, {"input": "Oslo"}]
        dataset = await Dataset(name, items, id=name).save(mastra)
        experiment = Experiment(
            name, dataset=dataset, target=lambda text: text, scorers=[scorer], mastra=mastra
        )
        await experiment.run(name)
        entity = {"scorerId": "s", "entityId": name, "entityType": "AGENT"}
        data: dict[str, Any] = {**entity, "score": 0.5, "source": "LIVE"}
        await mastra.storage.evals.save(
            [
                EvalRecord("score", name, data, parent_id="s", subject=f"AGENT/{name}"),
                EvalRecord("feedback", name, {"feedbackType": "rating", "value": 1}),
            ]
        )


async def spoil(url: str, kind: str, garbage: str) -> None:
    """Damage all records of a kind that belong to what is called bad."""
    change = (
        "update mastra_evals set data = ? where kind = ? and (name like ? or parent_id = 'bad')"
    )
    await damage(url, change, garbage, kind, f"{kind}/bad%")


@pytest.mark.parametrize("kind", [*EVALUATED, *SIGNALS])
@pytest.mark.parametrize("garbage", first_ones(2, GARBAGE))
async def test_a_damaged_record_of_an_evaluation_is_one_entry(
    shared_url: str, kind: str, garbage: str
) -> None:
    once_on_postgres(shared_url, garbage)
    async with application(shared_url) as mastra, client_of(mastra) as client:
        await evaluate(mastra)
        await spoil(shared_url, kind, garbage)
        for path, body in {
            "/datasets": None,
            "/datasets/good/items": None,
            "/datasets/good/versions": None,
            "/datasets/good/experiments": None,
            "/datasets/good/experiments/good/results": None,
            "/experiments": None,
            "/experiments/review-summary": None,
            "/scores/scorer/s": None,
            "/scores/entity/AGENT/good": None,
            "/observability/scores": None,
            "/observability/feedback": None,
            **{
                f"/observability/{what}/{how}": {**which, **more}
                for what, which in (
                    ("scores", {"scorerId": "s"}),
                    ("feedback", {"feedbackType": "rating"}),
                )
                for how, more in (
                    ("aggregate", {"aggregation": "count"}),
                    ("breakdown", {"aggregation": "count", "groupBy": ["entityId"]}),
                    ("timeseries", {"aggregation": "count", "interval": "1d"}),
                    ("percentiles", {"percentiles": [0.5], "interval": "1d"}),
                )
            },
        }.items():
            answer = await (client.get(path) if body is None else client.post(path, json=body))
            assert answer.status_code == 200, (path, answer.text)
            assert "good" in answer.text or body is not None, path


async def test_results_that_cannot_be_read_are_counted_as_not_reviewed(shared_url: str) -> None:
    async with application(shared_url) as mastra, client_of(mastra) as client:
        await evaluate(mastra)
        await spoil(shared_url, "experiment_result", "{")
        counts = (await client.get("/experiments/review-summary")).json()["counts"]
        assert {one["experimentId"]: one["total"] for one in counts} == {"good": 2, "bad": 2}


async def test_in_memory_a_message_that_nobody_understands_is_left_out_of_what_is_recalled() -> (
    None
):
    store = InMemoryStorage().memory
    await store.save_thread(ThreadRecord("t", "ann"))
    odd = {"format": 2, "parts": [{"type": "hologram"}]}
    fine = {"format": 2, "parts": [{"type": "text", "text": "hello"}]}
    await store.save_messages(
        [
            StoredMessage("odd", "t", "ann", "user", odd, 1),
            StoredMessage("fine", "t", "ann", "user", fine, 2),
            StoredMessage("stranger", "t", "ann", "oracle", fine, 3),
        ]
    )
    memory = Memory(store)
    assert [message.id for message in await memory.recall(thread_id="t")] == ["fine"]
    assert (await memory.list_messages(thread_id="t")).total == 3
