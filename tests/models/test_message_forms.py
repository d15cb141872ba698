"""Messages in the forms that users, pages and other APIs have, and what is sent of them."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, ModelConfig, create_tool
from mastra.errors import InputValidationError
from mastra.models.message_forms import messages_from
from mastra.models.messages import FilePart, Message, TextPart
from tests.support.openai_server import OpenAIServer, text_reply

CALLED = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


async def sent(server: OpenAIServer, *messages: Any, **options: Any) -> list[Any]:
    """What a chat model is sent of messages."""
    server.queue(text_reply("ok"))
    await Agent(id="a", model=ModelConfig("x/m", url=server.url)).generate([*messages], **options)
    return server.requests[-1]["messages"]


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (["one", {"type": "text", "text": "two"}], "onetwo"),
        ([TextPart("a part of ours")], "a part of ours"),
        (
            [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}],
            [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}],
        ),
        (
            [{"type": "file", "mediaType": "image/webp", "data": "AAAA"}],
            [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}],
        ),
        (
            [FilePart("audio/mpeg", data="AAAA")],
            [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}],
        ),
        (
            [{"type": "file", "mediaType": "audio/x-wav", "url": "data:audio/x-wav;base64,AAAA"}],
            [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
        ),
        (
            [FilePart("application/pdf", file_id="file_1")],
            [{"type": "file", "file": {"file_id": "file_1"}}],
        ),
        (
            [FilePart("application/pdf", data="AAAA")],
            [{"type": "file", "file": {"filename": "file", "file_data": "data:application/pdf;base64,AAAA"}}],
        ),
    ],
)  # fmt: skip
async def test_what_a_user_says(server: OpenAIServer, content: Any, wire: Any) -> None:
    assert await sent(server, {"role": "user", "content": content}) == [
        {"role": "user", "content": wire}
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"at": 1}', '{"at":1}'),
        ({"at": 1}, '{"at":1}'),
        ("", "{}"),
        ('{"at": ', '{"arguments":"{\\"at\\": "}'),
    ],
)
async def test_a_conversation_in_the_form_of_chat_completions(
    server: OpenAIServer, arguments: Any, text: str
) -> None:
    call = {**CALLED, "function": {"name": "look", "arguments": arguments}}
    user, asked, told, *_ = await sent(
        server,
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "nothing"},
        {"role": "user", "content": "and?"},
    )
    assert user == {"role": "user", "content": "look"}
    [made] = asked["tool_calls"]
    assert (made["id"], made["function"]["name"]) == ("c", "look")
    assert made["function"]["arguments"].replace(": ", ":").replace('at\\":', 'at\\": ') == text
    assert (told["role"], told["tool_call_id"], told["content"]) == ("tool", "c", "nothing")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (5, "messages cannot be read from int"),
        ([5], "A message cannot be read from int"),
        ([{"role": "robot", "content": "x"}], "has role 'robot'"),
        ([{"role": "user", "content": 5}], "content cannot be read from int"),
        ([{"role": "user", "content": [5]}], "part cannot be read from int"),
        ([{"role": "user", "content": [{"type": "smell"}]}], "of type 'smell' is not known"),
        ([{"role": "user", "content": [{"type": "text"}]}], "'text' is missing"),
        ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "'function' is missing"),
        ([{"role": "assistant", "tool_calls": ["c"]}], "of another type than it should be"),
    ],
)
def test_what_is_no_message_is_refused_with_words(messages: Any, words: str) -> None:
    with pytest.raises(InputValidationError, match=words):
        messages_from(messages)


async def test_what_the_system_says_is_text(server: OpenAIServer) -> None:
    marked = Message(
        "system", (TextPart("Be brief.", cache=True), FilePart("text/plain", data="AA=="))
    )
    said = (await sent(server, marked, "hi"))[0]
    assert (said["role"], said["content"]) in (
        ("system", "Be brief."),
        ("system", [{"type": "text", "text": "Be brief."}]),
    )


@pytest.mark.parametrize("limit", [True, False])
async def test_raw_fields_are_sent_and_what_is_said_of_tools_only_with_tools(
    server: OpenAIServer, limit: bool
) -> None:
    settings = {"parallel_tool_calls": limit, "extra_body": {"logprobs": True}}
    await sent(server, "hi", model_settings=settings)
    assert server.requests[-1]["logprobs"] is True
    assert "parallel_tool_calls" not in server.requests[-1]
    look = create_tool("look", "Look.", {"type": "object", "properties": {}}, execute=lambda _: 1)
    await sent(server, "hi", model_settings=settings, toolsets={"more": {"look": look}})
    assert server.requests[-1]["parallel_tool_calls"] is limit
