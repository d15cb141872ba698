"""Processors see, change and refuse; a refusal is an outcome of the run."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.agents.output import StructuredOutput
from mastra.errors import ConfigError, ModelError
from mastra.models.messages import Message
from mastra.processors import Processor, ProcessorStepData, RegexFilter
from mastra.testing.models import ScriptedModel, ToolCall, Turn
from mastra.tools.tool import tool
from mastra.workflows.step import create_step
from mastra.workflows.workflow import create_workflow


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", instructions="Be brief.", model=ScriptedModel(*turns), **options)


def asked(subject: Agent, call: int = 0) -> list[tuple[str, str]]:
    model: Any = subject.spec.model
    return [(message.role, message.text) for message in model.requests[call].messages]


async def kinds(stream: Any) -> list[str]:
    return [chunk.type async for chunk in stream]


class Shout(Processor):
    id = "shout"

    def process_input(self, ctx: Any) -> Any:
        ctx.state["seen"] = len(ctx.messages)
        return [Message("user", message.text.upper()) for message in ctx.messages]

    async def process_output_result(self, ctx: Any) -> Any:
        assert ctx.state == {"seen": 1}
        return [*ctx.messages, Message("assistant", "signed")]


async def test_input_and_result() -> None:
    subject = agent("yes", input_processors=[shout := Shout()], output_processors=[shout])
    result = await subject.generate("hello")
    assert asked(subject) == [("system", "Be brief."), ("user", "HELLO")]
    assert [message.text for message in result.messages] == ["HELLO", "yes", "signed"]


class Refuse(Processor):
    id = "refuse"

    def process_input(self, ctx: Any) -> None:
        if "bad" in ctx.messages[-1].text:
            ctx.abort("not that", metadata={"level": 3})


async def test_a_refusal_of_the_input() -> None:
    subject = agent(input_processors=[Refuse()])
    stream = subject.stream("bad things")
    chunks = [chunk async for chunk in stream]
    assert [chunk.type for chunk in chunks] == ["tripwire"]
    assert chunks[0].to_wire()["payload"] == {
        "reason": "not that",
        "metadata": {"level": 3},
        "processorId": "refuse",
    }
    assert await stream.finish_reason() == "other"
    assert stream.status == "tripwire"
    result = await subject.generate("bad things")
    assert result.tripwire is not None
    assert result.tripwire.reason == "not that"


async def test_each_chunk() -> None:
    class Upper(Processor):
        def process_output_stream(self, ctx: Any) -> Any:
            if ctx.part.type != "text-delta":
                return ctx.part
            if "drop" in ctx.part.payload.text:
                return None
            part = copy.copy(ctx.part)
            part.payload = copy.copy(part.payload)
            part.payload.text = part.payload.text.upper()
            return part

    stream = agent("one drop two", output_processors=[Upper()]).stream("q")
    assert [text async for text in stream.text_stream] == ["ONE ", "TWO"]
    result = await stream.result()
    assert result.text == "ONE TWO"
    assert result.messages[-1].text == "ONE TWO"
    chunks = [chunk async for chunk in stream]
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))


async def test_a_refusal_in_the_middle() -> None:
    class Stop(Processor):
        id = "stop"

        def process_output_stream(self, ctx: Any) -> Any:
            if ctx.part.type == "text-delta" and "secret" in ctx.part.payload.text:
                ctx.abort("leak")
            return ctx.part

    stream = agent("the secret is 42", output_processors=[Stop()]).stream("q")
    assert await kinds(stream) == [*("start", "step-start", "text-start", "text-delta", "tripwire")]
    assert stream.tripwire is not None
    assert stream.tripwire.processor_id == "stop"


class Polite(Processor):
    id = "polite"

    def process_output_step(self, ctx: Any) -> None:
        if "please" not in ctx.text:
            ctx.abort("say please", retry=True)


async def test_asking_the_model_again() -> None:
    subject = agent("give", "please give", output_processors=[Polite()])
    stream = subject.stream("q")
    chunks = [chunk async for chunk in stream]
    steps = [chunk.payload for chunk in chunks if chunk.type == "step-finish"]
    assert steps[0].step_result.to_wire() == {
        "reason": "retry",
        "isContinued": True,
        "retryReason": "say please",
        "retryProcessorId": "polite",
    }
    assert asked(subject, 1) == [("system", "Be brief."), ("system", "say please"), ("user", "q")]
    result = await stream.result()
    assert result.text == "please give"
    assert [message.text for message in result.messages] == ["q", "please give"]
    assert result.usage.total_tokens == 30


async def test_not_for_ever() -> None:
    stream = agent("no", "no", "no", output_processors=[Polite()], max_processor_retries=1).stream(
        "q"
    )
    assert (await kinds(stream))[-1] == "tripwire"
    assert stream.tripwire is not None
    assert stream.tripwire.retry is True


async def test_tools_wait_for_the_verdict_and_results_are_seen() -> None:
    ran: list[str] = []

    @tool
    async def act(n: int) -> int:
        """Act."""
        ran.append("ran")
        return n

    class Careful(Processor):
        id = "careful"

        def process_output_step(self, ctx: Any) -> None:
            if ctx.tool_calls and ctx.tool_calls[0].payload.args["n"] > 5:
                ctx.abort("too much", retry=True)

        def process_tool_result(self, ctx: Any) -> Any:
            return {"was": ctx.result}

    subject = agent(
        ToolCall("act", {"n": 9}),
        ToolCall("act", {"n": 1}),
        "done",
        tools=[act],
        output_processors=[Careful()],
    )
    result = await subject.generate("q")
    assert ran == ["ran"]
    assert result.tool_results[0].payload.result == {"was": 1}
    assert result.text == "done"


async def test_each_step_and_the_prompt() -> None:
    class Steps(Processor):
        def process_input_step(self, ctx: Any) -> Any:
            return {"model_settings": {"temperature": ctx.step_number}}

        def process_llm_request(self, ctx: Any) -> Any:
            return {"prompt": [*ctx.prompt, Message("user", "and quickly")]}

    subject = agent("ok", input_processors=[Steps()])
    await subject.generate("q")
    model: Any = subject.spec.model
    assert model.requests[0].settings.temperature == 0
    assert asked(subject)[-1] == ("user", "and quickly")


async def test_a_cache_answers_in_the_models_place() -> None:
    kept: dict[str, str] = {}

    class Cache(Processor):
        def process_llm_request(self, ctx: Any) -> Any:
            found = kept.get(ctx.prompt[-1].text)
            return None if found is None else {"response": found}

        def process_llm_response(self, ctx: Any) -> None:
            kept[ctx.prompt[-1].text] = ctx.text

    subject = agent("said once", input_processors=[cache := Cache()], output_processors=[cache])
    assert (await subject.generate("q")).text == "said once"
    assert (await subject.generate("q")).text == "said once"
    model: Any = subject.spec.model
    assert model.calls == 1


async def test_what_a_provider_refuses() -> None:
    class Shorten(Processor):
        def process_api_error(self, ctx: Any) -> Any:
            if "too long" in str(ctx.error):
                return {"retry": True, "messages": ctx.messages[-1:]}
            return None

    subject = agent(ModelError("too long"), "ok", error_processors=[Shorten()])
    assert (await subject.generate(["one", "two"])).text == "ok"
    assert asked(subject, 1) == [("system", "Be brief."), ("user", "two")]
    with pytest.raises(ModelError, match="other"):
        await agent(ModelError("other"), error_processors=[Shorten()]).generate("q")


@pytest.mark.parametrize("limit", [None, 0, 2])
async def test_a_request_that_always_fails_is_made_so_often_and_no_more(limit: int | None) -> None:
    class Again(Processor):
        def process_api_error(self, _: Any) -> bool:
            return True

    failing = [ModelError("no", is_retryable=False)] * 20
    subject = agent(*failing, error_processors=[Again()], max_processor_retries=limit)
    with pytest.raises(ModelError, match="no"):
        await subject.generate("q")
    model: Any = subject.spec.model
    assert model.calls == (11 if limit is None else limit + 1)


async def test_a_processor_writes_and_calls_replace_the_agents() -> None:
    class Note(Processor):
        async def process_input(self, ctx: Any) -> None:
            await ctx.writer.custom({"type": "data-note", "data": "seen"})

    subject = agent("a", "b", input_processors=[Refuse()])
    stream = subject.stream("bad", input_processors=[Note()])
    assert (await kinds(stream))[:2] == ["data-note", "start"]
    assert await stream.text() == "a"
    with pytest.raises(ConfigError, match="not a processor"):
        await subject.generate("q", input_processors=[object()])


async def test_a_tripwire_with_reasoning_and_structured_output_is_no_error() -> None:
    subject = agent(Turn("{}", reasoning="hm"), output_processors=[Polite()])
    result = await subject.generate("q", max_processor_retries=0)
    assert result.finish_reason == "other"
    assert result.error is None


class Add(Processor):
    def __init__(self, text: str) -> None:
        self.text = text
        self.seen: list[Any] = []

    def process_input_step(self, ctx: Any) -> Any:
        self.seen.append((ctx.model, list(ctx.tools)))
        return {
            "messages": [*ctx.messages, Message("user", self.text)],
            "system": [*ctx.system_messages, Message("system", self.text)],
        }


async def test_each_sees_what_those_before_it_want_of_a_step() -> None:
    other = ScriptedModel("ok")

    class Choose(Processor):
        def process_input_step(self, ctx: Any) -> Any:
            return {"model": other, "active_tools": ["double"]}

    first, last = Add("one"), Add("two")
    subject = agent(input_processors=[first, Choose(), last], tools=[double, half])
    prepared = {"messages": "prepared", "system": "So."}
    result = await subject.generate("q", prepare_step=lambda _: prepared)
    assert result.text == "ok"
    assert [message.text for message in other.requests[0].messages] == [
        *("So.", "one", "two"),
        *("prepared", "one", "two"),
    ]
    assert first.seen == [("scripted/model", ["double", "half"])]
    assert last.seen == [("scripted/model", ["double"])]


@tool
def double(n: int) -> int:
    """Double a number."""
    return n * 2


@tool
def half(n: int) -> float:
    """Halve a number."""
    return n / 2


@pytest.mark.parametrize("mended", ["", "messages", "system_messages"])
async def test_what_is_asked_again_is_what_was_asked(mended: str) -> None:
    class Again(Processor):
        def process_api_error(self, ctx: Any) -> Any:
            if mended:
                role: Any = "user" if mended == "messages" else "system"
                getattr(ctx, mended)[:] = [Message(role, "mended")]
            return True

    injected = StructuredOutput(list[int], json_prompt_injection="inline")
    subject = agent(ModelError("no"), '{"value": [1]}', error_processors=[Again()])
    result = await subject.generate(
        "q",
        structured_output=injected,
        prepare_step=lambda _: {"system": "Prepared.", "messages": "prepared"},
    )
    assert result.object == [1]
    told = asked(subject, 1)
    assert told[:2] == [
        ("system", "mended" if mended == "system_messages" else "Prepared."),
        ("user", {"": "prepared", "messages": "mended"}.get(mended, "q")),
    ]
    assert told[2][1].startswith("Answer with JSON")


@pytest.mark.parametrize("as_steps", [False, True])
async def test_two_of_one_id_have_states_of_their_own(as_steps: bool) -> None:
    pieces = ["my na", "me is B", "ob, the k", "ey al", "pha"]
    rules: list[Any] = [
        RegexFilter([word], strategy="redact", replacement="_") for word in ("Bob", "alpha")
    ]
    if as_steps:
        data: Any = ProcessorStepData
        flow = create_workflow(id="rules", input_schema=data, output_schema=data)
        for number, rule in enumerate(rules):
            flow.then(create_step(rule, id=f"rule-{number}"))
        rules = [flow.commit()]
    subject = agent(Turn(pieces), output_processors=rules)
    assert (await subject.generate("q")).text == "my name is _, the key _"


@pytest.mark.parametrize("retry", [False, True])
async def test_whoever_refuses_is_told_of(retry: bool) -> None:
    told: list[Any] = []

    class Watched(Processor):
        id = "watched"

        async def on_violation(self, violation: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
            told.append(violation)

        def process_output_step(self, ctx: Any) -> None:
            if not told:
                ctx.abort("not that", retry=retry, metadata={"level": 1})

    subject = agent("a", "b", output_processors=[Watched()])
    assert (await subject.generate("q")).text == ("b" if retry else "")
    assert told == [{"processor_id": "watched", "message": "not that", "detail": {"level": 1}}]
