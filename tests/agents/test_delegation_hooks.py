"""What an application may say when one agent asks another."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.models.messages import Message
from mastra.registry import Mastra
from mastra.request_context import RESOURCE_ID, THREAD_ID, RequestContext
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall
from mastra.testing.replay import ReplayEngine
from mastra.tools.tool import tool
from mastra.tools.tool_context import ToolContext
from mastra.workflows.workflow import create_workflow

HERE: Any = {"thread": "t1", "resource": "ann"}


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


def helper(*turns: Any, **options: Any) -> Agent:
    options.setdefault("instructions", "You count.")
    return Agent(id="helper", model=ScriptedModel(*(turns or ("four",))), **options)


def boss(sub: Agent, *turns: Any, args: Any = None, **options: Any) -> Agent:
    """Return an agent that asks the helper first, and then says the turns."""
    call = ToolCall("agent-helper", {"prompt": "2 + 2?", **(args or {})})
    return Agent(
        id="boss",
        name="Boss",
        model=ScriptedModel(call, *(turns or ("so it is four",))),
        agents={"helper": sub},
        **options,
    )


def asked(agent: Agent, call: int = -1) -> list[tuple[str, str]]:
    model: Any = agent.spec.model
    return [(message.role, message.text) for message in model.requests[call].messages]


def told(agent: Agent) -> Any:
    """Return what the model was told of the tool."""
    model: Any = agent.spec.model
    [message] = [m for m in model.requests[1].messages if m.role == "tool"]
    return message.parts[0].result


async def test_a_sub_agent_sees_the_conversation_without_tools() -> None:
    sub = helper()
    before = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "how much is 2 + 2?"},
    ]
    agent = Agent(
        id="boss",
        model=ScriptedModel(
            ["Let me see.", ToolCall("double", {"n": 1})],
            ToolCall("agent-helper", {"prompt": "2 + 2?"}),
            "four",
        ),
        agents={"helper": sub},
        tools=[double],
    )
    await agent.generate(before)
    assert asked(sub) == [
        ("system", "You count."),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "how much is 2 + 2?"),
        ("assistant", "Let me see."),
        ("user", "2 + 2?"),
    ]


async def test_what_the_start_hook_sees() -> None:
    seen: list[Any] = []
    agent = boss(helper(), args={"maxSteps": 2, "threadId": "x"})
    await agent.generate("q", delegation={"on_delegation_start": seen.append}, run_id="r1")
    [start] = seen
    assert (start.primitive_id, start.primitive_type, start.prompt) == ("helper", "agent", "2 + 2?")
    assert start.params == {
        "thread_id": "x",
        "resource_id": None,
        "instructions": None,
        "max_steps": 2,
    }
    assert (start.iteration, start.run_id, start.tool_call_id) == (1, "r1", "call_1")
    assert (start.parent_agent_id, start.parent_agent_name) == ("boss", "Boss")
    assert [message.text for message in start.messages] == ["q"]


async def test_the_start_hook_changes_what_is_asked() -> None:
    sub = helper(*[ToolCall("double", {"n": 1})] * 2, "never", tools=[double])

    async def start(_: Any) -> Any:
        return {
            "modified_prompt": "3 + 3?",
            "modified_instructions": "Count in Roman.",
            "modified_max_steps": 2,
        }

    await boss(sub).generate("q", delegation={"on_delegation_start": start})
    model: Any = sub.spec.model
    assert model.calls == 2
    assert asked(sub, 0) == [
        ("system", "You count."),
        ("system", "Count in Roman."),
        ("user", "q"),
        ("user", "3 + 3?"),
    ]


async def test_the_model_may_not_allow_more_steps_than_the_agent_itself() -> None:
    calls = [ToolCall("double", {"n": 1})] * 3
    sub = helper(*calls, tools=[double], default_options={"max_steps": 1})
    await boss(sub, args={"maxSteps": 9}).generate("q")
    model: Any = sub.spec.model
    assert model.calls == 1


async def test_a_delegation_is_rejected() -> None:
    sub = helper()
    agent = boss(sub, "then not")
    stream = agent.stream(
        "q",
        delegation={
            "on_delegation_start": lambda _: {"proceed": False, "rejection_reason": "too dear"}
        },
    )
    inner = [chunk.payload.output async for chunk in stream if chunk.type == "tool-output"]
    assert [(chunk.type, chunk.payload.text) for chunk in inner] == [
        ("text-delta", "[Delegation Rejected] too dear")
    ]
    assert told(agent) == "[Delegation Rejected] too dear"
    assert await stream.text() == "then not"
    model: Any = sub.spec.model
    assert model.calls == 0


async def test_values_that_the_start_hook_sets_reach_the_sub_agent_alone() -> None:
    seen: list[Any] = []

    @tool
    async def look(ctx: ToolContext) -> str:
        """Look."""
        seen.append(dict(ctx.request_context.items()))
        return "seen"

    sub = helper(ToolCall("look"), "four", tools=[look])
    request = RequestContext({"who": "ann", THREAD_ID: "t1", RESOURCE_ID: "ann"})

    def start(ctx: Any) -> None:
        ctx.request_context.set("extra", 1)

    await boss(sub).generate(
        "q", delegation={"on_delegation_start": start}, request_context=request
    )
    assert seen == [{"who": "ann", "extra": 1}]
    assert "extra" not in request


async def test_what_the_complete_hook_sees_and_says() -> None:
    seen: list[Any] = []
    agent = boss(helper(ToolCall("double", {"n": 2}), "four", tools=[double]))

    def complete(ctx: Any) -> Any:
        seen.append(ctx)
        return {"result_text": "it may be four", "feedback": "Check it yourself."}

    await agent.generate("q", delegation={"on_delegation_complete": complete})
    [done] = seen
    assert (done.success, done.error, done.prompt) == (True, None, "2 + 2?")
    assert done.result["text"] == "four"
    assert [message.text for message in done.messages if message.text] == ["q", "2 + 2?", "four"]
    assert done.duration >= 0
    assert told(agent) == "it may be four"
    assert asked(agent)[-1] == ("assistant", "Check it yourself.")


async def test_feedback_is_kept_apart_from_answers() -> None:
    agent = boss(helper(), memory=Memory())
    feedback = {"on_delegation_complete": lambda _: {"feedback": "Check it."}}
    await agent.generate("q", delegation=feedback, memory=HERE)
    memory: Any = agent.spec.memory
    messages = (await memory.list_messages(thread_id="t1")).messages
    assert [message.content["content"] for message in messages] == [
        "q",
        "",
        "Check it.",
        "so it is four",
    ]
    assert messages[2].content["metadata"]["completionResult"]["suppressFeedback"] is True


@pytest.mark.parametrize("how", ["bail", "return"])
async def test_a_bail_ends_the_run(how: str) -> None:
    agent = boss(helper(), "never asked")

    def complete(ctx: Any) -> Any:
        return ctx.bail() if how == "bail" else {"bail": True}

    stream = agent.stream("q", delegation={"on_delegation_complete": complete})
    kinds = [chunk.type async for chunk in stream if chunk.type != "tool-output"]
    assert kinds[-3:] == ["tool-result", "step-finish", "finish"]
    result = await stream.result()
    assert len(result.steps) == 1
    assert result.tool_results[0].payload.result["text"] == "four"
    assert stream.status == "success"


async def test_a_sub_agent_that_fails() -> None:
    seen: list[Any] = []
    agent = boss(helper(ValueError("no")), "then not")
    await agent.generate("q", delegation={"on_delegation_complete": seen.append})
    [done] = seen
    assert (done.success, done.result) == (False, {"text": ""})
    assert "no" in str(done.error)
    assert "no" in told(agent)


async def test_a_failure_in_other_words() -> None:
    agent = boss(helper(ValueError("no")), "then not")
    words = {"on_delegation_complete": lambda _: {"result_text": "the helper is ill"}}
    stream = agent.stream("q", delegation=words)
    errors = [chunk.payload.error async for chunk in stream if chunk.type == "tool-error"]
    assert [str(error) for error in errors] == ["the helper is ill"]
    assert told(agent) == "the helper is ill"


async def test_the_filter_chooses_what_is_shown() -> None:
    sub = helper()

    def last_two(ctx: Any) -> Any:
        assert ctx.prompt == "2 + 2?"
        return ctx.messages[-2:]

    agent = boss(sub)
    messages = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    await agent.generate(messages, delegation={"message_filter": last_two})
    assert asked(sub) == [
        ("system", "You count."),
        ("assistant", "b"),
        ("user", "c"),
        ("user", "2 + 2?"),
    ]


async def test_a_filter_may_show_nothing() -> None:
    sub = helper()
    await boss(sub).generate("secret", delegation={"message_filter": lambda _: []})
    assert asked(sub) == [("system", "You count."), ("user", "2 + 2?")]


async def test_the_model_may_see_what_the_sub_agents_tools_gave() -> None:
    sub = helper(ToolCall("double", {"n": 2}), "four", tools=[double])
    agent = boss(sub)
    shown: Any = {"include_sub_agent_tool_results_in_model_context": True}
    await agent.generate("q", delegation=shown)
    assert told(agent)["subAgentToolResults"][0]["result"] == 4


def broken(_: Any) -> Any:
    raise RuntimeError("broken hook")


@pytest.mark.parametrize(
    "hook", ["on_delegation_start", "message_filter", "on_delegation_complete"]
)
async def test_a_hook_that_raises_is_logged_and_noted(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = RequestContext()
    agent = boss(helper())
    options: Any = {hook: broken}
    with caplog.at_level(logging.ERROR, "mastra"):
        result = await agent.generate("q", delegation=options, request_context=request)
    assert result.text == "so it is four"
    assert told(agent) == "four"
    assert [record.getMessage() for record in caplog.records] == [f"{hook} raised"]
    [note] = request.get("__mastra_delegationHookErrors")
    assert (note["hook"], note["primitiveId"], note["message"]) == (hook, "helper", "broken hook")


@pytest.mark.parametrize(
    "hook", ["on_delegation_start", "message_filter", "on_delegation_complete"]
)
async def test_a_hook_that_raises_may_fail_the_call(hook: str) -> None:
    agent = boss(helper())
    options: Any = {hook: broken, "hook_error_strategy": "throw"}
    await agent.generate("q", delegation=options)
    assert told(agent) == "broken hook"


async def test_a_failure_says_more_than_a_hook_that_raises_on_it() -> None:
    agent = boss(helper(ValueError("no")), "then not")
    options: Any = {"on_delegation_complete": broken, "hook_error_strategy": "throw"}
    await agent.generate("q", delegation=options)
    assert "no" in told(agent)


async def test_what_a_hook_may_not_return_is_named() -> None:
    agent = boss(helper())
    options: Any = {
        "on_delegation_start": lambda _: {"procede": False},
        "hook_error_strategy": "throw",
    }
    await agent.generate("q", delegation=options)
    assert "procede" in told(agent)
    assert "proceed" in told(agent)


async def test_an_unknown_strategy_is_named() -> None:
    agent = boss(helper())
    odd: Any = {"hook_error_strategy": "shout"}
    stream = agent.stream("q", delegation=odd)
    errors = [chunk.payload.error async for chunk in stream if chunk.type == "tool-error"]
    assert isinstance(errors[0], ConfigError)
    assert "'warn' or 'throw'" in str(errors[0])


async def test_a_sub_agent_without_memory_has_that_of_the_agent_that_asks() -> None:
    agent = boss(helper(), memory=(memory := Memory()))
    result = await agent.generate("q", memory=HERE)
    given = result.tool_results[0].payload.result
    assert given["subAgentResourceId"] == "boss-helper"
    page = await memory.list_messages(thread_id=given["subAgentThreadId"])
    assert [message.content["content"] for message in page.messages] == ["2 + 2?", "four"]
    assert {message.resource_id for message in page.messages} == {"boss-helper"}
    mine = await memory.list_messages(thread_id="t1")
    assert [message.content["content"] for message in mine.messages] == ["q", "so it is four"]


async def test_the_server_s_thread_is_not_the_sub_agent_s() -> None:
    own = Memory()
    agent = boss(helper(memory=own), memory=Memory())
    await agent.generate("q", request_context={THREAD_ID: "t1", RESOURCE_ID: "ann"})
    assert await own.get_thread("t1") is None
    page = await own.list_threads()
    assert [thread.resource_id for thread in page.threads] == ["boss-helper"]


async def test_hooks_of_a_sub_agent_that_waits() -> None:
    @tool(require_approval=True)
    async def danger() -> str:
        """Be dangerous."""
        return "boom"

    started: list[Any] = []
    done: list[Any] = []
    sub = helper(ToolCall("danger"), "did it", tools=[danger])
    agent = boss(
        sub,
        default_options={
            "delegation": {
                "on_delegation_start": started.append,
                "on_delegation_complete": done.append,
            }
        },
        memory=(memory := Memory()),
    )
    first = await agent.generate("q", memory=HERE)
    assert first.finish_reason == "suspended"
    assert (len(started), len(done)) == (1, 0)
    last = await agent.resume_generate({"approved": True}, run_id=first.run_id)
    assert last.text == "so it is four"
    assert (len(started), len(done)) == (1, 1)
    given = last.tool_results[0].payload.result
    assert given["subAgentThreadId"] == first.suspend_payload["subAgentThreadId"]
    page = await memory.list_messages(thread_id=given["subAgentThreadId"])
    assert page.total == 2


async def test_a_sub_agent_s_own_chunks_stay_what_they_are() -> None:
    @tool
    async def progress(ctx: ToolContext) -> str:
        """Tell."""
        await ctx.writer.custom({"type": "data-progress", "data": 50})
        return "told"

    agent = boss(helper(ToolCall("progress"), "four", tools=[progress]))
    chunks = [chunk async for chunk in agent.stream("q")]
    [own] = [chunk for chunk in chunks if chunk.type == "data-progress"]
    assert own.to_wire()["data"] == 50


async def test_context_is_shown_and_not_kept() -> None:
    memory = Memory()
    model = FunctionModel(lambda _: "yes")
    agent = Agent(id="a", model=model, memory=memory)
    await agent.generate("q", context=[Message("user", "by the way")], memory=HERE)
    assert [message.text for message in model.requests[0].messages] == ["by the way", "q"]
    page = await memory.list_messages(thread_id="t1")
    assert [message.content["content"] for message in page.messages] == ["q", "yes"]


async def durably(agent: Agent) -> Any:
    """Run an agent as a step whose model and tool calls are operations of their own."""
    workflow = (
        create_workflow(id="w", input_schema=dict[str, str], output_schema=Any)
        .then(agent.as_step(durable=True))
        .commit()
    )
    engine = ReplayEngine()
    mastra = Mastra(agents={"boss": agent}, workflows={"w": workflow}, engine=engine)
    run = await mastra.get_workflow("w").create_run()
    return (await run.start(input_data={"prompt": "q"})).unwrap()


async def test_feedback_reaches_a_durable_agent() -> None:
    words: Any = {"on_delegation_complete": lambda _: {"feedback": "Check it."}}
    agent = boss(helper(), default_options={"delegation": words})
    await durably(agent)
    assert asked(agent)[-1] == ("assistant", "Check it.")


async def test_a_durable_agent_ends_with_a_bail() -> None:
    agent = boss(
        helper(), "never", default_options={"delegation": {"on_delegation_complete": bail}}
    )
    await durably(agent)
    model: Any = agent.spec.model
    assert model.calls == 1


def bail(ctx: Any) -> None:
    ctx.bail()
