"""OpenAI's own client talks to agents as to models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from mastra import Agent, Mastra, tool
from mastra.server import BearerAuth, ServerConfig, create_app, openai_route
from mastra.testing import FunctionModel, ToolCall, Turn

pytestmark = pytest.mark.anyio

RING = {
    "name": "ring",
    "description": "Rings",
    "parameters": {"type": "object", "properties": {"how": {"type": "string"}}},
}
REQUESTS: list[Any] = []


class Total(BaseModel):
    total: int


@tool
async def look(at: str) -> str:
    """Look."""
    return f"saw {at}"


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    raise AssertionError


def answer(request: Any) -> Any:
    REQUESTS.append(request)
    last = request.messages[-1]
    if request.response_format is not None:
        return '{"total": 3}'
    if last.role == "tool":
        return f"The tool said {last.parts[0].result}."
    match last.text.split(" ")[0]:
        case "look":
            return ["Let me see. ", ToolCall("look", {"at": "it"})]
        case "ring":
            return [
                "I ring. ",
                ToolCall("ring", {"how": "long"}),
                ToolCall("ring", {"how": "short"}),
            ]
        case "pay":
            return ToolCall("pay", {"to": "ann"})
        case "fail":
            return Turn("Half", error=RuntimeError("out of order"))
        case "long":
            return Turn("Too lo", finish_reason="length")
        case _:
            return ["You said: ", last.text]


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[AsyncOpenAI]:
    agent = Agent(
        id="guide-agent",
        instructions="Be kind.",
        model=FunctionModel(answer),
        tools={"look": look, "pay": pay},
    )
    config = ServerConfig(auth=BearerAuth({"key": "ann"}), api_routes=[openai_route()])
    mastra = Mastra(agents={"guide": agent}, server=config)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport) as http:
        yield AsyncOpenAI(
            api_key="key", base_url="http://testserver/v1", http_client=http, max_retries=0
        )


def user(text: Any) -> list[Any]:
    return [{"role": "user", "content": text}]


# -- models ----------------------------------------------------------------------------------------


async def test_agents_are_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["guide"]
    assert (await client.models.retrieve("guide-agent")).owned_by == "mastra"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await client.models.retrieve("nobody")
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nobody", messages=user("x"))
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="nobody", input="x")


async def test_strangers_are_refused(client: AsyncOpenAI) -> None:
    stranger = client.with_options(api_key="wrong")
    for call in (
        stranger.models.list(),
        stranger.chat.completions.create(model="guide", messages=user("x")),
        stranger.responses.create(model="guide", input="x"),
    ):
        with pytest.raises(openai.AuthenticationError):
            await call


# -- chat completions ------------------------------------------------------------------------------


async def test_a_chat_completion(client: AsyncOpenAI) -> None:
    made = await client.chat.completions.create(
        model="guide",
        messages=[{"role": "system", "content": "Be brief."}, *user("hello")],
        temperature=0.5,
        max_tokens=50,
        stop=["x"],
    )
    assert made.choices[0].message.content == "You said: hello"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (10, 5)
    request = REQUESTS[-1]
    assert (request.settings.temperature, request.settings.max_output_tokens) == (0.5, 50)
    assert [message.text for message in request.messages] == ["Be kind.", "Be brief.", "hello"]


async def test_a_chat_completion_is_streamed(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="guide",
        messages=user("hello"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["", "You said: ", "hello", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 15
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_agents_own_tools_run_unseen(client: AsyncOpenAI) -> None:
    made = await client.chat.completions.create(model="guide", messages=user("look"))
    message = made.choices[0].message
    assert message.content == "Let me see. The tool said saw it."
    assert message.tool_calls is None
    assert made.usage is not None
    assert made.usage.total_tokens == 30


async def test_tools_of_the_caller_are_the_callers_to_run(client: AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": RING}]
    asked = user("ring")
    made = await client.chat.completions.create(model="guide", messages=asked, tools=tools)
    message = made.choices[0].message
    assert made.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    calls: list[Any] = message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"how": "long"}', '{"how": "short"}']
    asked.append(message.model_dump(exclude_none=True))
    asked += [{"role": "tool", "tool_call_id": call.id, "content": "rang"} for call in calls]
    made = await client.chat.completions.create(model="guide", messages=asked, tools=tools)
    assert made.choices[0].message.content == "The tool said rang."

    tools = [{"type": "function", "function": {**RING, "strict": True}}]
    async with client.chat.completions.stream(
        model="guide", messages=user("ring"), tools=tools
    ) as stream:
        final: Any = (await stream.get_final_completion()).choices[0]
    assert final.finish_reason == "tool_calls"
    assert [call.function.name for call in final.message.tool_calls] == ["ring", "ring"]
    assert final.message.tool_calls[1].function.arguments == '{"how": "short"}'


async def test_pictures_and_forms(client: AsyncOpenAI) -> None:
    url = "data:image/png;base64,AAAA"
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]
    await client.chat.completions.create(model="guide", messages=user(parts))
    [_, picture] = REQUESTS[-1].messages[-1].parts
    assert picture.url == url
    made = await client.chat.completions.parse(
        model="guide", messages=user("sum"), response_format=Total
    )
    assert made.choices[0].message.parsed == Total(total=3)


async def test_what_goes_wrong_is_an_error_of_the_client(client: AsyncOpenAI) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.APIStatusError, match="out of order") as failed:
        await create(model="guide", messages=user("fail"))
    assert failed.value.status_code == 502
    with pytest.raises(openai.ConflictError, match="waits for a person"):
        await create(model="guide", messages=user("pay"))
    with pytest.raises(openai.BadRequestError, match="n is 1"):
        await create(model="guide", messages=user("x"), n=2)
    taken: Any = [{"type": "function", "function": {**RING, "name": "pay"}}]
    with pytest.raises(openai.BadRequestError, match="pay"):
        await create(model="guide", messages=user("x"), tools=taken)
    with pytest.raises(openai.BadRequestError):
        await create(model="guide", messages=[])
    stream = await create(model="guide", messages=user("fail"), stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="out of order"):  # noqa: PT012 - it comes in the middle
        async for chunk in stream:
            seen.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before it counts
    assert "Half" in seen


async def test_why_an_answer_ended(client: AsyncOpenAI) -> None:
    made = await client.chat.completions.create(model="guide", messages=user("long"))
    assert made.choices[0].finish_reason == "length"
    response = await client.responses.create(model="guide", input="long")
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


# -- responses -------------------------------------------------------------------------------------


async def test_a_response(client: AsyncOpenAI) -> None:
    made = await client.responses.create(
        model="guide", input="hello", instructions="Be brief.", metadata={"a": "b"}
    )
    assert made.output_text == "You said: hello"
    assert made.status == "completed"
    assert made.usage is not None
    assert made.usage.total_tokens == 15
    assert made.metadata == {"a": "b"}
    assert "Be brief." in [message.text for message in REQUESTS[-1].messages]


async def test_a_response_is_streamed(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="guide", input="look", stream=True)
    events: list[Any] = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    of_an_item = [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert [kind for kind in kinds if kind in of_an_item][:2] == of_an_item[:2]
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == "Let me see. The tool said saw it." == events[-1].response.output_text


async def test_a_response_with_tools_of_the_caller(client: AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", **RING, "strict": False}]
    asked: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "ring"}]}]
    async with client.responses.stream(model="guide", input=asked, tools=tools) as stream:
        made: Any = await stream.get_final_response()
    calls = [item for item in made.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == ['{"how": "long"}', '{"how": "short"}']
    asked += [item.model_dump(exclude_none=True) for item in made.output]
    asked += [
        {"type": "function_call_output", "call_id": call.call_id, "output": "rang"}
        for call in calls
    ]
    made = await client.responses.create(model="guide", input=asked, tools=tools)
    assert made.output_text == "The tool said rang."
    roles = [message.role for message in REQUESTS[-1].messages]
    assert roles == ["system", "user", "assistant", "tool"]


async def test_pictures_files_and_forms_of_responses(client: AsyncOpenAI) -> None:
    url = "data:image/png;base64,AAAA"
    parts: list[Any] = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": url, "detail": "low"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf", "filename": "a.pdf"},
    ]
    await client.responses.create(model="guide", input=user(parts))
    [_, picture, file] = REQUESTS[-1].messages[-1].parts
    assert (picture.url, file.url) == (url, "https://example.com/a.pdf")
    made = await client.responses.parse(model="guide", input="sum", text_format=Total)
    assert made.output_parsed == Total(total=3)


async def test_what_goes_wrong_with_a_response(client: AsyncOpenAI) -> None:
    create = client.responses.create
    with pytest.raises(openai.APIStatusError, match="out of order"):
        await create(model="guide", input="fail")
    with pytest.raises(openai.BadRequestError, match="not kept"):
        await create(model="guide", input="x", previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="item_reference"):
        await create(model="guide", input=[{"type": "item_reference", "id": "x"}])
    events: list[Any] = [
        event async for event in await create(model="guide", input="pay", stream=True)
    ]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "run_suspended"
