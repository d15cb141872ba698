"""Durable agents by themselves: stored as they go, read as any agent, and gone on with by others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Agent,
    ConfigError,
    InMemoryStorage,
    Mastra,
    ModelError,
    RunNotFoundError,
    RunStateError,
    SQLStorage,
    create_step,
    create_workflow,
    tool,
)
from mastra.errors import InputValidationError
from mastra.models.messages import Message
from mastra.models.settings import ModelSettings, Timeouts
from mastra.processors import Processor
from mastra.stream.abort import AbortController
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn, model_failure
from mastra.tools.tool_context import ToolContext

booked: list[str] = []
ROME = ToolCall("book", {"city": "Rome"})


@pytest.fixture(autouse=True)
def nothing_booked() -> None:
    booked.clear()


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    made: Any = InMemoryStorage()
    if request.param == "sqlite":
        made = SQLStorage(f"sqlite:///{tmp_path}/agents.db")
    yield made
    await made.aclose()


@tool
async def book(city: str) -> str:
    """Book a room."""
    booked.append(city)
    return f"booked in {city}"


def travel(*turns: Any, durable: bool = True, **options: Any) -> Agent:
    model = options.pop("model", None) or ScriptedModel(*turns)
    tools = options.pop("tools", {"book": book})
    return Agent(
        id="travel", instructions="Book.", model=model, tools=tools, durable=durable, **options
    )


def application(agent: Agent, storage: Any) -> tuple[Mastra, Agent]:
    mastra = Mastra(agents={"travel": agent}, storage=storage)
    return mastra, mastra.get_agent("travel")


_VOLATILE = {"runId", "messageId", "id", "startedAt", "timestamp", "createdAt"}


def steady(value: Any) -> Any:
    """Return a value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: 0 if key in _VOLATILE else steady(item) for key, item in value.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value


async def test_it_streams_and_gives_what_the_same_agent_does(storage: Any) -> None:
    seen: list[Any] = []
    for durable in (False, True):
        agent = travel(["I book. ", ROME], "Your room is booked.", durable=durable)
        _, subject = application(agent, storage)
        stream = subject.stream("A room in Rome.", max_steps=3)
        chunks = [chunk async for chunk in stream]
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert {chunk.run_id for chunk in chunks} == {stream.run_id}
        assert chunks[0].payload.message_id == stream.message_id
        result = await stream.result()
        steps = [{**step.to_wire(), "request": 0} for step in result.steps]
        seen.append(
            (
                steady([chunk.to_wire() for chunk in chunks]),
                steady({**result.to_wire(), "steps": steps, "request": 0}),
                stream.status,
                [message.role for message in result.messages],
            )
        )
    assert seen[0] == seen[1]
    assert booked == ["Rome", "Rome"]


async def test_generate_gives_everything(storage: Any) -> None:
    _, agent = application(travel(ROME, "Booked."), storage)
    result = await agent.generate("A room in Rome.")
    assert (result.text, result.finish_reason, result.usage.total_tokens) == ("Booked.", "stop", 30)
    assert [call.payload.args for call in result.tool_calls] == [{"city": "Rome"}]


async def test_what_it_does_is_stored(storage: Any) -> None:
    _, agent = application(travel(ROME, "Booked."), storage)
    run_id = (await agent.generate("A room.", run_id="trip-1")).run_id
    info = await agent.durable_runs.workflow.get_run(run_id)
    assert info is not None
    assert (info.run_id, info.status) == ("trip-1", "success")
    assert info.result["text"] == "Booked."
    assert set(info.steps) >= {"agent.model", "agent.tool"}


async def test_a_run_goes_on_after_its_process_has_ended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    began, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def wait(what: str) -> str:
        """Wait."""
        booked.append(what)
        began.set()
        await may_end.wait()
        return what

    model = ScriptedModel(ROME, ToolCall("wait", {"what": "slow"}), "Done.")
    agent = travel(model=model, tools={"book": book, "wait": wait})
    first, subject = application(agent, SQLStorage(url))
    stream = subject.stream("A room.", run_id="r", max_steps=4)
    reading = asyncio.create_task(stream.consume())
    await began.wait()
    reading.cancel()
    await asyncio.wait([reading])
    await first.aclose()

    may_end.set()
    second, subject = application(agent, SQLStorage(url))
    async with second:
        assert await second.recover_all_durable_agents() == {"travel": ["r"]}
        run = await subject.durable_runs.workflow.create_run("r")
        assert (await run.result()).unwrap()["text"] == "Done."
        assert await second.recover_all_durable_agents() == {}
    assert booked == ["Rome", "slow", "slow"]
    assert model.calls == 3


async def test_a_reader_that_leaves_does_not_stop_the_run(storage: Any) -> None:
    _, agent = application(travel(ROME, "Booked."), storage)
    async with agent.stream("A room.", run_id="r") as stream:
        async for chunk in stream:
            if chunk.type == "tool-call":
                break
    with pytest.raises(RunStateError, match="closed before its end"):
        await stream.result()
    run = await agent.durable_runs.workflow.create_run("r")
    assert (await run.result()).unwrap()["text"] == "Booked."
    assert booked == ["Rome"]


async def test_a_run_of_that_id_is_not_begun_again(storage: Any) -> None:
    _, agent = application(travel("Hello."), storage)
    await agent.generate("Hi.", run_id="r")
    assert (await agent.generate("Hi.", run_id="r")).text == "Hello."


async def test_what_had_ended_is_told_as_it_ended(storage: Any) -> None:
    class Guard(Processor):
        id = "guard"

        def process_input(self, ctx: Any) -> None:
            if ctx.messages[-1].text == "bad":
                ctx.abort("not that")

    model = ScriptedModel("Hi.", model_failure("wrong key", status=401))
    _, agent = application(travel(model=model, input_processors=[Guard()]), storage)
    first = await agent.generate("Hi.", run_id="good")
    again = await agent.generate("Hi.", run_id="good")
    assert (again.text, again.usage, again.finish_reason) == ("Hi.", first.usage, "stop")
    with pytest.raises(ModelError, match="wrong key"):
        await agent.generate("Hi.", run_id="failed")
    stream = agent.stream("Hi.", run_id="failed")
    assert [chunk.type async for chunk in stream] == ["error"]
    with pytest.raises(ModelError, match="wrong key"):
        await stream.text()
    for _ in range(2):
        tripwire = (await agent.generate("bad", run_id="bad")).tripwire
        assert tripwire is not None
        assert tripwire.reason == "not that"
    run = await agent.durable_runs.workflow.create_run("gone")
    await run.cancel()
    stream = agent.stream("Hi.", run_id="gone")
    assert await stream.finish_reason() == "aborted"
    assert stream.status == "canceled"
    assert model.calls == 2


async def test_an_error_of_the_users_comes_out_as_it_is(storage: Any) -> None:
    def broken(_: Any) -> Any:
        raise LookupError("no such prompt")

    agent = Agent(id="travel", instructions=broken, model=ScriptedModel("x"), durable=True)
    _, subject = application(agent, storage)
    with pytest.raises(LookupError, match="no such prompt"):
        await subject.generate("Hi.")


async def test_a_stream_may_be_closed_before_the_run_has_begun(storage: Any) -> None:
    _, agent = application(travel("Hi."), storage)
    stream = agent.stream("Hi.", run_id="r")
    await stream.aclose()
    assert stream.status in {"running", "canceled"}
    assert await agent.durable_runs.workflow.get_run("r") is None
    assert await agent.stream("Hi.", run_id="r").text() == "Hi."


async def test_a_run_has_one_stream_at_a_time(storage: Any) -> None:
    _, agent = application(travel("Hello."), storage)
    first = agent.stream("Hi.", run_id="r")
    await first
    with pytest.raises(RunStateError, match="is read in this process already"):
        await agent.stream("Hi.", run_id="r")
    assert await first.text() == "Hello."


# -- waiting for a person ----------------------------------------------------------------------


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    booked.append(f"paid {amount}")
    return "paid"


async def test_approval_in_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    model = ScriptedModel(ToolCall("pay", {"amount": 5}), "Paid it.")
    definition = travel(model=model, tools={"pay": pay})
    first, agent = application(definition, SQLStorage(url))
    async with first:
        stream = agent.stream("Pay.", memory={"thread": "t", "resource": "ann"})
        kinds = [chunk.type async for chunk in stream]
        assert kinds[-1] == "tool-call-approval"
        assert (stream.status, await stream.finish_reason()) == ("suspended", "suspended")
        waits = await stream.suspend_payload()
        assert waits == {"toolCallId": "call_1", "toolName": "pay", "args": {"amount": 5}}

    second, agent = application(definition, SQLStorage(url))
    async with second:
        (waiting,) = (await agent.list_suspended_runs(thread_id="t")).runs
        assert (waiting.run_id, waiting.agent_id, waiting.resource_id) == (
            stream.run_id,
            "travel",
            "ann",
        )
        assert [(call.tool_name, call.kind) for call in waiting.tool_calls] == [("pay", "approval")]
        assert (await agent.list_suspended_runs(thread_id="other")).runs == []
        again = agent.approve_tool_call(waiting.run_id)
        kinds = [chunk.type async for chunk in again]
        assert kinds[0] == "tool-result"
        assert kinds[-1] == "finish"
        assert await again.text() == "Paid it."
        with pytest.raises(RunNotFoundError, match="somebody else has resumed it"):
            await agent.approve_tool_call_generate(waiting.run_id)
    assert booked == ["paid 5"]


async def test_a_call_that_is_declined_does_not_run(storage: Any) -> None:
    model = ScriptedModel(ToolCall("pay", {"amount": 5}), "Then not.")
    _, agent = application(travel(model=model, tools={"pay": pay}), storage)
    run_id = (await agent.generate("Pay.")).run_id
    result = await agent.decline_tool_call_generate(run_id, "call_1", reason="too much")
    assert result.text == "Then not."
    assert model.requests[1].messages[-1].parts[0].result == "too much"  # pyright: ignore[reportAttributeAccessIssue]
    assert booked == []


async def test_a_suspended_tool_gets_its_answer(storage: Any) -> None:
    @tool
    async def ask(what: str, ctx: ToolContext) -> str:
        """Ask somebody."""
        if ctx.resume_data is None:
            await ctx.suspend({"what": what})
        return str(ctx.resume_data)

    _, agent = application(
        travel(ToolCall("ask", {"what": "code"}), "Ok.", tools={"ask": ask}), storage
    )
    first = await agent.generate("Ask.")
    assert (first.finish_reason, first.suspend_payload) == ("suspended", {"what": "code"})
    result = await agent.resume_generate({"code": 7}, run_id=first.run_id)
    assert result.text == "Ok."
    assert result.tool_results[0].payload.result == "{'code': 7}"


async def test_an_answer_to_another_call_leaves_the_run_waiting(storage: Any) -> None:
    _, agent = application(
        travel(ToolCall("pay", {"amount": 5}), "Ok.", tools={"pay": pay}), storage
    )
    run_id = (await agent.generate("Pay.")).run_id
    with pytest.raises(RunStateError, match="call_7"):
        await agent.approve_tool_call_generate(run_id, "call_7")
    assert (await agent.approve_tool_call_generate(run_id, "call_1")).text == "Ok."


async def test_of_two_answers_at_once_one_holds(storage: Any) -> None:
    _, agent = application(
        travel(ToolCall("pay", {"amount": 5}), "Ok.", tools={"pay": pay}), storage
    )
    run_id = (await agent.generate("Pay.")).run_id
    workflow = agent.durable_runs.workflow
    create = workflow.create_run

    async def late(asked: str) -> Any:
        # Somebody else answers between the look and the resume.
        await (await create(asked)).resume({"approved": True, "reason": None, "data": None})
        return await create(asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "create_run", late)
        with pytest.raises(RunNotFoundError, match="somebody else has resumed it"):
            await agent.approve_tool_call_generate(run_id)
    assert booked == ["paid 5"]


async def test_a_run_that_does_not_wait_cannot_be_resumed(storage: Any) -> None:
    _, agent = application(travel("Hi."), storage)
    with pytest.raises(RunNotFoundError):
        await agent.resume_generate(1, run_id="nobody")
    assert await agent.durable_runs.workflow.get_run("nobody") is None


async def test_a_resume_takes_no_other_options(storage: Any) -> None:
    _, agent = application(travel(ToolCall("pay", {"amount": 5}), tools={"pay": pay}), storage)
    run_id = (await agent.generate("Pay.")).run_id
    with pytest.raises(ConfigError, match="without 'max_steps'"):
        await agent.approve_tool_call_generate(run_id, max_steps=9)


# -- options -----------------------------------------------------------------------------------


async def test_what_a_call_is_told_holds(storage: Any) -> None:
    model = ScriptedModel(ROME, ROME, "never")
    _, agent = application(travel(model=model), storage)
    result = await agent.generate(
        ["One.", "Two."],
        max_steps=2,
        instructions=["Shout."],
        system="Now.",
        context=[{"role": "user", "content": "Before."}],
        model_settings=ModelSettings(temperature=0.5, timeout=Timeouts(total=30)),
        request_context={"user": "ann"},
    )
    assert len(result.steps) == 2
    request = model.requests[1]
    assert [m.text for m in request.messages if m.role in {"system", "user"}] == [
        "Shout.",
        "Now.",
        "Before.",
        "One.",
        "Two.",
    ]
    assert request.settings.temperature == 0.5
    assert request.settings.timeout is not None
    assert request.settings.timeout.total == 30


@pytest.mark.parametrize(
    "options",
    [
        {"on_chunk": print},
        {"structured_output": int},
        {"prepare_step": lambda _: None},
        {"require_tool_approval": lambda _: True},
        {"model": ScriptedModel("x")},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_what_cannot_be_stored_is_refused(storage: Any, options: Any) -> None:
    _, agent = application(travel("Hi."), storage)
    (name,) = options
    with pytest.raises(ConfigError, match=f"Put '{name}' into the agent's default_options"):
        await agent.generate("Hi.", **options)


async def test_the_agents_own_options_may_be_anything(storage: Any) -> None:
    class Plan(BaseModel):
        days: int

    steps: list[int] = []
    options = {"structured_output": Plan, "on_step_finish": lambda _: steps.append(1)}
    _, agent = application(travel(ROME, '{"days": 3}', default_options=options), storage)
    result = await agent.generate("Plan.", run_id="r")
    assert result.object == Plan(days=3)
    assert len(steps) == 2
    info = await agent.durable_runs.workflow.get_run("r")
    assert info is not None
    assert info.result["object"] == {"days": 3}


# -- what goes wrong ---------------------------------------------------------------------------


async def test_a_model_that_fails_is_told_as_ever(storage: Any) -> None:
    _, agent = application(travel(model_failure("wrong key", status=401)), storage)
    stream = agent.stream("Hi.")
    kinds = [chunk.type async for chunk in stream]
    assert [kind for kind in kinds if kind in {"error", "finish"}] == ["error", "finish"]
    with pytest.raises(ModelError, match="wrong key"):
        await stream.text()
    assert (stream.status, await stream.finish_reason()) == ("failed", "error")


async def test_a_call_without_a_message_is_refused(storage: Any) -> None:
    _, agent = application(travel("Hi."), storage)
    with pytest.raises(InputValidationError, match="without a message"):
        await agent.generate([])


async def test_a_tripwire_is_told_as_ever(storage: Any) -> None:
    class Guard(Processor):
        id = "guard"

        def process_input(self, ctx: Any) -> None:
            ctx.abort("not that")

    _, agent = application(travel("x", input_processors=[Guard()]), storage)
    stream = agent.stream("Hi.")
    assert [chunk.type async for chunk in stream][-1] == "tripwire"
    result = await stream.result()
    assert result.tripwire is not None
    assert (result.tripwire.reason, stream.status) == ("not that", "tripwire")


@pytest.mark.parametrize("where", ["model", "tool"])
async def test_an_abort_ends_the_run(storage: Any, where: str) -> None:
    began, was_cut_off = asyncio.Event(), asyncio.Event()

    async def hang(*_: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cut_off.set()

    @tool
    async def wait() -> str:
        """Wait."""
        return await hang()

    model: Any = FunctionModel(hang) if where == "model" else ScriptedModel(ToolCall("wait", {}))
    _, agent = application(travel(model=model, tools={"wait": wait}), storage)
    controller = AbortController()
    stream = agent.stream("Hi.", abort_signal=controller.signal, run_id="r")
    reading = asyncio.create_task(stream.consume())
    await began.wait()
    controller.abort()
    await reading
    assert (stream.status, await stream.finish_reason()) == ("aborted", "aborted")
    kinds = [chunk.type async for chunk in stream]
    assert (kinds.count("abort"), kinds.count("finish"), kinds[-1]) == (1, 1, "finish")
    assert was_cut_off.is_set()
    info = await agent.durable_runs.workflow.get_run("r")
    assert info is not None
    assert info.status == "canceled"


async def test_what_is_aborted_before_it_begins_does_not_begin(storage: Any) -> None:
    _, agent = application(travel("never"), storage)
    controller = AbortController()
    controller.abort()
    stream = agent.stream("Hi.", abort_signal=controller.signal, run_id="r")
    assert [chunk.type async for chunk in stream] == ["abort", "finish"]
    assert stream.status == "aborted"
    assert await agent.durable_runs.workflow.get_run("r") is None


async def test_a_run_that_is_stopped_here_ends_its_stream(tmp_path: Path) -> None:
    began = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    definition = travel(ToolCall("wait", {}), tools={"wait": wait})
    mastra, agent = application(definition, SQLStorage(f"sqlite:///{tmp_path}/agents.db"))
    stream = agent.stream("Hi.")
    reading = asyncio.create_task(stream.consume())
    await began.wait()
    await mastra.aclose()
    await reading
    with pytest.raises(RunStateError, match="no longer driven here"):
        await stream.text()


# -- where it stands ---------------------------------------------------------------------------


async def test_as_a_step_it_is_durable_unless_told_otherwise(storage: Any) -> None:
    for durable, steps in ((None, {"travel", "travel.model", "travel.tool"}), (False, {"travel"})):
        step = create_step(travel(ROME, "Booked."), durable=durable)
        workflow = create_workflow(id="w", input_schema=dict[str, str], output_schema=Any)
        mastra = Mastra(workflows={"w": workflow.then(step).commit()}, storage=storage)
        run = await mastra.get_workflow("w").create_run()
        assert set((await run.start({"prompt": "A room."})).steps) == steps


async def test_it_is_an_ordinary_agent_where_it_is_not_registered() -> None:
    agent = travel(ROME, "Booked.")
    assert (await agent.generate("A room.")).text == "Booked."
    with pytest.raises(ConfigError, match=r"mastra\.get_agent"):
        _ = agent.durable_runs


async def test_its_runs_are_not_among_the_applications_workflows(storage: Any) -> None:
    mastra, agent = application(travel(Turn("Hi.")), storage)
    await agent.generate("Hi.")
    assert mastra.list_workflows() == {}
    assert await mastra.restart_all_active_workflow_runs() == {}


async def test_what_is_said_of_messages_and_settings_goes_along() -> None:
    model = ScriptedModel("Done.")
    async with Mastra(agents=[travel(model=model)]) as mastra:
        await mastra.get_agent("travel").generate(
            Message("user", "Go.", metadata={"from": "page"}),
            context=[Message("user", "Before.", metadata={"n": 1})],
            model_settings=ModelSettings(temperature=0.5),
        )
    [request] = model.requests
    assert request.settings.temperature == 0.5
    assert [message.metadata for message in request.messages][-2:] == [{"n": 1}, {"from": "page"}]
