"""Items of the responses API: what the provider ran, drew on and made, and what goes back."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.models.base import ModelRequest, ProviderTool
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
)
from mastra.models.resolve import ModelConfig
from mastra.models.responses_request import responses_body
from mastra.models.settings import ModelSettings
from tests.models.test_responses_api import COMPLETED, THOUGHT, agent, reply, text
from tests.support.openai_server import OpenAIServer, text_reply

SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "weather"},
}
TOOLS = {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "calendar", "tools": []}
MCP = {
    "id": "mcp_1",
    "type": "mcp_call",
    "name": "find",
    "server_label": "calendar",
    "arguments": '{"day": 1}',
    "output": None,
    "error": {"message": "no access"},
    "status": "failed",
}
PICTURE = {"id": "ig_1", "type": "image_generation_call", "output_format": "webp", "result": "aGk="}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "phase": "final_answer"}


def item(value: dict[str, Any], place: int = 0) -> list[dict[str, Any]]:
    return [
        {"type": f"response.output_item.{when}", "output_index": place, "item": value}
        for when in ("added", "done")
    ]


def note(**facts: Any) -> dict[str, Any]:
    return {"type": "response.output_text.annotation.added", "annotation": facts}


SAID = [
    *item(THOUGHT),
    *item(SEARCH, 1),
    *item({**THOUGHT, "id": "rs_2"}, 2),
    *text("Sunny."),
    note(type="url_citation", url="https://a.example", title="A"),
    note(type="file_citation", file_id="file_1", filename="a.txt"),
    *item(MESSAGE, 3),
    COMPLETED,
]


async def test_what_the_provider_ran_is_reported_and_never_run_here(server: OpenAIServer) -> None:
    server.queue(reply(*SAID))

    result = await agent(server, tools=[ProviderTool("openai", "web_search", {"x": 1})]).generate(
        "hi"
    )

    assert server.requests[0]["tools"] == [{"type": "web_search", "x": 1}]
    assert result.text == "Sunny."
    assert result.finish_reason == "stop"
    [call] = result.tool_calls
    assert (call.payload.tool_name, call.payload.provider_executed) == ("web_search", True)
    assert call.payload.args == SEARCH["action"]
    [found] = result.tool_results
    assert found.payload.provider_executed
    assert [source.payload.url or source.payload.id for source in result.sources] == [
        "https://a.example",
        "file_1",
    ]
    assert len(server.requests) == 1


async def test_all_items_go_back_as_they_came_after_storage(server: OpenAIServer) -> None:
    server.queue(reply(*item(TOOLS), *item(MCP, 1), *SAID), reply(*text("ok"), COMPLETED))
    talker = agent(server, memory=Memory())
    here = {"thread": "t", "resource": "r"}

    await talker.generate("hi", memory=here)
    await talker.generate("and?", memory=here)

    sent = server.requests[1]["input"]
    ids = [entry.get("id") for entry in sent if entry.get("role") not in {"user", "system"}]
    assert ids == ["mcpl_1", "mcp_1", "rs_1", "ws_1", "rs_2", "msg_1"]
    kept = {entry["id"]: entry for entry in sent if "id" in entry}
    assert (kept["mcpl_1"], kept["mcp_1"], kept["ws_1"]) == (TOOLS, MCP, SEARCH)
    assert kept["rs_1"] == THOUGHT
    assert kept["msg_1"]["phase"] == "final_answer"
    assert kept["msg_1"]["content"][0]["text"] == "Sunny."


async def test_another_provider_gets_the_text_alone(server: OpenAIServer) -> None:
    server.queue(reply(*item(TOOLS), *SAID))
    result = await agent(server).generate("hi")
    server.queue(text_reply("ok"))

    other = Agent(id="b", model=ModelConfig("x/m", url=server.url))
    await other.generate([*result.messages, "go on"])

    assert server.requests[-1]["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "go on"},
    ]


async def test_a_picture_is_kept_once_and_goes_back(server: OpenAIServer) -> None:
    server.queue(reply(*item(PICTURE), COMPLETED), reply(*text("ok"), COMPLETED))

    result = await agent(server).generate("draw")
    await agent(server).generate([*result.messages, "more"])

    [file] = result.files
    assert (file.payload.mime_type, file.payload.data) == ("image/webp", "aGk=")
    parts = result.messages[-1].parts
    assert sum(isinstance(part, ImagePart) for part in parts) == 1
    [call] = [part for part in parts if isinstance(part, ToolCallPart)]
    assert "aGk=" not in str(call)
    [sent] = [i for i in server.requests[1]["input"] if i.get("type") == PICTURE["type"]]
    assert sent["result"] == "aGk="


async def test_sources_are_parts_of_the_message(server: OpenAIServer) -> None:
    server.queue(reply(*SAID))

    result = await agent(server).generate("hi")

    sources = [part for part in result.messages[-1].parts if isinstance(part, SourcePart)]
    assert [source.source_type for source in sources] == ["url", "document"]


async def test_calls_that_share_an_item_s_id_stay_apart(server: OpenAIServer) -> None:
    ran: list[int] = []

    def double(n: int) -> int:
        """Double a number."""
        ran.append(n)
        return 2 * n

    def asked(place: int, n: int) -> list[dict[str, Any]]:
        call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "double"}
        begun, done = item({**call, "arguments": f'{{"n": {n}}}'}, place)
        delta = {
            "type": "response.function_call_arguments.delta",
            "item_id": "fc",
            "output_index": place,
            "delta": f'{{"n": {n}}}',
        }
        return [begun, delta, done]

    server.queue(reply(*asked(0, 1), *asked(1, 2), COMPLETED), reply(*text("ok"), COMPLETED))

    await agent(server, tools=[double]).generate("go")

    sent = server.requests[1]["input"]
    outputs = [entry for entry in sent if entry.get("type") == "function_call_output"]
    assert sorted(ran) == [1, 2]
    assert [entry["output"] for entry in outputs] == ["2", "4"]
    assert len({entry["call_id"] for entry in outputs}) == 2


RAN_THERE: list[tuple[dict[str, Any], str, Any, Any]] = [
    (
        {"type": "code_interpreter_call", "code": "1 + 1", "container_id": "c", "outputs": [{"logs": "2"}]},
        "code_interpreter",
        {"code": "1 + 1", "containerId": "c"},
        {"outputs": [{"logs": "2"}]},
    ),
    (
        {"type": "file_search_call", "queries": ["x"], "results": [{"text": "found"}]},
        "file_search",
        {"queries": ["x"]},
        {"results": [{"text": "found"}]},
    ),
    (
        {"type": "mcp_call", "name": "find", "arguments": '{"day": 1}', "output": "free"},
        "find",
        {"day": 1},
        "free",
    ),
    (
        {"type": "image_generation_call", "status": "failed", "size": "big"},
        "image_generation",
        {},
        {"status": "failed", "size": "big"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("ran", "name", "asked", "given"), RAN_THERE)
async def test_what_each_tool_there_was_asked_and_gave(
    server: OpenAIServer, ran: dict[str, Any], name: str, asked: Any, given: Any, whole: bool
) -> None:
    events = item({"id": "i_1", **ran})
    server.queue(reply(*events[0 if whole else 1 :], *text("ok"), COMPLETED))

    result = await agent(server).generate("hi")

    [call], [found] = result.tool_calls, result.tool_results
    assert (call.payload.tool_name, call.payload.args) == (name, asked)
    assert (found.payload.tool_call_id, found.payload.result) == (call.payload.tool_call_id, given)
    assert bool(found.payload.is_error) == (ran.get("status") == "failed")


async def test_the_tools_that_a_search_found_are_what_that_search_gave(
    server: OpenAIServer,
) -> None:
    def asked(name: str, place: int) -> list[dict[str, Any]]:
        searched = {"id": name, "type": "tool_search_call", "arguments": {"query": name}}
        return item(searched, place)

    def gave(name: str, place: int) -> list[dict[str, Any]]:
        return item(
            {"id": f"of {name}", "type": "tool_search_output", "tools": [{"name": name}]}, place
        )

    server.queue(
        reply(
            *asked("one", 0),
            *asked("two", 1),
            *item(SEARCH, 2),
            *gave("one", 3),
            *gave("two", 4),
            *text("ok"),
            COMPLETED,
        )
    )

    result = await agent(server).generate("hi")

    names = {call.payload.tool_call_id: call.payload.tool_name for call in result.tool_calls}
    assert names == {"one": "tool_search", "two": "tool_search", "ws_1": "web_search"}
    given = {found.payload.tool_call_id: found.payload.result for found in result.tool_results}
    assert given == {
        "ws_1": {"status": "completed"},
        "one": {"tools": ["one"]},
        "two": {"tools": ["two"]},
    }


async def test_found_tools_without_a_search_go_back_as_they_came(server: OpenAIServer) -> None:
    found = {"id": "o_1", "type": "tool_search_output", "tools": [{"name": "x"}]}
    server.queue(reply(*item(found), *text("ok"), COMPLETED), reply(*text("ok"), COMPLETED))

    first = await agent(server).generate("hi")
    await agent(server).generate([*first.messages, "and?"])

    assert first.tool_results == []
    assert [sent for sent in server.requests[1]["input"] if sent.get("id") == "o_1"] == [found]


async def test_parts_of_a_summary_are_paragraphs_of_one_thought(server: OpenAIServer) -> None:
    def part(place: int, said: str) -> list[dict[str, Any]]:
        return [
            {"type": "response.reasoning_summary_part.added", "summary_index": place},
            {"type": "response.reasoning_summary_text.delta", "delta": said},
        ]

    done = {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT}
    server.queue(reply(*part(0, "First."), *part(1, "Then."), done, *text("ok"), COMPLETED))

    assert (await agent(server).generate("hi")).reasoning_text == "First.\n\nThen."


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "error", "error": {"message": "too many"}}, "too many"),
        ({"type": "error", "code": "x", "message": "all is lost"}, "all is lost"),
        ('data: {"type": "error", "message": "no name"}\n\n', "no name"),
        ('data: {"message": "no such model"}\n\n', "no such model"),
        ('data: {"error": {"message": "nothing here"}}\n\n', "nothing here"),
        ({"type": "response.failed", "response": {"error": None}}, "it gave no reason"),
    ],
)
async def test_an_error_among_the_events_ends_the_answer(
    server: OpenAIServer, event: Any, words: str
) -> None:
    server.queue(reply(*text("The first ha"), event))
    with pytest.raises(ModelError, match=words):
        await agent(server).generate("hi")


async def test_items_that_are_told_only_when_they_are_done(server: OpenAIServer) -> None:
    """Servers that are compatible leave out that an item begins, and send empty pieces."""
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "c_1",
        "name": "double",
        "arguments": '{"n": 2}',
    }
    stray = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{"}
    empty = [
        {"type": f"response.{kind}.delta", "delta": "", "item_id": "x"}
        for kind in ("output_text", "reasoning_text", "function_call_arguments")
    ]
    done = {"type": "response.output_item.done", "output_index": 0, "item": call}
    unknown = note(type="unheard_of", index=1)
    server.queue(reply(*empty, stray, done, COMPLETED), reply(*text("4."), unknown, COMPLETED))
    given: list[int] = []

    def double(n: int) -> int:
        """Double."""
        given.append(n)
        return 2 * n

    result = await agent(server, tools=[double]).generate("hi")
    assert (given, result.text, result.sources) == ([2], "4.", [])
    assert server.requests[1]["input"][-1]["call_id"] == "c_1"


def test_files_of_a_user_and_thoughts_of_others() -> None:
    asked = Message(
        "user",
        (
            TextPart("q"),
            FilePart("application/pdf", file_id="file_1"),
            FilePart("application/pdf", url="https://a.example/a.pdf"),
            FilePart("application/pdf", data="QUJD"),
            SourcePart("s", "https://a.example"),
        ),
    )
    thought = Message(
        "assistant", (ReasoningPart("Hm.", "sig", provider="anthropic"), TextPart("a"))
    )
    body = responses_body(ModelRequest([asked, thought]), "m", "openai")
    first, said = body["input"]
    assert first["content"] == [
        {"type": "input_text", "text": "q"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://a.example/a.pdf"},
        {"type": "input_file", "filename": "file", "file_data": "data:application/pdf;base64,QUJD"},
    ]
    assert said == {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}


def test_raw_fields_of_a_response_lie_over_the_others() -> None:
    settings = ModelSettings(temperature=0.5, extra_body={"temperature": 1, "truncation": "auto"})
    body = responses_body(ModelRequest([Message("user", "q")], settings=settings), "m", "openai")
    assert (body["temperature"], body["truncation"]) == (1, "auto")
