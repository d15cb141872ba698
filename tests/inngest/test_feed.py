"""Readers of runs that are driven elsewhere: what they are told, and what they miss."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from mastra import Mastra, RunError, SQLStorage, StepContext, StreamOverflowError, create_step
from mastra.inngest import feed as feeds
from mastra.inngest import inbox, inquiry, worker_leg
from mastra.inngest.mail import READ
from mastra.workflows.engines.commands import RunTarget
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import until
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest

FINISH = {"workflowStatus": "success", "metadata": {}, "output": {"usage": {}}}


class Gates:
    """A workflow whose step speaks, waits, and speaks again."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.waiting = 0

        async def speak(ctx: StepContext[Value]) -> Value:
            await ctx.writer.write("early")
            self.waiting += 1
            await self.first.wait()
            await ctx.writer.custom({"type": "data-note", "data": {"n": 1}})
            self.waiting += 1
            await self.second.wait()
            await ctx.writer.write("late")
            return ctx.input_data

        a = create_step(id="a", execute=speak)
        self.workflow = flows.begin().then(flows.plus_one("before")).then(a).commit()


async def read(run: Any, events: list[Any]) -> None:
    async for event in run.observe_stream():
        events.append(event)  # noqa: PERF401 - looked at meanwhile


async def stores(mastra: Mastra, run_id: str, text: str) -> None:
    """Wait until storage has something of a run."""
    store = mastra.get_workflow("w").runtime.store
    async with asyncio.timeout(20):
        while text not in str(await store.load_rows("w", run_id, -1)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_one_who_comes_later_is_told_by_the_worker(
    checkpointed: Host,
    fake: FakeInngest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_cut_off: bool,
) -> None:
    monkeypatch.setattr(inbox, "RETRY_S", 0.01)
    # Storage is looked at where messages may have been missed, and at no other time.
    monkeypatch.setattr(feeds, "LOOK_S", 600.0)
    monkeypatch.setattr(feeds, "GAP_S", 0.01)
    monkeypatch.setattr(worker_leg, "WATCH_S", 0.01)
    gates, url = Gates(), f"sqlite:///{tmp_path / 'runs.db'}"
    worker = flows.on(checkpointed, gates.workflow, storage=SQLStorage(url))
    reader = Mastra(
        workflows={"w": gates.workflow},
        engine=checkpointed.make_engine(),
        storage=SQLStorage(url),
    )
    async with worker, reader:
        ours, other = [await worker.get_workflow("w").create_run() for _ in range(2)]
        await other.start_async({"value": 0})
        await ours.start_async({"value": 1})
        await until(lambda: gates.waiting == 2)
        again = await reader.get_workflow("w").create_run(ours.run_id)
        events: list[Any] = []
        reading = asyncio.create_task(read(again, events))
        engine: Any = reader.engine
        inbox_of_reader = engine.mail.inbox.channel
        asks = {"type": READ, "workflowId": "w", "runId": ours.run_id, "inbox": inbox_of_reader}
        await until(lambda: [asks] in [told for _, _, told in fake.messages])
        worker_engine: Any = worker.engine
        legs = worker_engine.legs.all()
        readers = {leg.run.run_id: leg.publisher.readers.inboxes for leg in legs}
        await until(lambda: bool(readers[ours.run_id]))
        assert readers == {ours.run_id: {inbox_of_reader}, other.run_id: set()}
        if is_cut_off:
            fake.lose_messages = True
        gates.first.set()
        if is_cut_off:
            await until(lambda: gates.waiting == 4)
            await stores(reader, ours.run_id, "data-note")
            fake.go_down()
            fake.is_down = fake.lose_messages = False
        await until(lambda: any(event.type == "data-note" for event in events))
        gates.second.set()
        async with asyncio.timeout(20):
            await reading
    assert [event.type for event in events] == [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-step-start",
        "workflow-step-output",
        "data-note",
        "workflow-step-output",
        "workflow-step-result",
        "workflow-finish",
    ]
    assert events[5].to_wire()["data"] == {"n": 1}
    assert [event.seq for event in events] == list(range(9))


@pytest.fixture
async def mastra(checkpointed: Host) -> Any:
    async with flows.on(checkpointed, flows.chain(1)) as opened:
        yield opened


def feed_of(mastra: Mastra, run_id: str = "r", first_seq: int = 0) -> Any:
    """Return a feed of a run as its caller has it."""
    runtime = mastra.get_workflow("w").runtime
    engine: Any = mastra.engine
    target = RunTarget(mastra.get_workflow("w").spec, runtime.store, run_id, None)
    return engine._feed(target, first_seq)


async def tell(mastra: Mastra, type_: str, seq: Any, **facts: Any) -> None:
    """Tell of the run as its worker does."""
    engine: Any = mastra.engine
    names = {"workflowId": "w", "runId": "r", "from": "WORKFLOW", "by": "log"}
    await engine._take({"type": type_, "seq": seq, **names, **facts})


async def test_how_the_leg_before_ended_is_not_how_this_one_did(mastra: Mastra) -> None:
    def rows(status: str, value: int) -> dict[str, Any]:
        head = {"owner": "o", "status": status, "input": {"value": 0}, "state": {}, "error": None}
        data = {"hasResult": True}
        return {"head": {**head, "result": {"value": value}, "data": data}, "rows": []}

    feed = feed_of(mastra, first_seq=5)
    await tell(mastra, "workflow-run-rows", 4, **rows("success", 1))
    await tell(mastra, "workflow-finish", 4, payload=FINISH)
    assert not feed.has_ended
    await tell(mastra, "workflow-run-rows", 9, **rows("success", 2))
    result = await feed.result()
    assert result.unwrap() == Value(value=2)


async def test_what_is_not_understood_is_passed_over(mastra: Mastra) -> None:
    feed = feed_of(mastra)
    for seq in (None, "0"):
        await tell(mastra, "workflow-finish", seq, payload=FINISH)
    await tell(mastra, "workflow-start", 0, payload={})
    assert not feed.has_ended
    await tell(mastra, "workflow-finish", 1, payload=FINISH)
    assert feed.has_ended
    assert [event.seq async for event in feed.read(0)] == [0, 1]


async def test_of_a_run_that_is_not_stored_all_that_came_is_read(
    mastra: Mastra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "GAP_S", 0.01)
    feed = feed_of(mastra)
    await tell(mastra, "workflow-start", 0, payload={}, ops=[""], after=[])
    after = {"ops": ["a"], "after": [[1, "a"]]}  # which is lost
    note = {"type": "data-note", "runId": "r", "from": "USER", "data": 7}
    await tell(mastra, "workflow-events", 2, events=[note], **after)
    await tell(mastra, "workflow-finish", 3, payload=FINISH, ops=[""], after=[[2, "a"]])
    assert feed.has_ended
    async with asyncio.timeout(20):
        events = [event async for event in feed.read(0)]
    assert [event.type for event in events] == ["workflow-start", "data-note", "workflow-finish"]
    assert events[1].data == {"type": "data-note", "data": 7}


async def test_an_event_that_is_no_longer_kept_is_an_error(
    mastra: Mastra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEPT", 3)
    monkeypatch.setattr(feeds, "GAP_S", 0.01)
    run = await mastra.get_workflow("w").create_run("r")
    feed = feed_of(mastra)
    for seq in range(1, 4):
        await tell(mastra, "workflow-step-output", seq, payload={})
    assert run.run_id == "r"
    with pytest.raises(StreamOverflowError, match="Event 0 of run 'r' is no longer kept") as told:
        async with asyncio.timeout(20):
            assert [event async for event in feed.read(0)]
    assert told.value.details == {"seq": 0, "newest": 3}


async def test_a_run_that_is_deleted_is_not_waited_for(
    mastra: Mastra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LOOK_S", 0.01)
    workflow = mastra.get_workflow("w")
    run = await workflow.create_run("r")
    engine: Any = mastra.engine
    handle = engine.attach(RunTarget(workflow.spec, workflow.runtime.store, run.run_id, None))
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    assert await workflow.runtime.store.delete_run("w", "r")
    async with asyncio.timeout(20):
        with pytest.raises(RunError, match="r"):
            await waiting


async def test_all_who_wait_are_told_that_there_is_nothing_to_wait_for(
    mastra: Mastra, fake: FakeInngest, checkpointed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "QUIET_S", 0.01)
    monkeypatch.setattr(inquiry, "UNBEGUN_S", 0.02)
    monkeypatch.setattr(inquiry, "SOON_S", 0.01)
    await checkpointed.sync()
    fake.functions = []
    run = await mastra.get_workflow("w").create_run()
    await run.start_async({"value": 0})
    async with asyncio.timeout(20):
        found = await asyncio.gather(*(run.result() for _ in range(3)), return_exceptions=True)
    assert [getattr(error, "code", None) for error in found] == ["INNGEST_RUN_NOT_BEGUN"] * 3


async def test_a_message_for_this_process_itself_takes_no_way_round(
    mastra: Mastra, fake: FakeInngest
) -> None:
    feed, engine = feed_of(mastra), cast("Any", mastra.engine)
    mail = engine.mail
    names = {"workflowId": "w", "runId": "r", "from": "WORKFLOW", "by": "log"}
    end = {"type": "workflow-finish", "seq": 0, "payload": FINISH, **names}
    await mail.send(mail.inbox.channel, end)
    assert feed.has_ended
    assert fake.messages == []
