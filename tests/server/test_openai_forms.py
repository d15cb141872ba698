"""Forms of OpenAI's API that its own client does not write, and answers that end in other ways."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig, tool
from mastra.models.base import ModelRequest
from mastra.models.responses_request import responses_body
from mastra.processors import Processor
from mastra.server import create_app, openai_route
from mastra.testing import FunctionModel, ToolCall

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def served(agent: Agent) -> AsyncGenerator[httpx.AsyncClient]:
    config = ServerConfig(api_routes=[openai_route("/v1/")])
    app = create_app(Mastra(agents={"a": agent}), config)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/v1") as opened:
        yield opened


class Noted:
    """A model that notes what it is asked."""

    def __init__(self, answer: Any = "ok") -> None:
        self.requests: list[ModelRequest] = []
        self.answer = answer

    def agent(self, **options: Any) -> Agent:
        return Agent(id="a", model=FunctionModel(self.say), **options)

    def say(self, request: ModelRequest) -> Any:
        self.requests.append(request)
        return self.answer


SAY: dict[str, Any] = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}


async def test_items_of_every_kind_are_the_conversation() -> None:
    model = Noted()
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "plain"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"at": 1}'},
        {"type": "function_call", "call_id": "d", "name": "look", "arguments": "{cut off"},
        {"type": "function_call_output", "call_id": "c", "output": [{"text": "a"}, {"text": "b"}]},
        {"type": "function_call_output", "call_id": "d", "output": "nothing"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "And this?"},
                {
                    "type": "input_file",
                    "file_url": "https://example.com/a.pdf",
                    "filename": "a.pdf",
                },
            ],
        },
    ]
    async with served(model.agent()) as client:
        answer = await client.post("/responses", json={"model": "a", "input": items})
        assert answer.status_code == 200, answer.text
    said = model.requests[0].messages
    roles = [one.role for one in said]
    assert roles == ["user", "assistant", "assistant", "tool", "assistant", "user"]
    calls: Any = said[2].parts
    assert [(one.tool_call_id, one.args) for one in calls] == [("c", {"at": 1}), ("d", "{cut off")]
    results: Any = said[3].parts
    assert [(one.tool_name, one.result) for one in results] == [("look", "ab"), ("look", "nothing")]
    assert said[4].text == "No."
    file: Any = said[5].parts[1]
    assert (file.url, file.filename) == ("https://example.com/a.pdf", "a.pdf")


async def test_a_picture_that_a_client_s_tool_gave_is_shown() -> None:
    model = Noted()
    shown = {"type": "input_image", "image_url": "https://example.com/a.png"}
    items = [
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [shown]},
    ]
    async with served(model.agent()) as client:
        answer = await client.post("/responses", json={"model": "a", "input": items})
    assert answer.status_code == 200, answer.text
    sent: Any = responses_body(model.requests[0], "gpt", "openai")["input"]
    assert sent[-1]["output"] == [shown]


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_the_form_of_an_answer_and_the_choice_of_a_tool(path: str) -> None:
    model = Noted('{"a": 1}')
    function = {"name": "f", "parameters": {"type": "object"}}
    is_chat = path == "/chat/completions"
    tools = [{"type": "function", **({"function": function} if is_chat else function)}]
    chosen = {"type": "function", **({"function": {"name": "f"}} if is_chat else {"name": "f"})}
    body: dict[str, Any] = {**SAY, "input": "hi", "tools": tools}
    form = {"type": "json_object"}
    async with served(model.agent()) as client:
        asked = {"response_format": form} if is_chat else {"text": {"format": form}}
        answer = await client.post(path, json={**body, **asked, "tool_choice": "none"})
        assert answer.status_code == 200, answer.text
        plain = {"type": "text"}
        asked = {"response_format": plain} if is_chat else {"text": {"format": plain}}
        answer = await client.post(path, json={**body, **asked, "tool_choice": chosen})
        assert answer.status_code == 200, answer.text
        odd = await client.post(path, json={**body, "tool_choice": {"type": "function"}})
        assert (odd.status_code, "tool_choice is auto" in odd.text) == (400, True)
    first, second = model.requests
    assert first.response_format is not None
    assert first.response_format.schema == {"type": "object"}
    assert (first.tool_choice, second.response_format) == ("none", None)
    named: Any = second.tool_choice
    assert named["toolName"] == "f"


@pytest.mark.parametrize(("is_strict", "status"), [(True, 502), (False, 200), (None, 200)])
@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_an_answer_keeps_to_a_schema_where_that_is_asked_for(
    path: str, is_strict: bool | None, status: int
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    form: dict[str, Any] = {"name": "x", "schema": schema, "strict": is_strict}
    given: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": form}}
    if path == "/responses":
        given = {"input": "hi", "text": {"format": {"type": "json_schema", **form}}}
    agent = Agent(id="a", model=FunctionModel(lambda _: '{"a": 1}'))
    async with served(agent) as client:
        answer = await client.post(path, json={**SAY, **given})
    assert answer.status_code == status, answer.text
    assert ('{\\"a\\": 1}' in answer.text) is (status == 200)


class Strict(Processor):
    id = "strict"

    async def process_input(self, ctx: Any) -> Any:
        ctx.abort("Not here.")


async def test_what_a_processor_stops_is_filtered_content() -> None:
    async with served(Noted().agent(input_processors=[Strict()])) as client:
        chat = (await client.post("/chat/completions", json=SAY)).json()
        assert chat["choices"][0]["finish_reason"] == "content_filter"
        response = (await client.post("/responses", json={"model": "a", "input": "hi"})).json()
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "content_filter"}


class Silent(Processor):
    id = "silent"

    async def process_output_stream(self, ctx: Any) -> Any:
        return None if ctx.part.type == "text-delta" else ctx.part


async def test_a_text_whose_words_were_left_out_is_no_item() -> None:
    async with served(Noted().agent(output_processors=[Silent()])) as client:
        body = {"model": "a", "input": "hi", "stream": True}
        text = (await client.post("/responses", json=body)).text
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        kinds = [one["type"] for one in events]
        assert kinds == ["response.created", "response.in_progress", "response.completed"]
        assert [one["sequence_number"] for one in events] == [0, 1, 2]
        assert events[-1]["response"]["output"] == []
        assert (await client.post("/responses", json={"model": "a", "input": "hi"})).json()[
            "output"
        ] == []


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    raise AssertionError(to)


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_failures_have_the_form_that_clients_read(path: str) -> None:
    body = {**SAY, "input": "hi"}
    waiting = Noted([ToolCall("pay", {"to": "ann"})]).agent(tools={"pay": pay})
    async with served(waiting) as client:
        answer = await client.post(path, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (409, "run_suspended")
        assert "waits for a person's answer" in error["message"]
    # What is wrong with the call itself is told with its own code.
    async with served(Noted().agent()) as client:
        wrong: dict[str, Any] = {"messages": [{"role": "nobody"}], "input": [{"role": "nobody"}]}
        answer = await client.post(path, json={**body, **wrong})
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert error["code"]
        unknown = await client.post(path, json={**body, "model": "b"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        assert (await client.get("/models/b")).status_code == 404
        assert (await client.get("/models/a")).json()["id"] == "a"
