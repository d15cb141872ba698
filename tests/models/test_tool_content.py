"""Pictures and files that tools give reach the model as such, whatever form they come in."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, File, Image, create_tool, tool
from mastra.memory import Memory
from mastra.models.messages import FilePart, ImagePart, TextPart
from mastra.models.resolve import ModelConfig
from mastra.models.tool_content import content_in
from tests.models.test_responses_api import COMPLETED, agent, reply, text
from tests.models.test_responses_items import item
from tests.support.openai_server import OpenAIServer, Reply, chunk, text_reply

SEEN = ImagePart(data="aGk=", media_type="image/png")
CALL = {"index": 0, "id": "a", "function": {"name": "shot", "arguments": "{}"}}
ASKS = Reply([chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls")])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "media", "data": "aGk=", "mediaType": "image/png"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "image-data", "data": "aGk=", "mediaType": "image/png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "image", "source": {"type": "base64", "data": "aGk=", "media_type": "image/png"}},
        {"type": "resource", "resource": {"uri": "a:b", "mimeType": "image/png", "blob": "aGk="}},
    ],
)
def test_a_picture_in_every_form(block: dict[str, Any]) -> None:
    words = {"type": "text", "text": "see"}

    assert content_in([words, block]) == (TextPart("see"), SEEN)
    assert content_in({"type": "content", "value": [words, block]}) == (TextPart("see"), SEEN)
    assert content_in(block) == (SEEN,)


@pytest.mark.parametrize(
    "result",
    [
        None, "text", 3, [], {}, [1, 2], {"type": ["string", "null"]}, [{"type": ["image"]}],
        {"type": "image"}, [{"type": "image", "name": "a.png"}],
        [{"type": "text", "text": "only"}], [{"type": "file", "size": 3}],
        [{"type": "image", "data": "aGk="}, {"id": 3}], {"type": "content", "value": "x"},
    ],
)  # fmt: skip
def test_data_stays_data(result: Any) -> None:
    assert content_in(result) is None


@tool
def shot() -> list[Any]:
    """Take a picture."""
    return ["see", Image(b"hi"), File(b"hi", "application/pdf", "a.pdf")]


async def test_a_tool_gives_pictures_and_files(server: OpenAIServer) -> None:
    server.queue(ASKS, text_reply("ok"), text_reply("still"))
    talker = Agent(id="a", model=ModelConfig("x/m", url=server.url), tools=[shot], memory=Memory())
    here = {"thread": "t", "resource": "r"}

    result = await talker.generate("go", memory=here)
    await talker.generate("and?", memory=here)

    [given] = result.tool_results
    assert given.payload.result["type"] == "content"
    for sent in server.requests[1:]:
        answer = sent["messages"][2]
        assert answer["role"] == "tool"
        assert answer["content"].startswith("see")
        assert "aGk=" not in answer["content"]
        assert sent["messages"][3]["content"][1:] == [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            },
        ]


async def test_responses_take_them_with_the_result(server: OpenAIServer) -> None:
    call = {"type": "function_call", "id": "f", "call_id": "c", "name": "shot", "arguments": "{}"}
    server.queue(reply(*item(call), COMPLETED), reply(*text("ok"), COMPLETED))

    await agent(server, tools=[shot]).generate("go")

    output = server.requests[1]["input"][-1]["output"]
    assert [part["type"] for part in output] == ["input_text", "input_image", "input_file"]


async def test_what_the_model_is_shown_may_be_a_picture(server: OpenAIServer) -> None:
    server.queue(ASKS, text_reply("ok"))
    draw = create_tool(
        "shot",
        "Draw",
        {"type": "object"},
        execute=lambda _: {"n": 1},
        to_model_output=lambda _: Image(b"hi"),
    )

    result = await Agent(id="a", model=ModelConfig("x/m", url=server.url), tools=[draw]).generate(
        "go"
    )

    assert result.tool_results[0].payload.result == {"n": 1}
    assert server.requests[1]["messages"][3]["content"][1]["type"] == "image_url"


def test_other_kinds() -> None:
    sound = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
    page = {"type": "resource", "resource": {"uri": "file:///a/b.txt", "text": "words"}}
    link = {"type": "resource_link", "uri": "https://a.example", "name": "A"}
    kept = {"type": "file-id", "fileId": "file_1", "mediaType": "application/pdf"}

    assert content_in([sound, page, link, kept]) == (
        FilePart("audio/wav", data="aGk="),
        TextPart("words"),
        TextPart("A: https://a.example"),
        FilePart("application/pdf", file_id="file_1"),
    )
