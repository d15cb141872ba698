"""Processors combined into a workflow, which is used as one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ModelError, RunStateError, SerializationError
from mastra.models.messages import Message
from mastra.processors import Processor, ProcessorStepData, UnicodeNormalizer, processor_step
from mastra.processors.steps import ProcessorMoment
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import tool
from mastra.workflows.step import create_step
from mastra.workflows.workflow import create_workflow


def guard(name: str = "guard") -> Any:
    return create_workflow(id=name, input_schema=ProcessorStepData, output_schema=ProcessorStepData)


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", instructions="Be brief.", model=ScriptedModel(*turns), **options)


def asked(subject: Agent, call: int = 0) -> list[str]:
    model: Any = subject.spec.model
    return [message.text for message in model.requests[call].messages]


class Add(Processor):
    """Adds a word to the last message, or a system message."""

    def __init__(self, word: str, *, system: bool = False) -> None:
        self.id = word
        self._system = system

    def process_input(self, ctx: Any) -> Any:
        if self._system:
            return {"system_messages": [*ctx.system_messages, self.id]}
        *before, last = ctx.messages
        return [*before, Message("user", f"{last.text} {self.id}")]


class Refuse(Processor):
    id = "refuse"

    async def process_input(self, ctx: Any) -> None:
        if "bad" in ctx.messages[-1].text:
            ctx.abort("not that", metadata={"level": 3})


async def test_one_after_the_other() -> None:
    workflow = guard().then(create_step(Add("one"))).then(create_step(Add("two"))).commit()
    subject = agent("yes", input_processors=[Add("zero"), workflow, Add("three")])
    await subject.generate("hi")
    assert asked(subject) == ["Be brief.", "hi zero one two three"]


async def test_a_refusal_in_a_workflow() -> None:
    workflow = guard().then(create_step(Refuse())).then(create_step(Add("never"))).commit()
    stream = agent(input_processors=[workflow]).stream("bad things")
    chunks = [chunk async for chunk in stream]
    assert [chunk.type for chunk in chunks] == ["tripwire"]
    assert chunks[0].to_wire()["payload"] == {
        "reason": "not that",
        "metadata": {"level": 3},
        "processorId": "refuse",
    }
    assert stream.status == "tripwire"


async def test_side_by_side_each_change_holds() -> None:
    workflow = (
        guard()
        .parallel([create_step(Add("words")), create_step(Add("told", system=True))])
        .then(create_step(Add("after")))
        .commit()
    )
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert asked(subject) == ["Be brief.", "told", "hi words after"]


async def test_side_by_side_one_may_refuse() -> None:
    workflow = guard().parallel([create_step(Add("words")), create_step(Refuse())]).commit()
    result = await agent(input_processors=[workflow]).generate("bad things")
    assert result.tripwire is not None
    assert result.tripwire.processor_id == "refuse"


@pytest.mark.parametrize(
    ("said", "found"), [("long words", "long words cut"), ("hm", "hm more"), ("other", "other")]
)
async def test_branches(said: str, found: str) -> None:
    workflow = (
        guard()
        .branch(
            [
                (lambda ctx: "long" in ctx.input_data.messages[-1].text, create_step(Add("cut"))),
                (lambda ctx: ctx.input_data.messages[-1].text == "hm", create_step(Add("more"))),
            ]
        )
        .commit()
    )
    subject = agent("yes", input_processors=[workflow])
    await subject.generate(said)
    assert asked(subject)[-1] == found


async def test_a_map_may_choose() -> None:
    workflow = (
        guard()
        .parallel([create_step(Add("a")), create_step(Add("b"))])
        .map(lambda ctx: ctx.input_data["processor:a"])
        .commit()
    )
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert asked(subject)[-1] == "hi a"


async def test_workflows_nest() -> None:
    inner = guard("inner").then(create_step(Add("inner"))).commit()
    workflow = guard().then(inner).then(create_step(Add("outer"))).commit()
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert asked(subject)[-1] == "hi inner outer"


class Upper(Processor):
    id = "upper"

    def process_output_stream(self, ctx: Any) -> Any:
        if ctx.part.type != "text-delta":
            return ctx.part
        if "drop" in ctx.part.payload.text:
            return None
        part = copy.copy(ctx.part)
        part.payload = copy.copy(part.payload)
        part.payload.text = part.payload.text.upper()
        return part


class Count(Processor):
    """Keeps a state of its own over all chunks, and streams it in front of the last."""

    id = "count"

    def process_output_stream(self, ctx: Any) -> Any:
        if ctx.part.type == "text-delta":
            ctx.state["seen"] = ctx.state.get("seen", 0) + 1
        if ctx.part.type == "text-end":
            extra = copy.copy(ctx.part)
            extra.type, extra.payload = "data-count", {"data": ctx.state["seen"]}
            ctx.extra.append(extra)
        return ctx.part


async def test_each_chunk() -> None:
    workflow = guard().then(create_step(Upper())).then(create_step(Count())).commit()
    stream = agent("one drop two", output_processors=[workflow]).stream("q")
    chunks = [chunk async for chunk in stream]
    assert await stream.text() == "ONE TWO"
    [count] = [chunk.payload["data"] for chunk in chunks if chunk.type == "data-count"]
    assert count == 2


class Instead(Processor):
    """Streams what it was shown as a chunk of its own, and drops it."""

    id = "instead"

    def process_output_stream(self, ctx: Any) -> Any:
        if ctx.part.type != "text-delta":
            return ctx.part
        own = copy.copy(ctx.part)
        own.type, own.payload = "data-said", {"data": ctx.part.payload.text}
        ctx.extra.append(own)
        return None


async def test_the_next_step_sees_what_one_streams_in_place_of_a_chunk() -> None:
    workflow = guard().then(create_step(Instead())).then(create_step(Count())).commit()
    chunks = [c async for c in agent("one", output_processors=[workflow]).stream("q")]
    assert [c.payload["data"] for c in chunks if c.type == "data-said"] == ["one"]
    assert "text-delta" not in [c.type for c in chunks]


class Step(Processor):
    """Changes what the model is told at a step."""

    def __init__(self, **changes: Any) -> None:
        self.id = "step"
        self._changes = changes

    def process_input_step(self, ctx: Any) -> Any:
        return self._changes


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"messages": [Message("user", "other")]}, ["Be brief.", "other"]),
        ({"messages": ["other"], "system": "Be kind."}, ["Be kind.", "other"]),
        ({"system": ["Be kind.", "And slow."]}, ["Be kind.", "And slow.", "hi"]),
        ({"tool_choice": "none"}, ["Be brief.", "hi"]),
    ],
)
async def test_what_a_step_is_told_is_what_the_next_processor_sees(
    changes: dict[str, Any], told: list[str]
) -> None:
    seen: list[str] = []

    class Look(Processor):
        id = "look"

        def process_input_step(self, ctx: Any) -> None:
            seen.extend(m.text for m in [*ctx.system_messages, *ctx.messages])

    workflow = guard().then(create_step(Step(**changes))).then(create_step(Look())).commit()
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert seen == asked(subject) == told


class Everything(Processor):
    """Has the methods that the others have not."""

    id = "everything"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def process_input_step(self, ctx: Any) -> Any:
        self.seen.append(f"step {ctx.step_number}")
        return {"tool_choice": "auto", "system": "Be kind."}

    def process_llm_request(self, ctx: Any) -> Any:
        return {"prompt": [*ctx.prompt, Message("user", "now")]}

    def process_llm_response(self, ctx: Any) -> None:
        self.seen.append(f"said {ctx.text!r}")

    async def process_output_step(self, ctx: Any) -> None:
        if ctx.text == "no":
            ctx.abort("say yes", retry=True)

    def process_tool_result(self, ctx: Any) -> Any:
        return f"{ctx.tool_name}: {ctx.result * 2}"

    def process_output_result(self, ctx: Any) -> Any:
        return [*ctx.messages, Message("assistant", "signed")]


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


async def test_every_other_moment() -> None:
    everything = Everything()
    workflow = guard().then(create_step(everything)).commit()
    both: Any = {"input_processors": [workflow], "output_processors": [workflow]}
    subject = agent(ToolCall("double", {"n": 1}), "no", "yes", tools=[double], **both)
    result = await subject.generate("hi")
    assert everything.seen == ["step 0", "said ''", "step 1", "said 'no'", "step 2", "said 'yes'"]
    assert result.tool_results[0].payload.result == "double: 4"
    assert [message.text for message in result.messages if message.text] == ["hi", "yes", "signed"]
    model: Any = subject.spec.model
    first, second, third = model.requests
    assert [message.text for message in first.messages] == ["Be kind.", "hi", "now"]
    assert second.messages[-1].text == "now"
    assert len(third.messages) == len(second.messages)
    assert [step.finish_reason for step in result.steps] == ["tool-calls", "retry", "stop"]


class Cache(Processor):
    id = "cache"

    def process_llm_request(self, ctx: Any) -> Any:
        return {"response": "from the cache"}


async def test_an_answer_in_the_model_s_place() -> None:
    workflow = guard().then(create_step(Cache())).then(create_step(Everything())).commit()
    assert (await agent(input_processors=[workflow]).generate("q")).text == "from the cache"


class Again(Processor):
    id = "again"

    def process_api_error(self, ctx: Any) -> Any:
        return {"retry": "busy" in str(ctx.error), "messages": [Message("user", "please")]}


async def test_a_provider_s_error() -> None:
    workflow = guard().then(create_step(Again())).commit()
    failure = ModelError("busy", status_code=400)
    subject = agent(failure, "yes", error_processors=[workflow])
    assert (await subject.generate("q")).text == "yes"
    assert asked(subject, 1) == ["Be brief.", "please"]


@pytest.mark.parametrize(("answer", "said"), [(True, "yes"), (False, None), (None, None)])
async def test_a_provider_s_error_may_be_answered_with_a_word(
    answer: Any, said: str | None
) -> None:
    class Word(Processor):
        id = "word"

        def process_api_error(self, ctx: Any) -> Any:
            return answer

    workflow = guard().then(create_step(Word())).commit()
    subject = agent(ModelError("busy", status_code=400), "yes", error_processors=[workflow])
    if said is None:
        with pytest.raises(ModelError, match="busy"):
            await subject.generate("q")
    else:
        assert (await subject.generate("q")).text == said


async def test_a_processor_that_raises_fails_the_run_with_its_error() -> None:
    class Broken(Processor):
        def process_input(self, ctx: Any) -> None:
            raise RuntimeError("no scale")

    workflow = guard().then(create_step(Broken())).commit()
    with pytest.raises(Exception, match="no scale"):
        await agent(input_processors=[workflow]).generate("q")


async def test_any_object_with_the_methods_is_a_step() -> None:
    class Duck:
        id = "duck"

        def process_input(self, ctx: Any) -> Any:
            return [Message("user", "quack")]

    made = processor_step(Duck(), description="Quacks")
    assert (made.id, made.description, made.component) == ("processor:duck", "Quacks", "PROCESSOR")
    subject = agent("yes", input_processors=[guard().then(made).commit()])
    await subject.generate("q")
    assert asked(subject)[-1] == "quack"
    with pytest.raises(ConfigError, match="none of its methods"):
        processor_step(object())


async def test_built_in_processors_are_steps() -> None:
    workflow = guard().then(create_step(UnicodeNormalizer())).commit()
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("ﬁne")
    assert asked(subject)[-1] == "fine"


async def test_a_workflow_without_processors_is_refused() -> None:
    workflow = (
        create_workflow(id="plain", input_schema=Any, output_schema=Any)
        .map(lambda ctx: ctx.input_data)
        .commit()
    )
    with pytest.raises(ConfigError, match="'plain' is no processor"):
        await agent(input_processors=[workflow]).generate("q")


async def test_a_workflow_of_processors_is_run_by_an_agent() -> None:
    workflow = guard().then(create_step(Add("one"))).commit()
    run = await workflow.create_run()
    with pytest.raises(Exception, match="run by an agent"):
        await run.start(input_data={"phase": "input"})


async def test_a_moment_is_nothing_outside_of_an_agent_s_run() -> None:
    workflow = guard().then(create_step(Add("one"))).commit()
    moment = ProcessorMoment("input", None, [Message("user", "hi")], [])
    run = await workflow.create_run()
    with pytest.raises(SerializationError, match="ProcessorMoment") as refused:
        await run.start(input_data=moment)
    assert "within an agent's run" in str(refused.value.__cause__)


async def test_a_step_of_one_s_own_among_processors() -> None:
    async def look(moment: ProcessorStepData) -> ProcessorStepData:
        moment.messages = [*moment.messages, Message("user", moment.phase)]
        return moment

    own = create_step(id="look", execute=look)
    workflow = guard().then(own).then(create_step(Add("one"))).commit()
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert asked(subject) == ["Be brief.", "hi", "input one"]


async def test_nothing_of_a_run_is_kept() -> None:
    workflow = guard().then(create_step(Add("one"))).commit()
    subject = agent("yes", input_processors=[workflow])
    await subject.generate("hi")
    assert (await workflow.list_runs()).total == 0


async def test_a_processor_that_waits_for_a_person_fails_the_run() -> None:
    async def wait(ctx: Any) -> Any:
        await ctx.suspend({"why": "ask"})

    asking = create_step(
        id="ask", input_schema=ProcessorStepData, output_schema=ProcessorStepData, execute=wait
    )
    workflow = guard().then(create_step(Add("one"))).then(asking).commit()
    with pytest.raises(RunStateError, match="'guard' ended as 'suspended'"):
        await agent("yes", input_processors=[workflow]).generate("q")
