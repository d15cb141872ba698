"""Items of the responses API: what the provider ran, drew on and made, and what goes back."""

from __future__ import annotations

from typing import Any

from mastra.agents.agent import Agent
from mastra.memory import Memory
from mastra.models.base import ProviderTool
from mastra.models.messages import ImagePart, SourcePart, ToolCallPart
from mastra.models.resolve import ModelConfig
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
