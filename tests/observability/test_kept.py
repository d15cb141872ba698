"""Spans and logs get into the storage behind the back of what is traced, and stay for a time."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Mastra, SQLStorage, create_workflow, step
from mastra.errors import ConfigError, StorageError
from mastra.observability import Observability
from mastra.observability import buffer as buffer_module
from mastra.observability.buffer import TelemetryBuffer
from mastra.observability.records import LogRecord, SpanRecord
from mastra.observability.spans import Tracer
from mastra.server import create_app
from tests.support.tracing import kept_spans, kept_traces

pytestmark = pytest.mark.anyio

SCRIPT = """
import asyncio
import sys
from mastra import Mastra, SQLStorage, create_workflow, step
from mastra.observability import Observability

@step
async def double(n: int) -> int:
    return 2 * n

flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(double).commit()
mastra = Mastra(
    workflows=[flow], storage=SQLStorage(sys.argv[1]), observability=Observability()
)

async def main():
    run = await mastra.get_workflow("flow").create_run()
    print((await run.start(4)).unwrap())
"""
ENDS = {
    "asyncio.run": "asyncio.run(main())",
    "sync": "print(mastra.get_workflow('flow').create_run_sync().start_sync(4).unwrap())",
}


def flow_of() -> Any:
    @step
    async def double(n: int) -> int:
        return 2 * n

    return create_workflow(id="flow", input_schema=int, output_schema=int).then(double).commit()


def application(storage: Any, **options: Any) -> Mastra:
    return Mastra(workflows=[flow_of()], storage=storage, observability=Observability(**options))


async def play(mastra: Mastra, run_id: str = "r") -> None:
    run = await mastra.get_workflow("flow").create_run(run_id)
    (await run.start(4)).unwrap()


class Recording:
    """A store that notes what it is told, and fails where it is to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.batches: list[int] = []
        self.stored = asyncio.Event()
        self.deleted: list[int] = []

    @property
    def observability(self) -> Recording:
        return self

    async def save(self, spans: Sequence[SpanRecord], logs: Sequence[LogRecord]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(len(spans) + len(logs))
        self.stored.set()

    async def delete_before(self, before_ms: int) -> int:
        self.deleted.append(before_ms)
        return 0


def trace(buffer: TelemetryBuffer, count: int) -> None:
    tracer = Tracer(buffer, None)
    for _ in range(count):
        tracer.start("workflow_run", "run").end()


async def test_what_ends_is_stored_a_little_later_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "WRITE_AFTER_S", 0.01)
    store = Recording()
    buffer = TelemetryBuffer(store, retention_s=None)
    trace(buffer, 600)
    assert store.batches == []
    await store.stored.wait()
    await buffer.flush()
    assert store.batches == [250, 250, 100]
    await buffer.aclose()


async def test_while_the_storage_cannot_be_reached_they_wait(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer_module, "MAX_WAITING", 3)
    store = Recording(StorageError("down"), StorageError("down"))
    buffer = TelemetryBuffer(store, retention_s=None)
    trace(buffer, 2)
    await buffer.flush()
    trace(buffer, 2)  # the oldest of four goes
    await buffer.flush()
    assert store.batches == []
    await buffer.flush()
    assert store.batches == [3]
    assert len([one for one in caplog.records if "could not be stored" in one.message]) == 1
    await buffer.aclose()


@pytest.mark.parametrize("error", [RuntimeError("odd"), StorageError("no such table")])
async def test_what_will_never_be_stored_is_told_and_let_go(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(error, StorageError):
        error.is_lasting = True
    store = Recording(error)
    buffer = TelemetryBuffer(store, retention_s=None)
    trace(buffer, 2)
    await buffer.flush()
    trace(buffer, 1)
    await buffer.aclose()
    assert store.batches == [1]
    assert "2 of them are lost" in caplog.text


async def test_spans_of_a_thread_are_taken_along(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Recording()
    buffer = TelemetryBuffer(store, retention_s=None)
    await asyncio.to_thread(trace, buffer, 1)
    await buffer.aclose()
    assert store.batches == [1]


async def test_what_is_older_than_the_retention_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "WRITE_AFTER_S", 0.01)
    mastra = application(None, retention_s=3600)
    old = SpanRecord("t", "s", None, "workflow_run", "old", 1.0, 2.0)
    await mastra.storage.observability.save([old], [])
    await play(mastra)
    while len(found := await kept_traces(mastra)) != 1:
        await asyncio.sleep(0.01)
    assert found[0].name == "workflow run: 'flow'"
    await mastra.aclose()


@pytest.mark.parametrize("end", ENDS)
def test_a_script_that_ends_leaves_its_trace_behind(tmp_path: Path, end: str) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + ENDS[end], url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("8\n", "")

    async def look() -> list[str]:
        async with SQLStorage(url) as storage:
            page = await storage.observability.list_traces(limit=9)
            spans = await storage.observability.get_spans([one.trace_id for one in page.roots])
            return [one.kind for one in spans]

    assert asyncio.run(look()) == ["workflow_run", "workflow_step"]


async def test_studio_reads_the_traces_of_a_process_that_is_gone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    for count in (1, 2):
        mastra = application(SQLStorage(url))
        app = create_app(mastra)
        async with app.router.lifespan_context(app):
            logging.getLogger("mastra").warning("run %d", count)
            await play(mastra, f"r{count}")
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as web:
                traces = (await web.get("/api/observability/traces")).json()["spans"]
                logs = (await web.get("/api/observability/logs")).json()["logs"]
                asked = {"name": ["mastra_workflow_duration_ms"], "aggregation": "count"}
                metric = await web.post("/api/observability/metrics/aggregate", json=asked)
    assert [one["runId"] for one in traces] == ["r2", "r1"]
    assert [one["message"] for one in logs] == ["run 2", "run 1"]
    assert metric.json()["value"] == 2


async def test_each_application_keeps_its_own(tmp_path: Path) -> None:
    shared = Observability()
    one, two = (application(None), application(None))
    one.observe(shared)
    two.observe(shared)
    await play(one)
    assert len(await kept_spans(one)) == 2
    assert await kept_spans(two) == []


def test_a_retention_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="retention_s"):
        Observability(retention_s=0)
    with pytest.raises(ConfigError, match="takes an Observability"):
        Mastra(observability=True)  # type: ignore[arg-type]


async def test_what_was_given_to_applications_flushes_what_they_have_seen() -> None:
    given = Observability()
    for count in (1, 2):
        storage = SQLStorage("sqlite:///:memory:")
        async with storage:
            mastra = Mastra(workflows=[flow_of()], storage=storage, observability=given)
            await play(mastra, f"r{count}")
            await given.flush()
            assert len((await storage.observability.list_traces(limit=9)).roots) == 1
            await mastra.aclose()
