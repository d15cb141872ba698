"""Chat completions as servers really stream them: encodings, errors, calls in pieces."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.models.base import ModelRequest
from mastra.models.chunks import RawChunk, ToolCallEnd
from mastra.models.messages import (
    ImagePart,
    Message,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.openai_request import chat_body
from mastra.models.openai_wire import ChatDecoder
from mastra.models.resolve import ModelConfig, resolve_model
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, Reply, chunk, text_reply


def line(value: Any, head: bytes = b"") -> bytes:
    return head + b"data: " + json.dumps(value).encode() + b"\n\n"


HI, THERE = line(chunk({"content": "hi "})), line(chunk({"content": "there"}))
END = line(chunk({}, "stop")) + b"data: [DONE]\n\n"


def said(body: bytes, cut: int = 7) -> str:
    """The text of a body that arrives in pieces."""
    decoder = ChatDecoder("x/m")
    chunks = [
        found for at in range(0, len(body), cut) for found in decoder.feed(body[at : at + cut])
    ]
    if not decoder.done:
        chunks += decoder.end()
    return "".join(found.text for found in chunks if found.type == "text-delta")


@pytest.mark.parametrize("cut", [1, 2, 5, 4096])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"\xef\xbb\xbf" + HI + THERE + END, "hi there", id="byte order mark"),
        pytest.param(HI + b"data:\n\ndata\n\n" + THERE + END, "hi there", id="empty data"),
        pytest.param(HI + b": ping\n\nid: 7\nretry: 3\n" + THERE + END, "hi there", id="comments"),
        pytest.param(
            HI + THERE.replace(b'"choices"', b'\ndata: "choices"') + END, "hi there", id="two lines"
        ),
        pytest.param((HI + THERE + END).replace(b"\n", b"\r\n"), "hi there", id="CR LF"),
        pytest.param((HI + THERE + END).replace(b"\n", b"\r"), "hi there", id="CR"),
        pytest.param(
            HI + line(chunk({"content": "there"}, logprobs={"p": float("nan")})) + END,
            "hi there",
            id="NaN",
        ),
        pytest.param(
            HI + b'data: {"choices":[{"delta":{"content":"th\\ud83dere"}}]}\n\n' + END,
            "hi th\ufffdere",
            id="half of a character",
        ),
        pytest.param(
            HI + line(chunk({"content": "there"}, seq=2**70)) + END, "hi there", id="big integer"
        ),
        pytest.param(HI + THERE + line(chunk({}, "stop")), "hi there", id="no DONE"),
        pytest.param(HI + THERE + END[:-2], "hi there", id="no last line end"),
        pytest.param(
            line({"choices": [{"message": {"content": "hi there"}, "finish_reason": "stop"}]}),
            "hi there",
            id="all at once",
        ),
        pytest.param(
            line(chunk({"content": "hi "}, error=None)) + THERE + END, "hi there", id="error: null"
        ),
    ],
)
def test_whatever_event_streams_allow_is_read(body: bytes, text: str, cut: int) -> None:
    assert said(body, cut) == text


def data(value: Any, name: str) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


@pytest.mark.parametrize(
    ("events", "words", "may_pass"),
    [
        pytest.param([chunk({}, error={"message": "gone", "code": 502})], "gone", True, id="beside"),
        pytest.param([{"error": {"message": "no"}}], "no", False, id="alone"),
        pytest.param([{"error": "plain words"}], "plain words", False, id="text"),
        pytest.param([{"object": "error", "message": "too long", "code": 400}], "too long", False, id="object"),
        pytest.param([data({"message": "overloaded"}, "error")], "overloaded", False, id="named"),
        pytest.param(["event: error\ndata: all is lost\n\n"], "all is lost", False, id="no JSON"),
        pytest.param([{"detail": "not found"}], "not found", False, id="detail"),
        pytest.param([{"errors": [{"message": "no more"}, {"message": "x"}]}], "no more", False, id="list"),
        pytest.param([{"error": [{"msg": "bad field"}]}], "bad field", False, id="error is a list"),
        pytest.param([{"error": {"reason": "odd"}}], "odd", False, id="no known field"),
        pytest.param(
            [chunk({}, "error")], "it ended with an error", False, id="finish reason"
        ),
        pytest.param(["data: {\"choi\n\n"], "is not JSON", False, id="cut JSON"),
    ],
)  # fmt: skip
async def test_an_error_inside_a_stream_is_an_error(
    server: OpenAIServer, events: list[Any], words: str, may_pass: bool
) -> None:
    server.queue(Reply([chunk({"content": "The first ha"}), *events]))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))

    with pytest.raises(ModelError, match=words) as raised:
        await agent.generate("go", model_settings={"max_retries": 0})

    assert raised.value.is_retryable is may_pass


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "quota exceeded", "code": 429}}, "quota exceeded"),
        ("<html><body>Please sign in</body></html>", "Please sign in"),
        ({"detail": [{"msg": "field required"}]}, "field required"),
    ],
)
async def test_a_body_that_is_no_stream_is_an_error(
    server: OpenAIServer, body: Any, words: str
) -> None:
    server.queue(Reply(body=body))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))

    with pytest.raises(ModelError, match=words):
        await agent.generate("go", model_settings={"max_retries": 0})


@pytest.mark.parametrize(
    "body", [b"", b": ping\n\n", line({"choices": [], "prompt_filter_results": []})]
)
def test_an_answer_that_never_began_is_a_failure_that_may_pass(body: bytes) -> None:
    with pytest.raises(ModelError, match="without saying anything") as raised:
        said(body + b"data: [DONE]\n\n")
    assert raised.value.is_retryable


def calls_in(*pieces: dict[str, Any]) -> list[tuple[str, str]]:
    """The calls that are put together from pieces, and that each has an id of its own."""
    decoder = ChatDecoder("x/m")
    found: list[Any] = []
    for piece in pieces:
        decoder.event(chunk({"tool_calls": [piece]}), found)
    decoder.finish(found)
    ended = [item for item in found if isinstance(item, ToolCallEnd)]
    assert len({call.tool_call_id for call in ended}) == len(ended)
    return sorted((call.tool_name, call.args_text) for call in ended)


def piece(args: Any = None, name: str | None = None, **where: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": args}
    return {
        **where,
        "function": {key: value for key, value in function.items() if value is not None},
    }


ANN, BOB = '{"robot":"ann"}', '{"robot":"bob"}'


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                piece("", "move", index=0, id="a"),
                piece("", "move", index=1, id="b"),
                piece('{"robot":', index=0),
                piece('{"robot":', index=1),
                piece('"bob"}', index=1),
                piece('"ann"}', index=0),
            ],
            id="interleaved",
        ),
        pytest.param(
            [piece(ANN, "move", index=0, id="x"), piece(BOB, "move", index=1, id="x")], id="same id"
        ),
        pytest.param(
            [piece(ANN, "move", index=0, id="a"), piece(BOB, "move", index=0, id="b")],
            id="same index",
        ),
        pytest.param([piece(ANN, "move", index=0), piece(BOB, "move", index=1)], id="no id"),
        pytest.param([piece(ANN, "move", id="a"), piece(BOB, "move", id="b")], id="no index"),
        pytest.param([piece(ANN, "move"), piece(BOB, "move")], id="neither"),
        pytest.param(
            [
                piece('{"robot"', "move", id="a"),
                piece(':"ann"}', id="a"),
                piece('{"robot"', "move", id="b"),
                piece(':"bob"}', id="b"),
            ],
            id="by id",
        ),
        pytest.param(
            [
                piece("", "mo", index=0, id="a"),
                piece(None, "ve", index=0),
                piece(ANN, index=0),
                piece(BOB, "move", index=1, id="b"),
            ],
            id="a name in pieces",
        ),
        pytest.param(
            [
                piece('{"robot"', "move", index=0, id="a"),
                piece(':"ann"}', "move", index=0, id="a"),
                piece(BOB, "move", index=1),
            ],
            id="a name with each piece",
        ),
        pytest.param(
            [piece({"robot": "ann"}, "move", index=0), piece({"robot": "bob"}, "move", index=1)],
            id="objects",
        ),
    ],
)
def test_calls_are_put_together_by_identity(pieces: list[dict[str, Any]]) -> None:
    assert calls_in(*pieces) == [("move", ANN), ("move", BOB)]


def test_a_call_without_arguments() -> None:
    assert calls_in(piece(None, "look", index=0, id="a"), piece("", "wait", index=1)) == [
        ("look", ""),
        ("wait", ""),
    ]


@tool
def price(item: str) -> str:
    """Price of an item."""
    return {"tea": "2 euros", "car": "9000 euros"}[item]


def asks(item: str, **where: Any) -> Reply:
    call = piece(json.dumps({"item": item}), "price", **where)
    return Reply([chunk({"tool_calls": [call]}), chunk({}, "tool_calls")])


async def test_ids_that_come_again_with_each_answer(server: OpenAIServer) -> None:
    server.queue(asks("tea", id="call_0"), asks("car", id="call_0"), text_reply("ok"))
    server.queue(text_reply("still"))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url), tools=[price], memory=Memory())
    here = {"thread": "t", "resource": "r"}

    await agent.generate("go", memory=here)
    await agent.generate("and?", memory=here)

    sent = server.requests[-1]["messages"]
    assert [m["content"] for m in sent if m["role"] == "tool"] == ["2 euros", "9000 euros"]


async def test_arguments_that_were_cut_off_go_back_as_json(server: OpenAIServer) -> None:
    server.queue(
        Reply(
            [chunk({"tool_calls": [piece('{"item": "te', "price", id="a")]}), chunk({}, "length")]
        ),
        text_reply("sorry"),
    )
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url), tools=[price])

    result = await agent.generate("go")

    assert result.text == "sorry"
    [call] = server.requests[-1]["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"arguments": '{"item": "te'}


async def test_whatever_is_said_can_be_sent(server: OpenAIServer) -> None:
    server.queue(text_reply("ok"))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))
    history = [
        Message("user", "half of an emoji \ud83d"),
        Message("assistant", (ToolCallPart("1", "count", {"n": 2**70}),)),
        Message("tool", (ToolResultPart("1", "count", {"n": float("nan"), "m": 2**70}),)),
        Message("user", "so?"),
    ]

    await agent.generate(history)

    sent = server.requests[-1]["messages"]
    assert sent[0]["content"] == "half of an emoji \ufffd"
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == {"n": 2**70}
    assert json.loads(sent[2]["content"]) == {"n": None, "m": 2**70}


async def test_a_provider_gets_back_the_thinking_it_showed_in_its_own_field(
    server: OpenAIServer,
) -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "sig", "index": 0}]
    thinks = [
        chunk({"reasoning": "hm", "reasoning_details": details}),
        chunk({"tool_calls": [piece('{"item": "tea"}', "price", id="a")]}),
        chunk({}, "tool_calls"),
    ]
    server.queue(Reply(thinks), text_reply("ok"))
    agent = Agent(id="a", model=ModelConfig("openrouter/m", url=server.url), tools=[price])

    result = await agent.generate("go")

    said_before = server.requests[-1]["messages"][1]
    assert said_before["reasoning"] == "hm"
    assert said_before["reasoning_details"] == details
    server.queue(text_reply("ok"))
    other = Agent(id="b", model=ModelConfig("deepseek/m", url=server.url))
    await other.generate([*result.messages, "go on"])
    assert not {"reasoning", "reasoning_content", "reasoning_details"} & set(
        server.requests[-1]["messages"][1]
    )


async def test_nothing_that_is_empty_is_sent(server: OpenAIServer) -> None:
    server.queue(text_reply("ok"))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))

    await agent.generate([Message("assistant", (TextPart(""),)), Message("user", "hi")])

    assert [m["role"] for m in server.requests[-1]["messages"]] == ["user"]


async def test_marks_for_keeping_are_sent_to_those_who_take_them(server: OpenAIServer) -> None:
    asked = Message("user", (TextPart("long", cache=True), TextPart("short")))
    for provider in ("openrouter", "openai"):
        server.queue(text_reply("ok"))
        model = ModelConfig(f"{provider}/m", url=server.url, api_key="k")
        await Agent(id="a", model=model).generate([asked])

    marked, plain = (request["messages"][0]["content"] for request in server.requests)
    assert marked[0] == {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert plain == "longshort"


def test_many_pieces_of_arguments_take_linear_time() -> None:
    def steps(count: int) -> int:
        decoder, looked = ChatDecoder("x/m"), itertools.count()
        parsed: list[Any] = []
        import mastra.models.chat_calls as calls

        real = calls._is_json

        def counted(text: str) -> bool:
            next(looked)
            return real(text)

        calls._is_json = counted
        try:
            decoder.event(chunk({"tool_calls": [piece("{", "f", index=0, id="a")]}), parsed)
            for at in range(count):
                text = f'"k{at}": {{"a": 1}}' + ("," if at < count - 1 else "}")
                decoder.event(chunk({"tool_calls": [piece(text, index=0)]}), parsed)
        finally:
            calls._is_json = real
        return next(looked)

    assert steps(200) <= steps(100) + 1


def test_the_loop_is_not_needed_to_decode() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert said(HI + THERE + END) == "hi there"


async def test_gemini_s_signature_goes_back_through_its_compatible_api(
    server: OpenAIServer,
) -> None:
    more = {"google": {"thought_signature": "S"}}
    signed = {**piece('{"item": "tea"}', "price", index=0, id="a"), "extra_content": more}
    server.queue(
        Reply([chunk({"tool_calls": [signed]}), chunk({}, "tool_calls")]), text_reply("ok")
    )
    agent = Agent(id="a", model=ModelConfig("gemini/m", url=server.url), tools=[price])

    await agent.generate("go")

    [call] = server.requests[-1]["messages"][1]["tool_calls"]
    assert call["extra_content"] == more


@pytest.mark.parametrize(
    ("events", "words", "may_pass"),
    [
        pytest.param([{"error": {"message": "busy", "code": "429"}}], "busy", True, id="digits"),
        pytest.param(["data: 7\n\n"], ": 7", False, id="a number"),
        pytest.param(['data: ["all is lost"]\n\n'], "all is lost", False, id="a list"),
        pytest.param(["data: the gateway is shut"], "the gateway is shut", False, id="last words"),
    ],
)
async def test_an_event_that_is_no_chunk_is_an_error(
    server: OpenAIServer, events: list[Any], words: str, may_pass: bool
) -> None:
    server.queue(Reply([chunk({"content": "The first ha"}), *events], done=False))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))
    with pytest.raises(ModelError, match=words) as raised:
        await agent.generate("go", model_settings={"max_retries": 0})
    assert raised.value.is_retryable is may_pass


async def test_a_body_that_ends_within_a_chunk_was_cut_off(server: OpenAIServer) -> None:
    half = 'data: {"choices": [{"delta": {"cont'
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))
    for events in ([half], [chunk({"content": "The first ha"}), half]):
        server.queue(Reply(events, done=False))
        with pytest.raises(ModelError, match="cut off") as raised:
            await agent.generate("go", model_settings={"max_retries": 0})
        assert raised.value.is_retryable


def test_an_event_without_anything_is_passed_over() -> None:
    assert said(HI + b"data: null\n\n" + THERE + END) == "hi there"


async def test_the_provider_s_events_are_given_as_they_came(server: OpenAIServer) -> None:
    server.queue(text_reply("hi"))
    model = resolve_model(ModelConfig("x/m", url=server.url))
    request = ModelRequest([Message("user", "hi")], include_raw=True)
    raw = [found.data async for found in model.stream(request) if isinstance(found, RawChunk)]
    pieces = [choice["delta"].get("content") or "" for event in raw for choice in event["choices"]]
    assert "".join(pieces) == "hi"
    assert raw[-1]["usage"]["total_tokens"] == 16


async def test_a_call_that_does_not_say_of_which_tool_is_an_error(server: OpenAIServer) -> None:
    nameless = {"index": 0, "id": "c", "function": {"arguments": "{}"}}
    server.queue(Reply([chunk({"tool_calls": [nameless]}), chunk({}, "tool_calls")]))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))
    with pytest.raises(ModelError, match="without saying which"):
        await agent.generate("go")


def sent(*messages: Message, provider: str = "x") -> list[Any]:
    return chat_body(ModelRequest(list(messages)), "m", provider)["messages"]


def test_what_a_part_of_a_chat_cannot_be_is_left_out() -> None:
    asked = Message(
        "user", (TextPart("q"), SourcePart("s", "https://a.example"), ImagePart(data="QUJD"))
    )
    thought = Message("assistant", (ReasoningPart("Hm.", "sig", provider="anthropic"),))
    kinds = [part["type"] for part in sent(asked, thought, Message("user", "and?"))[0]["content"]]
    assert kinds == ["text", "image_url"]
    roles = [message["role"] for message in sent(asked, thought, Message("user", "and?"))]
    assert roles == ["user", "user"], "a thought of another's is nothing to say"


def test_what_an_answer_is_marked_with_goes_back() -> None:
    answer = Message("assistant", (TextPart("One."), TextPart("Two.", cache=True)))
    [wire] = sent(answer, provider="openrouter")
    assert wire["content"] == [
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}},
    ]


@pytest.mark.parametrize(
    ("args", "text"),
    [('{"a": 1}', '{"a":1}'), ("  ", "{}"), ([1], '{"arguments":[1]}'), (None, "{}"), ("x", '{"arguments":"x"}')],
)  # fmt: skip
def test_the_arguments_of_a_call_go_back_as_an_object(args: Any, text: str) -> None:
    result = ToolResultPart("c", "t", "", content=(TextPart("One."), TextPart("Two.")))
    asked, told = sent(Message("assistant", (ToolCallPart("c", "t", args),)), Message.tool(result))
    assert asked["tool_calls"][0]["function"]["arguments"] == text
    assert told["content"] == "One.\nTwo."
