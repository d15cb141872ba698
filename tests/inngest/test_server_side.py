"""What comes from the server: events that are not ours, repeats, failures, cancellations."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import inngest
import pytest

from mastra import Mastra, StepContext, clone_step, create_step, create_workflow
from mastra.inngest import init
from mastra.inngest.mount import app_functions
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.engines import Calls
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest, FakeRun
from tests.support.waiting import Gate, asking, blocking


async def until(holds: Any) -> None:
    """Wait for something that nothing tells of."""
    async with asyncio.timeout(50):
        while not holds():
            await asyncio.sleep(0.01)


async def ended(run: FakeRun) -> FakeRun:
    await until(lambda: run.status != "Running")
    return run


async def test_a_request_that_comes_again_while_its_step_runs_does_not_run_it_twice(
    host: Host, fake: FakeInngest
) -> None:
    # A server does so whose lease of the request is over.
    began, may_end, ran = asyncio.Event(), asyncio.Event(), list[str]()

    async def slow(ctx: StepContext[Value]) -> Value:
        ran.append("slow")
        began.set()
        await may_end.wait()
        return ctx.input_data

    async def last(ctx: StepContext[Value]) -> Value:
        ran.append("last")
        return Value(value=ctx.input_data.value + 1)

    steps = [create_step(id=s.__name__, execute=s) for s in (slow, last)]
    async with flows.on(host, flows.begin().then(steps[0]).then(steps[1]).commit()) as mastra:
        await host.sync()
        (server_run,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": 5}}})
        await began.wait()
        before = host.requests
        fake._spawn(fake._drive(server_run))
        await until(lambda: host.requests > before)
        await asyncio.sleep(0.1)  # by then it has come to the step
        may_end.set()
        await ended(server_run)
        run = await mastra.get_workflow("w").create_run(server_run.run_id)
        assert (await run.result()).unwrap().value == 6
    assert ran == ["slow", "last"]


async def test_an_event_without_our_client_runs_and_is_listed(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        await host.sync()
        (run,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": 5}}})
        await ended(run)
        assert run.status == "Completed"
        assert run.output == {"runId": run.run_id, "status": "success", "result": {"value": 7}}
        (info,) = (await mastra.get_workflow("w").list_runs()).runs
        assert (info.status, info.result.value, info.run_id) == ("success", 7, run.run_id)


async def test_bad_input_from_elsewhere_fails_at_once(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(1)):
        await host.sync()
        (run,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": "x"}}})
        await ended(run)
        assert run.status == "Failed"
        assert len(run.requests) == 1


async def test_a_resume_from_elsewhere(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.suspending()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        event = {
            "name": "workflow.w",
            "data": {"runId": run.run_id, "inputData": {"add": 2}, "resume": {"steps": ["ask"]}},
        }
        (server_run,) = fake.send(event)
        await ended(server_run)
        assert (await run.result()).unwrap().value == 3


async def test_the_same_event_again_changes_nothing(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        (again,) = fake.send({**fake.events[-1], "id": "other"})
        await ended(again)
        assert again.steps == []
        assert again.output == {"runId": run.run_id, "status": "success", "isRepeated": True}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"requestContext": "ada"}, "requestContext is 'ada'. It takes a dict"),
        ({"requestContext": [1]}, "requestContext is [1]. It takes a dict"),
        ({"resourceId": 5}, "resourceId is 5. It takes text"),
        ({"resume": {"steps": 5}}, "steps is 5. It takes a list"),
        ({"mastra": "x"}, "mastra is 'x'. It takes a dict"),
        ({"mastra": {"n": "x"}}, "n is 'x'. It takes a whole number"),
        ({"initialState": "x"}, "initialState is 'x'. It takes a dict"),
    ],
)
async def test_an_event_of_another_form_is_refused_for_good(
    host: Host, fake: FakeInngest, data: dict[str, Any], says: str
) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        (begun,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": 1}, **data}})
        await ended(begun)
        assert begun.status == "Failed"
        assert says in str(begun.output)
        # It comes again neither as itself nor as the end that is told of.
        assert len(begun.requests) == 1
        await until(lambda: all(one.status != "Running" for one in fake.others))
        assert [one.status for one in fake.others] == ["Completed"] * len(fake.others)
        assert (await mastra.get_workflow("w").list_runs()).total == 0


async def test_a_failed_run_is_shown_as_failed(host: Host, fake: FakeInngest) -> None:
    async def fail(ctx: StepContext[Value]) -> Value:
        raise ValueError("no luck")

    async with flows.on(host, flows.begin().then(create_step(execute=fail)).commit()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        result = await run.start({"value": 0})
        assert result.status == "failed"
        (server_run,) = fake.runs.values()
        await ended(server_run)
        assert server_run.status == "Failed"
        assert "no luck" in str(server_run.output)


async def test_a_run_that_is_cancelled_in_the_dashboard(host: Host, fake: FakeInngest) -> None:
    gate = asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        await gate.wait()
        return ctx.input_data

    workflow = flows.begin().then(create_step(execute=hold)).then(flows.plus_one("b")).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await until(lambda: bool(fake.runs))
        (server_run,) = fake.runs.values()
        fake.cancel(server_run)
        gate.set()
        if server_run.checkpoints or host.make_engine()._functions._max_request_s is not None:
            assert (await run.result()).status == "canceled"


KEPT: list[Any] = [
    2**70,
    9007199254740993,
    math.inf,
    -0.5,
    1.0,
    "NaN",
    {"b": 1, "a": [None, True]},
]


async def test_values_survive_the_server(host: Host, fake: FakeInngest) -> None:
    seen: dict[int, Any] = {}

    async def give(ctx: StepContext[Any]) -> Any:
        return KEPT[ctx.input_data["value"]]

    async def take(ctx: StepContext[Any]) -> Any:
        seen[ctx.get_init_data().value] = ctx.input_data
        return ctx.input_data

    workflow = flows.begin(output=Any)
    workflow.then(create_step(id="give", execute=give)).sleep(1.1)
    workflow.then(create_step(id="take", execute=take)).commit()
    async with flows.on(host, workflow) as mastra:
        # What our storage knew is gone between the requests: the server's memory is all.
        for place in range(len(KEPT)):
            run = await mastra.get_workflow("w").create_run()
            await run.start_async({"value": place})
        runs = fake.runs
        await until(
            lambda: (
                len(runs) == len(KEPT)
                and all(any(".sleep_" in step for step in r.steps) for r in runs.values())
            )
        )
        store: Any = mastra.storage.workflows
        store._runs.clear()
        for server_run in list(runs.values()):
            await ended(server_run)
    for place, value in enumerate(KEPT):
        assert seen[place] == value
        assert type(seen[place]) is type(value)


async def test_the_functions_of_an_app(fake: FakeInngest, host: Host) -> None:
    ing = init(host.client)
    inner = flows.begin("inner").then(flows.plus_one("x")).commit()
    workflow = ing.create_workflow(
        id="flow",
        input_schema=Value,
        output_schema=Value,
        concurrency=2,
        throttle={"limit": 5, "period": 60},
        rate_limit={"limit": 1, "period": "10s"},
        debounce={"period": "5s"},
        priority="event.data.urgent * 100",
        timeouts={"finish": "1h"},
        idempotency="event.data.key",
        retries=4,
        cron="0 0 * * *",
        input_data={"value": 1},
    )
    workflow.then(inner).commit()

    async def custom(ctx: inngest.Context) -> None:
        return None

    own = host.client.create_function(fn_id="mine", trigger=inngest.TriggerEvent(event="x"))(custom)
    mastra = Mastra(workflows={"flow": workflow})
    configs = {
        f.id: f.get_config("http://x").main for f in app_functions(mastra, host.client, [own])
    }
    assert set(configs) == {
        "conformance-workflow.flow",
        "conformance-workflow.flow.cron",
        "conformance-workflow.inner",
        "conformance-mine",
        "conformance-mastra.run-ended",
    }
    told = configs["conformance-workflow.flow"].to_dict()
    assert isinstance(told, dict)
    assert told["triggers"] == [{"event": "workflow.flow", "expression": None}]
    assert told["cancel"] == [
        {
            "event": "cancel.workflow.flow",
            "if": "event.data.runId == async.data.runId",
            "timeout": None,
        }
    ]
    assert told["steps"]["step"]["retries"] == {"attempts": 4}
    assert told["concurrency"] == [{"key": None, "limit": 2, "scope": None}]
    assert told["throttle"]["period"] == "1m"
    assert told["rateLimit"]["period"] == "10s"
    assert told["debounce"]["period"] == "5s"
    assert told["priority"] == {"run": "event.data.urgent * 100"}
    assert told["timeouts"]["finish"] == "1h"
    # What goes on with a run is not held to it.
    assert told["idempotency"].endswith("? dyn(false) : dyn(event.data.key)")
    cron = configs["conformance-workflow.flow.cron"].to_dict()
    assert isinstance(cron, dict)
    assert cron["triggers"] == [{"cron": "0 0 * * *", "jitter": None}]
    await mastra.aclose()


async def test_no_schedule_is_told_of_where_another_engine_or_workflow_starts_the_runs(
    host: Host,
) -> None:
    # A workflow in process is started by the application, one that is nested by the other one.
    inner = create_workflow(id="inner", input_schema=int, output_schema=int, cron="@daily")
    inner.map(lambda ctx: ctx.input_data).commit()
    outer = create_workflow(id="outer", input_schema=int, output_schema=int)
    outer.then(inner).commit().use_engine(host.make_engine())
    own = create_workflow(id="own", input_schema=int, output_schema=int, cron="0 0 9 * * *")
    own.map(lambda ctx: ctx.input_data).commit()
    mastra = Mastra(workflows=[outer, own])
    assert {f.id.removeprefix("conformance-") for f in app_functions(mastra, host.client)} == {
        "workflow.outer",
        "workflow.inner",
        "workflow.own",
        "mastra.run-ended",
    }
    await mastra.aclose()


async def test_a_schedule_runs_with_its_input(host: Host, fake: FakeInngest) -> None:
    ing = init(host.client)
    workflow = ing.create_workflow(
        id="w", input_schema=Value, output_schema=Value, cron="* * * * *", input_data={"value": 41}
    )
    workflow.then(flows.plus_one("a")).commit().use_engine(host.make_engine())
    async with Mastra(workflows={"w": workflow}) as mastra:
        host.serve(mastra)
        await host.sync()
        run = await ended(fake.fire("workflow.w.cron"))
        assert run.output["result"] == {"value": 42}
        assert (await mastra.get_workflow("w").list_runs()).total == 1


async def test_without_checkpoints_the_result_in_hand_is_reported(
    checkpointed: Host, fake: FakeInngest
) -> None:
    fake.takes_checkpoints = False
    ran: list[str] = []

    def step(name: str) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            ran.append(name)
            return ctx.input_data

        return create_step(id=name, execute=execute)

    workflow = flows.begin(output=Any).then(step("a"))
    workflow.parallel([step("b"), step("c")]).commit()
    async with flows.on(checkpointed, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "success"
    assert sorted(ran) == ["a", "b", "c"]


async def test_lost_messages_are_found_in_storage(host: Host, fake: FakeInngest) -> None:
    fake.lose_messages = True
    async with flows.on(host, flows.chain(2)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        async with run.stream({"value": 0}) as stream:
            events = [event async for event in stream]
        assert [event.seq for event in events] == list(range(6))


async def test_runs_that_the_server_forgot_are_brought_back(
    checkpointed: Host, fake: FakeInngest
) -> None:
    ran: list[str] = []
    gates = [asyncio.Event(), asyncio.Event()]

    async def first(ctx: StepContext[Value]) -> Value:
        ran.append("first")
        return ctx.input_data

    async def second(ctx: StepContext[Value]) -> Value:
        ran.append("second")
        await gates[ran.count("second") - 1].wait()
        return ctx.input_data

    workflow = flows.begin().then(create_step(execute=first)).then(create_step(execute=second))
    async with flows.on(checkpointed, workflow.commit()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 3})
        await until(lambda: "second" in ran)
        fake.forget()
        for gate in gates:
            gate.set()
        engine: Any = mastra.engine
        await until(lambda: engine.legs.are_idle)
        assert await mastra.restart_all_active_workflow_runs() == {"w": [run.run_id]}
        again = await mastra.get_workflow("w").create_run(run.run_id)
        assert (await again.result()).unwrap().value == 3
    assert ran.count("first") == 1


def side_by_side() -> list[Any]:
    """Return workflows whose steps run beside each other, with what they are given."""

    async def ask(ctx: StepContext[Any]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"for": ctx.input_data})
        return ctx.input_data

    async def same(ctx: StepContext[Any]) -> Any:
        return ctx.input_data

    def begin(name: str, given: Any = Any) -> Any:
        return create_workflow(id=name, input_schema=given, output_schema=Any)

    def inner(name: str, count: int) -> Any:
        return (
            begin(name)
            .parallel([create_step(id=f"{name}{i}", execute=same) for i in range(count)])
            .commit()
        )

    asking, passing = create_step(id="ask", execute=ask), create_step(id="same", execute=same)
    napping = begin("nap").then(passing).sleep(0.01).then(clone_step(passing, id="more")).commit()
    two = begin("two").then(passing).then(clone_step(passing, id="more")).commit()
    items = begin("w", list[int]).foreach(asking, concurrency=3)
    return [
        (items.commit(), [1, 2, 3, 4]),
        (begin("w").parallel([inner("x", 1), inner("y", 2), napping]).commit(), 1),
        (begin("w").parallel([clone_step(asking, id=name) for name in "ab"]).commit(), 1),
        (begin("w", list[int]).foreach(two, concurrency=2).commit(), [1, 2, 3]),
    ]


@pytest.mark.parametrize("order", ["in turn", "reversed"])
@pytest.mark.parametrize(
    ("workflow", "given"), side_by_side(), ids=["items", "blocks", "steps", "workflows"]
)
async def test_the_order_in_which_planned_steps_run_changes_nothing(
    host: Host, fake: FakeInngest, workflow: Any, given: Any, order: Any
) -> None:
    told: list[list[tuple[str, str]]] = []
    for fake.order in ("together", order):
        async with flows.on(host, workflow) as mastra:
            run = await mastra.get_workflow("w").create_run()
            async with run.stream(given) as stream:
                events = [event async for event in stream]
            result = await stream.result()
            assert result.status in ("suspended", "success")
            assert [event.seq for event in events] == list(range(len(events)))
        told.append(
            sorted((event.type, str(event.payload and event.payload.id)) for event in events)
        )
    assert told[0] == told[1]


async def test_a_resume_from_elsewhere_while_a_step_beside_works_is_kept(
    host: Host, fake: FakeInngest
) -> None:
    """It was dropped: the run waited on for an answer that somebody had given."""
    calls, gate = Calls(), Gate()
    begun: Any = create_workflow(id="w", input_schema=int, output_schema=Any)
    workflow = begun.parallel([asking(calls, "ask"), blocking(calls, "slow", gate)]).commit()
    async with flows.on(host, workflow) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        await run.start_async(1)
        await gate.reached.wait()
        registered = mastra.get_workflow("w")
        while "ask" not in (await registered.get_run(run.run_id)).steps:
            await asyncio.sleep(0.01)
        data = {"runId": run.run_id, "inputData": {"add": 2}, "resume": {"steps": ["ask"]}}
        (answer,) = fake.send({"name": "workflow.w", "data": data})
        await ended(answer)
        assert answer.output == {"runId": run.run_id, "status": "running", "isRepeated": True}
        (twice,) = fake.send({"name": "workflow.w", "data": data})
        await ended(twice)
        assert (twice.status, "somebody else first" in str(twice.output)) == ("Failed", True)
        gate.opened.set()
        assert (await run.result()).status == "suspended"
        while (info := await registered.get_run(run.run_id)).status != "success":
            await asyncio.sleep(0.01)
        assert info.result == {"ask": 3, "slow": 2}
    assert (calls["ask"], calls["ask:done"], calls["slow"]) == (2, 1, 1)


async def test_a_resume_from_elsewhere_for_which_nothing_waits_yet_says_so(
    host: Host, fake: FakeInngest
) -> None:
    calls, gate = Calls(), Gate()
    workflow = (
        create_workflow(id="w", input_schema=int, output_schema=int)
        .then(blocking(calls, "slow", gate))
        .commit()
    )
    async with flows.on(host, workflow) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        await run.start_async(1)
        await gate.reached.wait()
        data = {"runId": run.run_id, "inputData": {"add": 2}, "resume": {"steps": ["slow"]}}
        (answer,) = fake.send({"name": "workflow.w", "data": data})
        await ended(answer)
        assert "no step of it that this answer is for is suspended" in str(answer.output)
        gate.opened.set()
        assert (await run.result()).unwrap() == 2
