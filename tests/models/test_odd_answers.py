"""Answers in forms that no documentation has, as compatible servers and gateways send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mastra.errors import ModelError
from mastra.models.anthropic_wire import AnthropicDecoder
from mastra.models.chunks import (
    FileChunk,
    FinishChunk,
    ModelChunk,
    RawChunk,
    ReasoningDelta,
    ReasoningSignature,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from mastra.models.gemini_wire import GeminiDecoder
from mastra.models.http_errors import refusal
from mastra.models.openai import OpenAIModel
from mastra.models.openai_responses import ResponsesDecoder
from mastra.models.openai_wire import ChatDecoder
from mastra.models.sse_decoder import SseDecoder


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chat(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "c", "choices": [choice], **more})


END = chat({}, "stop") + b"data: [DONE]\n\n"


def read(
    body: bytes, decoder: Callable[..., SseDecoder] = ChatDecoder, cut: int = 50
) -> list[ModelChunk]:
    """What a body means that arrives in pieces."""
    reader = decoder("x/m")
    found: list[ModelChunk] = []
    for at in range(0, len(body), cut):
        found += reader.feed(body[at : at + cut])
    return found if reader.done else [*found, *reader.end()]


def text_of(chunks: list[ModelChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def calls_of(chunks: list[ModelChunk]) -> list[tuple[str, str]]:
    """Names and arguments of the calls, where their pieces say the same as their ends."""
    pieces: dict[str, str] = {}
    ended: list[ToolCallEnd] = []
    for chunk in chunks:
        if isinstance(chunk, ToolCallStart):
            assert chunk.tool_call_id not in pieces
            pieces[chunk.tool_call_id] = ""
        elif isinstance(chunk, ToolCallDelta):
            pieces[chunk.tool_call_id] += chunk.args_text_delta
        elif isinstance(chunk, ToolCallEnd):
            ended.append(chunk)
    assert [pieces[end.tool_call_id] for end in ended] == [end.args_text for end in ended]
    return [(end.tool_name, end.args_text) for end in ended]


def piece(name: Any, arguments: Any, **more: Any) -> bytes:
    return chat(
        {"tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}, **more}]}
    )


ASKED = '{"n":1}'


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([piece(None, "", id="a"), piece("f", ASKED)], [("f", ASKED)]),
        ([piece("", "", id=""), piece("f", ASKED, id="a")], [("f", ASKED)]),
        ([piece(None, '{"n"', id="a"), piece("f", ":1}")], [("f", ASKED)]),
        ([piece(None, "", id=None), chat({"content": "hi"})], []),
        ([chat({"tool_calls": [None, {"index": 0}]})], []),
        ([piece("f", "{}", id="a"), piece(None, ASKED)], [("f", ASKED)]),
        ([piece("f", "{}" + ASKED, id="a")], [("f", ASKED)]),
        ([piece("f", "{}", id="a"), piece("", '{"n"'), piece("", ":1}")], [("f", ASKED)]),
        ([piece("f", "{}", id="a"), piece("", "{}")], [("f", "{}")]),
        ([piece("f", "{}", id="a")], [("f", "{}")]),
        ([piece("f", "{}", index=None)] * 2, [("f", "{}")] * 2),
        ([piece("f", "{}", index=None, id="a")] * 2, [("f", "{}")] * 2),
    ],
    ids=[
        "the name after a start", "the name under another id", "the name after arguments",
        "nothing but an index", "no object at all",
        "an empty object first", "an empty object before it", "and in pieces", "twice nothing",
        "no arguments", "twice a call without arguments", "and under one id",
    ],
)  # fmt: skip
def test_a_call_is_what_it_comes_to(pieces: list[bytes], calls: list[tuple[str, str]]) -> None:
    found = read(b"".join(pieces) + END)
    assert calls_of(found) == calls
    finish = found[-1]
    assert isinstance(finish, FinishChunk)
    assert finish.reason == ("tool-calls" if calls else "stop")


def test_arguments_for_no_tool_are_an_error() -> None:
    with pytest.raises(ModelError, match="without saying which"):
        read(piece(None, ASKED, id="a") + END)


@pytest.mark.parametrize(
    "beside",
    [
        {"usage": [1]},
        {"usage": "n/a"},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": [{"tokens": 1}]}},
        {"created": 1e30},
        {"created": "2024-01-01"},
        {"citations": [None, {"url": None}]},
        {"search_results": {}},
    ],
)
def test_what_stands_beside_an_answer_does_not_cost_it(beside: dict[str, Any]) -> None:
    assert text_of(read(chat({"content": "hi"}, **beside) + END)) == "hi"


@pytest.mark.parametrize(
    "delta",
    [
        {"annotations": [None, {"url_citation": None}], "images": [None]},
        {"reasoning_details": [None]},
        {"reasoning_details": "hm"},
        {"executed_tools": [None]},
        {"thinking_blocks": [None]},
    ],
)
def test_details_of_no_known_form_do_not_cost_the_answer(delta: dict[str, Any]) -> None:
    assert text_of(read(chat({"content": "hi", **delta}) + END)) == "hi"


@pytest.mark.parametrize(
    "content",
    [["hi"], {"type": "text", "text": "hi"}, [{"type": "thinking", "thinking": None}, "hi"]],
)
def test_content_has_many_forms(content: Any) -> None:
    assert text_of(read(chat({"content": content}) + END)) == "hi"


@pytest.mark.parametrize(("content", "said"), [(5, "5"), (0.5, "0.5"), (True, "True")])
def test_content_that_is_no_text_is_said_as_text(content: Any, said: str) -> None:
    assert text_of(read(chat({"content": content}) + END)) == said


@pytest.mark.parametrize(
    "image",
    [
        "data:image/png;base64,AAAA",
        {"image_url": "data:image/png;base64,AAAA"},
        {"url": "data:image/png;base64,AAAA"},
    ],
)
def test_a_picture_may_be_its_address(image: Any) -> None:
    found = read(chat({"content": "hi", "images": [image]}) + END)
    assert [c.media_type for c in found if isinstance(c, FileChunk)] == ["image/png"]


def test_of_several_answers_the_first_is_read() -> None:
    other = event({"choices": [{"index": 1, "delta": {"content": "ho"}}]})
    body = chat({"content": "h"}) + other + chat({"content": "i"}) + END
    assert text_of(read(body)) == "hi"


@pytest.mark.parametrize("sign", [b'""', b"[]", b"0", b"{}", b"null"])
def test_data_with_nothing_in_it_is_a_sign_of_life(sign: bytes) -> None:
    assert text_of(read(b"data: " + sign + b"\n\n" + chat({"content": "hi"}) + END)) == "hi"


MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "S"},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"n": 1}},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
COMPLETION = {
    "id": "c", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "content": "hi", "reasoning_content": "hm",
        "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": ASKED}}],
    }}],
}  # fmt: skip
CONTENT = {
    "candidates": [{"finishReason": "STOP", "content": {"parts": [
        {"text": "hm", "thought": True}, {"text": "hi"},
        {"functionCall": {"name": "f", "args": {"n": 1}}},
    ]}}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
}  # fmt: skip
RESPONSE = {
    "id": "r", "object": "response", "status": "completed", "model": "m", "error": None,
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "function_call", "id": "f", "call_id": "t", "name": "f", "arguments": ASKED},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("answer", "decoder"),
    [
        (COMPLETION, ChatDecoder),
        (MESSAGE, AnthropicDecoder),
        (CONTENT, GeminiDecoder),
        ([CONTENT], GeminiDecoder),
        (RESPONSE, ResponsesDecoder),
    ],
    ids=["chat", "anthropic", "gemini", "gemini's list", "responses"],
)
def test_an_answer_of_a_server_that_does_not_stream_is_read(
    answer: Any, decoder: Callable[..., SseDecoder], indent: int | None
) -> None:
    found = read(json.dumps(answer, indent=indent).encode(), decoder)
    thought = [chunk.text for chunk in found if isinstance(chunk, ReasoningDelta)]
    assert (thought, text_of(found)) == (["hm"], "hi")
    (asked,) = [chunk for chunk in found if isinstance(chunk, ToolCallEnd)]
    assert (asked.tool_name, json.loads(asked.args_text)) == ("f", {"n": 1})
    finish = found[-1]
    assert isinstance(finish, FinishChunk)
    assert (finish.reason, finish.usage.input_tokens) == ("tool-calls", 3)
    signed = [chunk.signature for chunk in found if isinstance(chunk, ReasoningSignature)]
    assert signed == (["S"] if answer is MESSAGE else signed)


def test_a_long_answer_that_is_not_streamed_is_read_whole() -> None:
    words = "word " * 20_000
    body = {"choices": [{"message": {"content": words}, "finish_reason": "stop"}]}
    assert text_of(read(json.dumps(body, indent=1).encode(), cut=4096)) == words


def test_an_answer_that_is_not_streamed_is_raw_too_where_that_is_asked_for() -> None:
    reader = ChatDecoder("x/m", include_raw=True)
    reader.feed(json.dumps(COMPLETION).encode())
    assert [chunk.data for chunk in reader.end() if isinstance(chunk, RawChunk)] == [COMPLETION]


def test_a_long_web_page_is_told_by_its_beginning() -> None:
    page = b"<html><title>Sorry</title>\n" + b"<p>No such model here.</p>\n" * 10_000
    with pytest.raises(ModelError, match=r"did not stream an answer\. It said: <html>") as refused:
        read(page, cut=4096)
    assert len(str(refused.value)) < 5000


@pytest.mark.parametrize("citation", [None, {}, "https://a", 5])
def test_a_citation_of_nothing_does_not_cost_the_answer(citation: Any) -> None:
    deltas: list[Any] = [
        {"type": "text_delta", "text": "hi"},
        {"type": "citations_delta", "citation": citation},
    ]
    block = {"type": "text", "text": ""}
    body = event({"type": "content_block_start", "index": 0, "content_block": block})
    for delta in deltas:
        body += event({"type": "content_block_delta", "index": 0, "delta": delta})
    found = read(
        body + event({"type": "content_block_stop", "index": 0}) + anthropic(), AnthropicDecoder
    )
    assert text_of(found) == "hi"
    assert not [chunk for chunk in found if isinstance(chunk, SourceChunk)]


@pytest.mark.parametrize(
    "decoder", [ChatDecoder, AnthropicDecoder, GeminiDecoder, ResponsesDecoder]
)
@pytest.mark.parametrize("body", [{"id": "x"}, {"status": "ok"}, {}])
def test_json_that_is_no_answer_is_an_error(
    decoder: Callable[..., SseDecoder], body: dict[str, Any]
) -> None:
    with pytest.raises(ModelError):
        read(json.dumps(body).encode(), decoder)


def anthropic(*blocks: dict[str, Any]) -> bytes:
    started = [
        event({"type": "content_block_start", "index": at, "content_block": block})
        + event({"type": "content_block_stop", "index": at})
        for at, block in enumerate(blocks)
    ]
    end = event({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
    return b"".join(started) + end + event({"type": "message_stop"})


@pytest.mark.parametrize("given", ["t", "", None])
@pytest.mark.parametrize("provider", ["anthropic", "gemini"])
def test_calls_under_the_same_id_stay_apart(provider: str, given: str | None) -> None:
    if provider == "anthropic":
        uses = [{"type": "tool_use", "id": given, "name": "f", "input": {"n": n}} for n in (1, 2)]
        found = read(anthropic(*uses), AnthropicDecoder)
    else:
        parts = [{"functionCall": {"id": given, "name": "f", "args": {"n": n}}} for n in (1, 2)]
        answer = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
        found = read(event(answer), GeminiDecoder)
    ends = [chunk for chunk in found if isinstance(chunk, ToolCallEnd)]
    assert [json.loads(end.args_text) for end in ends] == [{"n": 1}, {"n": 2}]
    ids = [end.tool_call_id for end in ends]
    assert len(set(ids)) == 2
    assert all(ids)
    assert ids[0] == (given or ids[0])


def test_a_thought_may_begin_with_what_is_in_it() -> None:
    delta = {"type": "thinking_delta", "thinking": "hm"}
    thought = event({"type": "content_block_delta", "index": 0, "delta": delta})
    found = read(thought + anthropic(), AnthropicDecoder)
    assert [chunk.text for chunk in found if isinstance(chunk, ReasoningDelta)] == ["hm"]


def test_fields_of_a_part_that_are_null_are_not_there() -> None:
    nothing = {"text": None, "functionCall": None, "inlineData": None, "thought": None}
    code = {**nothing, "executableCode": {"code": "1", "language": "PYTHON"}}
    chunk = {"web": None, "retrievedContext": {"uri": "https://a"}}
    answer = {
        "candidates": [
            {
                "content": {"parts": [nothing, code, {**nothing, "text": "hi"}, None]},
                "finishReason": "STOP",
                "groundingMetadata": {"groundingChunks": [None, chunk]},
            }
        ],
        "usageMetadata": [],
    }
    found = read(event(answer), GeminiDecoder)
    assert text_of(found) == "hi"
    assert [chunk.url for chunk in found if isinstance(chunk, SourceChunk)] == ["https://a"]
    assert [end.tool_name for end in found if isinstance(end, ToolCallEnd)] == ["code_execution"]


@pytest.mark.parametrize("decoder", [GeminiDecoder, AnthropicDecoder, ResponsesDecoder])
def test_a_call_for_no_tool_is_an_error(decoder: Callable[..., SseDecoder]) -> None:
    bodies: dict[Any, bytes] = {
        GeminiDecoder: event({"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]}),
        AnthropicDecoder: anthropic({"type": "tool_use", "id": "t", "input": {}}),
        ResponsesDecoder: event(
            {"type": "response.output_item.done", "item": {"type": "function_call", "id": "f"}}
        ),
    }
    with pytest.raises(ModelError, match="without saying which"):
        read(bodies[decoder], decoder)


def test_an_answer_that_comes_with_its_end_alone_is_read() -> None:
    notes: list[Any] = [{"type": "url_citation", "url": "https://a", "title": "A"}, None, {}]
    said = {"type": "output_text", "text": "hi", "annotations": notes}
    item = {"type": "message", "id": "m", "content": [said]}
    asked = {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"n": 1}}
    body = b"".join(
        event({"type": "response.output_item.done", "output_index": at, "item": each})
        for at, each in enumerate([item, asked])
    )
    found = read(
        body + event({"type": "response.completed", "response": {"id": "r"}}), ResponsesDecoder
    )
    assert text_of(found) == "hi"
    assert [chunk.url for chunk in found if isinstance(chunk, SourceChunk)] == ["https://a"]
    assert [end.args_text for end in found if isinstance(end, ToolCallEnd)] == [ASKED]


def test_a_time_that_no_calendar_has_is_not_told() -> None:
    response = {"id": "r", "created_at": "soon"}
    found = read(
        event({"type": "response.created", "response": response})
        + event({"type": "response.completed", "response": response}),
        ResponsesDecoder,
    )
    assert [c.timestamp_ms for c in found if isinstance(c, ResponseMetadata)] == [None]


RETRY_INFO = {
    "error": {
        "code": 429,
        "message": "slow",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"},
        ],
    }
}


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({}, RETRY_INFO, 3.5),
        ({}, [RETRY_INFO], 3.5),
        ({"retry-after": "2"}, RETRY_INFO, 2),
        ({"retry-after-ms": "soon", "retry-after": "2"}, {}, 2),
        ({"retry-after": "-1"}, {}, None),
        ({"retry-after": "nan"}, {}, None),
        ({"retry-after": ""}, {}, None),
        ({}, {"error": {"details": "none"}}, None),
    ],
)
def test_how_long_a_provider_asks_to_wait(
    headers: dict[str, str], body: Any, wait: float | None
) -> None:
    model = OpenAIModel("m", base_url="http://127.0.0.1:1/v1")
    error = refusal(model, 429, headers, json.dumps(body).encode(), None)
    assert error.details["retry_after_s"] == wait
