"""Agents of which each model call and each tool call is an operation of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Agent,
    ConfigError,
    ModelError,
    RunStateError,
    StructuredOutput,
    ToolContext,
    WorkflowDefinitionError,
    WorkflowFailed,
    WorkflowSuspended,
    WorkflowTripwire,
    create_step,
    create_tool,
    create_workflow,
    tool,
)
from mastra.agents.stop_conditions import has_tool_call
from mastra.memory import Memory
from mastra.models.chunks import FileChunk, FinishChunk, SourceChunk, ToolCallEnd
from mastra.processors import Processor
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn, model_failure
from mastra.workflows.describe import describe_nodes
from tests.support.engines import Calls, Env


class Prompt(BaseModel):
    prompt: str


class Plan(BaseModel):
    title: str
    days: int


ASK = {"prompt": "What to do?"}
ROME, OSLO = ToolCall("look_up", {"city": "Rome"}), ToolCall("look_up", {"city": "Oslo"})


def looking(calls: Calls) -> Any:
    async def look_up(city: str) -> str:
        """Look a city up."""
        calls.add(city)
        return f"sunny in {city}"

    return look_up


def agent(*turns: Any, calls: Calls | None = None, **options: Any) -> Agent:
    model = options.pop("model", None) or ScriptedModel(*turns)
    tools = {"look_up": looking(calls or Calls()), **options.pop("tools", {})}
    return Agent(id="planner", instructions="Be brief.", model=model, tools=tools, **options)


def start(output: Any = Any, id: str = "w") -> Any:
    return create_workflow(id=id, input_schema=Prompt, output_schema=output)


def durable(subject: Agent, output: Any = Any, **options: Any) -> Any:
    """Return a workflow of one durable agent."""
    return start(output).then(create_step(subject, durable=True, **options)).commit()


_VOLATILE = {"runId", "messageId", "id", "startedAt", "timestamp", "createdAt"}


def steady(value: Any) -> Any:
    """Return a chunk without what differs from run to run."""
    if isinstance(value, dict):
        return {key: 0 if key in _VOLATILE else steady(item) for key, item in value.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value


def chunks(events: Any) -> list[Any]:
    return [event.payload.output for event in events if event.type == "workflow-step-output"]


# -- what it gives -----------------------------------------------------------------------------


@tool
async def paint(what: str, ctx: ToolContext) -> dict[str, str]:
    """Paint something."""
    await ctx.writer.write({"stroke": 1})
    await ctx.writer.custom({"type": "data-stroke", "data": 2})
    return {"painted": what}


@tool
async def fail(what: str) -> str:
    """Fail."""
    raise ValueError(f"no {what}")


SCRIPTS: dict[str, list[Any]] = {
    "text alone": ["Go for a walk."],
    "one call": [["I look. ", ROME], "It is sunny."],
    "calls at once, twice": [[ROME, OSLO], [OSLO, ROME], "Both sunny."],
    "a tool that writes": [ToolCall("paint", {"what": "Rome"}), "Painted."],
    "a tool that fails": [ToolCall("fail", {"what": "way"}), "It failed."],
    "an unknown tool": [ToolCall("nothing", {}), "There is none."],
    "bad arguments": [ToolCall("look_up", {"town": "Rome"}), "Oh."],
    "no JSON": [ToolCall("look_up", "{no"), "Oh."],
    "thoughts": [Turn("Sunny.", reasoning="I think so."), "never"],
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_readers_see_what_the_same_agent_streams_as_one_operation(
    env: Env, script: str
) -> None:
    seen: list[Any] = []
    for is_durable in (False, True):
        subject = agent(*SCRIPTS[script], tools={"paint": paint, "fail": fail})
        workflow = start(id="durable" if is_durable else "plain")
        workflow = workflow.then(create_step(subject, durable=is_durable)).commit()
        events, result = await env.events(workflow, ASK)
        own = [e for e in events if getattr(e.payload, "step_name", None) in (None, "planner")]
        seen.append((steady(chunks(own)), result.unwrap(), result.steps["planner"].output))
        assert chunks(own) == chunks(events)
    assert seen[0] == seen[1]


async def test_each_model_call_and_each_tool_call_is_an_operation(env: Env, calls: Calls) -> None:
    model = ScriptedModel([ROME, OSLO], "Both sunny.")
    workflow = durable(agent(model=model, calls=calls))
    events, result = await env.events(workflow, ASK)
    assert result.unwrap() == {"text": "Both sunny."}
    assert sorted(calls.names) == ["Oslo", "Rome"]
    assert model.calls == 2
    ran = [e.payload.id for e in events if e.type == "workflow-step-start"]
    assert sorted(ran) == ["planner", *["planner.model"] * 2, *["planner.tool"] * 2]
    assert list(result.steps) == ["planner", "planner.model", "planner.tool"]


async def test_the_model_is_told_what_it_would_be_told(env: Env) -> None:
    asked: list[Any] = []
    for is_durable in (False, True):
        model = ScriptedModel(["I look. ", ROME], [OSLO], "Both sunny.")
        step = create_step(agent(model=model), durable=is_durable, system="Now.", context=["old"])
        workflow = start(id=f"w{is_durable}").then(step).commit()
        await env.start(workflow, ASK)
        asked.append(
            [
                [(message.role, message.parts) for message in request.messages]
                for request in model.requests
            ]
        )
    assert asked[0] == asked[1]


async def test_structured_output_is_the_steps_output(env: Env) -> None:
    async def look(plan: Plan) -> str:
        return f"{plan.title} {plan.days}"

    subject = agent(ROME, '{"title": "Rome", "days": 3}')
    workflow = start(str).then(create_step(subject, durable=True, structured_output=Plan))
    result = await env.start(workflow.then(create_step(execute=look)).commit(), ASK)
    assert result.unwrap() == "Rome 3"
    assert result.steps["planner"].output == {"title": "Rome", "days": 3}


async def test_an_output_that_is_not_there_fails_the_step(env: Env) -> None:
    output = StructuredOutput(Plan, error_strategy="warn")
    result = await env.start(durable(agent("{}"), structured_output=output), ASK)
    assert isinstance(result, WorkflowFailed)
    assert "Output of agent 'planner'" in result.error.message


async def test_structured_output_that_does_not_fit_fails_the_step(env: Env) -> None:
    result = await env.start(durable(agent("{}"), structured_output=Plan), ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ModelError)
    assert "Structured output" in result.error.message


async def test_the_tokens_used_are_told_at_the_end(env: Env) -> None:
    events, _ = await env.events(durable(agent(ROME, OSLO, "Both sunny.")), ASK)
    assert events[-1].payload is not None
    assert events[-1].payload.output["usage"]["totalTokens"] == 45


# -- what a call may say -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"max_steps": 2}, {"stop_when": has_tool_call("paint")}])
async def test_the_loop_ends_where_the_options_say(
    env: Env, calls: Calls, options: dict[str, Any]
) -> None:
    subject = agent(
        ["a ", ROME],
        ["b", ToolCall("paint", {"what": "x"})],
        "never said",
        calls=calls,
        tools={"paint": paint},
    )
    result = await env.start(durable(subject, **options), ASK)
    assert result.unwrap() == {"text": "a b"}
    assert calls.names == ["Rome"]


async def test_prepare_step_is_asked_once_a_model_call(env: Env) -> None:
    prepared: list[Any] = []

    async def shout(city: str) -> str:
        """Shout."""
        return city.upper()

    def prepare(step: Any) -> Any:
        prepared.append((step.step_number, [message.role for message in step.messages]))
        return {"tools": {"shout": shout}} if step.step_number == 0 else None

    model = ScriptedModel(ToolCall("look_up", {"city": "Rome"}), "Hm.")
    subject = agent(model=model)
    workflow = durable(subject, prepare_step=prepare)
    events, _ = await env.events(workflow, ASK)
    (error,) = [chunk for chunk in chunks(events) if chunk["type"] == "tool-error"]
    assert "Available tools: shout" in error["payload"]["error"]["message"]
    assert [number for number, _ in prepared if number == 1] == [1]
    assert prepared[0] == (0, ["user"])
    assert prepared[-1] == (1, ["user", "assistant", "tool"])


async def test_tools_that_prepare_step_gives_can_be_called(env: Env) -> None:
    async def shout(city: str) -> str:
        """Shout."""
        return city.upper()

    subject = agent(ToolCall("shout", {"city": "Rome"}), "ROME it is.")
    workflow = durable(subject, prepare_step=lambda _: {"tools": {"shout": shout}})
    events, result = await env.events(workflow, ASK)
    (given,) = [chunk for chunk in chunks(events) if chunk["type"] == "tool-result"]
    assert given["payload"]["result"] == "ROME"
    assert result.unwrap() == {"text": "ROME it is."}


async def test_callbacks_are_called(env: Env, calls: Calls) -> None:
    workflow = durable(
        agent(ROME, "Sunny."),
        on_step_finish=lambda step: calls.add(f"step {step.finish_reason}"),
        on_finish=lambda result: calls.add(f"finish {len(result.steps)} {result.text}"),
    )
    await env.start(workflow, ASK)
    assert calls.names == ["step tool-calls", "step stop", "finish 2 Sunny."]


async def test_its_graph_is_shown_and_its_step_is_not_called() -> None:
    subject = agent("x")
    (shown,) = describe_nodes(start().then(subject.as_step(durable=True)).commit().spec)
    assert (shown["type"], shown["agentId"]) == ("agent", subject.id)
    assert [node["step"]["id"] for node in shown["serializedStepFlow"]] == ["model", "tool"]
    with pytest.raises(WorkflowDefinitionError, match="walked, not called"):
        await subject.as_step(durable=True)(None)


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="'max_stepz'"):
        create_step(agent("x"), durable=True, max_stepz=1)


async def test_what_a_provider_does_itself_is_no_operation(env: Env, calls: Calls) -> None:
    results: list[Any] = []
    turn = Turn(
        chunks=[
            SourceChunk("s1", "https://rome.example", "Rome"),
            FileChunk("aGk=", "text/plain"),
            ToolCallEnd("p1", "search", "{}", provider_executed=True),
            ToolCallEnd("c1", "look_up", '{"city": "Rome"}'),
            FinishChunk("tool-calls"),
        ]
    )
    workflow = durable(agent(turn, "Sunny.", calls=calls), on_finish=results.append)
    events, result = await env.events(workflow, ASK)
    assert result.unwrap() == {"text": "Sunny."}
    assert calls.names == ["Rome"]
    ran = [e.payload.id for e in events if e.type == "workflow-step-start"]
    assert ran.count("planner.tool") == 1
    (told,) = results
    (source,), (file,) = told.sources, told.files
    assert (source.payload.url, source.payload.title) == ("https://rome.example", "Rome")
    assert (file.payload.data, file.payload.mime_type) == ("aGk=", "text/plain")


async def test_what_the_client_does_ends_the_run(env: Env) -> None:
    pick = create_tool("pick", "Pick a colour", {"type": "object"})
    subject = agent(["Pick one.", ToolCall("pick", {})], "never said")
    events, result = await env.events(durable(subject, client_tools={"pick": pick}), ASK)
    assert result.unwrap() == {"text": "Pick one."}
    assert chunks(events)[-1]["payload"]["stepResult"]["reason"] == "tool-calls"


async def test_a_new_message_cannot_answer_what_waits(env: Env) -> None:
    workflow = durable(agent("never said"), auto_resume_suspended_tools=True)
    result = await env.start(workflow, ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ConfigError)
    assert "auto_resume_suspended_tools is not possible" in result.error.message


async def test_a_run_of_many_turns_stores_no_turn_again(env: Env) -> None:
    sizes: list[int] = []
    for turns in (8, 16):
        subject = agent(*([ToolCall("look_up", {"city": "x" * 500})] * turns), "Done.")
        workflow = start(id=f"w{turns}").then(
            create_step(subject, durable=True, max_steps=turns + 1)
        )
        result = await env.start(workflow.commit(), ASK)
        assert result.unwrap() == {"text": "Done."}
        rows = await env.storage.workflows.load_rows(f"w{turns}", result.run_id)
        records = [row.data for row in rows if row.key]
        sizes.append(
            sum(len(data if isinstance(data, bytes) else data.encode()) for data in records)
        )
    assert sizes[1] < 2.1 * sizes[0]


# -- waiting for a person ----------------------------------------------------------------------


def mailing(calls: Calls, **options: Any) -> Any:
    async def send(mail: dict[str, str]) -> str:
        calls.add(mail["to"])
        return "sent"

    return create_tool("mail", "Send a mail", {"type": "object"}, execute=send, **options)


MAIL = ToolCall("mail", {"to": "ann"})


async def test_a_call_waits_for_approval(env: Env, calls: Calls) -> None:
    subject = agent(MAIL, "Done.", tools={"mail": mailing(calls, require_approval=True)})
    run = await env.workflow(durable(subject)).create_run()
    events, result = await env.read(run.stream(ASK))
    assert isinstance(result, WorkflowSuspended)
    assert chunks(events)[-1]["type"] == "tool-call-approval"
    waits = result.steps["planner"].suspend_payload["suspendPayload"]
    assert waits == {"toolCallId": "call_1", "toolName": "mail", "args": {"to": "ann"}}
    assert calls.names == []
    again = await env.again(run)
    assert (await again.resume({"approved": True}, step="planner")).unwrap() == {"text": "Done."}
    assert calls.names == ["ann"]


async def test_a_call_that_is_declined_does_not_run(env: Env, calls: Calls) -> None:
    model = ScriptedModel(MAIL, "Then not.")
    subject = agent(model=model, tools={"mail": mailing(calls, require_approval=True)})
    run = await env.workflow(durable(subject)).create_run()
    await run.start(ASK)
    result = await run.resume({"approved": False, "reason": "too late"})
    assert result.unwrap() == {"text": "Then not."}
    assert model.requests[1].messages[-1].parts[0].result == "too late"  # pyright: ignore[reportAttributeAccessIssue]
    assert calls.names == []


async def test_calls_wait_one_after_the_other(env: Env, calls: Calls) -> None:
    model = ScriptedModel([MAIL, ToolCall("mail", {"to": "bob"}), ROME], "Done.")
    subject = agent(model=model, calls=calls, tools={"mail": mailing(calls, require_approval=True)})
    run = await env.workflow(durable(subject)).create_run()
    await run.start(ASK)
    second = await run.resume({"approved": True})
    assert isinstance(second, WorkflowSuspended)
    assert second.steps["planner"].suspend_payload["suspendPayload"]["args"] == {"to": "bob"}
    assert (await run.resume({"approved": True}, label="call_2")).unwrap() == {"text": "Done."}
    assert calls.names == ["ann", "bob", "Rome"]
    assert model.calls == 2


async def test_a_tool_suspends_and_goes_on_with_the_answer(env: Env, calls: Calls) -> None:
    class Question(BaseModel):
        what: str

    class Answer(BaseModel):
        code: int

    async def ask(question: Question, ctx: ToolContext) -> str:
        calls.add("asked" if ctx.resume_data is None else f"told {ctx.suspend_data}")
        if ctx.resume_data is None:
            await ctx.suspend({"wants": question.what})
        return str(ctx.resume_data.code)

    asking = create_tool("ask", "Ask", Question, execute=ask, resume_schema=Answer)
    model = ScriptedModel(ToolCall("ask", {"what": "code"}), "Open.")
    run = await env.workflow(durable(agent(model=model, tools={"ask": asking}))).create_run()
    first = await run.start(ASK)
    assert isinstance(first, WorkflowSuspended)
    assert first.steps["planner"].suspend_payload["suspendPayload"] == {"wants": "code"}
    again = await env.again(run)
    assert (await again.resume({"code": 7})).unwrap() == {"text": "Open."}
    assert model.requests[1].messages[-1].parts[0].result == "7"  # pyright: ignore[reportAttributeAccessIssue]
    assert calls.names == ["asked", "told {'wants': 'code'}"]


async def test_one_of_several_agents_in_a_foreach_is_answered(env: Env, calls: Calls) -> None:
    def answer(request: Any) -> Any:
        said = request.messages[-1]
        return "Sent." if said.role == "tool" else ToolCall("mail", {"to": said.text})

    tools = {"mail": mailing(calls, require_approval=True)}
    step = agent(model=FunctionModel(answer), tools=tools).as_step(durable=True)
    workflow = create_workflow(id="w", input_schema=list[Prompt], output_schema=Any)
    workflow.foreach(step, concurrency=2).commit()
    run = await env.workflow(workflow).create_run()
    first = await run.start([{"prompt": "ann"}, {"prompt": "bob"}])
    assert isinstance(first, WorkflowSuspended)
    second = await run.resume({"approved": True}, for_each_index=1)
    assert isinstance(second, WorkflowSuspended)
    assert calls.names == ["bob"]
    last = await run.resume({"approved": True}, for_each_index=0)
    assert last.unwrap() == [{"text": "Sent."}, {"text": "Sent."}]
    assert calls.names == ["bob", "ann"]


async def test_a_run_goes_step_by_step_through_it(env: Env, calls: Calls) -> None:
    model = ScriptedModel(ROME, "Sunny.")
    run = await env.workflow(durable(agent(model=model, calls=calls))).create_run()
    result = await run.start(ASK, per_step=True)
    seen = [(model.calls, len(calls.names))]
    while result.status == "paused":
        result = await run.resume(per_step=True)
        seen.append((model.calls, len(calls.names)))
    assert result.unwrap() == {"text": "Sunny."}
    assert seen[:3] == [(1, 0), (1, 1), (2, 1)]


async def test_an_answer_that_the_tool_does_not_take_is_refused_and_the_step_waits_on(
    env: Env,
) -> None:
    class Answer(BaseModel):
        code: int

    async def ask(question: dict[str, str], ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return f"code {ctx.resume_data.code + 1}"

    asking = create_tool("ask", "Ask", {"type": "object"}, execute=ask, resume_schema=Answer)
    model = ToolCall("ask", {}), "Thanks."
    run = await env.workflow(durable(agent(*model, tools={"ask": asking}))).create_run()
    await run.start(ASK)
    for _ in range(2):
        result = await run.resume({"code": "x"})
        assert isinstance(result, WorkflowSuspended)
        refused = result.suspend_payload["planner"]["refused"]
        assert "tool 'ask' is resumed with" in refused["message"]
    result = await run.resume({"code": 7})
    assert result.unwrap() == {"text": "Thanks."}
    assert "refused" not in str(result.to_wire())


# -- what goes wrong ---------------------------------------------------------------------------


async def test_a_model_that_fails_fails_the_step(env: Env, calls: Calls) -> None:
    subject = agent(ROME, model_failure("wrong key", status=401), calls=calls)
    result = await env.start(durable(subject), ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ModelError)
    assert "wrong key" in result.error.message
    assert result.steps["planner"].status == "failed"


async def test_a_retry_asks_the_model_again_and_calls_no_tool_again(env: Env, calls: Calls) -> None:
    subject = agent(ROME, model_failure("not now", status=400), "Sunny.", calls=calls)
    result = await env.start(durable(subject, retries=1), ASK)
    assert result.unwrap() == {"text": "Sunny."}
    assert calls.names == ["Rome"]


async def test_the_workflows_retries_hold_for_the_agent(env: Env, calls: Calls) -> None:
    subject = agent(ROME, model_failure("not now", status=400), "Sunny.", calls=calls)
    workflow = create_workflow(
        id="w", input_schema=Prompt, output_schema=Any, retry_config={"attempts": 1}
    )
    result = await env.start(workflow.then(subject.as_step(durable=True)).commit(), ASK)
    assert result.unwrap() == {"text": "Sunny."}
    assert calls.names == ["Rome"]


async def test_bad_input_names_step_and_field(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    model = ScriptedModel()
    workflow.then(agent(model=model).as_step(durable=True)).commit()
    result = await env.start(workflow, {"question": "?"})
    assert isinstance(result, WorkflowFailed)
    assert "'planner'" in result.error.message
    assert "prompt" in result.error.message
    assert model.calls == 0


async def test_a_processor_that_refuses_ends_the_run_as_tripwire(env: Env) -> None:
    class Guard(Processor):
        id = "guard"

        def process_output_step(self, ctx: Any) -> None:
            if "bomb" in ctx.text:
                ctx.abort("not that")

    result = await env.start(durable(agent(ROME, "a bomb", output_processors=[Guard()])), ASK)
    assert isinstance(result, WorkflowTripwire)
    assert result.tripwire["reason"] == "not that"


async def test_processors_keep_their_state_and_may_ask_again(env: Env) -> None:
    seen: list[Any] = []

    class Count(Processor):
        id = "count"

        def process_output_step(self, ctx: Any) -> None:
            ctx.state["steps"] = ctx.state.get("steps", 0) + 1
            seen.append((ctx.state["steps"], ctx.retry_count, ctx.text))
            if ctx.text == "rude":
                ctx.abort("be polite", retry=True)

    model = ScriptedModel("rude", ROME, "Sunny.")
    result = await env.start(durable(agent(model=model, output_processors=[Count()])), ASK)
    assert result.unwrap() == {"text": "Sunny."}
    assert seen == [(1, 0, "rude"), (2, 1, ""), (3, 1, "Sunny.")]
    assert "be polite" in [message.text for message in model.requests[2].messages]


async def test_a_processors_state_must_be_json(env: Env) -> None:
    class Odd(Processor):
        id = "odd"

        def process_output_step(self, ctx: Any) -> None:
            ctx.state["self"] = self

    result = await env.start(durable(agent(ROME, output_processors=[Odd()])), ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ConfigError)
    assert "processor 'odd'" in result.error.message


async def test_a_tool_that_takes_too_long_fails_the_step(env: Env) -> None:
    was_cut_off = asyncio.Event()

    async def wait(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cut_off.set()

    model = ScriptedModel(ToolCall("hang", {}))

    def options() -> dict[str, Any]:
        # The model may take as long as it likes.
        return {"model_settings": {"timeout": {"total": 0.01}}} if model.calls else {}

    hang = create_tool("hang", "Hang", {"type": "object"}, execute=wait)
    workflow = durable(agent(model=model, tools={"hang": hang}, default_options=options))
    result = await env.start(workflow, ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ModelError)
    assert result.error.code == "MODEL_TIMEOUT"
    assert was_cut_off.is_set()


@pytest.mark.parametrize("where", ["model", "tool"])
async def test_cancelling_the_run_ends_the_call(env: Env, where: str) -> None:
    began, was_cut_off = asyncio.Event(), asyncio.Event()

    async def wait(*_: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cut_off.set()

    hang = create_tool("hang", "Hang", {"type": "object"}, execute=wait)
    model: Any = FunctionModel(wait) if where == "model" else ScriptedModel(ToolCall("hang", {}))
    run = await env.workflow(durable(agent(model=model, tools={"hang": hang}))).create_run()
    await run.start_async(ASK)
    await began.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert was_cut_off.is_set()


# -- where it stands ---------------------------------------------------------------------------


async def test_in_a_foreach(env: Env) -> None:
    def answer(request: Any) -> Any:
        if request.messages[-1].role == "tool":
            return f"It is {request.messages[-1].parts[0].result}."
        return ToolCall("look_up", {"city": request.messages[-1].text})

    workflow = create_workflow(id="w", input_schema=list[Prompt], output_schema=Any)
    step = agent(model=FunctionModel(answer)).as_step(durable=True)
    workflow.foreach(step, concurrency=2).commit()
    result = await env.start(workflow, [{"prompt": "Rome"}, {"prompt": "Oslo"}])
    assert [item["text"] for item in result.unwrap()] == [
        "It is sunny in Rome.",
        "It is sunny in Oslo.",
    ]


async def test_in_a_nested_workflow_in_parallel(env: Env, calls: Calls) -> None:
    inner = start(id="inner").then(agent(ROME, "One.", calls=calls).as_step(durable=True)).commit()
    other = agent(OSLO, "Two.", calls=calls).as_step(durable=True, id="other")
    result = await env.start(start().parallel([inner, other]).commit(), ASK)
    assert result.unwrap() == {"inner": {"text": "One."}, "other": {"text": "Two."}}
    assert {"inner.planner.tool", "other.model"} <= set(result.steps)
    assert sorted(calls.names) == ["Oslo", "Rome"]


async def test_an_agent_asks_another(env: Env) -> None:
    helper = Agent(
        id="helper", description="Helps", instructions="Help.", model=ScriptedModel("I helped.")
    )
    subject = agent(
        ToolCall("agent-helper", {"prompt": "help"}), "Thanks.", agents={"helper": helper}
    )
    events, result = await env.events(durable(subject), ASK)
    assert result.unwrap() == {"text": "Thanks."}
    inner = [c["payload"]["output"]["type"] for c in chunks(events) if c["type"] == "tool-output"]
    assert inner[0] == "start"
    assert inner[-1] == "finish"


async def test_memory_is_recalled_once_and_kept_at_the_end(env: Env) -> None:
    memory = Memory()
    model = ScriptedModel("Hello.", ROME, "Sunny.")
    subject = agent(model=model, memory=memory)
    thread = {"thread": "t", "resource": "ann"}
    mastra = env.mastra(workflows=[durable(subject, memory=thread)], agents={"planner": subject})
    await mastra.get_agent("planner").generate("Hi.", memory=thread)  # pyright: ignore[reportArgumentType]
    run = await mastra.get_workflow("w").create_run()
    assert (await run.start(ASK)).unwrap() == {"text": "Sunny."}
    assert [message.text for message in model.requests[2].messages][1:4] == [
        "Hi.",
        "Hello.",
        "What to do?",
    ]
    kept = await memory.bound_to(mastra).recall(thread_id="t", last=10)
    assert [message.role for message in kept] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


# -- crashes and going back --------------------------------------------------------------------


async def test_after_a_crash_nothing_that_is_known_is_asked_again(env: Env, calls: Calls) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(what: str) -> str:
        """Take a while."""
        calls.add("slow")
        began.set()
        await may_end.wait()
        return what

    model = ScriptedModel([ROME, ToolCall("slow", {"what": "x"})], "Done.")
    subject = agent(model=model, calls=calls, tools={"slow": slow})
    registered = env.workflow(durable(subject, tool_call_concurrency=1))
    run = await registered.create_run("r")
    await run.start_async(ASK)
    await began.wait()
    mastra = await env.crash()
    may_end.set()
    again = await mastra.get_workflow("w").create_run("r")
    result = await (again.result() if env.name.startswith("inngest") else again.restart())
    assert result.unwrap() == {"text": "Done."}
    assert calls.names == ["Rome", "slow", "slow"]
    assert model.calls == 2


async def test_going_back_to_the_agent_asks_it_anew(env: Env, calls: Calls) -> None:
    subject = agent(ROME, "One.", OSLO, "Two.", calls=calls)
    run = await env.workflow(durable(subject)).create_run()
    await run.start(ASK)
    result = await run.time_travel(step="planner", input_data={"prompt": "Again?"})
    assert result.unwrap() == {"text": "Two."}
    assert calls.names == ["Rome", "Oslo"]


async def test_going_back_into_the_agent_is_refused(env: Env) -> None:
    run = await env.workflow(durable(agent(ROME, "One."))).create_run()
    await run.start(ASK)
    with pytest.raises(RunStateError, match="step='planner'"):
        await run.time_travel(step="planner.tool")
