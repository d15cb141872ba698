"""The loop, against models that play a script: which chunks come, in which order."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.agents.stop_conditions import has_tool_call, step_count_is
from mastra.errors import (
    ConfigError,
    InputValidationError,
    MastraError,
    ModelError,
    RunStateError,
)
from mastra.models.chunks import FinishChunk
from mastra.models.messages import Message
from mastra.registry import Mastra
from mastra.request_context import RequestContext
from mastra.stream.abort import AbortController
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall, Turn
from mastra.testing.time import FakeClock
from mastra.tools.tool import create_tool, tool
from mastra.tools.tool_context import ToolContext


class Weather(BaseModel):
    city: str
    degrees: int


@tool
async def get_weather(city: str) -> Weather:
    """Get the weather of a city."""
    return Weather(city=city, degrees=20)


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", instructions="Be brief.", model=ScriptedModel(*turns), **options)


async def types(stream: AgentStream[Any]) -> list[str]:
    return [chunk.type async for chunk in stream.full_stream]


TEXT = ["text-start", "text-delta", "text-delta", "text-end"]
CALL = [
    "tool-call-input-streaming-start",
    "tool-call-delta",
    "tool-call-delta",
    "tool-call-input-streaming-end",
    "tool-call",
]


async def test_a_plain_answer() -> None:
    stream = agent("hello world").stream("hi")
    assert await types(stream) == ["start", "step-start", *TEXT, "step-finish", "finish"]
    assert await stream.text() == "hello world"
    assert await stream.finish_reason() == "stop"
    assert (await stream.usage()).total_tokens == 15
    assert stream.status == "success"


async def test_one_tool_turn_then_an_answer() -> None:
    stream = agent(
        ToolCall("get_weather", {"city": "Paris"}), "twenty degrees", tools=[get_weather]
    ).stream("hi")
    assert await types(stream) == [
        *("start", "step-start", *CALL, "tool-result", "step-finish"),
        *("step-start", *TEXT, "step-finish", "finish"),
    ]
    result = await stream.result()
    assert result.tool_results[0].payload.result == {"city": "Paris", "degrees": 20}
    assert result.tool_calls[0].payload.args == {"city": "Paris"}
    assert [step.finish_reason for step in result.steps] == ["tool-calls", "stop"]
    assert result.usage.total_tokens == 30
    assert [message.role for message in result.messages] == [
        *("user", "assistant", "tool", "assistant")
    ]


async def test_the_model_sees_the_result() -> None:
    model = ScriptedModel(ToolCall("get_weather", {"city": "Rome"}), "fine")
    await Agent(id="a", instructions="I", model=model, tools=[get_weather]).generate("hi")
    first, second = model.requests
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.tools[0].name == "get_weather"
    assert [message.role for message in second.messages] == [
        *("system", "user", "assistant", "tool")
    ]
    assert second.messages[3].parts[0].result == {"city": "Rome", "degrees": 20}


async def test_sequence_numbers_have_no_gaps_and_the_wire_is_camel_case() -> None:
    stream = agent(ToolCall("get_weather", {"city": "X"}), "ok", tools=[get_weather]).stream("q")
    chunks = [chunk async for chunk in stream]
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    wire = {chunk.type: chunk.to_wire() for chunk in chunks}
    assert wire["start"]["payload"]["id"] == "a"
    assert wire["tool-result"] == {
        "type": "tool-result",
        "runId": stream.run_id,
        "from": "AGENT",
        "payload": {
            "args": {"city": "X"},
            "toolCallId": "call_1",
            "toolName": "get_weather",
            "result": {"city": "X", "degrees": 20},
        },
    }
    assert wire["finish"]["payload"]["stepResult"] == {"reason": "stop", "isContinued": False}
    assert wire["finish"]["payload"]["output"]["usage"]["totalTokens"] == 30


async def test_several_readers_and_a_late_one() -> None:
    stream = agent(Turn("a b c d", delay=0.002)).stream("hi")

    async def read() -> str:
        return "".join([text async for text in stream.text_stream])

    assert await asyncio.gather(read(), read(), stream.text()) == ["a b c d"] * 3
    assert await read() == "a b c d"


async def test_awaiting_waits_for_the_first_chunk_of_the_model() -> None:
    stream = await agent("hi there").stream("q")
    assert [chunk.type for chunk in stream._run.chunks][:2] == ["start", "step-start"]


async def test_a_tool_that_raises() -> None:
    async def broken() -> None:
        """Break."""
        raise ValueError("no luck")

    model = ScriptedModel(ToolCall("broken"), "sorry then")
    stream = Agent(id="a", model=model, tools=[broken]).stream("q")
    assert await types(stream) == [
        *("start", "step-start", "tool-call-input-streaming-start"),
        *("tool-call-delta", "tool-call-delta", "tool-call-input-streaming-end", "tool-call"),
        *("tool-error", "step-finish", "step-start", *TEXT, "step-finish", "finish"),
    ]
    part = model.requests[1].messages[-1].parts[0]
    assert part.result == "no luck"
    assert part.is_error


async def test_an_unknown_tool() -> None:
    stream = agent(ToolCall("nope", {}), "ok", tools=[get_weather]).stream("q")
    chunks = {chunk.type: chunk async for chunk in stream}
    error = chunks["tool-error"].to_wire()["payload"]["error"]
    assert error["name"] == "ToolNotFoundError"
    assert "get_weather" in error["message"]
    assert await stream.text() == "ok"


@pytest.mark.parametrize("args", [{"city": 5}, {}, '{"city": '])
async def test_bad_arguments_are_a_result(args: Any) -> None:
    stream = agent(ToolCall("get_weather", args), "ok", tools=[get_weather]).stream("q")
    chunks = {chunk.type: chunk async for chunk in stream}
    result = chunks["tool-result"].payload.result
    assert result["error"] is True
    assert set(result["validationErrors"]) == {"errors", "fields"}
    assert await stream.text() == "ok"


async def test_calls_run_at_once_and_results_keep_their_order() -> None:
    running: list[str] = []
    both = asyncio.Event()

    @tool
    async def wait(name: str) -> str:
        """Wait for the other."""
        running.append(name)
        if len(running) == 2:
            both.set()
        await both.wait()
        if name == "first":
            await asyncio.sleep(0.01)
        return name

    turn = Turn(tool_calls=[ToolCall("wait", {"name": n}) for n in ("first", "second")])
    result = await agent(turn, "ok", tools=[wait]).generate("q")
    assert [item.payload.result for item in result.tool_results] == ["first", "second"]


async def test_a_tool_starts_while_the_model_streams() -> None:
    started = asyncio.Event()

    @tool
    async def work() -> str:
        """Work."""
        started.set()
        return "done"

    async def model(request: Any) -> Any:
        if any(message.role == "tool" for message in request.messages):
            yield "end"
            return
        async for chunk in ScriptedModel(ToolCall("work")).stream(request):
            if not isinstance(chunk, FinishChunk):
                yield chunk
        await asyncio.wait_for(started.wait(), 50)
        yield "and more"

    answer = await Agent(id="a", model=FunctionModel(model), tools=[work]).generate("q")
    assert answer.text == "and moreend"


@pytest.mark.parametrize(
    ("strategy", "called", "most"),
    [("available", "work", 1), ("called", "work", 3), ("called", "ask", 1)],
)
async def test_tools_that_may_wait_run_one_by_one(strategy: Any, called: str, most: int) -> None:
    running, seen = 0, 0

    async def run(_: Any) -> str:
        nonlocal running, seen
        running += 1
        seen = max(seen, running)
        for _turn in range(100):
            await asyncio.sleep(0)
        running -= 1
        return "done"

    schema: Any = {"type": "object", "properties": {}}
    tools = [
        create_tool("work", "Work", schema, execute=run),
        create_tool("ask", "Ask", schema, execute=run, resume_schema=str),
    ]
    turn = Turn(tool_calls=[ToolCall(called)] * 4)
    limit: Any = {"limit": 3, "strategy": strategy}
    await agent(turn, "ok", tools=tools).generate("q", tool_call_concurrency=limit)
    assert seen == most


@pytest.mark.parametrize("odd", [0, True, {"limit": "2"}, {"strategy": "some"}])
async def test_a_concurrency_that_cannot_be_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigError, match="tool_call_concurrency"):
        await agent("ok").generate("q", tool_call_concurrency=odd)


async def test_concurrency_is_limited() -> None:
    running = most = 0

    @tool
    async def work(n: int) -> int:
        """Work."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return n

    turn = Turn(tool_calls=[ToolCall("work", {"n": n}) for n in range(6)])
    await agent(turn, "ok", tools=[work]).generate("q", tool_call_concurrency=2)
    assert most == 2


async def test_what_a_tool_writes_is_streamed_before_its_result() -> None:
    go = asyncio.Event()

    @tool
    async def slow(ctx: ToolContext) -> str:
        """Be slow."""
        await ctx.writer.write({"half": 1})
        await ctx.writer.custom({"type": "data-progress", "data": 50})
        await go.wait()
        return "done"

    seen: list[str] = []
    async for chunk in agent(ToolCall("slow"), "ok", tools=[slow]).stream("q"):
        seen.append(chunk.type)
        if chunk.type == "data-progress":
            assert chunk.to_wire() == {"type": "data-progress", "data": 50}
            go.set()
    assert seen.index("tool-output") < seen.index("data-progress") < seen.index("tool-result")


async def test_a_plain_def_runs_in_a_thread_and_contexts_reach_tools() -> None:
    import threading

    def where(ctx: ToolContext) -> str:
        """Where."""
        assert threading.current_thread() is not threading.main_thread()
        return ctx.request_context["user"]

    result = await agent(ToolCall("where"), "ok", tools=[where]).generate(
        "q", request_context={"user": "u1"}
    )
    assert result.tool_results[0].payload.result == "u1"


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 5),
        ({"max_steps": 2}, 2),
        ({"stop_when": step_count_is(3)}, 3),
        ({"stop_when": [step_count_is(9), has_tool_call("get_weather")]}, 1),
        ({"stop_when": step_count_is(4), "max_steps": 2}, 2),
        ({"stop_when": step_count_is(7)}, 7),
    ],
)
async def test_stopping(options: dict[str, Any], steps: int) -> None:
    calls = [ToolCall("get_weather", {"city": str(n)}) for n in range(8)]
    result = await agent(*calls, tools=[get_weather]).generate("q", **options)
    assert len(result.steps) == steps
    assert result.finish_reason == "tool-calls"


async def test_a_model_that_fails() -> None:
    errors: list[Any] = []
    subject = agent(ModelError("out of order", status_code=400))
    stream = subject.stream("q", on_error=errors.append)
    assert await types(stream) == [
        *("start", "step-start", "error", "step-finish", "finish"),
    ]
    assert await stream.finish_reason() == "error"
    assert stream.status == "failed"
    assert isinstance(errors[0].error, ModelError)
    with pytest.raises(ModelError, match="out of order"):
        await stream.text()
    with pytest.raises(ModelError, match="out of order"):
        await agent(ModelError("out of order")).generate("q")


async def test_a_model_that_fails_after_the_first_chunk() -> None:
    stream = agent(Turn("some text", error=ModelError("broke", is_retryable=True))).stream("q")
    assert await types(stream) == [
        *("start", "step-start", "text-start", "text-delta", "text-delta"),
        *("error", "text-end", "step-finish", "finish"),
    ]
    with pytest.raises(ModelError, match="broke"):
        await stream.result()


async def test_what_a_model_raises_is_a_model_error() -> None:
    for turn in (ValueError("odd"), Turn("some", error=ValueError("odd"))):
        with pytest.raises(ModelError, match="odd") as caught:
            await agent(turn).generate("q")
        assert isinstance(caught.value.__cause__, ValueError)


async def test_a_call_that_is_wrong_raises_where_it_is_read() -> None:
    subject = Agent(id="a", model="nonsense")
    with pytest.raises(ConfigError, match="provider/model"):
        await subject.stream("q")
    with pytest.raises(ConfigError, match="provider/model"):
        await types(subject.stream("q"))
    with pytest.raises(ConfigError, match="provider/model"):
        await subject.generate("q")
    with pytest.raises(InputValidationError):
        await agent("x").generate([])
    with pytest.raises(ConfigError, match="max_stepz"):
        agent("x").stream("q", max_stepz=3)


async def test_abort() -> None:
    controller = AbortController()
    events: list[Any] = []
    stream = agent(Turn("one two three", delay=0.01)).stream(
        "q", abort_signal=controller.signal, on_abort=events.append
    )
    seen: list[str] = []
    async for chunk in stream:
        seen.append(chunk.type)
        if chunk.type == "text-delta":
            controller.abort()
    assert seen == ["start", "step-start", "text-start", "text-delta", "abort", "finish"]
    assert await stream.finish_reason() == "aborted"
    assert events[0].text == "one "
    assert events[0].steps == []


async def test_abort_reaches_a_tool() -> None:
    controller = AbortController()
    cancelled: list[str] = []

    @tool
    async def wait(ctx: ToolContext) -> str:
        """Wait."""
        controller.abort()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append("yes" if ctx.abort_signal.aborted else "no")
            raise
        return ""

    stream = agent(ToolCall("wait"), tools=[wait]).stream("q", abort_signal=controller.signal)
    assert (await types(stream))[-2:] == ["abort", "finish"]
    assert cancelled == ["yes"]


async def test_an_abort_between_two_pieces_of_work() -> None:
    loop, controller = asyncio.get_running_loop(), AbortController()
    stream = agent(Turn("one two three", delay=0.01)).stream("q", abort_signal=controller.signal)
    seen: list[str] = []
    async for chunk in stream:
        seen.append(chunk.type)
        if chunk.type == "text-delta":
            # It comes when the next piece of work is there and has not begun.
            loop.call_soon(controller.abort)
    assert seen[-2:] == ["abort", "finish"]
    assert seen.count("text-delta") == 1


async def test_an_abort_before_the_start() -> None:
    controller = AbortController()
    controller.abort()
    stream = agent("never said").stream("q", abort_signal=controller.signal)
    assert (await types(stream))[-2:] == ["abort", "finish"]


@pytest.mark.parametrize("limit", [{"total": 0.03}, {"step": 0.03}, {"first_chunk": 0.03}])
async def test_time_outs(limit: dict[str, float]) -> None:
    model = ScriptedModel(Turn("a b c d e f g h i j k l", delay=0.02 if "step" in limit else 0.05))
    with FakeClock():  # on which nothing takes time but what the model waits
        stream = Agent(id="a", model=model).stream(
            "q", model_settings={"timeout": limit, "max_retries": 0}
        )
        seen = await types(stream)
    assert seen[-3:] == ["error", "step-finish", "finish"] or "text-end" in seen
    with pytest.raises(ModelError) as caught:
        await stream.text()
    assert caught.value.code == "MODEL_TIMEOUT"


async def test_callbacks() -> None:
    seen: list[Any] = []

    async def finished(result: Any) -> None:
        seen.append(("finish", result.text))

    subject = agent(ToolCall("get_weather", {"city": "x"}), "it is", tools=[get_weather])
    await subject.generate(
        "q",
        on_chunk=lambda chunk: seen.append(chunk.type),
        on_step_finish=lambda step: seen.append(("step", step.finish_reason)),
        on_finish=finished,
    )
    assert ("step", "tool-calls") in seen
    assert ("step", "stop") in seen
    assert ("finish", "it is") in seen
    assert seen.index("tool-result") < seen.index(("step", "tool-calls"))


async def test_instructions_model_and_tools_from_the_request() -> None:
    models = {"en": ScriptedModel("hello"), "fr": ScriptedModel("bonjour")}

    async def instructions(ctx: Any) -> str:
        return f"Speak {ctx.request_context['lang']}."

    subject = Agent(
        id="a",
        instructions=instructions,
        model=lambda ctx: models[ctx.get("lang")],
        tools=lambda ctx: {"weather": get_weather} if ctx["lang"] == "fr" else {},
    )
    result = await subject.generate("q", request_context=RequestContext({"lang": "fr"}))
    assert result.text == "bonjour"
    assert models["fr"].requests[0].messages[0].text == "Speak fr."
    assert models["fr"].requests[0].tools[0].name == "weather"
    assert (await subject.generate("q", request_context={"lang": "en"})).text == "hello"
    assert models["en"].requests[0].tools == ()


async def test_prompt_options() -> None:
    model = ScriptedModel("ok")
    subject = Agent(id="a", instructions=["One.", "Two."], model=model)
    await subject.generate(
        ["first", {"role": "user", "content": [{"type": "text", "text": "second"}]}],
        system="Three.",
        context=[Message.user("before")],
    )
    asked = model.requests[0].messages
    assert [(message.role, message.text) for message in asked] == [
        ("system", "One."),
        ("system", "Two."),
        ("system", "Three."),
        ("user", "before"),
        ("user", "first"),
        ("user", "second"),
    ]
    model = ScriptedModel("ok")
    await subject.generate("q", instructions="Only this.", model=model)
    assert [message.text for message in model.requests[0].messages] == ["Only this.", "q"]


async def test_active_tools_toolsets_and_choice() -> None:
    model = ScriptedModel("ok")
    other = create_tool("other", "Another", {"type": "object", "properties": {}}, execute=lambda: 1)
    await Agent(id="a", model=model, tools=[get_weather]).generate(
        "q",
        toolsets={"more": [other]},
        active_tools=["other"],
        tool_choice={"type": "tool", "tool_name": "other"},
    )
    assert [spec.name for spec in model.requests[0].tools] == ["other"]
    assert model.requests[0].tool_choice == {"type": "tool", "tool_name": "other"}
    with pytest.raises(ConfigError, match="get_weather"):
        await agent("x", tools=[get_weather]).generate("q", active_tools=["nope"])
    with pytest.raises(ConfigError, match=r"'nope', which it does not have\. It has: get_weather"):
        await agent("x", tools=[get_weather]).generate("q", tool_choice={"toolName": "nope"})


def test_an_agent_has_an_id() -> None:
    for given in ({}, {"id": ""}, {"name": ""}):
        with pytest.raises(ConfigError, match="needs an id"):
            Agent(model=ScriptedModel(), **given)


async def test_instructions_are_text() -> None:
    model = ScriptedModel("ok")
    shown: Any = {"content": [{"type": "image", "image": "data:image/png;base64,AAAA"}]}
    for cache in (False, True):
        subject = Agent(id="a", model=model, instructions=shown, cache_instructions=cache)
        with pytest.raises(ConfigError, match="ImagePart: they are text"):
            await subject.generate("q")
    said: Any = [
        "One.",
        {"content": [{"type": "text", "text": part} for part in ("Two.", "Three.")]},
    ]
    await Agent(id="a", model=model, instructions=said, cache_instructions=True).generate("q")
    parts: Any = [part for message in model.requests[0].messages[:2] for part in message.parts]
    assert [(part.text, part.cache) for part in parts] == [
        ("One.", False),
        ("Two.", False),
        ("Three.", True),
    ]


async def test_prepare_step_changes_one_step() -> None:
    second = ScriptedModel("from the second")
    model = ScriptedModel(ToolCall("get_weather", {"city": "x"}))

    def prepare(step: Any) -> Any:
        if step.step_number == 1:
            return {"model": second, "active_tools": [], "system": "Changed."}
        return None

    result = await Agent(id="a", instructions="I", model=model, tools=[get_weather]).generate(
        "q", prepare_step=prepare
    )
    assert result.text == "from the second"
    assert second.requests[0].tools == ()
    assert second.requests[0].messages[0].text == "Changed."


async def test_defaults_and_bad_defaults() -> None:
    subject = agent("ok", default_options={"model_settings": {"temperature": 0.1, "seed": 3}})
    model: Any = subject.spec.model
    await subject.generate("q", model_settings={"temperature": 0.9})
    assert model.requests[0].settings.temperature == 0.9
    assert model.requests[0].settings.seed == 3
    with pytest.raises(ConfigError, match="temprature"):
        await agent("x").generate("q", model_settings={"temprature": 1})
    with pytest.raises(ConfigError):
        agent("x", default_options={"nope": 1})


async def test_reasoning() -> None:
    stream = agent(Turn("so it is", reasoning="let me think")).stream("q")
    seen = await types(stream)
    assert seen[2:7] == ["reasoning-start", *["reasoning-delta"] * 3, "reasoning-end"]
    assert await stream.reasoning() == "let me think"


async def test_script_models_fail_on_too_much_and_too_little() -> None:
    subject = agent("one")
    await subject.generate("q")
    with pytest.raises(MastraError, match="called 2 times"):
        await subject.generate("q")
    with pytest.raises(AssertionError, match="1 unused"):
        async with ScriptedModel("one", "two") as model:
            await Agent(id="a", model=model).generate("q")


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_closing_early_leaves_nothing() -> None:
    before = others()
    subject = agent(Turn("a b c", delay=0.005))
    async with subject.stream("q") as stream:
        async for _ in stream.text_stream:
            break
    assert others() == before
    assert stream.status == "canceled"
    with pytest.raises(RunStateError, match="closed"):
        await stream.text()


async def test_abandoning_leaves_no_task() -> None:
    before = others()
    stream = agent(Turn("a b c", delay=0.002)).stream("q")
    async for _ in stream.text_stream:
        break
    assert others() == before
    del stream
    gc.collect()
    await asyncio.sleep(0)  # what closes it is a task for a moment
    async with asyncio.timeout(20):
        while others() != before:
            await asyncio.sleep(0.001)


async def test_cancelling_the_only_reader_ends_the_run() -> None:
    before = others()
    begun, closed = asyncio.Event(), asyncio.Event()

    async def model(_request: Any) -> Any:
        try:
            yield "one"
            begun.set()
            await asyncio.sleep(10)
        finally:
            closed.set()

    stream = Agent(id="a", model=FunctionModel(model)).stream("q")
    task = asyncio.ensure_future(stream.text())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    assert others() == before


async def test_cancelling_one_of_two_readers_does_not() -> None:
    stream = agent(Turn("a b c d e", delay=0.005)).stream("q")
    first = asyncio.ensure_future(stream.text())
    await asyncio.sleep(0.008)
    second = asyncio.ensure_future(stream.text())
    await asyncio.sleep(0.003)
    first.cancel()
    assert await second == "a b c d e"


async def test_bound_to_an_application() -> None:
    services = Mastra()
    seen: list[Any] = []

    @tool
    async def look(ctx: ToolContext) -> str:
        """Look."""
        seen.append(ctx.mastra)
        return "ok"

    subject = agent(ToolCall("look"), "ok", tools=[look])
    bound = subject.bound_to(services)
    await bound.generate("q")
    assert seen == [services]
    assert bound.mastra is services
    assert subject.mastra is None
    assert bound.id == subject.id


async def test_a_result_on_the_wire_has_the_messages_of_all_steps() -> None:
    """Clients that run a tool themselves put them before its result, so none may be missing."""
    model = ScriptedModel([ToolCall("look", {})], {"reasoning": "hm", "text": "fine"})
    look = create_tool("look", "Looks", execute=lambda: "sun")
    result = await Agent(id="a", model=model, tools={"look": look}).generate("Go.", run_id="r")
    wire: Any = result.to_wire()
    messages = wire["response"]["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant"]
    assert messages[1]["content"][0]["output"] == {"type": "text", "value": "sun"}
    (thought,) = wire["reasoning"]
    assert thought["payload"]["text"] == "hm"
    assert (thought["type"], thought["from"], thought["runId"]) == ("reasoning", "AGENT", "r")
    assert wire["steps"][1]["reasoning"] == [thought]


async def test_the_end_of_a_stream_tells_what_was_given_from_what_was_said() -> None:
    """A client that goes on with what its tool gave has what it has sent already."""
    schema = {"type": "object", "properties": {}}
    locate = create_tool("locate", "Where", schema)
    look = create_tool("look", "Looks", execute=lambda: "sun")
    model = ScriptedModel(ToolCall("look", {}), ToolCall("locate", {}))
    subject = Agent(id="a", model=model, tools={"look": look, "locate": locate})
    earlier = [{"role": "user", "content": "One."}, {"role": "assistant", "content": "Two."}]
    stream = subject.stream([*earlier, {"role": "user", "content": "Three."}])
    chunks = [chunk async for chunk in stream]
    told: Any = chunks[-1].payload.to_wire()["messages"]
    roles = {key: [message["role"] for message in messages] for key, messages in told.items()}
    assert roles == {
        "all": ["user", "assistant", "user", "assistant", "tool", "assistant"],
        "user": ["user", "assistant", "user"],
        "nonUser": ["assistant", "tool", "assistant"],
    }
