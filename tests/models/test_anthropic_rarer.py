"""What Anthropic's API says and takes more rarely, and what servers that speak it leave out."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.errors import ModelError
from mastra.models.base import ProviderTool, ToolSpec
from mastra.models.messages import (
    FilePart,
    Message,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tests.models.test_anthropic_answers import agent, any_tool, begun, said_in, stored
from tests.models.test_anthropic_requests import LOOK, blocks, body_of, checked
from tests.support.anthropic_replies import USAGE, call, message, reply, text
from tests.support.openai_server import OpenAIServer, Reply

_ = checked


def delta(index: int, **facts: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": facts}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def started(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def answer(*inner: dict[str, Any]) -> Reply:
    events = message()
    return Reply([*events[:2], *inner, *events[2:]], named=True, done=False)


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kind", "url"),
    [
        ("https://a.example/p", "url", "https://a.example/p"),
        ("handbook, page 3", "document", None),
    ],
)
async def test_a_search_result_that_is_cited_is_a_source(
    server: OpenAIServer, source: str, kind: str, url: str | None
) -> None:
    note = {
        "type": "search_result_location",
        "cited_text": "fun",
        "source": source,
        "title": None,
        "search_result_index": 2,
        "start_block_index": 0,
        "end_block_index": 1,
    }
    server.queue(answer(started(0, **text("So."), citations=[note]), stop(0)))
    result = await agent(server).generate("q")
    [found] = [item.payload for item in result.sources]
    assert (found.source_type, found.url, found.title) == (kind, url, source)
    assert found.provider_metadata["anthropic"]["searchResultIndex"] == 2
    assert (found.media_type is None) is (kind == "url"), "a document has a media type"


async def test_a_message_without_the_ends_of_its_blocks_is_whole(server: OpenAIServer) -> None:
    server.queue(
        answer(
            started(0, type="text", text=""),
            delta(0, type="text_delta", text=""),
            delta(0, type="text_delta", text="I look."),
            started(1, **call("c_1", "look")),
            delta(1, type="input_json_delta", partial_json='{"city": "Rome"}'),
        ),
        reply(text("ok")),
    )
    result = await agent(server, tools={"look": any_tool("look", "nice")}).generate("q")
    asked = [item.payload.args for item in result.steps[0].tool_calls]
    assert asked == [{"city": "Rome"}]
    assert [step.text for step in result.steps] == ["I look.", "ok"]


async def test_an_end_that_is_said_twice_ends_once(server: OpenAIServer) -> None:
    server.queue(answer(started(0, **text("Hi.")), stop(0), stop(0)))
    result = await agent(server).generate("q")
    assert [part for part in result.messages[-1].parts if isinstance(part, TextPart)] == [
        TextPart("Hi.")
    ]


async def test_a_thought_that_is_not_signed_is_read_and_does_not_go_back(
    server: OpenAIServer,
) -> None:
    thought = started(0, type="thinking", thinking="Hm.", signature="")
    server.queue(answer(thought, stop(0), started(1, **text("So.")), stop(1)), reply(text("ok")))
    result = await agent(server).generate("q")
    assert (result.reasoning_text, result.text) == ("Hm.", "So.")
    await agent(server).generate([*stored(result), "and?"])
    assert said_in(server.requests[1]) == [text("So.")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "No more."}}, 529),
        ({"error": {"type": "rate_limit_error", "message": "No more."}}, 429),
        ({"error": "No more."}, None),
    ],
)
async def test_an_error_whose_event_has_no_name_is_one(
    server: OpenAIServer, error: dict[str, Any], status: int | None
) -> None:
    events = [*message(text("hi"))[:4], error]
    server.queue(Reply(events, done=False))
    with pytest.raises(ModelError, match=r"No more\.") as caught:
        await agent(server).generate("q", model_settings={"max_retries": 0})
    assert caught.value.status_code == status


async def test_a_message_that_does_not_say_why_it_stopped_was_cut_off(
    server: OpenAIServer,
) -> None:
    events = [event for event in message(text("hi")) if event["type"] != "message_delta"]
    server.queue(Reply(events, named=True, done=False))
    with pytest.raises(ModelError, match="cut off"):
        await agent(server).generate("q", model_settings={"max_retries": 0})


async def test_counts_that_are_not_told_leave_those_that_were(server: OpenAIServer) -> None:
    events = message(text("hi"))
    events[-2]["usage"] = {"input_tokens": None, "output_tokens": 7}
    server.queue(Reply(events, named=True, done=False))
    usage = (await agent(server).generate("q")).usage
    kept = USAGE["cache_creation_input_tokens"] + USAGE["cache_read_input_tokens"]
    assert (usage.input_tokens, usage.output_tokens) == (USAGE["input_tokens"] + kept, 7)


async def test_what_was_edited_out_of_the_conversation_is_told(server: OpenAIServer) -> None:
    edits = {"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 3}]}
    events = message(text("hi"))
    events[-2]["context_management"] = edits
    server.queue(Reply(events, named=True, done=False))
    result = await agent(server).generate("q")
    assert result.steps[0].provider_metadata["anthropic"]["contextManagement"] == edits


@pytest.mark.parametrize("cut", [False, True])
async def test_a_call_of_a_kind_that_is_new_goes_back_with_its_arguments(
    server: OpenAIServer, *, cut: bool
) -> None:
    new = {"type": "robot_use", "id": "r_1", "input": {}}
    pieces = ('{"arm": ', '"up"') if cut else ('{"arm": ', '"up"}')
    told = [delta(0, type="input_json_delta", partial_json=piece) for piece in pieces]
    server.queue(answer(started(0, **new), *told, stop(0)), reply(text("ok")))
    result = await agent(server).generate("q")
    await agent(server).generate([*stored(result), "and?"])
    assert said_in(server.requests[1]) == [{**new, "input": {} if cut else {"arm": "up"}}]


async def test_what_code_of_the_model_s_asked_for_goes_back_with_its_caller(
    server: OpenAIServer,
) -> None:
    by = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    ran = {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "code_execution",
        "input": {"code": "x"},
    }
    asked = {
        "type": "server_tool_use",
        "id": "srvtoolu_2",
        "name": "web_search",
        "input": {"query": "x"},
        "caller": by,
    }
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_2",
        "content": [],
        "caller": by,
    }
    gave = {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "code_execution_result", "stdout": "x", "stderr": "", "return_code": 0, "content": []}}  # fmt: skip
    server.queue(begun(ran, asked, found, gave), reply(text("ok")))
    result = await agent(server).generate("q")
    await agent(server).generate([*stored(result), "and?"])
    sent = said_in(server.requests[1])
    assert [block.get("caller") for block in sent] == [None, by, by, None]


async def test_where_code_runs_without_an_end_is_kept(server: OpenAIServer) -> None:

    tools = [ProviderTool("anthropic", "code_execution", {})]
    server.queue(reply(text("a"), container={"id": "c_1", "expires_at": None}), reply(text("b")))
    first = await agent(server, tools=tools).generate("q")
    await agent(server, tools=tools).generate([*stored(first), "q"])
    assert server.requests[1]["container"] == "c_1"


# -- requests ------------------------------------------------------------------------------------


async def test_the_result_of_a_set_s_tool_names_the_set(server: OpenAIServer) -> None:
    """Its API asks for the set of tools of the call that a result answers."""
    asked = {**call("c_1", "look"), "toolset_name": "eyes"}
    server.queue(begun(asked, call("c_2", "look")), reply(text("ok")))
    await agent(server, tools=[any_tool("look")]).generate("q")
    results = server.requests[1]["messages"][-1]["content"]
    assert [block.get("toolset_name") for block in results] == ["eyes", None]


def test_a_call_of_a_set_that_was_never_run_names_the_set_too() -> None:
    own = {"anthropic": {"toolsetName": "eyes"}}
    body = body_of(
        "q", Message.assistant(ToolCallPart("c_1", "look", {}, provider_metadata=own)), "and?"
    )
    [result, _words] = blocks(body)[2]
    assert (result["type"], result["is_error"], result["toolset_name"]) == (
        "tool_result", True, "eyes",
    )  # fmt: skip


def test_what_a_document_says_of_itself_and_what_is_put_where_code_runs(checked: Any) -> None:
    facts = {"title": "Report", "context": "Of May.", "citations": {"enabled": True}}
    body = body_of(
        Message.user(
            FilePart("application/pdf", data="JVBERi0xLjQ=", provider_metadata={"anthropic": facts}),
            FilePart("text/plain", url="data:text/plain,a%20b", filename="a.txt"),
            FilePart(
                "text/csv", file_id="file_1", provider_metadata={"anthropic": {"containerUpload": True}}
            ),
        )
    )  # fmt: skip
    first, second, third = blocks(body)[0]
    assert {key: first[key] for key in facts} == facts
    assert second["source"] == {"type": "text", "media_type": "text/plain", "data": "a b"}
    assert second["title"] == "a.txt"
    assert third == {"type": "container_upload", "file_id": "file_1"}
    body["messages"][0]["content"].pop()  # of a beta alone
    checked(body)


def test_what_another_provider_ran_or_kept_is_left_out(checked: Any) -> None:
    own = {"google": {"part": {"executableCode": {}}}}
    body = body_of(
        Message.user(TextPart("q"), ReasoningPart("not a user's"), SourcePart("s", "https://a")),
        Message.assistant(
            ProviderPart("google", {"type": "text", "text": "no"}),
            ToolCallPart("g_1", "code_execution", {}, provider_executed=True, provider_metadata=own),
            ToolResultPart("g_1", "code_execution", "2", provider_executed=True, provider_metadata=own),
            TextPart("Two."),
        ),
        "and?",
    )  # fmt: skip
    checked(body)
    assert blocks(body) == [[text("q")], [text("Two.")], [text("and?")]]


def test_a_result_of_nothing_but_empty_text_has_no_content(checked: Any) -> None:
    empty = ToolResultPart("c_1", "look", "", content=(TextPart(""), TextPart("It is.")))
    body = body_of("q", Message.assistant(ToolCallPart("c_1", "look", {})), Message.tool(empty))
    checked(body)
    assert blocks(body)[2][0]["content"] == [text("It is.")]


def test_who_called_is_read_as_the_ai_sdk_writes_it(checked: Any) -> None:
    caller = {"type": "code_execution_20250825", "toolId": "srvtoolu_1"}
    own = {"anthropic": {"caller": caller}}
    body = body_of(
        "q",
        Message.assistant(ToolCallPart("c_1", "look", {}, provider_metadata=own)),
        Message.tool(ToolResultPart("c_1", "look", "nice")),
    )
    checked(body)
    wire = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
    assert blocks(body)[1][0]["caller"] == wire


def test_further_options_of_the_api(checked: Any) -> None:
    given = {"disableParallelToolUse": True, "outputConfig": {"effort": "low"}}
    body = body_of("q", tools=(LOOK,), provider_options={"anthropic": given})
    checked(body)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["output_config"] == {"effort": "low"}


def test_instructions_as_text_among_raw_fields_lie_over_the_others(checked: Any) -> None:
    marked = {"cache": True}
    body = body_of(
        Message.system("One."),
        Message.user(TextPart("q", **marked)),
        settings={"extra_body": {"system": "Two."}},
    )
    checked(body)
    assert body["system"] == "Two."
    assert "cache_control" in blocks(body)[0][0]


def test_examples_of_a_tool_s_input_keep_the_names_of_its_fields() -> None:

    own = {"anthropic": {"inputExamples": [{"cityName": "Rome"}], "deferLoading": True}}
    spec = ToolSpec("look", "Look.", LOOK.parameters, provider_options=own)
    [sent] = body_of("q", tools=(spec,))["tools"]
    assert sent["input_examples"] == [{"cityName": "Rome"}]
    assert sent["defer_loading"] is True


def test_what_stands_around_a_thought_that_leads_nowhere_is_one_turn(checked: Any) -> None:
    body = body_of("q", Message.assistant(ReasoningPart("Hm.", "c2ln")), "and?")
    checked(body)
    assert blocks(body) == [[text("q"), text("and?")]]
