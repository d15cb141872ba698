"""Tools that wait for a person: approval before, suspension during, and going on after."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.agents.agent_step import AgentStepInput, AgentStepOutput
from mastra.errors import (
    ResumeValidationError,
    RunNotFoundError,
    RunStateError,
    SerializationError,
)
from mastra.memory import Memory
from mastra.processors import Processor
from mastra.registry import Mastra
from mastra.testing.models import ScriptedModel, ToolCall, Turn
from mastra.tools.tool import create_tool, tool
from mastra.tools.tool_context import ToolContext
from mastra.workflows.step import step
from mastra.workflows.step_context import StepContext
from mastra.workflows.workflow import create_workflow


class Mail(BaseModel):
    to: str


class Answer(BaseModel):
    code: int


sent: list[str] = []


async def send(mail: Mail) -> dict[str, bool]:
    sent.append(mail.to)
    return {"sent": True}


def mailer(**options: Any) -> Any:
    return create_tool("send-mail", "Send a mail", execute=send, **options)


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    sent.clear()


def agent(*turns: Any, tools: Any) -> Agent:
    return Agent(id="mail", model=ScriptedModel(*turns), tools=tools)


CALL = ToolCall("mail", {"to": "ann"})


async def kinds(stream: Any) -> list[str]:
    return [chunk.type async for chunk in stream]


async def test_approval() -> None:
    subject = agent(CALL, "done it", tools={"mail": mailer(require_approval=True)})
    stream = subject.stream("mail ann")
    chunks = [chunk async for chunk in stream]
    assert [chunk.type for chunk in chunks][-2:] == ["tool-call", "tool-call-approval"]
    assert '"approved"' in chunks[-1].payload.resume_schema
    assert await stream.finish_reason() == "suspended"
    assert stream.status == "suspended"
    assert sent == []
    waiting = await subject.list_suspended_runs()
    assert [run["status"] for run in waiting.to_wire()["runs"]] == ["suspended"] * waiting.total
    assert waiting.total == 1
    assert waiting.runs[0].run_id == stream.run_id
    assert waiting.runs[0].tool_calls[0].tool_name == "mail"

    more = subject.approve_tool_call(stream.run_id, "call_1")
    assert await kinds(more) == [
        *("tool-result", "step-finish", "step-start"),
        *("text-start", "text-delta", "text-delta", "text-end", "step-finish", "finish"),
    ]
    assert sent == ["ann"]
    assert await more.text() == "done it"
    assert more.run_id == stream.run_id
    assert (await more.usage()).total_tokens == 30
    assert (await subject.list_suspended_runs()).total == 0
    assert [message.role for message in await more.messages()] == [
        *("user", "assistant", "tool", "assistant")
    ]


async def test_decline() -> None:
    model = ScriptedModel(CALL, "I did not")
    subject = Agent(id="mail", model=model, tools={"mail": mailer(require_approval=True)})
    stream = subject.stream("mail ann")
    await stream.consume()
    more = subject.decline_tool_call(stream.run_id, reason="too late")
    assert (await kinds(more))[:3] == ["tool-output-denied", "step-finish", "step-start"]
    assert sent == []
    assert model.requests[1].messages[-1].parts[0].result == "too late"
    other = subject.decline_tool_call(stream.run_id)
    with pytest.raises(RunNotFoundError):
        await other.text()


@pytest.mark.parametrize("durable", [False, True])
async def test_a_tool_may_ask_in_a_task_group_of_its_own_and_be_declined(durable: bool) -> None:
    @tool
    async def mail(to: str, ctx: ToolContext) -> str:
        """Ask, among other things."""

        async def ask() -> None:
            await ctx.suspend({"to": to})

        if ctx.resume_data is None:
            async with asyncio.TaskGroup() as group:
                group.create_task(ask())
        return f"{to}: {ctx.resume_data}"

    model = ScriptedModel(CALL, "done", CALL, "not done")
    subject = Agent(id="mail", model=model, tools=[mail], durable=durable)
    first = await subject.generate("q")
    assert first.suspend_payload == {"to": "ann"}
    result = await subject.resume_stream("yes", run_id=first.run_id).result()
    assert [chunk.payload.result for chunk in result.tool_results] == ["ann: yes"]
    second = await subject.generate("q")
    declined = subject.decline_tool_call(second.run_id, reason="no time")
    assert (await kinds(declined))[0] == "tool-output-denied"
    assert model.requests[-1].messages[-1].parts[0].result == "no time"


async def test_a_run_that_waits_under_the_id_of_an_earlier_one_takes_its_place() -> None:
    other = ToolCall("mail", {"to": "bob"})
    subject = agent(CALL, other, "done", tools={"mail": mailer(require_approval=True)})
    await subject.generate("mail ann", run_id="r")
    await subject.generate("mail bob", run_id="r")
    assert [run.run_id for run in (await subject.list_suspended_runs()).runs] == ["r"]
    assert (await subject.approve_tool_call_generate("r")).text == "done"
    assert sent == ["bob"]


async def test_a_refusal_after_an_approval_is_told_to_whoever_asks_later() -> None:
    class Strict(Processor):
        id = "strict"

        async def process_output_step(self, ctx: Any) -> None:
            if ctx.text == "done":
                ctx.abort("too short")

    model = ScriptedModel(CALL, "done")
    tools = {"mail": mailer(require_approval=True)}
    subject = Agent(id="mail", model=model, tools=tools, output_processors=[Strict()])
    run_id = (await subject.generate("q")).run_id
    await subject.approve_tool_call_generate(run_id)
    later = await subject.observe(run_id).result()
    assert later.tripwire is not None
    assert (later.finish_reason, later.tripwire.reason) == ("other", "too short")
    assert (sent, (await subject.list_suspended_runs()).total) == (["ann"], 0)


@pytest.mark.parametrize("durable", [False, True])
async def test_an_answer_that_does_not_fit_is_refused_and_the_run_waits_on(durable: bool) -> None:
    @tool(resume_schema=Answer)
    async def mail(to: str, ctx: ToolContext) -> str:
        """Ask for a code."""
        if ctx.resume_data is None:
            return await ctx.suspend({"to": to})
        return f"{to}: {ctx.resume_data.code}"

    both = Turn(tool_calls=[ToolCall("mail", {"to": to}, to) for to in ("ann", "bob")])
    subject = Agent(id="mail", model=ScriptedModel(both, "done"), tools=[mail], durable=durable)
    run_id = (await subject.generate("q", tool_call_concurrency=2)).run_id
    for wrong in ({"code": "x"}, None, {"code": []}):
        with pytest.raises(ResumeValidationError, match="What tool 'mail' is resumed with"):
            await subject.resume_generate(wrong, run_id=run_id, tool_call_id="ann")
        [waiting] = (await subject.list_suspended_runs()).runs
        assert sorted(call.tool_call_id for call in waiting.tool_calls) == ["ann", "bob"]
    # The other call knows nothing of that.
    other = await subject.resume_generate({"code": 2}, run_id=run_id, tool_call_id="bob")
    assert other.finish_reason == "suspended"
    with pytest.raises(ResumeValidationError):
        await subject.resume_generate({}, run_id=run_id)
    result = await subject.resume_generate({"code": "1"}, run_id=run_id)
    told = {part.tool_call_id: part.result for part in result.messages[2].parts}  # type: ignore[union-attr]
    assert (result.text, told) == ("done", {"ann": "ann: 1", "bob": "bob: 2"})


@pytest.mark.parametrize("durable", [False, True])
async def test_what_json_cannot_hold_is_no_answer_and_the_run_waits_on(durable: bool) -> None:
    tools = {"mail": mailer(require_approval=True)}
    subject = Agent(id="mail", model=ScriptedModel(CALL, "done"), tools=tools, durable=durable)
    run_id = (await subject.generate("q")).run_id
    wrong: Any = object()
    for answer in (
        subject.approve_tool_call(run_id, args={"to": wrong}),
        subject.decline_tool_call(run_id, reason=wrong),
    ):
        with pytest.raises(SerializationError):
            await answer.result()
    assert (sent, (await subject.list_suspended_runs()).total) == ([], 1)
    assert (await subject.approve_tool_call_generate(run_id)).text == "done"


async def test_an_agent_that_is_one_step_suspends_its_workflow() -> None:
    subject = agent(CALL, "done", tools={"mail": mailer(require_approval=True)})
    flow = create_workflow(id="flow", input_schema=AgentStepInput, output_schema=AgentStepOutput)
    flow.then(subject.as_step(durable=False)).commit()
    run = await Mastra(workflows=[flow]).get_workflow("flow").create_run()
    waiting: Any = await run.start(input_data={"prompt": "mail ann"})
    assert (waiting.status, sent) == ("suspended", [])
    result = await run.resume(resume_data={"approved": True})
    assert (result.unwrap(), sent) == (AgentStepOutput(text="done"), ["ann"])


async def test_a_tool_may_suspend_the_step_that_asks_its_agent() -> None:
    memory = Memory()

    @step
    async def plan(given: int, ctx: StepContext[int]) -> int:
        if ctx.resume_data is not None:
            return given + ctx.resume_data

        @tool
        async def ask() -> Any:
            """Ask somebody, in the name of the step."""
            return await ctx.suspend({"question": "?"})

        model = ScriptedModel(Turn(tool_calls=[CALL, ToolCall("ask")]))
        tools: Any = {"mail": mailer(), "ask": ask}
        subject = Agent(id="mail", model=model, tools=tools, memory=memory)
        await subject.generate("Go.", memory={"thread": "t", "resource": "ann"})
        raise AssertionError("The step has been suspended.")

    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(plan).commit()
    run = await Mastra(workflows=[flow]).get_workflow("flow").create_run()
    waiting: Any = await run.start(input_data=1)
    assert (waiting.status, waiting.steps["plan"].suspend_payload) == (
        "suspended",
        {"question": "?"},
    )
    page = await memory.list_messages(thread_id="t")
    parts: list[Any] = [part for message in page.messages for part in message.content["parts"]]
    calls = {p["toolInvocation"]["toolName"]: p["toolInvocation"] for p in parts[1:]}
    assert calls["mail"]["result"] == {"sent": True}
    assert "whether it acted is not known" in str(calls["ask"])
    assert (await run.resume(resume_data=41)).unwrap() == 42


async def test_a_second_answer_is_refused() -> None:
    subject = agent(CALL, "done", tools={"mail": mailer(require_approval=True)})
    run_id = (await subject.generate("q")).run_id
    await subject.approve_tool_call_generate(run_id)
    with pytest.raises(RunNotFoundError):
        await subject.approve_tool_call_generate(run_id)
    assert sent == ["ann"]


async def test_generate_returns_at_once() -> None:
    subject = agent(CALL, "done", tools={"mail": mailer(require_approval=True)})
    result = await subject.generate("q")
    assert result.finish_reason == "suspended"
    assert result.suspend_payload == {
        "toolCallId": "call_1",
        "toolName": "mail",
        "args": {"to": "ann"},
    }
    assert result.to_wire()["suspendPayload"] == {
        **result.suspend_payload,
        "resumeSchema": result.resume_schema,
    }
    assert (await subject.approve_tool_call_generate(result.run_id)).text == "done"


@pytest.mark.parametrize(
    ("policy", "asked", "waits"),
    [
        (False, True, True),
        (False, False, False),
        (False, lambda call: call.args["to"] == "ann", True),
        (False, lambda call: call.args["to"] == "bob", False),
        (lambda mail: False, True, False),
        (lambda mail: mail.to == "ann", False, True),
        (lambda mail: 1 / 0, False, True),
    ],
    ids=["asked", "not", "by-call", "not-by-call", "tool-says-no", "tool-says-yes", "raises"],
)
async def test_who_decides(policy: Any, asked: Any, waits: bool) -> None:
    subject = agent(CALL, "done", tools={"mail": mailer(require_approval=policy)})
    result = await subject.generate("q", require_tool_approval=asked)
    assert (result.finish_reason == "suspended") is waits


@tool(suspend_schema=dict[str, str], resume_schema=Answer)
async def confirm(ctx: ToolContext, what: str) -> str:
    """Ask a person."""
    if ctx.resume_data is None:
        return await ctx.suspend({"question": what})
    assert ctx.suspend_data == {"question": what}
    return f"code {ctx.resume_data.code}"


async def test_suspension_inside_a_tool() -> None:
    subject = agent(ToolCall("confirm", {"what": "sure?"}), "thanks", tools=[confirm])
    stream = subject.stream("q")
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].type == "tool-call-suspended"
    assert chunks[-1].payload.suspend_payload == {"question": "sure?"}
    assert '"code"' in chunks[-1].payload.resume_schema
    assert await stream.suspend_payload() == {"question": "sure?"}
    waiting = (await stream.result()).to_wire()["suspendPayload"]
    assert waiting == chunks[-1].payload.to_wire()
    with pytest.raises(ResumeValidationError, match="code"):
        await subject.resume_generate({"code": "x"}, run_id=stream.run_id)
    more = subject.resume_stream({"code": 7}, run_id=stream.run_id)
    assert (await kinds(more))[:2] == ["tool-result", "step-finish"]
    assert (await more.result()).tool_results[0].payload.result == "code 7"


async def test_several_calls_wait() -> None:
    turn = Turn(tool_calls=[ToolCall("mail", {"to": to}) for to in ("ann", "bob")])
    subject = agent(turn, "done", tools={"mail": mailer(require_approval=True)})
    stream = subject.stream("q")
    assert (await kinds(stream))[-2:] == ["tool-call-approval"] * 2
    with pytest.raises(RunStateError, match="call_1"):
        await subject.approve_tool_call_generate(stream.run_id)
    first = await subject.approve_tool_call_generate(stream.run_id, "call_2")
    assert first.finish_reason == "suspended"
    assert sent == ["bob"]
    last = await subject.approve_tool_call_generate(stream.run_id, "call_1")
    assert last.text == "done"
    assert sent == ["bob", "ann"]


async def test_what_is_kept_and_filtered() -> None:
    subject = agent(CALL, CALL, tools={"mail": mailer(require_approval=True)})
    options: Any = {"memory": {"thread": "t1", "resource": "r1"}}
    await subject.generate("q", request_context={"user": "u", "thing": object()}, **options)
    await subject.generate("q")
    assert (await subject.list_suspended_runs()).total == 2
    found = await subject.list_suspended_runs(thread_id="t1", resource_id="r1")
    assert found.total == 1
    assert found.to_wire()["runs"][0]["toolCalls"][0]["requiresApproval"] is True
    assert len((await subject.list_suspended_runs(per_page=1, page=1)).runs) == 1


async def test_what_a_processor_refused_is_not_in_the_text_after_a_wait() -> None:
    class Polite(Processor):
        id = "polite"

        def process_output_step(self, ctx: Any) -> None:
            if ctx.text == "rude":
                ctx.abort("be polite", retry=True)

    subject = Agent(
        id="mail",
        model=ScriptedModel("rude", ["Please. ", CALL], "Done."),
        tools={"mail": mailer(require_approval=True)},
        output_processors=[Polite()],
    )
    run_id = (await subject.generate("q")).run_id
    assert (await subject.approve_tool_call_generate(run_id)).text == "Please. Done."


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("approved", ["false", "true", 1, [0], None])
async def test_only_true_is_leave(approved: Any, durable: bool) -> None:
    tools = {"mail": mailer(require_approval=True)}
    subject = Agent(id="mail", model=ScriptedModel(CALL, "done it"), tools=tools, durable=durable)
    first = await subject.generate("mail ann")
    last = await subject.resume_generate({"approved": approved}, run_id=first.run_id)
    assert (last.text, sent) == ("done it", [])


@pytest.mark.parametrize("durable", [False, True])
async def test_who_approves_may_change_the_arguments(durable: bool) -> None:
    async def ask(mail: Mail, ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            return await ctx.suspend({"to": mail.to})
        return f"{ctx.resume_data} to {mail.to}"

    asking = create_tool("ask", "Ask", execute=ask, require_approval=True)
    subject = Agent(
        id="mail", model=ScriptedModel(CALL, "done it"), tools={"mail": asking}, durable=durable
    )
    first = await subject.generate("mail ann")
    second = await subject.approve_tool_call_generate(first.run_id, args={"to": "bob"})
    assert second.suspend_payload == {"to": "bob"}
    last = await subject.resume_generate("yes", run_id=first.run_id)
    results = [one.payload.result for step in last.steps for one in step.tool_results]
    assert results == ["yes to bob"]


# -- answers that do not fit, wherever they are for ------------------------------------------------


async def code(given: Any, ctx: ToolContext) -> str:
    if ctx.resume_data is None:
        return await ctx.suspend({"question": "?"})
    return f"code {ctx.resume_data.code}"


asks_code = create_tool(
    "mail", "Ask for a code", {"type": "object"}, execute=code, resume_schema=Answer
)


@pytest.mark.parametrize("durable", [False, True])
async def test_a_workflow_waits_on_where_an_answer_does_not_fit_its_agents_tool(
    durable: bool,
) -> None:
    subject = Agent(id="mail", model=ScriptedModel(CALL, "done"), tools={"mail": asks_code})
    flow = create_workflow(id="flow", input_schema=AgentStepInput, output_schema=AgentStepOutput)
    flow.then(subject.as_step(durable=durable)).commit()
    run = await Mastra(workflows=[flow]).get_workflow("flow").create_run()
    await run.start(input_data={"prompt": "mail ann"})
    waiting: Any = await run.resume(resume_data={"code": "x"})
    assert waiting.status == "suspended"
    [payload] = waiting.suspend_payload.values()
    assert "What tool 'mail' is resumed with" in str(payload["refused"]["message"])
    assert (await run.resume(resume_data={"code": 7})).unwrap() == AgentStepOutput(text="done")


@pytest.mark.parametrize("within", ["agent", "durable agent", "workflow"])
@pytest.mark.parametrize("durable", [False, True])
async def test_an_agent_waits_on_where_an_answer_does_not_fit_what_it_asks(
    within: str, durable: bool
) -> None:
    @step(resume_schema=Answer)
    async def ask(given: dict[str, Any], ctx: StepContext[Any]) -> str:
        if ctx.resume_data is None:
            return await ctx.suspend({"question": "?"})
        return f"code {ctx.resume_data.code}"

    inner = Agent(
        id="inner",
        description="Asks.",
        model=ScriptedModel(CALL, "code 7"),
        tools={"mail": asks_code},
        durable=within == "durable agent",
    )
    flow = create_workflow(id="flow", input_schema=dict, output_schema=str).then(ask).commit()
    name = "workflow-flow" if within == "workflow" else "agent-inner"
    model = ScriptedModel(ToolCall(name, {"prompt": "mail ann"}), "done")
    outer = Agent(
        id="outer", model=model, agents={"inner": inner}, workflows={"flow": flow}, durable=durable
    )
    mastra = Mastra(agents=[outer, inner], workflows=[flow])
    subject = mastra.get_agent("outer")
    run_id = (await subject.generate("q")).run_id
    for wrong in ({"code": "x"}, {}):
        refused: Any = await subject.resume_generate(wrong, run_id=run_id)
        assert refused.finish_reason == "suspended"
        assert "does not match its schema" in refused.suspend_payload["refused"]["message"]
    result = await subject.resume_generate({"code": 7}, run_id=run_id)
    assert result.text == "done"
    assert "code 7" in str(model.requests[1].messages[-1].parts[0].result)
