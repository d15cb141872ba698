"""What Anthropic answers arrives whole, and goes back to it as it came."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mastra import Agent, ModelConfig, ProviderTool, create_tool
from mastra.agents.results import AgentResult
from mastra.errors import ModelError
from mastra.models.message_forms import message_from
from mastra.models.message_wire import message_to_wire
from tests.support.anthropic_replies import (
    blocks_of,
    call,
    message,
    recorded,
    recorded_events,
    recorded_names,
    reply,
    text,
)
from tests.support.openai_server import OpenAIServer, Reply, error_reply

FAMILY = message()[0]["message"]["model"].partition("-")[0]
"""What the names of Anthropic's models begin with."""


def agent(server: OpenAIServer, model: str = "claude-sonnet-4-5", **options: Any) -> Agent:
    config = ModelConfig(id=f"anthropic/{model}", url=server.url, api_key="k", api="native")
    return Agent(id="a", name="a", instructions="Be brief.", model=config, **options)


def any_tool(name: str, result: Any = "done") -> Any:
    schema = {"type": "object", "properties": {}, "additionalProperties": True}
    return create_tool(name, "A tool.", schema, execute=lambda _: result)


def stored(result: AgentResult) -> list[Any]:
    """The messages of a run, as storage gives them back."""
    return [message_from(json.loads(json.dumps(message_to_wire(item)))) for item in result.messages]


def said_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        block
        for turn in body["messages"]
        if turn["role"] == "assistant"
        for block in turn["content"]
    ]


def plain(block: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in block.items()
        if value is not None and not (key == "caller" and value["type"] == "direct")
    }


@pytest.mark.parametrize("name", recorded_names())
async def test_what_was_recorded_goes_back_as_it_came(server: OpenAIServer, name: str) -> None:
    events = recorded_events(name)
    server.queue(recorded(name), reply(text("ok")))
    tools = {"get_exchange_rate": any_tool("get_exchange_rate")}
    first = await agent(server, tools=tools).generate("hello", max_steps=1)
    await agent(server).generate([*stored(first), "and then?"])
    blocks = blocks_of(events)
    wanted = [plain(block) for block in blocks if block.get("text", "x").strip()]
    assert [plain(block) for block in said_in(server.requests[-1])] == wanted
    assert first.text == "".join(block["text"] for block in blocks if block["type"] == "text")
    thoughts = "".join(block.get("thinking", "") for block in blocks)
    assert first.reasoning_text == thoughts


@pytest.mark.parametrize(
    "name", ["text_editor", "web_search", "mcp", "code_execution", "web_fetch"]
)
async def test_tools_that_run_there_are_reported_and_not_looked_up(
    server: OpenAIServer, name: str
) -> None:
    server.queue(recorded(name))
    result = await agent(server).generate("hello")
    (step,) = result.steps
    blocks = blocks_of(recorded_events(name))
    asked = [block for block in blocks if block["type"].endswith("_tool_use")]
    calls = [chunk.payload for chunk in step.tool_calls]
    assert [(c.tool_call_id, c.tool_name, c.args) for c in calls] == [
        (block["id"], block["name"], block["input"]) for block in asked
    ]
    assert all(c.provider_executed for c in calls)
    gave = [block for block in blocks if block["type"].endswith("_tool_result")]
    results = {chunk.payload.tool_call_id: chunk.payload for chunk in step.tool_results}
    for block in gave:
        payload = results[block["tool_use_id"]]
        assert payload.result == block["content"]
        assert payload.tool_name in {item["name"] for item in asked}
        failed = str(block["content"]).count("_tool_result_error") > 0
        assert bool(payload.is_error) == failed
    assert len(server.requests) == 1


async def test_citations_are_sources_and_each_address_comes_once(server: OpenAIServer) -> None:
    server.queue(recorded("web_search"))
    result = await agent(server).generate("weather?")
    cited = [
        note["url"]
        for block in blocks_of(recorded_events("web_search"))
        for note in block.get("citations") or ()
    ]
    assert [source.payload.url for source in result.steps[0].sources] == list(dict.fromkeys(cited))


async def test_a_citation_of_a_document_names_it(server: OpenAIServer) -> None:
    note = {
        "type": "page_location",
        "cited_text": "fun",
        "document_index": 0,
        "document_title": None,
        "start_page_number": 1,
        "end_page_number": 2,
    }
    events = message(text("So."))
    delta = {"type": "citations_delta", "citation": note}
    events.insert(5, {"type": "content_block_delta", "index": 0, "delta": delta})
    server.queue(Reply(events, named=True, done=False))
    file = {
        "type": "file",
        "data": "JVBERi0xLjQ=",
        "mediaType": "application/pdf",
        "filename": "a.pdf",
    }
    result = await agent(server).generate([{"role": "user", "content": [file]}])
    (source,) = result.steps[0].sources
    wire = source.payload
    assert (wire.source_type, wire.title, wire.filename) == ("document", "a.pdf", "a.pdf")
    assert wire.media_type == "application/pdf"
    assert wire.provider_metadata["anthropic"]["startPageNumber"] == 1


async def test_tokens_that_were_kept_count_as_input(server: OpenAIServer) -> None:
    server.queue(reply(text("hi")))
    usage = (await agent(server).generate("q")).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (17, 7, 24)
    assert (usage.cached_input_tokens, usage.cache_creation_input_tokens) == (4, 3)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content-filter"),
        ("something_new", "other"),
    ],
)
async def test_why_it_stopped(server: OpenAIServer, stop: str, reason: str) -> None:
    server.queue(reply(text("hi"), stop=stop))
    result = await agent(server).generate("q")
    assert (result.finish_reason, result.steps[0].raw_reason) == (reason, stop)


async def test_a_pause_goes_on_with_what_was_said(server: OpenAIServer) -> None:
    search = {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "a"},
    }
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    server.queue(
        reply(text("I look."), search, stop="pause_turn"),
        reply(found, text("There is nothing.")),
        reply(text("ok")),
    )
    tools = [ProviderTool("anthropic", "web_search", {})]
    result = await agent(server, tools=tools).generate("q")
    assert [turn["role"] for turn in server.requests[1]["messages"]] == ["user", "assistant"]
    assert server.requests[1]["messages"][1]["content"] == [text("I look."), search]
    assert result.text == "I look.There is nothing."
    (chunk,) = result.steps[1].tool_results
    assert (chunk.payload.tool_call_id, chunk.payload.tool_name) == ("srvtoolu_1", "web_search")
    await agent(server).generate([*stored(result), "more"])
    assert said_in(server.requests[2]) == [
        text("I look."), search, found, text("There is nothing."),
    ]  # fmt: skip


async def test_thoughts_between_calls_go_back_in_their_places(server: OpenAIServer) -> None:
    first = {"type": "thinking", "thinking": "Both.", "signature": "s1"}
    hidden = {"type": "redacted_thinking", "data": "xxx"}
    unseen = {"type": "thinking", "thinking": "", "signature": "s2"}
    calls = [call("toolu_1", "look", n=1), call("toolu_2", "look", n=2)]
    server.queue(
        reply(first, text("I look."), calls[0], hidden, calls[1], stop="tool_use"),
        reply(unseen, text("Done.")),
        reply(text("ok")),
    )
    result = await agent(server, tools={"look": any_tool("look")}).generate("q")
    asked, told = server.requests[1]["messages"][1:]
    assert asked["content"] == [first, text("I look."), calls[0], hidden, calls[1]]
    assert [block["tool_use_id"] for block in told["content"]] == ["toolu_1", "toolu_2"]
    await agent(server, tools={"look": any_tool("look")}).generate([*stored(result), "more"])
    assert said_in(server.requests[2])[-2:] == [unseen, text("Done.")]


async def test_what_another_provider_signed_is_left_out(server: OpenAIServer) -> None:
    server.queue(reply(text("ok")))
    thought = {"type": "reasoning", "text": "hm", "signature": "x", "provider": "openai"}
    ran = {
        "type": "tool-call", "toolCallId": "ws_1", "toolName": "web_search", "input": {}, "providerExecuted": True,
        "providerMetadata": {"openai": {"itemId": "ws_1"}},
    }  # fmt: skip
    said = {"type": "text", "text": "Yes.", "providerMetadata": {"openai": {"itemId": "msg_1"}}}
    history = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [thought, ran, said]},
        {"role": "user", "content": "more"},
    ]
    await agent(server).generate(history)
    assert said_in(server.requests[0]) == [text("Yes.")]


async def test_a_call_without_arguments_and_one_in_a_single_piece(server: OpenAIServer) -> None:
    whole = call("toolu_2", "look", n=2)
    events = message(call("toolu_1", "look"), stop="tool_use")
    events[-2:-2] = [
        {"type": "content_block_start", "index": 1, "content_block": whole},
        {"type": "content_block_stop", "index": 1},
    ]
    server.queue(Reply(events, named=True, done=False), reply(text("ok")))
    result = await agent(server, tools={"look": any_tool("look")}).generate("q")
    assert [chunk.payload.args for chunk in result.steps[0].tool_calls] == [{}, {"n": 2}]


async def test_code_runs_where_it_ran_before(server: OpenAIServer) -> None:
    container = {"id": "container_1", "expires_at": "2999-01-01T00:00:00Z"}
    gone = {"id": "container_0", "expires_at": "2001-01-01T00:00:00Z"}
    tools = [ProviderTool("anthropic", "code_execution", {})]
    server.queue(
        reply(text("a"), container=container), reply(text("b")), reply(text("c"), container=gone), reply(text("d")),
    )  # fmt: skip
    first = await agent(server, tools=tools).generate("q")
    assert first.steps[0].provider_metadata["anthropic"]["container"] == {
        "id": "container_1",
        "expiresAt": "2999-01-01T00:00:00Z",
    }
    await agent(server, tools=tools).generate([*stored(first), "q"])
    third = await agent(server, tools=tools).generate("q")
    await agent(server, tools=tools).generate([*stored(third), "q"])
    assert [body.get("container") for body in server.requests] == [None, "container_1", None, None]


@pytest.mark.parametrize(
    ("kind", "status", "may_pass"),
    [
        ("overloaded_error", 529, True),
        ("invalid_request_error", 400, False),
        ("api_error", 500, True),
    ],
)
async def test_an_error_in_the_stream_is_one(
    server: OpenAIServer, kind: str, status: int, may_pass: bool
) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "No more."}, "request_id": "req_1"}
    server.queue(Reply([*message(text("hi"))[:4], error], named=True, done=False))
    with pytest.raises(ModelError, match=r"No more\.") as caught:
        await agent(server).generate("q", model_settings={"max_retries": 0})
    assert (caught.value.status_code, caught.value.is_retryable) == (status, may_pass)


async def test_an_error_before_the_first_word_is_tried_again(server: OpenAIServer) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server.queue(
        Reply([*message(text("hi"))[:1], error], named=True, done=False),
        error_reply(529, "Overloaded", retry_after="0"),
        reply(text("hi")),
    )
    assert (await agent(server).generate("q")).text == "hi"
    assert len(server.requests) == 3


async def test_a_refusal_says_what_anthropic_says(server: OpenAIServer) -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "Too long."}}
    server.queue(Reply(status=400, body=said, headers={"request-id": "req_9"}))
    with pytest.raises(ModelError, match=r"Too long\.") as caught:
        await agent(server).generate("q")
    assert (caught.value.status_code, caught.value.is_retryable) == (400, False)
    assert caught.value.details["request_id"] == "req_9"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply_",
    [
        Reply(body={"type": "error", "error": {"type": "overloaded_error", "message": "Not now."}}),
        Reply(["<html><body><h1>Not now.</h1></body></html>"], done=False),
    ],
)
async def test_what_is_no_answer_with_status_200_is_an_error(
    server: OpenAIServer, reply_: Reply
) -> None:
    server.queue(reply_)
    with pytest.raises(ModelError, match=r"Not now\."):
        await agent(server).generate("q", model_settings={"max_retries": 0})


@pytest.mark.parametrize("count", [3, 6])
async def test_an_answer_that_is_cut_off_is_an_error(server: OpenAIServer, count: int) -> None:
    server.queue(Reply(message(text("hi there"))[:count], named=True, done=False))
    with pytest.raises(ModelError, match="cut off"):
        await agent(server).generate("q", model_settings={"max_retries": 0})


async def test_events_that_mean_nothing_here_are_passed_over(server: OpenAIServer) -> None:
    events = message(text("hi"))
    events[2:2] = [{"type": "new_event", "index": 9}]
    unknown = {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "newest", "x": [1]},
    }
    events[-2:-2] = [unknown, {"type": "content_block_stop", "index": 1}]
    server.queue(Reply(events, named=True, done=False), reply(text("ok")))
    result = await agent(server).generate("q")
    assert result.text == "hi"
    await agent(server).generate([*stored(result), "more"])
    assert said_in(server.requests[1]) == [text("hi"), {"type": "newest", "x": [1]}]


@pytest.mark.parametrize("count", [1, 4])
async def test_events_that_cannot_be_are_an_error(server: OpenAIServer, count: int) -> None:
    events = [*message(text("hi"))[:count], {"type": "content_block_delta", "index": 0}]
    server.queue(Reply(events, named=True, done=False))
    with pytest.raises(ModelError, match="that is not its API's"):
        await agent(server).generate("q", model_settings={"max_retries": 0})


async def test_instructions_are_kept_where_an_agent_asks(server: OpenAIServer) -> None:
    server.queue(reply(text("ok")), reply(text("ok")))
    mark = {"type": "ephemeral"}
    await agent(server, cache_instructions=True).generate("q", system="Today is Monday.")
    system = server.requests[0]["system"]
    assert [block.get("cache_control") for block in system] == [mark, None]
    await agent(server).generate("q")
    assert "cache_control" not in server.requests[1]["system"][0]


async def test_a_tool_of_ours_runs_in_the_form_that_anthropic_gives(server: OpenAIServer) -> None:
    server.queue(
        reply(call("toolu_1", "memory", command="view"), stop="tool_use"), reply(text("ok"))
    )
    tools = [ProviderTool("anthropic", "memory"), any_tool("memory", "Mexico City")]
    await agent(server, tools=tools).generate("q")
    assert server.requests[0]["tools"] == [{"type": "memory_20250818", "name": "memory"}]
    assert server.requests[1]["messages"][-1]["content"][0]["content"] == "Mexico City"


async def test_names_that_the_api_does_not_take(server: OpenAIServer) -> None:
    names = ["admin.files/list", "search_" * 12, "search_" * 13]
    tools = {name: any_tool(name) for name in names}

    def asks(body: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in body["tools"]]

    server.queue(reply(text("ok")))
    await agent(server, tools=tools).generate("q")
    known = asks(server.requests[0])
    assert len(set(known)) == 3
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in known)
    server.queue(reply(call("toolu_1", known[0]), stop="tool_use"), reply(text("ok")))
    choice = {"type": "tool", "tool_name": names[0]}
    result = await agent(server, tools=tools).generate(
        "q", prepare_step=lambda step: {"tool_choice": choice if step.step_number == 0 else "auto"}
    )
    assert server.requests[1]["tool_choice"]["name"] == known[0]
    assert [chunk.payload.tool_name for chunk in result.steps[0].tool_calls] == [names[0]]
    assert server.requests[2]["messages"][1]["content"][0]["name"] == known[0]


async def test_whatever_a_user_or_a_tool_said_can_be_sent(server: OpenAIServer) -> None:
    odd = {"big": 2**70, "nan": float("nan")}
    server.queue(reply(call("toolu_1", "look", n=2**70), stop="tool_use"), reply(text("ok")))
    result = await agent(server, tools={"look": any_tool("look", odd)}).generate("a\udc00?")
    assert result.steps[0].tool_calls[0].payload.args == {"n": 2**70}
    asked, told = server.requests[1]["messages"][1:]
    assert asked["content"][0]["input"] == {"n": 2**70}
    assert str(2**70) in told["content"][0]["content"]


def begun(*blocks: dict[str, Any]) -> Reply:
    """An answer whose blocks are whole when they begin, as some servers between send them."""
    events = message()
    head, tail = events[:2], events[2:]
    for index, block in enumerate(blocks):
        head += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_stop", "index": index},
        ]
    return Reply([*head, *tail], named=True, done=False)


async def test_blocks_that_are_whole_when_they_begin(server: OpenAIServer) -> None:
    note = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "x",
    }
    server.queue(
        begun(
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "So.", "citations": [note, note]},
        ),
        reply(text("ok")),
    )
    result = await agent(server).generate("q")
    assert (result.reasoning_text, result.text) == ("Hm.", "So.")
    assert [source.payload.url for source in result.sources] == ["https://a"]
    await agent(server).generate([*stored(result), "and?"])
    thought, said = said_in(server.requests[1])
    assert plain(thought) == {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    assert said["text"] == "So."


async def test_a_call_that_is_whole_when_it_begins_is_run(server: OpenAIServer) -> None:
    server.queue(begun(call("c_1", "look", city="Rome")), reply(text("ok")))
    asked: list[Any] = []
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    look = create_tool("look", "Look.", schema, execute=asked.append)
    assert (await agent(server, tools=[look]).generate("q")).text == "ok"
    assert asked == [{"city": "Rome"}]


async def test_an_answer_to_a_schema_that_is_whole_when_it_begins(server: OpenAIServer) -> None:
    server.queue(begun(call("c_1", "json", city="Rome")))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    old = agent(server, f"{FAMILY}-sonnet-4-0")
    result = await old.generate("q", structured_output={"schema": schema})
    assert result.object == {"city": "Rome"}


async def test_what_was_put_together_of_a_long_conversation_goes_back(server: OpenAIServer) -> None:
    events = message({"type": "compaction", "content": None}, text("Go on."))
    pieces = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": piece}}
        for piece in ("They spoke ", "of Rome.")
    ]  # fmt: skip
    odd = {"type": "content_block_delta", "index": 0, "delta": {"type": "unheard_of"}}
    events[3:3] = [*pieces, odd]
    server.queue(Reply(events, named=True, done=False), reply(text("ok")))
    result = await agent(server).generate("q")
    assert result.text == "Go on."
    await agent(server).generate([*stored(result), "and?"])
    assert said_in(server.requests[1])[0] == {
        "type": "compaction",
        "content": "They spoke of Rome.",
    }


async def test_a_call_of_a_set_of_tools_goes_back_with_its_name(server: OpenAIServer) -> None:
    asked = {**call("c_1", "look"), "toolset_name": "eyes"}
    server.queue(begun(asked), reply(text("ok")))
    assert (await agent(server, tools=[any_tool("look")]).generate("q")).text == "ok"
    [sent] = [block for block in said_in(server.requests[1]) if block["type"] == "tool_use"]
    assert sent["toolset_name"] == "eyes"
