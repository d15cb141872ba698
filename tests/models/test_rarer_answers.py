"""Answers in the forms that single providers have: parts, sources, pictures, tools that ran there."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.agents.results import AgentResult
from mastra.errors import ModelError
from mastra.models.messages import FilePart, ImagePart, Message, ReasoningPart, SourcePart, TextPart
from mastra.models.resolve import ModelConfig
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, Reply, chunk, text_reply


async def ask(
    server: OpenAIServer, *events: dict[str, Any], model: str = "x/m", finish: str = "stop"
) -> AgentResult[Any]:
    """What an agent makes of an answer."""
    server.queue(Reply([*events, chunk({}, finish)]))
    agent = Agent(id="a", model=ModelConfig(model, url=server.url))
    return await agent.generate("hi")


def thinking(text: str) -> dict[str, Any]:
    part = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
    return chunk({"content": [part]})


def parts_of(result: AgentResult[Any]) -> list[Any]:
    return list(result.messages[-1].parts)


async def test_a_thought_in_pieces_of_content_is_one_thought(server: OpenAIServer) -> None:
    answer = await ask(
        server,
        thinking("I "),
        thinking("see."),
        chunk({"content": [{"type": "text", "text": "Yes"}]}),
        chunk({"content": ", yes."}),
        chunk({"content": [{"type": "reference", "reference_ids": [1]}]}),
        thinking("And on."),
        chunk({"content": "No."}),
        model="mistral/m",
    )
    said = [
        (type(part), part.text)
        for part in parts_of(answer)
        if isinstance(part, TextPart | ReasoningPart)
    ]
    assert said == [
        (ReasoningPart, "I see."),
        (TextPart, "Yes, yes."),
        (ReasoningPart, "And on."),
        (TextPart, "No."),
    ]


async def test_a_thought_and_the_answer_may_come_in_one_list(server: OpenAIServer) -> None:
    both = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}]
    answer = await ask(server, chunk({"content": both}), model="mistral/m")
    assert (answer.reasoning_text, answer.text) == ("Hm.", "Yes.")
    assert [type(part) for part in parts_of(answer)] == [ReasoningPart, TextPart]


async def test_a_refusal_is_what_was_said(server: OpenAIServer) -> None:
    answer = await ask(
        server, chunk({"content": None, "refusal": "I will "}), chunk({"refusal": "not."})
    )
    assert answer.text == "I will not."


async def test_a_refusal_ends_what_was_thought(server: OpenAIServer) -> None:
    answer = await ask(server, chunk({"reasoning": "Hm."}), chunk({"refusal": "No."}))
    assert [type(part) for part in parts_of(answer)] == [ReasoningPart, TextPart]


@tool
async def double(number: int) -> int:
    """Double a number."""
    return 2 * number


async def test_the_only_call_of_older_servers_is_run(server: OpenAIServer) -> None:
    call = [{"name": "double", "arguments": ""}, {"arguments": '{"number"'}, {"arguments": ": 21}"}]
    pieces = [chunk({"content": None, "function_call": piece}) for piece in call]
    server.queue(Reply([*pieces, chunk({}, "function_call")]), text_reply("It is 42."))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url), tools=[double])
    result = await agent.generate("double 21")
    assert [found.payload.result for found in result.tool_results] == [42]
    assert result.text == "It is 42."


@pytest.mark.parametrize(
    ("events", "sources"),
    [
        pytest.param(
            [
                chunk({"content": "One"}, citations=["https://a", "https://b"]),
                chunk({"content": " two"}, citations=["https://a", "https://b"]),
                chunk({"content": "."}, citations=["https://a", "https://b", "https://c"]),
            ],
            [("https://a", None), ("https://b", None), ("https://c", None)],
            id="addresses with every chunk",
        ),
        pytest.param(
            [chunk({"content": "One."}, search_results=[{"url": "https://a", "title": "A"}, {}])],
            [("https://a", "A")],
            id="results of a search",
        ),
        pytest.param(
            [
                chunk({"content": "One."}),
                chunk(
                    {
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url_citation": {"url": "https://a", "title": "A"},
                            },
                            {"type": "file_citation", "file_id": "f"},
                        ]
                    }
                ),
            ],
            [("https://a", "A")],
            id="notes",
        ),
    ],
)
async def test_what_an_answer_draws_on_is_among_its_sources(
    server: OpenAIServer, events: list[Any], sources: list[Any]
) -> None:
    answer = await ask(server, *events)
    found = [part for part in parts_of(answer) if isinstance(part, SourcePart)]
    assert [(part.url, part.title) for part in found] == sources
    assert answer.text.endswith(".")


async def test_pictures_of_a_chat_are_files_of_the_answer(server: OpenAIServer) -> None:
    pictures = [
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://elsewhere/picture.png"}},
    ]
    answer = await ask(server, chunk({"content": "Here."}), chunk({"images": pictures}))
    files = [part for part in parts_of(answer) if isinstance(part, FilePart | ImagePart)]
    assert [(part.media_type, part.data) for part in files] == [("image/webp", "AAAA")]


def sound(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([b"\x01\x00\x02", b"\x00\x03"], "audio/pcm"),
        ([b"RIFF\x01\x00\x02\x00WAVE"], "audio/wav"),
        ([b"ID", b"3\x04"], "audio/mpeg"),
        ([b"\xff\xfb\x90"], "audio/mpeg"),
        ([b"\xff\xf1\x50"], "audio/aac"),
        ([b"\xff\xff\xfe\xff"], "audio/pcm"),  # samples that begin just below zero
    ],
)
async def test_what_a_model_says_aloud_is_text_and_a_file_of_the_answer(
    server: OpenAIServer, pieces: list[bytes], kind: str
) -> None:
    """It was dropped, and the answer was empty."""
    said = [{"id": "audio_1"}, {"transcript": "Good "}, {"transcript": "day."}]
    said += [{"data": sound(piece)} for piece in pieces] + [{"expires_at": 1_700_000_000}]
    answer = await ask(server, *(chunk({"content": None, "audio": one}) for one in said))
    assert answer.text == "Good day."
    (file,) = [part for part in parts_of(answer) if isinstance(part, FilePart)]
    assert (file.media_type, file.data) == (kind, sound(b"".join(pieces)))
    assert file.provider_metadata == {"x": {"audioId": "audio_1", "expiresAt": 1_700_000_000}}
    assert [one.payload.mime_type for one in answer.files] == [kind]


async def test_a_whole_answer_said_aloud_goes_back_as_its_text(server: OpenAIServer) -> None:
    audio = {"id": "a", "data": sound(b"RIFF1"), "transcript": "Yes.", "expires_at": 9}
    whole = {"message": {"content": None, "audio": audio}, "finish_reason": "stop"}
    server.queue(Reply([{"choices": [whole]}]), text_reply("Again."))
    agent = Agent(id="a", model=ModelConfig("x/m", url=server.url))
    first = await agent.generate("q")
    assert (first.text, len(first.files)) == ("Yes.", 1)
    await agent.generate([*first.messages, Message("user", "more")])
    assert {"role": "assistant", "content": "Yes."} in server.requests[-1]["messages"]


async def test_sound_that_is_none_is_an_error(server: OpenAIServer) -> None:
    with pytest.raises(ModelError, match="its sound is no base64"):
        await ask(server, chunk({"audio": {"data": "?"}}))


async def test_a_tool_that_ran_there_is_told_once_and_not_run_here(server: OpenAIServer) -> None:
    begun = {"index": 0, "type": "search", "arguments": '{"query": "x"}'}
    found = {"results": [{"url": "https://a", "title": "A"}, {"title": "no address"}]}
    ended = {**begun, "output": "Something.", "search_results": found}
    answer = await ask(
        server, chunk({"executed_tools": [begun]}), chunk({"executed_tools": [ended]}), chunk({"content": "So."})
    )  # fmt: skip
    calls = [call.payload for call in answer.tool_calls]
    assert [(call.tool_name, call.args) for call in calls] == [("search", {"query": "x"})]
    assert all(call.provider_executed for call in calls)
    given = [result.payload for result in answer.tool_results]
    assert [(one.tool_call_id, one.result) for one in given] == [
        (calls[0].tool_call_id, "Something.")
    ]
    assert [part.url for part in parts_of(answer) if isinstance(part, SourcePart)] == ["https://a"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("timings", "counts"),
    [
        ({"prompt_n": 7, "predicted_n": 3, "predicted_ms": 20.5}, (7, 3, 10)),
        ({"predicted_n": 3}, (None, None, None)),
    ],
)
async def test_tokens_are_counted_by_what_a_local_server_says_of_its_time(
    server: OpenAIServer, timings: dict[str, Any], counts: tuple[int | None, ...]
) -> None:
    answer = await ask(server, chunk({"content": "Yes."}, timings=timings))
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == counts


async def goes_back(
    server: OpenAIServer, model: str, *events: dict[str, Any]
) -> tuple[AgentResult[Any], dict[str, Any]]:
    """What was made of an answer, and what of it is sent when the conversation goes on."""
    first = await ask(server, *events, model=model)
    server.queue(text_reply("ok"))
    agent = Agent(id="a", model=ModelConfig(model, url=server.url))
    await agent.generate([*first.messages, "and?"])
    [said] = [one for one in server.requests[-1]["messages"] if one["role"] == "assistant"]
    return first, said


def detail(kind: str, index: int, **facts: Any) -> dict[str, Any]:
    return {"type": f"reasoning.{kind}", "index": index, "format": "f", **facts}


async def test_details_of_a_thought_go_back_put_together(server: OpenAIServer) -> None:
    answer, said = await goes_back(
        server,
        "openrouter/m",
        chunk({"reasoning": "I ", "reasoning_details": [detail("text", 0, text="I ")]}),
        chunk({"reasoning": "see.", "reasoning_details": [detail("text", 0, text="see.")]}),
        chunk({"reasoning_details": [detail("text", 0, signature="s")]}),
        chunk({"reasoning_details": [detail("encrypted", 1, data="zzz")]}),
        chunk({"content": "Yes."}),
    )
    assert (answer.reasoning_text, answer.text) == ("I see.", "Yes.")
    assert said["reasoning_details"] == [
        detail("text", 0, text="I see.", signature="s"),
        detail("encrypted", 1, data="zzz"),
    ]
    assert said["content"] == "Yes."


async def test_a_thought_that_is_told_in_details_alone_is_told_once(server: OpenAIServer) -> None:
    answer, said = await goes_back(
        server,
        "openrouter/m",
        chunk({"reasoning": None, "reasoning_details": [detail("summary", 0, summary="Look ")]}),
        chunk({"reasoning_details": [detail("summary", 0, summary="up.")]}),
        chunk({"reasoning": "Look up.", "content": "Yes."}),
    )
    assert answer.reasoning_text == "Look up."
    assert said["reasoning_details"] == [detail("summary", 0, summary="Look up.")]


async def test_a_thought_that_is_sealed_says_nothing_and_goes_back(server: OpenAIServer) -> None:
    sealed = detail("encrypted", 0, data="zzz", id="rs_1")
    answer, said = await goes_back(
        server,
        "openrouter/m",
        chunk({"reasoning_details": [sealed]}),
        chunk({"content": "So."}),
    )
    assert (answer.reasoning_text or "", answer.text) == ("", "So.")
    assert said["reasoning_details"] == [sealed]


async def test_thoughts_that_are_signed_go_back_as_blocks_to_who_signed_them(
    server: OpenAIServer,
) -> None:
    hidden = {"type": "redacted_thinking", "data": "zzz"}
    signed = {"type": "thinking", "thinking": "", "signature": "s"}
    events = [
        chunk({"reasoning_content": "Hm.", "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}),
        chunk({"thinking_blocks": [signed]}),
        chunk({"thinking_blocks": [hidden]}),
        chunk({"content": "Yes."}),
    ]  # fmt: skip
    answer, said = await goes_back(server, "databricks/m", *events)
    assert (answer.reasoning_text, answer.text) == ("Hm.", "Yes.")
    assert said["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        hidden,
    ]
    server.queue(text_reply("ok"))
    other = Agent(id="b", model=ModelConfig("x/m", url=server.url))
    await other.generate([*answer.messages, "and?"])
    [elsewhere] = [one for one in server.requests[-1]["messages"] if one["role"] == "assistant"]
    assert elsewhere == {"role": "assistant", "content": "Yes."}
