"""What is told of runs over realtime, to whom, and in which form."""

from __future__ import annotations

from typing import Any

from mastra import StepContext, create_step
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import ended
from tests.support.inngest_env import Host, inngest_host
from tests.support.inngest_server import FakeInngest


async def test_nothing_is_told_where_nobody_reads(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(3)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result = await run.start({"value": 0})
    assert result.status == "success"
    assert fake.messages == []


async def speak(ctx: StepContext[Value]) -> Value:
    for number in range(50):
        await ctx.writer.write(number)
    return ctx.input_data


def written(messages: list[tuple[str, str, Any]]) -> list[Any]:
    """Return what steps wrote, as it was told in lists of messages."""
    told = [one for _, _, batch in messages for one in batch]
    events = [event for one in told for event in one.get("events", [one])]
    return [event["payload"]["output"] for event in events if event["type"].endswith("output")]


async def test_readers_of_the_original_get_each_event_by_itself_and_the_end_last(
    host: Host, fake: FakeInngest
) -> None:
    workflow = flows.begin().then(create_step(id="speak", execute=speak)).sleep(1.1)
    async with flows.on(host, workflow.then(flows.plus_one("b")).commit()):
        await host.sync()
        event = {"name": "workflow.w", "data": {"runId": "r", "inputData": {"value": 5}}}
        (run,) = fake.send(event)
        await ended(run)
    assert {channel for channel, _, _ in fake.messages} == {"workflow:w:r"}
    watched = [data for _, topic, data in fake.messages if topic == "watch"]
    told = [(one["type"], one["payload"].get("stepName")) for one in watched]
    sleep = told[3][1]
    assert told == [
        ("workflow-start", None),
        ("workflow-step-start", "speak"),
        ("workflow-step-result", "speak"),
        ("workflow-step-waiting", sleep),
        ("workflow-step-result", sleep),
        ("workflow-step-start", "b"),
        ("workflow-step-result", "b"),
        ("workflow-finish", None),
    ]
    end = watched[-1]["payload"]
    assert (end["status"], end["result"]) == ("success", {"value": 6})
    beside = [one for one in fake.messages if one[1] == "mastra"]
    assert written(beside) == list(range(50))


async def test_every_run_is_told_where_that_is_asked_for(fake: FakeInngest) -> None:
    async with (
        inngest_host(fake, watched=True) as host,
        flows.on(host, flows.chain(1)) as mastra,
    ):
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        (server_run,) = fake.runs.values()
        await ended(server_run)
        assert [data["type"] for _, _, data in fake.messages] == [
            "workflow-start",
            "workflow-step-start",
            "workflow-step-result",
            "workflow-finish",
        ]


async def test_results_of_branches_go_together(fake: FakeInngest) -> None:
    async with inngest_host(fake) as host:
        branches = [flows.plus_one(f"b{number}") for number in range(20)]
        workflow = flows.begin(output=Any).parallel(branches).commit()
        async with flows.on(host, workflow) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 0})).status == "success"
        (server_run,) = fake.runs.values()
        assert server_run.checkpoints == 20
        assert fake.posts < 10


async def test_quick_steps_share_a_post_where_that_is_allowed(fake: FakeInngest) -> None:
    fake.post_s = 0.02
    async with inngest_host(fake, buffered_steps=9) as host:
        async with flows.on(host, flows.chain(10)) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 0})).unwrap().value == 10
        (server_run,) = fake.runs.values()
        assert server_run.checkpoints == 10
        assert fake.posts < 10
