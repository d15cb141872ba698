"""Gemini's API: recorded answers, what goes back, and requests checked against its SDK's types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, StructuredOutput, tool
from mastra.errors import ConfigError, ModelError
from mastra.memory import Memory
from mastra.models.base import ModelRequest, ProviderTool, ResponseFormat, ToolSpec
from mastra.models.gemini import GeminiModel
from mastra.models.gemini_request import gemini_body
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
from mastra.models.resolve import ModelConfig, resolve_model
from mastra.models.settings import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply

ANSWERS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "data" / "gemini_answers.json").read_text()
)["answers"]
THIRD, SECOND = "gemini-3-pro-preview", "gemini-2.5-flash"
LOOK = ToolSpec("look", "Look at a city.", {"type": "object", "properties": {}})


def recorded(name: str) -> Reply:
    return Reply(ANSWERS[name], done=False)


def says(text: str, **more: Any) -> Reply:
    part = {"text": text, **more}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    return Reply([{"candidates": [candidate], "modelVersion": "m"}], done=False)


def agent(server: OpenAIServer, name: str = THIRD, **options: Any) -> Agent:
    url = server.url.removesuffix("/v1")
    model = ModelConfig(f"gemini/{name}", url=url, api_key="k", api="native")
    return Agent(id="a", instructions="Be brief.", model=model, **options)


@tool
def get_country() -> str:
    """The user's country."""
    return "Mexico"


async def test_thinking_and_text(server: OpenAIServer) -> None:
    server.queue(recorded("thinking"))

    result = await agent(server).generate("hi")

    parts = [part for event in ANSWERS["thinking"] for part in _parts(event)]
    assert result.text == "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))
    assert result.reasoning_text == "".join(p["text"] for p in parts if p.get("thought"))
    usage = ANSWERS["thinking"][-1]["usageMetadata"]
    assert result.usage.reasoning_tokens == usage["thoughtsTokenCount"]
    assert result.usage.output_tokens == (
        usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
    )
    assert result.finish_reason == "stop"


def _parts(event: dict[str, Any]) -> list[dict[str, Any]]:
    return event["candidates"][0]["content"].get("parts", [])


async def test_the_signature_of_a_call_goes_back_with_it_after_storage(
    server: OpenAIServer,
) -> None:
    server.queue(recorded("call_signed"), says("Mexico City."), says("ok"))
    talker = agent(server, tools=[get_country], memory=Memory())
    here = {"thread": "t", "resource": "r"}

    await talker.generate("capital?", memory=here)
    await talker.generate("sure?", memory=here)

    signature = _parts(ANSWERS["call_signed"][0])[0]["thoughtSignature"]
    for sent in server.requests[1:]:
        asked, answered = sent["contents"][1:3]
        assert asked["role"] == "model"
        assert asked["parts"][0]["functionCall"]["name"] == "get_country"
        assert asked["parts"][0]["thoughtSignature"] == signature
        response = answered["parts"][0]["functionResponse"]
        assert response == {"name": "get_country", "response": {"output": "Mexico"}}


@pytest.mark.parametrize(
    ("name", "ran"), [("code", "code_execution"), ("file_search", "file_search")]
)
async def test_what_gemini_ran_is_reported_and_goes_back(
    server: OpenAIServer, name: str, ran: str
) -> None:
    server.queue(recorded(name), says("ok"))
    wanted = ProviderTool("google", ran)

    result = await agent(server, tools=[wanted]).generate("go")
    await agent(server, tools=[wanted]).generate([*result.messages, "and?"])

    assert {call.payload.tool_name for call in result.tool_calls} == {ran}
    assert all(call.payload.provider_executed for call in result.tool_calls)
    assert len(result.tool_results) == len(result.tool_calls)
    assert len(server.requests) == 2
    words = "".join(word.title() for word in ran.split("_"))
    assert server.requests[0]["tools"] == [{words[0].lower() + words[1:]: {}}]
    sent = server.requests[1]["contents"][1]["parts"]
    told = [part for event in ANSWERS[name] for part in _parts(event)]
    items = [part for part in told if "text" not in part]
    assert [part for part in sent if "text" not in part] == items
    signed = [part["thoughtSignature"] for part in told if "thoughtSignature" in part]
    assert [part["thoughtSignature"] for part in sent if "thoughtSignature" in part] == signed


async def test_sources_of_a_search(server: OpenAIServer) -> None:
    server.queue(recorded("web"))

    result = await agent(server).generate("go")

    chunks = [
        chunk["web"]["uri"]
        for event in ANSWERS["web"]
        for chunk in event["candidates"][0].get("groundingMetadata", {}).get("groundingChunks", [])
    ]
    assert [source.payload.url for source in result.sources] == list(dict.fromkeys(chunks))


@pytest.mark.parametrize(("name", "reason"), [("blocked", "content-filter"), ("cut", "length")])
async def test_why_it_stopped(server: OpenAIServer, name: str, reason: str) -> None:
    server.queue(recorded(name))

    assert (await agent(server).generate("go")).finish_reason == reason


async def test_a_question_that_was_refused(server: OpenAIServer) -> None:
    server.queue(Reply([{"promptFeedback": {"blockReason": "OTHER"}}], done=False))

    assert (await agent(server).generate("go")).finish_reason == "content-filter"


async def test_numbers_keep_their_digits(server: OpenAIServer) -> None:
    call = {"functionCall": {"name": "count", "args": {"n": 2**70, "of": [1.5]}}}
    candidate = {"content": {"parts": [call]}, "finishReason": "STOP"}
    server.queue(Reply([{"candidates": [candidate]}], done=False), says("ok"))
    counted: list[int] = []

    def count(n: int, of: list[float]) -> int:
        """Count."""
        counted.append(n)
        return n + 1

    await agent(server, tools=[count]).generate("go")

    assert counted == [2**70]
    assert server.requests[1]["contents"][1]["parts"][0]["functionCall"]["args"]["n"] == 2**70


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, body={"error": {"code": 429, "message": "slow down", "status": "X"}}),
        Reply(
            [{"error": {"code": 503, "message": "slow down", "status": "UNAVAILABLE"}}], done=False
        ),
        Reply(body=[{"error": {"code": 500, "message": "slow down"}}]),
        Reply(
            [
                {
                    "candidates": [
                        {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "slow down"}
                    ]
                }
            ],
            done=False,
        ),
    ],
)
async def test_errors(server: OpenAIServer, reply: Reply) -> None:
    server.queue(reply)

    with pytest.raises(ModelError, match="slow down") as raised:
        await agent(server).generate("go", model_settings={"max_retries": 0})

    assert raised.value.is_retryable


async def test_an_answer_that_is_cut_off(server: OpenAIServer) -> None:
    server.queue(Reply([{"candidates": [{"content": {"parts": [{"text": "hal"}]}}]}], done=False))

    with pytest.raises(ModelError, match="cut off"):
        await agent(server).generate("go", model_settings={"max_retries": 0})


@pytest.mark.parametrize("name", [SECOND, THIRD])
async def test_an_answer_of_a_type(server: OpenAIServer, name: str) -> None:
    server.queue(says('{"city": "Lima"}'))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    output = StructuredOutput(schema)

    result = await agent(server, name, tools=[get_country]).generate("go", structured_output=output)

    assert result.object == {"city": "Lima"}
    sent = server.requests[0]
    if name == THIRD:
        assert sent["generationConfig"]["responseJsonSchema"] == schema
    else:
        # It takes functions or a schema, not both.
        assert "generationConfig" not in sent
        assert '"city"' in sent["systemInstruction"]["parts"][0]["text"]


def test_the_key_is_the_environment_s_and_goes_to_google_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "from-env")
    model = resolve_model("google/gemini-2.5-flash")
    assert isinstance(model, GeminiModel)
    assert model.key_headers() == {"x-goog-api-key": "from-env"}
    assert GeminiModel("m", base_url="http://a.example").key_headers() == {}
    monkeypatch.delenv("GOOGLE_API_KEY")
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        resolve_model("gemini/gemini-2.5-flash")


PNG = "iVBORw0KGgoAAAA="
CONVERSATION = [
    Message("system", "Be kind."),
    Message("user", (TextPart("look"), ImagePart(data=PNG), FilePart("application/pdf", data=PNG))),
    Message("user", (ImagePart(url="https://a.example/b.png"), TextPart(""))),
    Message(
        "assistant",
        (
            ReasoningPart("another's", "sig", provider="anthropic"),
            ReasoningPart("own", provider_metadata={"google": {"thoughtSignature": "c2ln"}}),
            TextPart("I look."),
            ToolCallPart("1", "look", {"a": 1}),
            ToolCallPart("2", "look", "no json"),
        ),
    ),
    Message(
        "tool",
        (
            ToolResultPart("1", "look", [1, 2]),
            ToolResultPart("2", "look", "failed", is_error=True),
            ToolResultPart("3", "look", "", content=(TextPart("see"), ImagePart(data=PNG))),
        ),
    ),
    Message("assistant", (TextPart(""),)),
]


@pytest.mark.parametrize("name", [SECOND, THIRD])
def test_a_request_is_what_the_sdk_would_send(name: str) -> None:
    types = pytest.importorskip("google.genai.types")
    request = ModelRequest(
        CONVERSATION,
        tools=(LOOK,),
        provider_tools=(ProviderTool("google", "google_search"), ProviderTool("openai", "x")),
        tool_choice={"type": "tool", "tool_name": "look"},
        response_format=ResponseFormat({"type": "object"}),
        settings=ModelSettings(
            temperature=0.5, max_output_tokens=9, top_k=3, stop="x", seed=1, reasoning="low"
        ),
        provider_options={
            "google": {"safetySettings": [], "mediaResolution": "MEDIA_RESOLUTION_LOW"}
        },
    )

    body = gemini_body(request, name, "gemini")

    for content in [*body["contents"], body["systemInstruction"]]:
        types.Content.model_validate(content)
    roles = [content["role"] for content in body["contents"]]
    assert roles == ["user", "model", "user"]
    assert [*map(types.Tool.model_validate, body["tools"])]
    types.ToolConfig.model_validate(body["toolConfig"])
    types.GenerationConfig.model_validate(body["generationConfig"])
    assert set(body) == {
        *("contents", "systemInstruction", "tools", "toolConfig", "generationConfig"),
        "safetySettings",
    }
    said = body["contents"][1]["parts"]
    assert [part for part in said if part.get("thought")] == [
        {"text": "own", "thought": True, "thoughtSignature": "c2ln"}
    ]
    assert said[-1]["functionCall"]["args"] == {"arguments": "no json"}
    signatures = [part.get("thoughtSignature") for part in said if "functionCall" in part]
    assert signatures == [None if name == SECOND else "skip_thought_signature_validator", None]
    answers = [
        p["functionResponse"] for p in body["contents"][2]["parts"] if "functionResponse" in p
    ]
    assert [answer["response"] for answer in answers] == [
        {"output": [1, 2]},
        {"error": "failed"},
        {"output": "see"},
    ]
    beside = [part for part in body["contents"][2]["parts"] if "inlineData" in part]
    assert len(beside) == (1 if name == SECOND else 0)
    assert ("parts" in answers[2]) is (name == THIRD)


@pytest.mark.parametrize(
    ("reasoning", "name", "config"),
    [
        ("high", SECOND, {"includeThoughts": True, "thinkingBudget": 24576}),
        ("none", SECOND, {"includeThoughts": False, "thinkingBudget": 0}),
        ("high", THIRD, {"includeThoughts": True, "thinkingLevel": "high"}),
        (2048, SECOND, {"includeThoughts": True, "thinkingBudget": 2048}),
        ({"thinkingBudget": -1}, SECOND, {"thinkingBudget": -1}),
        (True, SECOND, {"includeThoughts": True}),
        ("auto", THIRD, {"includeThoughts": True}),
        (False, SECOND, {"includeThoughts": False, "thinkingBudget": 0}),
        (False, THIRD, {"includeThoughts": False, "thinkingLevel": "minimal"}),
    ],
)
def test_how_hard_to_think(reasoning: Any, name: str, config: dict[str, Any]) -> None:
    request = ModelRequest([Message("user", "hi")], settings=ModelSettings(reasoning=reasoning))

    body = gemini_body(request, name, "gemini")

    assert body["generationConfig"] == {"thinkingConfig": config}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", None),
        ("required", {"functionCallingConfig": {"mode": "ANY"}}),
        ("none", {"functionCallingConfig": {"mode": "NONE"}}),
    ],
)
def test_whether_to_call_a_tool(choice: Any, config: Any) -> None:
    request = ModelRequest([Message("user", "hi")], tools=(LOOK,), tool_choice=choice)
    assert gemini_body(request, SECOND, "gemini").get("toolConfig") == config


def test_who_speaks_first_is_a_user() -> None:
    body = gemini_body(ModelRequest([Message("assistant", "Hello.")]), SECOND, "gemini")
    assert [turn["role"] for turn in body["contents"]] == ["user", "model"]


def test_a_file_within_its_address_is_sent_as_its_bytes() -> None:
    message = messages_from(
        [{"role": "user", "content": [{"type": "image", "image": "data:image/gif;base64,R0lG"}]}]
    )
    body = gemini_body(ModelRequest(message), SECOND, "gemini")
    [part] = body["contents"][0]["parts"]
    assert part == {"inlineData": {"mimeType": "image/gif", "data": "R0lG"}}


def test_raw_fields_lie_over_what_is_asked() -> None:
    raw = {
        "generationConfig": {"candidateCount": 1},
        "safetySettings": [],
        "tools": [{"googleSearch": {}}],
    }
    settings = ModelSettings(temperature=0.5, extra_body=raw)
    body = gemini_body(ModelRequest([Message("user", "hi")], settings=settings), SECOND, "gemini")
    assert body["generationConfig"] == {"temperature": 0.5, "candidateCount": 1}
    assert (body["safetySettings"], body["tools"]) == ([], [{"googleSearch": {}}])


def event(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [*parts]}
    return {"candidates": [{"content": content, **candidate}], "modelVersion": "m"}


END = event(finishReason="STOP")


def answers(*events: dict[str, Any]) -> Reply:
    return Reply([*events, END], done=False)


async def test_a_result_names_the_id_that_gemini_gave_its_call(server: OpenAIServer) -> None:
    calls = [{"functionCall": {"name": "get_country", "args": {}, "id": f"id{n}"}} for n in (1, 2)]
    server.queue(answers(event(*calls)), says("ok"))
    await agent(server, tools=[get_country]).generate("go")
    asked, given = server.requests[1]["contents"][1:]
    assert [part["functionCall"]["id"] for part in asked["parts"]] == ["id1", "id2"]
    assert [part["functionResponse"]["id"] for part in given["parts"]] == ["id1", "id2"]


async def test_a_picture_that_was_made_goes_back_signed(server: OpenAIServer) -> None:
    picture = {"mimeType": "image/png", "data": PNG}
    made = {"inlineData": picture, "thoughtSignature": "c2ln"}
    draft = {"inlineData": {"mimeType": "image/png", "data": "R0lG"}, "thought": True}
    server.queue(answers(event(draft), event(made)), says("ok"))
    result = await agent(server).generate("draw")
    assert [file.payload.data for file in result.files] == [PNG], "a thought is no answer"
    await agent(server).generate([*result.messages, "and?"])
    assert server.requests[1]["contents"][1]["parts"] == [made]


async def test_a_part_of_a_kind_that_is_new_goes_back_as_it_came(server: OpenAIServer) -> None:
    new = {"hologram": {"depth": 3}, "thoughtSignature": "c2ln"}
    server.queue(answers(event({"text": "Look:"}, new)), says("ok"))
    result = await agent(server).generate("go")
    await agent(server).generate([*result.messages, "and?"])
    assert server.requests[1]["contents"][1]["parts"] == [{"text": "Look:"}, new]


async def test_a_thought_that_is_signed_goes_back(server: OpenAIServer) -> None:
    thought = [
        {"text": "Hm.", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
    ]
    server.queue(answers(event(*thought), event({"text": "So."})), says("ok"))
    result = await agent(server).generate("go")
    assert (result.reasoning_text, result.text) == ("Hm.", "So.")
    await agent(server).generate([*result.messages, "and?"])
    first = server.requests[1]["contents"][1]["parts"][0]
    assert first == {"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}


async def test_code_that_ran_without_an_id_is_one_call(server: OpenAIServer) -> None:
    """So older models tell of it."""
    server.queue(
        answers(
            event({"executableCode": {"language": "PYTHON", "code": "1 + 1"}}),
            event({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}),
            event({"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}}),
        )
    )
    result = await agent(server, SECOND).generate("go")
    [call] = result.tool_calls
    ran = [found.payload for found in result.tool_results]
    assert {found.tool_call_id for found in ran} == {call.payload.tool_call_id}
    assert [bool(found.is_error) for found in ran] == [False, True]


async def test_sources_and_counts_that_come_again_count_once(server: OpenAIServer) -> None:
    chunks = [{"web": {"uri": "https://a.example", "title": "A"}}, {"web": {}}]
    told = {"groundingMetadata": {"groundingChunks": chunks}, "index": 0, "finishReason": None}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    server.queue(
        answers(
            event({"text": "a"}, **told), event({"text": "b"}, **told), {"usageMetadata": usage}
        )
    )
    result = await agent(server).generate("go")
    assert [source.payload.url for source in result.sources] == ["https://a.example"]
    assert (result.text, result.usage.total_tokens) == ("ab", 5)


async def test_each_of_several_calls_keeps_its_digits(server: OpenAIServer) -> None:
    calls = [
        {"functionCall": {"name": name, "args": {"n": n}}}
        for name, n in (("other", 2**70), ("count", 2**65), ("count", 2**66))
    ]
    server.queue(answers(event({"text": "I count."}, *calls)), says("ok"))
    counted: list[int] = []

    def count(n: int) -> int:
        """Count."""
        counted.append(n)
        return n

    def other(n: int) -> int:
        """Count otherwise."""
        counted.append(n)
        return n

    await agent(server, tools=[count, other]).generate("go")
    assert sorted(counted) == [2**65, 2**66, 2**70]


def test_what_a_content_cannot_be_is_left_out() -> None:
    request = ModelRequest(
        [
            Message("user", (ReasoningPart("not a user's"), TextPart("q"))),
            Message(
                "assistant",
                (
                    ProviderPart("openai", {"type": "compaction"}),
                    ProviderPart("google", {"hologram": 1}),
                    ToolCallPart("1", "look", {}),
                ),
            ),
            Message("tool", (TextPart("no result"), ToolResultPart("1", "look", "nice"))),
        ]
    )
    contents: Any = gemini_body(request, SECOND, "gemini")["contents"]
    assert contents[0]["parts"] == [{"text": "q"}]
    assert contents[1]["parts"] == [
        {"hologram": 1},
        {"functionCall": {"name": "look", "args": {}}},
    ]
    assert contents[2]["parts"] == [
        {"functionResponse": {"name": "look", "response": {"output": "nice"}}}
    ]


def test_functions_among_raw_fields_stand_beside_the_tools() -> None:
    raw = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("look", "take")
    ]
    settings = ModelSettings(extra_body={"tools": raw})
    request = ModelRequest([Message("user", "hi")], tools=(LOOK,), settings=settings)
    [declared] = gemini_body(request, SECOND, "gemini")["tools"]
    names = [function["name"] for function in declared["functionDeclarations"]]
    assert names == ["look", "take"]
    assert declared["functionDeclarations"][0]["description"] == LOOK.description
