"""What is asked of Anthropic is what its API takes: checked against the request types of its SDK."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pydantic
import pytest

from mastra.errors import ConfigError, ModelError
from mastra.models.anthropic import AnthropicModel
from mastra.models.anthropic_request import anthropic_body
from mastra.models.base import ModelRequest, ProviderTool, ResponseFormat, ToolSpec
from mastra.models.message_forms import messages_from
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.settings import ModelSettings
from tests.support.anthropic_replies import message

FAMILY = message()[0]["message"]["model"].partition("-")[0]
"""What the names of Anthropic's models begin with."""
PNG = "iVBORw0KGgoAAAA="
OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LOOK = ToolSpec("look", "Look at a city.", OBJECT)


@pytest.fixture(scope="module")
def checked() -> Any:
    """Checks a body against the SDK's types, and says what it has that they do not know."""
    pytest.importorskip("anthropic")
    from anthropic.types import message_create_params, message_param, tool_union_param
    from anthropic.types.beta.message_create_params import MessageCreateParamsStreaming

    whole = pydantic.TypeAdapter(MessageCreateParamsStreaming)
    turn = pydantic.TypeAdapter(message_param.MessageParam)
    tool = pydantic.TypeAdapter(tool_union_param.ToolUnionParam)
    assert message_create_params

    def check(body: dict[str, Any]) -> None:
        whole.validate_python(body)
        # Lists are checked lazily there.
        for item in body["messages"]:
            turn.validate_python(item)
            assert item["content"]
        for item in body.get("tools", ()):
            if item.get("type") != "mcp_toolset":
                tool.validate_python(item)
        roles = [item["role"] for item in body["messages"]]
        assert roles[0] == "user"
        assert all(one != two for one, two in pairwise(roles))

    return check


def body_of(
    *messages: Any, model: str = "claude-sonnet-4-5", settings: Any = None, **fields: Any
) -> dict[str, Any]:
    request = ModelRequest(
        messages_from(list(messages) or ["hi"]), settings=ModelSettings.of(settings), **fields
    )
    return anthropic_body(request, model, "anthropic").body


def betas_of(model: str = "claude-sonnet-4-5", headers: Any = None, **fields: Any) -> str:
    settings = ModelSettings.of(fields.pop("settings", None))
    request = ModelRequest(messages_from("hi"), settings=settings, **fields)
    made = AnthropicModel(model, api_key="k", headers=headers).call(request)
    return made.headers.get("anthropic-beta", "")


def blocks(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [turn["content"] for turn in body["messages"]]


def test_turns_alternate_and_results_come_first(checked: Any) -> None:
    body = body_of(
        Message.system("One."),
        "q",
        Message.user("also"),
        Message.assistant(TextPart("I look. "), ToolCallPart("toolu_1", "look", {"city": "A"})),
        Message.tool(ToolResultPart("toolu_1", "look", {"is": "nice"})),
        Message.user("and?"),
        Message.assistant("Nice.  "),
        Message.system("Two."),
        tools=(LOOK,),
    )
    checked(body)
    assert body["system"] == [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert [[block["type"] for block in turn] for turn in blocks(body)] == [
        ["text", "text"],
        ["text", "tool_use"],
        ["tool_result", "text"],
        ["text"],
    ]
    result = blocks(body)[2][0]
    assert result == {
        "type": "tool_result", "tool_use_id": "toolu_1", "content": '{"is":"nice"}',
    }  # fmt: skip
    assert blocks(body)[3][0]["text"] == "Nice."


def test_no_text_is_empty(checked: Any) -> None:
    body = body_of(
        Message.system("  "),
        Message.user("", "q", "\n"),
        Message.assistant(""),
        Message.assistant(TextPart("\n\n"), TextPart("a")),
        Message.user(" "),
        Message.user("b"),
    )
    checked(body)
    assert "system" not in body
    assert blocks(body) == [
        [{"type": "text", "text": "q"}],
        [{"type": "text", "text": "a"}],
        [{"type": "text", "text": "b"}],
    ]


def test_calls_and_results_are_pairs_whatever_the_history(checked: Any) -> None:
    body = body_of(
        Message.assistant("Hello."),
        "q",
        Message.assistant(*(ToolCallPart(name, "look", '{"city": "X') for name in "abd")),
        Message.tool(ToolResultPart("b", "look", 1), ToolResultPart("nonsuch", "look", 2)),
        Message.user("so?"),
        Message.tool(ToolResultPart("a", "look", "late")),
        Message.assistant(ToolCallPart("c", "look", {})),
        tools=(LOOK,),
    )
    checked(body)
    first, *_ = blocks(body)
    assert first[0]["type"] == "text"
    asked, told, end = blocks(body)[3], blocks(body)[4], blocks(body)[6]
    assert asked[0]["input"] == {"arguments": '{"city": "X'}
    assert [(item["tool_use_id"], item.get("is_error")) for item in told[:3]] == [
        ("a", None), ("b", None), ("d", True),
    ]  # fmt: skip
    assert [item["type"] for item in told[3:]] == ["text"]
    assert [item["tool_use_id"] for item in end] == ["c"]


def test_ids_are_in_the_letters_of_the_api_and_none_comes_twice(checked: Any) -> None:
    def step(call_id: str, result: Any) -> list[Message]:
        return [
            Message.assistant(ToolCallPart(call_id, "look", {})),
            Message.tool(ToolResultPart(call_id, "look", result)),
        ]

    body = body_of("q", *step("call|1", 1), *step("call_0", 2), *step("call_0", 3), tools=(LOOK,))
    checked(body)
    asked = [turn[0]["id"] for turn in blocks(body)[1::2]]
    told = [(turn[0]["tool_use_id"], turn[0]["content"]) for turn in blocks(body)[2::2]]
    assert told == [(asked[0], "1"), (asked[1], "2"), (asked[2], "3")]
    assert len(set(asked)) == 3
    assert all(set(item) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for item in asked)


def test_two_calls_of_one_id_in_one_turn_keep_their_results(checked: Any) -> None:
    body = body_of(
        "q",
        Message.assistant(ToolCallPart("x", "look", {"n": 1}), ToolCallPart("x", "look", {"n": 2})),
        Message.tool(ToolResultPart("x", "look", "one"), ToolResultPart("x", "look", "two")),
        tools=(LOOK,),
    )
    checked(body)
    asked, told = blocks(body)[1:]
    assert [item["tool_use_id"] for item in told] == [item["id"] for item in asked]
    assert [item["content"] for item in told] == ["one", "two"]


def test_results_kept_in_the_message_of_their_calls(checked: Any) -> None:
    body = body_of(
        "q",
        Message.assistant(
            TextPart("I look."),
            ToolCallPart("a", "look", {}),
            ToolResultPart("a", "look", 1),
            ToolCallPart("b", "look", {}),
            ToolResultPart("b", "look", 2),
            TextPart("There."),
        ),
        "more",
        tools=(LOOK,),
    )
    checked(body)
    assert [[block["type"] for block in turn] for turn in blocks(body)] == [
        ["text"],
        ["text", "tool_use", "tool_use"],
        ["tool_result", "tool_result"],
        ["text"],
        ["text"],
    ]


def test_thoughts_go_back_signed_or_not_at_all(checked: Any) -> None:
    said = Message.assistant(
        ReasoningPart("mine", "s1"),
        ReasoningPart("mine too", "s2", provider="anthropic"),
        ReasoningPart("", provider="anthropic", provider_metadata={"anthropic": {"redactedData": "x"}}),
        ReasoningPart("AI SDK's", provider_metadata={"anthropic": {"signature": "s3"}}),
        ReasoningPart("unsigned"),
        ReasoningPart("another's", "s4", provider="gemini"),
        TextPart("So."),
    )  # fmt: skip
    body = body_of("q", said, "more")
    checked(body)
    assert [block.get("signature", block["type"]) for block in blocks(body)[1]] == [
        "s1", "s2", "redacted_thinking", "s3", "text",
    ]  # fmt: skip
    left_out = body_of("q", said, provider_options={"anthropic": {"sendReasoning": False}})
    assert [block["type"] for block in blocks(left_out)[1]] == ["text"]
    ends = body_of("q", Message.assistant(TextPart("a"), ReasoningPart("b", "s")), "more")
    assert [block["type"] for block in blocks(ends)[1]] == ["text"]


def test_pictures_and_files(checked: Any) -> None:
    body = body_of(
        Message.user(
            ImagePart(data=PNG, media_type="image/jpeg"),
            ImagePart(url="https://example.com/a.png"),
            ImagePart(url=f"data:image/png;base64,{PNG}"),
            FilePart("application/pdf", data="JVBERi0xLjQ=", filename="a.pdf"),
            FilePart("application/octet-stream", url="https://example.com/a.pdf"),
            FilePart("text/csv", data="YSxi"),
            FilePart("application/pdf", file_id="file_1"),
            FilePart("image/png", file_id="file_2"),
        )
    )
    checked(body)
    sources = [(block["type"], block["source"]) for block in blocks(body)[0]]
    assert sources == [
        ("image", {"type": "base64", "media_type": "image/png", "data": PNG}),
        ("image", {"type": "url", "url": "https://example.com/a.png"}),
        ("image", {"type": "base64", "media_type": "image/png", "data": PNG}),
        ("document", {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}),
        ("document", {"type": "url", "url": "https://example.com/a.pdf"}),
        ("document", {"type": "text", "media_type": "text/plain", "data": "a,b"}),
        ("document", {"type": "file", "file_id": "file_1"}),
        ("image", {"type": "file", "file_id": "file_2"}),
    ]
    assert blocks(body)[0][3]["title"] == "a.pdf"


def test_a_file_that_is_not_taken_is_refused_here() -> None:
    with pytest.raises(ModelError, match="audio/mpeg"):
        body_of(Message.user(FilePart("audio/mpeg", data="AAAA")))


def test_results_with_pictures_and_results_that_are_errors(checked: Any) -> None:
    shown = (
        TextPart("see"),
        ImagePart(data=PNG),
        FilePart("application/pdf", data="JVBERi0="),
        FilePart("audio/mpeg", data="AAAA"),
    )
    body = body_of(
        "q",
        Message.assistant(*(ToolCallPart(f"c{n}", "look", {}) for n in range(3))),
        Message.tool(
            ToolResultPart("c0", "look", {"raw": 1}, content=shown),
            ToolResultPart("c1", "look", "no", is_error=True, content=shown),
            ToolResultPart("c2", "look", ""),
        ),
        tools=(LOOK,),
    )
    checked(body)
    seen, failed, empty = blocks(body)[2]
    assert [item["type"] for item in seen["content"]] == ["text", "image", "document", "text"]
    assert (failed["is_error"], failed["content"]) == (True, [{"type": "text", "text": "see"}])
    assert "content" not in empty


def test_marks_for_caching(checked: Any) -> None:
    mark = {"type": "ephemeral"}
    hour = {"anthropic": {"cacheControl": {"type": "ephemeral", "ttl": "1h"}}}
    tool = ToolSpec("look", "Look.", OBJECT, provider_options={"anthropic": {"cacheControl": mark}})
    body = body_of(
        {"role": "system", "content": "Long.", "providerOptions": hour},
        Message.user(TextPart("longer", cache=True), TextPart("q")),
        Message.assistant(ToolCallPart("a", "look", {})),
        Message.tool(ToolResultPart("a", "look", 1, cache=True)),
        tools=(tool,),
    )
    checked(body)
    assert body["tools"][0]["cache_control"] == mark
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert [block.get("cache_control") for turn in blocks(body) for block in turn] == [
        mark, None, None, mark,
    ]  # fmt: skip
    many = body_of(*(Message.user(TextPart(f"t{n}", cache=True)) for n in range(6)))
    assert [block.get("cache_control") for block in blocks(many)[0]] == [None, None, *[mark] * 4]
    whole = body_of("q", provider_options={"anthropic": {"cacheControl": {"type": "ephemeral"}}})
    checked(whole)
    assert whole["cache_control"] == mark
    both = body_of(
        *(Message.user(TextPart(f"t{n}", cache=True)) for n in range(4)),
        provider_options={"anthropic": {"cacheControl": {"type": "ephemeral"}}},
    )
    assert [block.get("cache_control") for block in blocks(both)[0]] == [None, mark, mark, mark]


def test_choices_of_tools(checked: Any) -> None:
    def choice(value: Any, **settings: Any) -> Any:
        body = body_of("q", tools=(LOOK,), tool_choice=value, settings=settings)
        checked(body)
        return body["tool_choice"]

    assert choice("auto") == {"type": "auto"}
    assert choice("required") == {"type": "any"}
    assert choice("none", parallel_tool_calls=False) == {"type": "none"}
    assert choice({"type": "tool", "tool_name": "look"}) == {"type": "tool", "name": "look"}
    assert choice("auto", parallel_tool_calls=False) == {
        "type": "auto", "disable_parallel_tool_use": True,
    }  # fmt: skip
    assert "tool_choice" not in body_of("q")


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("web_search", {"type": "web_search_20250305", "name": "web_search"}),
        ("web_search_20260209", {"type": "web_search_20260209", "name": "web_search"}),
        ("anthropic.web_fetch", {"type": "web_fetch_20250910", "name": "web_fetch"}),
        ("code_execution", {"type": "code_execution_20250825", "name": "code_execution"}),
        ("bash", {"type": "bash_20250124", "name": "bash"}),
        ("text_editor", {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}),
        ("memory", {"type": "memory_20250818", "name": "memory"}),
        (
            "tool_search",
            {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
        ),
        (
            "tool_search_regex",
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ),
    ],
)
def test_tools_of_anthropic(checked: Any, name: str, wire: dict[str, Any]) -> None:
    body = body_of("q", provider_tools=(ProviderTool("anthropic", name),))
    checked(body)
    assert body["tools"] == [wire]


def test_settings_of_anthropics_tools_and_tools_of_others(checked: Any) -> None:
    tools = (
        ProviderTool("anthropic", "web_search", {"maxUses": 3, "allowed_domains": ["a.com"]}),
        ProviderTool("openai", "web_search"),
    )
    body = body_of("q", provider_tools=tools)
    checked(body)
    assert body["tools"] == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "allowed_domains": ["a.com"]}
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"web_serach.*web_search"):
        body_of("q", provider_tools=(ProviderTool("anthropic", "web_serach"),))


def test_a_tool_of_ours_runs_in_anthropics_form(checked: Any) -> None:
    ours = ToolSpec("memory", "Remember.", OBJECT)
    body = body_of("q", tools=(ours, LOOK), provider_tools=(ProviderTool("anthropic", "memory"),))
    checked(body)
    assert [tool.get("type") for tool in body["tools"]] == ["memory_20250818", None]


def test_servers_of_tools(checked: Any) -> None:
    server = {"name": "docs", "url": "https://example.com/mcp", "authorizationToken": "t"}
    fields = {"provider_tools": (ProviderTool("anthropic", "mcp", server),)}
    body = body_of("q", **fields)
    checked(body)
    assert body["mcp_servers"] == [
        {"type": "url", "name": "docs", "url": "https://example.com/mcp", "authorization_token": "t"}
    ]  # fmt: skip
    assert betas_of(**fields) == "mcp-client-2025-04-04"
    picked = ProviderTool("anthropic", "mcp_toolset", {"mcp_server_name": "docs"})
    newer = {"provider_tools": (*fields["provider_tools"], picked)}
    assert body_of("q", **newer)["tools"] == [{"type": "mcp_toolset", "mcp_server_name": "docs"}]
    assert betas_of(**newer) == "mcp-client-2025-11-20"


def test_names_that_are_not_anthropic_s_stay_as_they_are() -> None:
    picked = ProviderTool(
        "anthropic",
        "mcp_toolset",
        {"mcpServerName": "docs", "configs": {"getPage": {"deferLoading": True}}},
    )
    assert body_of("q", provider_tools=(picked,))["tools"] == [
        {
            "type": "mcp_toolset",
            "mcp_server_name": "docs",
            "configs": {"getPage": {"defer_loading": True}},
        }
    ]
    schema = {"type": "object", "properties": {"pageNumber": {"type": "integer"}}}
    config = {"outputConfig": {"format": {"type": "json_schema", "schema": schema}}}
    sent = body_of("q", provider_options={"anthropic": config})
    assert sent["output_config"]["format"]["schema"] == schema


def test_features_are_asked_for_beside_those_of_the_user() -> None:
    think = {"reasoning": "low", "headers": {"Anthropic-Beta": "two-1, one-1"}}
    found = betas_of(
        tools=(LOOK,),
        settings=think,
        headers={"anthropic-beta": "one-1"},
        provider_options={"anthropic": {"anthropicBeta": ["three-1"]}},
    )
    assert found == "one-1,two-1,three-1,interleaved-thinking-2025-05-14"
    assert betas_of("claude-sonnet-4-6", tools=(LOOK,), settings={"reasoning": "low"}) == ""


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-latest", 8192),
        ("claude-3-7-sonnet-20250219", 64_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-opus-4-1", 32_000),
        ("claude-sonnet-4-0", 64_000),
        ("claude-opus-4-5-20251101", 64_000),
        ("claude-opus-4-6", 128_000),
        ("claude-sonnet-5", 128_000),
        ("kimi-k2", 4096),
    ],
)
def test_the_longest_answer_is_the_models(model: str, longest: int) -> None:
    assert body_of("q", model=model)["max_tokens"] == longest
    assert body_of("q", model=model, settings={"max_output_tokens": 99})["max_tokens"] == 99


def test_how_hard_to_think(checked: Any) -> None:
    def think(model: str, reasoning: Any, **settings: Any) -> dict[str, Any]:
        body = body_of("q", model=model, settings={"reasoning": reasoning, **settings})
        checked(body)
        return body

    budget = think("claude-sonnet-4-5", "low", max_output_tokens=1000)
    assert budget["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert budget["max_tokens"] == 3048
    assert think("claude-3-7-sonnet-latest", 5000)["thinking"]["budget_tokens"] == 5000
    adaptive = think("claude-opus-4-6", "high")
    assert (adaptive["thinking"], adaptive["output_config"]) == (
        {"type": "adaptive"},
        {"effort": "high"},
    )
    newest = think("claude-sonnet-5-5", "minimal")
    assert newest["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert newest["output_config"] == {"effort": "low"}
    assert think("claude-sonnet-4-5", "none")["thinking"] == {"type": "disabled"}
    for wanted in (True, "auto"):
        assert "output_config" not in think("claude-opus-4-6", wanted)
        assert think("claude-sonnet-4-5", wanted)["thinking"]["budget_tokens"] == 8192
    own = think("claude-sonnet-4-5", {"type": "enabled", "budgetTokens": 4000})
    assert own["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    by_option = body_of(
        "q", provider_options={"anthropic": {"thinking": {"type": "enabled", "budgetTokens": 3000}}}
    )
    assert by_option["thinking"] == {"type": "enabled", "budget_tokens": 3000}
    assert by_option["max_tokens"] > 3000


def test_who_must_call_a_tool_does_not_think_first() -> None:
    fields: dict[str, Any] = {"tools": (LOOK,), "settings": {"reasoning": "low"}}
    assert "thinking" not in body_of("q", tool_choice="required", **fields)
    assert "thinking" in body_of("q", tool_choice="auto", **fields)


def test_thinking_does_not_begin_in_the_middle_of_a_turn() -> None:
    think: dict[str, Any] = {"tools": (LOOK,), "settings": {"reasoning": "low"}}
    asked = ToolCallPart("a", "look", {})
    answered = Message.tool(ToolResultPart("a", "look", 1))
    began = Message.assistant(ReasoningPart("hm", "s"), asked)
    assert "thinking" in body_of("q", began, answered, **think)
    other = body_of("q", Message.assistant(asked), answered, **think)
    assert "thinking" not in other
    assert other["max_tokens"] == 64_000
    assert "thinking" in body_of("q", Message.assistant(asked), answered, "and?", **think)
    newer = body_of("q", Message.assistant(asked), answered, model="claude-opus-4-6", **think)
    assert newer["thinking"] == {"type": "adaptive"}


def test_sampling_as_the_model_takes_it() -> None:
    def sampled(model: str, **settings: Any) -> dict[str, Any]:
        body = body_of("q", model=model, settings=settings)
        names = ("temperature", "top_p", "top_k", "stop_sequences")
        return {name: body[name] for name in names if name in body}

    given = {"temperature": 1.5, "top_p": 0.9, "top_k": 5}
    assert sampled("claude-3-5-haiku-latest", **given) == {
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 5,
    }
    assert sampled("claude-sonnet-4-5", **given) == {"temperature": 1, "top_k": 5}
    assert sampled("claude-sonnet-4-5", **given, reasoning="low") == {}
    assert sampled("claude-opus-4-7", **given) == {}
    assert sampled("claude-sonnet-4-5", stop=("a", " ")) == {"stop_sequences": ["a"]}
    assert sampled("claude-sonnet-4-5", stop="a") == {"stop_sequences": ["a"]}


def test_an_answer_held_to_a_schema(checked: Any) -> None:
    wanted = ResponseFormat({**OBJECT, "properties": {"n": {"type": "integer", "minimum": 1}}})
    body = body_of("q", tools=(LOOK,), response_format=wanted)
    checked(body)
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
            "additionalProperties": False,
            "required": ["city"],
        },
    }
    assert body["tool_choice"] == {"type": "auto"}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, {"type": "tool", "name": "json", "disable_parallel_tool_use": True}),
        ({"tools": (LOOK,)}, {"type": "any", "disable_parallel_tool_use": True}),
        (
            {"settings": {"reasoning": 2000}, "model": "claude-3-7-sonnet-latest"},
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_an_answer_by_a_tool_where_there_is_no_other_way(
    checked: Any, fields: dict[str, Any], choice: dict[str, Any]
) -> None:
    old = {"model": "claude-sonnet-4-0", **fields}
    body = body_of("q", response_format=ResponseFormat(OBJECT), **old)
    checked(body)
    assert body["tools"][-1]["name"] == "json"
    assert body["tool_choice"] == choice
    assert "output_config" not in body


def test_options_of_the_api_by_both_spellings_and_raw_fields(checked: Any) -> None:
    body = body_of(
        "q",
        settings={"extra_body": {"service_tier": "auto", "betas": ["x-1"]}},
        provider_options={
            "anthropic": {
                "metadata": {"userId": "u"},
                "contextManagement": {"edits": [{"type": "clear_tool_uses_20250919"}]},
                "effort": "low",
            }
        },
        model="claude-opus-4-6",
    )
    checked(body)
    assert body["service_tier"] == "auto"
    assert body["metadata"] == {"user_id": "u"}
    assert body["output_config"] == {"effort": "low"}
    assert "betas" not in body


def test_strict_tools_and_those_that_cannot_be(checked: Any) -> None:
    strict = ToolSpec("look", "Look.", OBJECT, strict=True)
    open_ended = ToolSpec(
        "take", "Take.", {"type": "object", "additionalProperties": True}, strict=True
    )
    body = body_of("q", tools=(strict, open_ended))
    checked(body)
    assert [tool.get("strict") for tool in body["tools"]] == [True, None]
    assert body["tools"][0]["input_schema"]["additionalProperties"] is False
    old = body_of("q", tools=(strict,), model="claude-sonnet-4-0")
    assert "strict" not in old["tools"][0]


def test_where_and_with_what_key(monkeypatch: pytest.MonkeyPatch) -> None:
    call = AnthropicModel("m", api_key="k").call(ModelRequest(messages_from("hi")))

    def at(**options: Any) -> tuple[str, Sequence[str]]:
        model = AnthropicModel("m", **options)
        names = [name for name in model.key_headers() if name != "anthropic-version"]
        return model.address(call), names

    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert at(api_key="k") == ("https://api.anthropic.com/v1/messages", ["x-api-key"])
    assert at(base_url="http://x/v1/", api_key="k")[0] == "http://x/v1/messages"
    assert at(base_url="http://x")[0] == "http://x/v1/messages"
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "t")
    assert at()[1] == ["authorization"]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert at()[1] == ["x-api-key"]
    # An endpoint that a caller names is not sent the environment's key.
    assert at(base_url="http://x")[1] == []
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://gateway")
    assert at() == ("http://gateway/v1/messages", ["x-api-key"])


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (f"{FAMILY}-sonnet-4-5", {"budgetTokens": 3000}, ("enabled", 3000), None),
        (f"{FAMILY}-sonnet-4-5", {"max_tokens": 3000}, ("enabled", 3000), None),
        (f"{FAMILY}-sonnet-4-5", {"effort": "low"}, ("enabled", 2048), None),
        (f"{FAMILY}-sonnet-4-5", {"enabled": False}, ("disabled", None), None),
        (f"{FAMILY}-sonnet-4-5", {"enabled": True}, ("enabled", 8192), None),
        (f"{FAMILY}-opus-4-6", {"effort": "high"}, ("adaptive", None), "high"),
        (f"{FAMILY}-opus-4-6", {"enabled": False}, ("disabled", None), None),
        (f"{FAMILY}-opus-4-6", 2048, ("adaptive", None), "low"),
        (f"{FAMILY}-opus-4-6", 8192, ("adaptive", None), "medium"),
        (f"{FAMILY}-opus-4-6", 20_000, ("adaptive", None), "high"),
    ],
)
def test_how_hard_to_think_in_the_forms_of_other_providers(
    checked: Any, model: str, reasoning: Any, thinking: tuple[str, int | None], effort: str | None
) -> None:
    body = body_of("q", model=model, settings={"reasoning": reasoning})
    checked(body)
    assert (body["thinking"]["type"], body["thinking"].get("budget_tokens")) == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_thoughts_never_take_all_of_the_longest_answer(checked: Any) -> None:
    body = body_of("q", model=f"{FAMILY}-opus-4-1", settings={"reasoning": 40_000})
    checked(body)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (32_000, 16_000)
    raw = {"extra_body": {"thinking": {"type": "enabled", "budget_tokens": 5000}}}
    assert body_of("q", settings={**raw, "max_output_tokens": 9000})["max_tokens"] == 9000
    own = {"anthropic": {"max_tokens": 7000}}
    assert body_of("q", settings={"reasoning": 2000}, provider_options=own)["max_tokens"] == 7000


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"speed": "fast"}, {"fast-mode-2026-02-01"}),
        (
            {"container": {"skills": [{"type": "anthropic", "skillId": "pdf"}]}},
            {"skills-2025-10-02", "files-api-2025-04-14"},
        ),
        (
            {"contextManagement": {"edits": [{"type": "compact_20260112"}]}},
            {"context-management-2025-06-27", "compact-2026-01-12"},
        ),
        (
            {"contextManagement": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            {"context-management-2025-06-27"},
        ),
        ({"mcpServers": [{"type": "url", "name": "m", "url": "https://m"}]}, {"mcp-client-2025-04-04"}),
    ],
)  # fmt: skip
def test_what_is_new_in_the_api_is_asked_for_by_name(
    options: dict[str, Any], named: set[str]
) -> None:
    assert (
        set(betas_of(f"{FAMILY}-opus-4-6", provider_options={"anthropic": options}).split(","))
        == named
    )


def test_tools_among_raw_fields_may_be_declared_as_in_chat_completions(checked: Any) -> None:
    function = {"name": "look", "description": "Look.", "parameters": OBJECT}
    bare = {"name": "wait"}
    tools = [{"type": "function", "function": function}, {"type": "function", "function": bare}]
    raw = {"extra_body": {"tools": [*tools, {"type": "bash_20250124", "name": "bash"}]}}
    body = body_of("q", settings=raw)
    checked(body)
    assert [tool["name"] for tool in body["tools"]] == ["look", "wait", "bash"]
    assert body["tools"][0]["input_schema"]["properties"] == OBJECT["properties"]
    assert "description" not in body["tools"][1]
    assert body["tool_choice"] == {"type": "auto"}


def test_an_answer_that_is_no_object_is_asked_for_in_words(checked: Any) -> None:
    body = body_of(
        Message.system("Be brief."),
        "q",
        model=f"{FAMILY}-sonnet-4-0",
        response_format=ResponseFormat({"type": "array", "items": {"type": "integer"}}),
    )
    checked(body)
    first, asked = body["system"]
    assert first["text"] == "Be brief."
    assert '{"type":"array","items":{"type":"integer"}}' in asked["text"]
    assert "tools" not in body


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "c_1"),
        ({"skills": []}, {"skills": [], "id": "c_1"}),
        ({"id": "own"}, {"id": "own"}),
        ("own", "own"),
    ],
)
def test_code_runs_on_where_it_ran_beside_what_is_asked_for(given: Any, sent: Any) -> None:
    kept = {"type": "container", "id": "c_1"}
    ran = Message.assistant(TextPart("Done."), ProviderPart("anthropic", kept))
    options = {} if given is None else {"anthropic": {"container": given}}
    body = body_of(
        "q",
        ran,
        "again",
        provider_tools=(ProviderTool("anthropic", "code_execution_20250825"),),
        provider_options=options,
    )
    assert body["container"] == sent
