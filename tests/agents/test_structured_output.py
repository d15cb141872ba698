"""Structured output: objects checked, partial ones on the way, a second model, and what to do
with an answer that does not fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel

from mastra.agents.agent import Agent
from mastra.agents.output import StructuredOutput
from mastra.errors import ModelError
from mastra.jsonable import dump_json
from mastra.models.resolve import ModelConfig
from mastra.processors import PIIDetector, Processor
from mastra.testing.models import ScriptedModel, ToolCall, Turn
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, text_reply


class Plan(BaseModel):
    city: str
    stops: list[str]


PLAN = '{"city": "Rome", "stops": ["Forum", "Trastevere"]}'
PIECES = ['{"city": "Ro', 'me", "stops": ["For', 'um", "Trast', 'evere"]}']


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", model=ScriptedModel(*turns), **options)


async def test_an_object() -> None:
    subject = agent(PLAN)
    result = await subject.generate("q", structured_output=Plan)
    assert result.object == Plan(city="Rome", stops=["Forum", "Trastevere"])
    assert result.to_wire()["object"] == {"city": "Rome", "stops": ["Forum", "Trastevere"]}
    model: Any = subject.spec.model
    wanted = model.requests[0].response_format
    assert wanted.schema["required"] == ["city", "stops"]
    assert wanted.schema["additionalProperties"] is False
    assert wanted.strict


async def test_partial_objects_are_streamed() -> None:
    stream = agent({"text": PIECES}).stream("q", structured_output=Plan)
    seen = [item async for item in stream.object_stream]
    assert seen == [
        {"city": "Ro"},
        {"city": "Rome", "stops": ["For"]},
        {"city": "Rome", "stops": ["Forum", "Trast"]},
        {"city": "Rome", "stops": ["Forum", "Trastevere"]},
        Plan(city="Rome", stops=["Forum", "Trastevere"]),
    ]
    kinds = [chunk.type async for chunk in stream.full_stream]
    assert kinds[2:5] == ["text-start", "text-delta", "object"]
    assert kinds[-4:] == ["text-end", "object-result", "step-finish", "finish"]
    chunks = [chunk async for chunk in stream if chunk.type == "object-result"]
    assert "payload" not in chunks[0].to_wire()
    assert chunks[0].to_wire()["object"]["city"] == "Rome"


@pytest.mark.parametrize("second", [False, True], ids=["its own", "a second model's"])
async def test_partial_objects_of_single_letters_are_not_the_square_of_the_text(
    second: bool,
) -> None:
    def told(count: int) -> list[Any]:
        return [f"stop {place} is worth a look" for place in range(count)]

    sizes: dict[int, int] = {}
    for count in (60, 600):
        whole = {"city": "Rome", "stops": told(count)}
        text = dump_json(whole).decode()
        output: Any = Plan
        model: Any = ScriptedModel({"text": [*text]})
        if second:
            output, model = StructuredOutput(Plan, model=model), ScriptedModel("We go to Rome.")
        stream = Agent(id="a", model=model).stream("q", structured_output=output)
        seen = [chunk.to_wire() async for chunk in stream if chunk.type == "object"]
        objects: list[Any] = [one["object"] for one in seen]
        assert all(one != other for one, other in pairwise(objects))
        assert objects[0] == {}
        assert {"city": "R"} in objects  # of what is short each letter is shown
        assert len(dump_json(objects[-1])) > 0.95 * len(text)
        assert await stream.object() == Plan(city="Rome", stops=told(count))
        sizes[len(text)] = sum(len(dump_json(one)) for one in seen)
    # One for each letter would be 8,000 times the longer text.
    assert all(size < 2 * 64 * length for length, size in sizes.items()), sizes


async def test_elements() -> None:
    stream = agent({"text": ['{"value": [1', "0, 2", "0, 30]}"]}).stream(
        "q", structured_output=list[int]
    )
    assert [item async for item in stream.element_stream] == [10, 20, 30]
    assert await stream.object() == [10, 20, 30]


class Stop(BaseModel):
    name: str
    nights: int = 1


@pytest.mark.parametrize(
    "schema",
    [
        list[Stop],
        Sequence[Stop],
        tuple[Stop, ...],
        Annotated[list[Stop], Field(min_length=3)],
        list[Annotated[Stop, Field(title="A stop")]],
        tuple[Stop, Stop, Stop],
        RootModel[list[Stop]],
        list[Stop] | None,
        {"type": "array", "items": {"type": "object"}},
    ],
    ids=str,
)
async def test_each_element_is_of_its_type(schema: Any) -> None:
    stops = [Stop(name="Rome"), Stop(name="Bari", nights=2), Stop(name="Pisa")]
    text = '[{"name": "Rome"}, {"name": "Bari", "nights": "2"}, {"name": "Pisa"}]'
    stream = agent({"text": [*text]}).stream("q", structured_output=schema)
    found = [element async for element in stream.element_stream]
    whole = await stream.object()
    assert found == [*getattr(whole, "root", whole)]
    assert len(found) == 3
    assert found == stops or isinstance(schema, dict)


@pytest.mark.parametrize("schema", [dict[str, int], str, Stop])
async def test_what_is_no_list_has_no_elements(schema: Any) -> None:
    text = '"a"' if schema is str else '{"name": "Rome"}' if schema is Stop else '{"a": 1}'
    stream = agent({"text": [*text]}).stream("q", structured_output=schema)
    assert [element async for element in stream.element_stream] == []
    assert await stream.object()


async def test_the_elements_of_a_set_come_together() -> None:
    stream = agent({"text": [*"[30, 2, 100, 2]"]}).stream("q", structured_output=set[int])
    found = [element async for element in stream.element_stream]
    assert sorted(found) == [2, 30, 100]


async def test_an_element_that_does_not_fit_ends_the_elements() -> None:
    text = '[{"name": "Rome"}, {"nights": 2}, {"name": "Pisa"}]'
    stream = agent({"text": [*text]}).stream("q", structured_output=list[Stop])
    assert [element async for element in stream.element_stream] == [Stop(name="Rome")]
    with pytest.raises(ModelError, match="name: Field required"):
        await stream.object()


async def test_a_json_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    result = await agent('{"a": "x"}').generate("q", structured_output={"schema": schema})
    assert result.object == {"a": "x"}


async def test_words_around_the_object() -> None:
    result = await agent(f"Here you are:\n```json\n{PLAN}\n```").generate(
        "q", structured_output=Plan
    )
    assert result.object.city == "Rome"


async def test_with_tools_first() -> None:
    @tool
    async def look() -> str:
        """Look."""
        return "Rome"

    result = await agent(ToolCall("look"), PLAN, tools=[look]).generate("q", structured_output=Plan)
    assert result.object.city == "Rome"


@pytest.mark.parametrize("text", ["no json at all", '{"city": 5}', '{"city": "Ro'])
async def test_strict(text: str) -> None:
    subject = agent(text)
    with pytest.raises(ModelError, match="Structured output validation failed") as caught:
        await subject.generate("q", structured_output=Plan)
    assert caught.value.code == "STRUCTURED_OUTPUT_INVALID"


async def test_strict_while_streaming() -> None:
    stream = agent("nothing").stream("q", structured_output=Plan)
    kinds = [chunk.type async for chunk in stream]
    assert kinds[-3:] == ["error", "step-finish", "finish"]


async def test_warn(caplog: pytest.LogCaptureFixture) -> None:
    output = StructuredOutput(Plan, error_strategy="warn")
    with caplog.at_level(logging.WARNING, "mastra"):
        result = await agent("nothing").generate("q", structured_output=output)
    assert result.object is None
    assert result.text == "nothing"
    assert "validation failed" in caplog.text


async def test_fallback() -> None:
    value = Plan(city="", stops=[])
    output = StructuredOutput(Plan, error_strategy="fallback", fallback_value=value)
    stream = agent("nothing").stream("q", structured_output=output)
    assert await stream.object() == value
    assert stream.used_fallback_value
    assert (await stream.result()).to_wire()["usedFallbackValue"] is True


async def test_a_second_model() -> None:
    second = ScriptedModel({"text": PIECES})
    first = ScriptedModel("We go to Rome.")
    stream = Agent(id="a", model=first).stream(
        "q", structured_output=StructuredOutput(Plan, model=second, instructions="Read it.")
    )
    kinds = [chunk.type async for chunk in stream]
    assert kinds[-7:] == ["step-finish", *["object"] * 4, "object-result", "finish"]
    assert (await stream.object()).city == "Rome"
    assert await stream.text() == "We go to Rome."
    assert first.requests[0].response_format is None
    assert [message.text for message in second.requests[0].messages] == [
        "Read it.",
        "We go to Rome.",
    ]
    assert (await stream.usage()).total_tokens == 30


async def test_a_second_model_may_think_and_may_find_nothing() -> None:
    for said, value in (("7", 7), ("null", None)):
        second = ScriptedModel(Turn(said, reasoning="Hm."))
        wanted: Any = StructuredOutput(int | None, model=second)
        stream = agent("Well.").stream("q", structured_output=wanted)
        told = [chunk.payload async for chunk in stream if chunk.type == "object-result"]
        assert told == [await stream.object()] == [value]


@pytest.mark.parametrize("durable", [False, True])
async def test_a_step_may_ask_for_an_object_or_have_a_second_model_make_it(durable: bool) -> None:
    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    second = ScriptedModel(PLAN)
    for wanted in (Plan, StructuredOutput(Plan, model=second)):
        subject = agent(
            ToolCall("look"),
            PLAN if wanted is Plan else "Rome.",
            tools=[look],
            durable=durable,
            default_options={
                "structured_output": StructuredOutput(int, model=ScriptedModel()),
                "prepare_step": lambda _, wanted=wanted: {"structured_output": wanted},
            },
        )
        result = await subject.generate("q")
        assert result.object == Plan(city="Rome", stops=["Forum", "Trastevere"])
    assert second.calls == 1


@pytest.mark.parametrize("durable", [False, True])
async def test_a_run_that_ends_with_a_tool_has_its_object_made_of_what_was_said(
    durable: bool,
) -> None:
    @tool(require_approval=True)
    async def book() -> str:
        """Book."""
        return "booked"

    second = ScriptedModel(PLAN)
    output: Any = {"structured_output": StructuredOutput(Plan, model=second), "max_steps": 1}
    calls = Turn("We go to Rome.", [ToolCall("book")])
    subject = agent(calls, tools=[book], durable=durable, default_options=output)
    first = await subject.generate("q")
    assert (first.finish_reason, second.calls) == ("suspended", 0)
    result = await subject.approve_tool_call_generate(first.run_id)
    assert result.object == Plan(city="Rome", stops=["Forum", "Trastevere"])
    assert [message.text for message in second.requests[0].messages[1:]] == ["We go to Rome."]


async def test_the_schema_in_the_prompt() -> None:
    model = ScriptedModel(PLAN, PLAN)
    subject = Agent(id="a", model=model)
    for where in (True, "inline"):
        await subject.generate(
            "q", structured_output={"schema": Plan, "jsonPromptInjection": where}
        )
    first, second = model.requests
    assert first.response_format is None
    assert "JSON Schema" in first.messages[0].text
    assert second.messages[-1].role == "user"
    assert '"stops"' in second.messages[-1].text


async def test_on_the_wire(server: OpenAIServer) -> None:
    server.queue(text_reply(*PIECES))
    config = ModelConfig("openai/gpt-test", url=server.url, api_key="k")
    result = await Agent(id="a", model=config).generate("q", structured_output=Plan)
    assert result.object.stops == ["Forum", "Trastevere"]
    sent = server.requests[0]["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["name"] == "response"
    assert sent["json_schema"]["schema"]["properties"]["city"]["type"] == "string"


async def test_no_part_of_an_object_is_shown_before_processors_have_looked() -> None:
    told = Turn(['{"city": "ann@exam', 'ple.com", "stops": ["For', 'um", "b@c', '.example"]}'])
    subject = agent(told, output_processors=[PIIDetector()])
    stream = subject.stream("q", structured_output=Plan)
    partial = [found async for found in stream.object_stream]
    assert partial[-1] == Plan(city="[EMAIL]", stops=["Forum", "[EMAIL]"])
    assert partial[-2] == {"city": "[EMAIL]", "stops": ["Forum", "[EMAIL]"]}
    assert len(partial) > 2
    assert not [found for found in partial if "@" in str(found)]


async def test_elements_are_those_of_the_last_answer() -> None:
    class Again(Processor):
        def process_output_step(self, ctx: Any) -> None:
            if "1" in ctx.text:
                ctx.abort("again", retry=True)

    subject = agent("[1, 2, 3]", "[4, 5, 6]", output_processors=[Again()])
    stream = subject.stream("q", structured_output=list[int])
    found = [element async for element in stream.element_stream]
    assert found[-3:] == await stream.object() == [4, 5, 6]


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (Literal["yes", "no"], "yes", "yes"),
        (Colour, "\n red \n", Colour.RED),
        (date, "2024-05-06", date(2024, 5, 6)),
        (str, "<think>Hm.</think>Hello", "Hello"),
        (list[int] | None, "[1]", [1]),
        (Plan, dump_json(PLAN).decode(), Plan(city="Rome", stops=["Forum", "Trastevere"])),
        (Plan, '{"city": "Rome", "stops": "[\\"Forum\\"]"}', Plan(city="Rome", stops=["Forum"])),
        (
            list[Plan],
            '["{\\"city\\": \\"Rome\\", \\"stops\\": []}"]',
            [Plan(city="Rome", stops=[])],
        ),
    ],
)
async def test_an_answer_is_read_as_it_is_meant(schema: Any, text: str, value: Any) -> None:
    assert (await agent(text).generate("q", structured_output=schema)).object == value


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Literal["yes", "no"], "maybe"),
        (str, '{"value": "cut o'),
        (str, '"cut o'),
        (str, ""),
        (int, "many"),
        (list[str], "none"),
    ],
)
async def test_words_that_do_not_fit_are_no_object(schema: Any, text: str) -> None:
    with pytest.raises(ModelError, match="not JSON"):
        await agent(text).generate("q", structured_output=schema)


WANTED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize("text", ['{"a": 3}', "{}", "[]", '{"b": "x"}'])
async def test_an_answer_that_its_json_schema_does_not_have(text: str) -> None:
    wanted: Any = {"schema": WANTED}
    with pytest.raises(ModelError, match="does not match its JSON Schema") as caught:
        await agent(text).generate("q", structured_output=wanted)
    assert caught.value.code == "STRUCTURED_OUTPUT_INVALID"
    fallen = await agent(text).generate(
        "q",
        structured_output={**wanted, "errorStrategy": "fallback", "fallbackValue": {"a": "none"}},
    )
    assert (fallen.object, fallen.used_fallback_value) == ({"a": "none"}, True)
    warned = await agent(text).generate("q", structured_output={**wanted, "errorStrategy": "warn"})
    assert warned.object is None


async def test_of_several_readings_the_one_that_fits_its_json_schema_is_taken() -> None:
    wanted = {"schema": {"type": "array", "items": {"type": "integer"}}}
    for text in ("[1, 2]", '{"value": [1, 2]}', '{"value": "[1, 2]"}', "Well: [1, 2]."):
        assert (await agent(text).generate("q", structured_output=wanted)).object == [1, 2]


async def test_a_schema_that_cannot_be_checked_is_the_provider_s_to_keep_to() -> None:
    schema = {"schema": {"$ref": "#/nowhere"}}
    result = await agent('{"a": 3}').generate("q", structured_output=schema)
    assert result.object == {"a": 3}


async def test_a_schema_in_google_s_words_is_kept_to() -> None:
    schema = {"schema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}
    result = await agent('{"a": "3"}').generate("q", structured_output=schema)
    assert result.object == {"a": "3"}
    with pytest.raises(ModelError, match="a: 3 is not of type 'string'"):
        await agent('{"a": 3}').generate("q", structured_output=schema)
