"""Pictures, files and sound in the forms of OpenAI, of pages of the AI SDK 4, and of its version 7."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.errors import InputValidationError, ModelError
from mastra.models.anthropic_request import anthropic_body
from mastra.models.base import ModelRequest
from mastra.models.message_forms import message_from, messages_from
from mastra.models.message_wire import message_to_wire
from mastra.models.messages import FilePart
from mastra.models.openai_request import chat_body
from mastra.models.responses_request import responses_body

PNG = "iVBORw0KGgo="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
WEBP = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCd"
PDF = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
}
LOW = {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}}


def sent(*messages: dict[str, Any]) -> list[Any]:
    request = ModelRequest(messages=tuple(messages_from(list(messages))))
    return chat_body(request, "gpt", "openai")["messages"]


def user(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*parts], **more}


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (LOW, LOW),
        (
            {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "low"},
            LOW,
        ),
        (
            {
                "type": "image",
                "image": "https://a.example/b.png",
                "providerOptions": {"openai": {"imageDetail": "low"}},
            },
            LOW,
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        ),
        (
            {"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": PNG}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ),
        (
            {"type": "image", "image": {"type": "url", "url": "https://a.example/b.png"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        ),
        (
            {
                "type": "file",
                "mediaType": "text/plain",
                "filename": "a",
                "data": {"type": "text", "text": "hi"},
            },
            {
                "type": "file",
                "file": {"filename": "a", "file_data": "data:text/plain;base64,aGk="},
            },
        ),
    ],
)
def test_what_is_shown(part: dict[str, Any], wire: dict[str, Any]) -> None:
    assert sent(user(part)) == [user(wire)]


def test_a_file_s_kind_and_address_are_read_where_they_stand() -> None:
    (given,) = messages_from([user(PDF, {"type": "input_file", "file_url": "https://a.example/c"})])
    first, second = given.parts
    assert isinstance(first, FilePart)
    assert isinstance(second, FilePart)
    assert (first.media_type, second.url) == ("application/pdf", "https://a.example/c")


def test_data_of_another_form_is_refused_and_not_sent_as_text() -> None:
    for data in ({"type": "reference", "reference": {"openai": "file-1"}}, {"foo": 1}):
        with pytest.raises(InputValidationError):
            messages_from([user({"type": "file", "mediaType": "image/png", "data": data})])


@pytest.mark.parametrize("data", [5, 0.5, True, [137, 80]])
@pytest.mark.parametrize("kind", ["image", "file"])
def test_what_is_neither_bytes_nor_text_is_refused(kind: str, data: Any) -> None:
    key = "data" if kind == "file" else "image"
    with pytest.raises(InputValidationError, match="of another type than it should be"):
        message_from(user({"type": kind, key: data, "mediaType": "image/png"}))
    with pytest.raises(InputValidationError, match="of another type than it should be"):
        message_from({"role": "user", "content": "", "experimental_attachments": [{"url": data}]})


@pytest.mark.parametrize("is_stored", [False, True])
def test_attachments_of_a_page_of_version_4(is_stored: bool) -> None:
    told: dict[str, Any] = {
        "parts": [{"type": "text", "text": "look"}],
        "experimental_attachments": [
            {
                "name": "a.pdf",
                "contentType": "application/pdf",
                "url": "data:application/pdf;base64,QUJD",
            },
            {"contentType": "image/png", "url": "https://a.example/b.png"},
        ],
    }
    message = {"content": {"format": 2, **told}} if is_stored else {"content": "look", **told}
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    assert sent({"role": "user", **message}) == [
        user({"type": "text", "text": "look"}, PDF, picture)
    ]


def test_a_stored_message_that_has_its_text_beside_no_parts() -> None:
    stored: dict[str, Any] = {
        "role": "user",
        "content": {"format": 2, "content": "Hello", "parts": []},
    }
    assert sent(stored) == [{"role": "user", "content": "Hello"}]


def test_what_a_tool_gave_in_parts_of_openai_s() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answered = {
        "role": "tool",
        "tool_call_id": "c",
        "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
    }
    last = sent({"role": "assistant", "content": None, "tool_calls": [call]}, answered)[-1]
    assert last == {"role": "tool", "tool_call_id": "c", "content": "one\ntwo"}
    data = {**answered, "content": [{"a": 1}]}
    assert sent({"role": "assistant", "tool_calls": [call]}, data)[-1]["content"] == '[{"a":1}]'


def test_a_refusal_in_parts_was_said() -> None:
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}
    assert sent(refused) == [{"role": "assistant", "content": "I will not."}]


def test_how_close_responses_look_at_a_picture() -> None:
    request = ModelRequest(messages=tuple(messages_from([user(LOW)])))
    shown = responses_body(request, "gpt", "openai")["input"][0]["content"][0]
    assert shown == {
        "type": "input_image",
        "image_url": "https://a.example/b.png",
        "detail": "low",
    }


def test_a_picture_that_openai_has() -> None:
    named = {"type": "input_image", "file_id": "file-1"}
    request = ModelRequest(messages=tuple(messages_from([user(named)])))
    assert responses_body(request, "gpt", "openai")["input"][0]["content"] == [named]
    again = message_from(message_to_wire(request.messages[0]))
    assert again.parts == request.messages[0].parts
    with pytest.raises(InputValidationError, match="missing"):
        messages_from([user({"type": "input_image"})])


def anthropic(*messages: dict[str, Any]) -> Any:
    request = ModelRequest(messages=tuple(messages_from(list(messages))))
    return anthropic_body(request, "claude-sonnet-4-5", "anthropic").body["messages"]


@pytest.mark.parametrize(
    "thought",
    [
        {"type": "redacted-reasoning", "data": "x"},
        {"type": "reasoning", "reasoning": "", "details": [{"type": "redacted", "data": "x"}]},
    ],
)
def test_thoughts_that_version_4_does_not_show_go_back(thought: dict[str, Any]) -> None:
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "so"}]}
    blocks = anthropic(user({"type": "text", "text": "q"}), said)[1]["content"]
    assert blocks[0] == {"type": "redacted_thinking", "data": "x"}


def test_marks_of_version_4_hold() -> None:
    mark = {"anthropic": {"cacheControl": {"type": "ephemeral"}}}
    (message,) = anthropic({"role": "user", "content": "hi", "experimental_providerMetadata": mark})
    assert message["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_sound_is_no_picture() -> None:
    def shown(media_type: str, data: str) -> Any:
        return anthropic(user({"type": "file", "mediaType": media_type, "data": data}))

    source = shown("application/octet-stream", WEBP)[0]["content"][0]["source"]
    assert source["media_type"] == "image/webp"
    with pytest.raises(ModelError, match="audio/wav"):
        shown("audio/wav", WAV)
