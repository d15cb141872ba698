"""Workflows that a program of the original serves, by what a real one told.

`data/original_worker.json` holds the messages of `@mastra/inngest` 1.9 on a real server, for each
workflow of `js/definitions.mjs` and each leg of a run that began with 1. `test_original.py` has the
same runs on the packages themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import inngest
import orjson
import pytest

from mastra import Mastra, RunError, RunStateError, SQLStorage, create_workflow
from mastra.inngest.bound import MastraInngest
from mastra.inngest.mount import app_functions, serving_app
from mastra.inngest.wire.api import Subscription
from mastra.inngest.wire.names import TOPIC, channel
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_original import served
from tests.support.inngest_env import Host

TOLD: dict[str, list[list[Any]]] = json.loads(
    (Path(__file__).parent / "data" / "original_worker.json").read_text()
)


class Worker:
    """Tells what a program of the original told."""

    def __init__(
        self, host: Host, told: dict[str, list[list[Any]]], *, delay_s: float = 0.0
    ) -> None:
        self._delay_s = delay_s
        self.asked: list[dict[str, Any]] = []
        """The data of the events."""
        self._legs = {name: [*legs] for name, legs in told.items()}
        self._host = host
        self._api = host.make_engine().api
        host._app = serving_app(host, host.client, functions=[*map(self._function, told)])

    def _function(self, name: str) -> inngest.Function[Any]:
        async def work(ctx: inngest.Context) -> None:
            data: dict[str, Any] = dict(ctx.event.data)
            self.asked.append(data)
            await asyncio.sleep(self._delay_s)
            for message in self._legs[name].pop(0):
                await self._api.publish(channel(name, data["runId"]), TOPIC, orjson.dumps(message))

        trigger = inngest.TriggerEvent(event=f"workflow.{name}")
        create = self._host.client.create_function
        return create(fn_id=f"workflow.{name}", trigger=trigger, retries=0)(work)


def elsewhere(host: Host) -> list[Any]:
    """Return the workflows as a caller has them."""
    create = MastraInngest(host.make_engine()).create_workflow
    inner = create_workflow(id="inner", input_schema=Value, output_schema=Value)
    inner.then(flows.waiting("ask")).then(flows.plus_one("c")).commit()

    def begin(name: str) -> Any:
        return create(id=name, input_schema=Value, output_schema=Value, served_elsewhere=True)

    return [
        *served(create, served_elsewhere=True),
        begin("looping")
        .dountil(flows.plus_one("a"), lambda ctx: ctx.input_data.value >= 3)
        .commit(),
        begin("outer").then(flows.plus_one("a")).then(inner).then(flows.plus_one("b")).commit(),
    ]


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return None if request.param == "memory" else SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")


@asynccontextmanager
async def calling(host: Host, storage: Any = None) -> AsyncIterator[Mastra]:
    async with Mastra(workflows=elsewhere(host), storage=storage) as mastra:
        yield mastra


async def test_a_run_is_put_down_as_if_its_steps_had_run_here(
    checkpointed: Host, storage: Any
) -> None:
    worker = Worker(checkpointed, TOLD)
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow("chain").create_run(resource_id="ann")
        result = await run.start(Value(value=1), request_context={"who": "ann"})
        assert (result.status, result.result) == ("success", Value(value=3))
        [asked] = worker.asked
        assert asked["inputData"] == {"value": 1}
        assert (asked["resourceId"], asked["requestContext"]) == ("ann", {"who": "ann"})
        found = await mastra.get_workflow("chain").get_run(run.run_id)
        assert found is not None
        assert (found.status, found.result) == ("success", Value(value=3))
        assert {name: step.output for name, step in found.steps.items()} == {
            "a": {"value": 2},
            "b": {"value": 3},
        }
        [told] = TOLD["chain"]
        ends = [m["payload"] for m in told if m["type"] == "workflow-step-result"]
        ended = [step.ended_at for step in found.steps.values()]
        assert [one.timestamp() * 1000 for one in ended if one] == [e["endedAt"] for e in ends]
        observed = [e.type async for e in run.observe_stream()]
        assert observed[0] == "workflow-start"
        assert observed[-1] == "workflow-finish"


async def test_a_failure_is_the_one_of_the_step(checkpointed: Host, storage: Any) -> None:
    Worker(checkpointed, TOLD)
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow("failing").create_run()
        result = await run.start(Value(value=1))
    assert result.status == "failed"
    assert str(result.error) == "no luck"
    assert [step.status for step in result.steps.values()] == ["success", "failed"]


async def test_events_come_as_they_are_told(checkpointed: Host, storage: Any) -> None:
    Worker(checkpointed, TOLD)
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow("looping").create_run()
        events = [event async for event in run.stream(Value(value=1))]
        assert [event.seq for event in events] == list(range(len(events)))
        names = ["workflow-step-start", "workflow-step-result"]
        assert [e.type for e in events] == ["workflow-start", *names, *names, "workflow-finish"]
        starts = [e.payload for e in events if e.type == "workflow-step-start"]
        assert [one.metadata for one in starts] == [{"iterationCount": 1}, {"iterationCount": 2}]
        assert (await run.result()).result == Value(value=3)


@pytest.mark.parametrize(
    ("name", "step", "path", "gives"), [("asking", "ask", [1], 13), ("outer", "inner", [1], 14)]
)
async def test_a_resume_says_where_the_run_waits(
    checkpointed: Host, storage: Any, name: str, step: str, path: list[int], gives: int
) -> None:
    worker = Worker(checkpointed, TOLD)
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow(name).create_run()
        result = await run.start(Value(value=1))
        assert result.status == "suspended"
        # In another process, which finds what is stored.
        again = await mastra.get_workflow(name).create_run(run.run_id)
        result = await again.resume({"add": 10})
        assert (result.status, result.result) == ("success", Value(value=gives))
        assert result.steps[step].status == "success"
    asked = worker.asked[-1]
    assert asked["inputData"] == {"add": 10}
    assert asked["resume"] == {"steps": [step], "resumePayload": {"add": 10}, "resumePath": path}


async def test_a_cancellation_ends_the_run_here_too(checkpointed: Host, storage: Any) -> None:
    worker = Worker(checkpointed, {"chain": [TOLD["chain"][0][:2]]})
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        seen: list[str] = []
        async for event in run.stream(Value(value=1)):
            seen.append(event.type)
            if event.type == "workflow-step-result":
                await run.cancel()
        assert seen[-1] == "workflow-finish"
        assert (await run.result()).status == "canceled"
        assert worker.asked


async def test_a_run_that_ended_unheard_is_told_of(
    checkpointed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra.inngest.feed.QUIET_S", 0.1)
    monkeypatch.setattr("mastra.inngest.inquiry.SOON_S", 0.1)
    Worker(checkpointed, {"chain": [[]]})
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        with pytest.raises(RunError) as told:
            await run.start(Value(value=1))
    assert told.value.code == "INNGEST_RESULT_NOT_STORED"


async def test_what_the_original_has_no_event_for_is_refused(checkpointed: Host) -> None:
    worker = Worker(checkpointed, TOLD)
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        await run.start(Value(value=1))
        with pytest.raises(RunStateError) as refused:
            await run.time_travel(step="b", input_data=Value(value=2))
    assert refused.value.code == "NOT_SERVED_HERE"
    assert len(worker.asked) == 1


async def test_what_others_serve_is_not_served_here(checkpointed: Host) -> None:
    async with calling(checkpointed) as mastra:
        assert app_functions(mastra, checkpointed.client) == []
        engine = mastra.get_workflow("chain").runtime.engine
        assert engine.originals.workflow_ids >= {"chain", "outer"}


async def test_a_run_whose_event_was_not_taken_is_not_listened_to(
    checkpointed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> list[str]:
        raise RuntimeError("not taken")

    Worker(checkpointed, TOLD)
    async with calling(checkpointed) as mastra:
        await checkpointed.sync()
        monkeypatch.setattr(inngest.Inngest, "send", refuse)
        run = await mastra.get_workflow("chain").create_run()
        with pytest.raises(RunError, match="not taken"):
            await run.start(Value(value=1))
        await asyncio.sleep(0)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert [name for name in names if name.startswith("mastra run")] == []
        found = await mastra.get_workflow("chain").get_run(run.run_id)
        assert found is not None
        assert found.status == "pending"


async def test_a_connection_that_breaks_off_is_made_again(
    checkpointed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = Subscription.messages, list[int]()

    async def breaking(self: Subscription) -> AsyncIterator[Any]:
        if not broken:
            broken.append(1)
            raise OSError("the server went away")
        async for message in whole(self):
            yield message

    monkeypatch.setattr(Subscription, "messages", breaking)
    monkeypatch.setattr("mastra.inngest.originals.RETRY_S", 0.0)
    Worker(checkpointed, TOLD, delay_s=0.3)
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        result = await run.start(Value(value=1))
    assert broken
    assert (result.status, result.result) == ("success", Value(value=3))


def step(kind: str, id: str, **facts: Any) -> dict[str, Any]:
    return {"type": f"workflow-step-{kind}", "payload": {"id": id, **facts}}


def finish(**facts: Any) -> dict[str, Any]:
    return {"type": "workflow-finish", "payload": facts}


BEGUN = step("start", "a", payload={"value": 1}, startedAt=1000)
ENDED = step("result", "a", status="success", output={"value": 2}, endedAt=2000)


async def test_what_steps_write_and_sleeps_are_put_down(checkpointed: Host, storage: Any) -> None:
    told = [
        {"type": "data-early", "data": 0},
        {"type": "watch-of-tomorrow", "payload": {"id": "a"}},
        BEGUN,
        {"type": "workflow-step-output", "payload": {"stepName": "a", "output": {"text": "x"}}},
        {"type": "data-note", "data": {"n": 1}},
        ENDED,
        {"type": "data-late", "data": 2},
        step("waiting", "nap", startedAt=3000),
        step("result", "nap", status="success", output={"value": 2}, endedAt=4000),
        finish(status="success", result={"value": 2}),
    ]
    Worker(checkpointed, {"chain": [told]})
    async with calling(checkpointed, storage) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        events = [event async for event in run.stream(Value(value=1))]
        result = await run.result()
    assert (result.status, result.result) == ("success", Value(value=2))
    assert [event.type.removeprefix("workflow-") for event in events] == [
        "start",
        "step-start",
        "step-output",
        "data-note",
        "step-result",
        "data-late",
        "step-waiting",
        "step-result",
        "finish",
    ]
    wires = [event.to_wire() for event in events]
    assert wires[2]["payload"]["output"] == {"text": "x"}
    assert [wire["data"] for wire in wires if wire["type"].startswith("data-")] == [{"n": 1}, 2]
    nap = result.steps["nap"]
    assert nap.ended_at is not None
    assert nap.ended_at.timestamp() == 4


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "no luck"}, "no luck"),
        ("a text", "a text"),
        (None, "The step failed."),
        ({}, "The step failed."),
    ],
)
async def test_an_error_is_told_in_any_form(checkpointed: Host, error: Any, message: str) -> None:
    failed = step("result", "a", status="failed", error=error, endedAt=2000)
    Worker(checkpointed, {"chain": [[BEGUN, failed, finish(status="failed")]]})
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        result = await run.start(Value(value=1))
    assert (result.status, str(result.error)) == ("failed", message)
    assert str(result.steps["a"].error) == message


async def test_a_tripwire_says_why(checkpointed: Host) -> None:
    why = {"reason": "not that", "retry": False}
    Worker(checkpointed, {"chain": [[BEGUN, finish(status="tripwire", tripwire=why)]]})
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        result = await run.start(Value(value=1))
    assert result.status == "tripwire"
    assert result.to_wire()["tripwire"]["reason"] == "not that"


@pytest.mark.parametrize("per_step", [True, False])
async def test_step_by_step_is_passed_on(checkpointed: Host, per_step: bool) -> None:
    worker = Worker(checkpointed, {"chain": [[BEGUN, ENDED, finish(status="paused")]]})
    async with calling(checkpointed) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        result = await run.start(Value(value=1), per_step=per_step)
        assert result.status == "paused"
        assert list(result.steps) == ["a"]
        with pytest.raises(RunStateError, match="step by step there"):
            await run.resume({})
    assert [asked.get("perStep", False) for asked in worker.asked] == [per_step]
