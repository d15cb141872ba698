"""Conversations that outgrow a budget: what is sent of them fits, is whole, and loses nothing."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydantic
import pytest

from mastra import Agent, Mastra, tool
from mastra.errors import ConfigError, ModelError
from mastra.jsonable import dump_json
from mastra.memory import Memory
from mastra.models.anthropic_request import anthropic_body
from mastra.models.base import ModelRequest, ProviderTool
from mastra.models.messages import (
    ImagePart,
    Message,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.openai_request import chat_body
from mastra.processors import Compaction, Processor, TokenLimiter, estimate_tokens
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import FunctionModel, ScriptedModel, ToolCall

HERE: Any = {"thread": "t", "resource": "ann"}


@pytest.fixture(scope="module")
def tokens() -> Callable[[str], int]:
    """`tiktoken`, with the tables that `litellm` ships: nothing is fetched."""
    tiktoken = pytest.importorskip("tiktoken")
    shipped = find_spec("litellm")
    if shipped is None or not shipped.submodule_search_locations:
        pytest.skip("The tables of tiktoken come with litellm, which is not installed.")
    with pytest.MonkeyPatch.context() as env:
        tables = Path(shipped.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
        env.setenv("TIKTOKEN_CACHE_DIR", str(tables))
        encoding = tiktoken.get_encoding("o200k_base")
    return functools.cache(lambda text: len(encoding.encode(text, disallowed_special=())))


@tool
async def look(place: str, depth: int = 1) -> dict[str, Any]:
    """Look up what is known of a place."""
    rows = [
        {
            "id": f"{place}-{n}",
            "name": f'The "{place}" № {n}',
            "value": n * 17.5,
            "open": n % 2 == 0,
        }
        for n in range(12 * depth)
    ]
    return {"place": place, "rows": rows, "note": "Längere Notiz: 天気は晴れ。\n" * depth}


def words(text: str) -> int:
    return len(text.split())


def check_pairs(messages: Sequence[Message]) -> None:
    """Every call is answered right after it, and every result has a call."""
    waiting: list[str] = []
    for message in messages:
        if message.role == "tool":
            found = [p.tool_call_id for p in message.parts if isinstance(p, ToolResultPart)]
            assert found == waiting, "results are those of the calls before them"
            waiting = []
        else:
            assert not waiting, f"calls {waiting} have no result"
            waiting = [call.tool_call_id for call in message.tool_calls]
    assert not waiting


class Providers:
    """Checks a request as OpenAI's and Anthropic's packages describe it."""

    def __init__(self) -> None:
        pytest.importorskip("openai")
        pytest.importorskip("anthropic")
        from anthropic.types import message_param
        from anthropic.types.message_create_params import MessageCreateParamsStreaming
        from openai.types.chat import ChatCompletionMessageParam
        from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

        self._openai = pydantic.TypeAdapter(CompletionCreateParamsStreaming)
        self._openai_turns: Any = pydantic.TypeAdapter(list[ChatCompletionMessageParam])
        self._anthropic = pydantic.TypeAdapter(MessageCreateParamsStreaming)
        self._anthropic_turns = pydantic.TypeAdapter(list[message_param.MessageParam])

    def check(self, request: ModelRequest) -> str:
        """Return the text of the larger body."""
        chat = chat_body(request, "gpt-5-mini", "openai")
        self._openai.validate_python(chat)
        self._openai_turns.validate_python(chat["messages"])
        body = anthropic_body(request, "claude-sonnet-4-5", "anthropic").body
        self._anthropic.validate_python(body)
        self._anthropic_turns.validate_python(body["messages"])
        assert body["messages"][0]["role"] == "user"
        return max(dump_json(chat).decode(), dump_json(body).decode(), key=len)


def asked(request: ModelRequest) -> str:
    return next(m.text for m in reversed(request.messages) if m.role == "user")


@pytest.mark.every_engine
@pytest.mark.timeout(240)
@pytest.mark.parametrize("count", ["tiktoken", "default"])
async def test_three_hundred_turns_full_of_tools_within_a_budget(
    tokens: Callable[[str], int], count: str
) -> None:
    sent: list[ModelRequest] = []
    summaries: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Any:
        sent.append(request)
        turn = int(asked(request).split()[1].strip(":"))
        since = [m for m in request.messages if m.role == "tool"]
        last = request.messages[-1]
        if last.role != "tool":
            return [ToolCall("look", {"place": f"p{turn}"}), ToolCall("look", {"place": "Ålesund"})]
        if turn % 50 == 7 and not any("deep" in str(r.args) for m in since for r in m.parts):
            return ToolCall("look", {"place": f"deep{turn}", "depth": 12})
        return f"Turn {turn} is answered, with what was found."

    def summarise(request: ModelRequest) -> Any:
        summaries.append(request)
        return f"Summary {len(summaries)}. " + "The user went on asking; all was answered. " * 40

    counter = tokens if count == "tiktoken" else None
    turns = 300 if count == "tiktoken" else 60
    compaction = Compaction(8000, model=FunctionModel(summarise), count=counter)
    memory = Memory()
    agent = Agent(
        id="a",
        instructions="You answer questions on places.",
        model=FunctionModel(answer),
        tools=[look],
        memory=memory,
        input_processors=[compaction],
    )
    for turn in range(turns):
        result = await agent.generate(f"Question {turn}: what of it?", memory=HERE)
        assert result.text == f"Turn {turn} is answered, with what was found."

    providers = Providers()
    for request in [*sent, *summaries]:
        check_pairs(request.messages)
        size = tokens(providers.check(request))
        assert size <= 8000, f"{asked(request)[:40]}: {size}"
    assert len(summaries) > 5
    # Each is made of the one before, and what was said last is there as it was.
    assert f"Summary {len(summaries) - 1}." in asked(summaries[-1])
    assert any(f"Summary {len(summaries)}." in m.text for m in sent[-1].messages)
    # All of it is still stored.
    page = await memory.list_messages(thread_id="t")
    assert page.total == 2 * turns


async def said(agent: Agent, text: str) -> None:
    await agent.generate(text, memory=HERE)
    # A message whose summary's end was deleted is told from later ones by its millisecond.
    await asyncio.sleep(0.002)


async def test_a_summary_is_kept_in_the_thread_and_others_go_on_from_it() -> None:
    storage = InMemoryStorage()
    memory = Memory(storage.memory)
    shorter = ScriptedModel("First summary.", "Second summary.")

    def made(*turns: str) -> tuple[Agent, ScriptedModel]:
        model = ScriptedModel(*turns)
        limit = Compaction(80, model=shorter, count=words, instructions="Sum up.")
        agent = Agent(id="a", model=model, memory=memory, input_processors=[limit])
        return agent, model

    first, _ = made("a " * 30, "b " * 5)
    await said(first, "one " * 30)
    await said(first, "two " * 10)
    thread = await memory.get_thread("t")
    assert thread is not None
    assert thread.metadata is not None
    kept: Any = thread.metadata["compaction"]
    page = await memory.list_messages(thread_id="t")
    assert (kept["summary"], kept["through"]) == ("First summary.", page.messages[1].id)
    second, model = made("c")
    await said(second, "three")
    texts = [message.text for message in model.requests[0].messages]
    assert "First summary." in texts[0]
    assert [text.split()[0] for text in texts[1:]] == ["two", "b", "three"]
    assert len(shorter.requests) == 1
    third, model = made("d", "e")
    await said(third, "four " * 40)
    assert "First summary." in shorter.requests[1].messages[-1].text
    assert "two two" in shorter.requests[1].messages[-1].text
    assert "one one" not in shorter.requests[1].messages[-1].text
    assert "Second summary." in model.requests[0].messages[0].text
    thread = await memory.get_thread("t")
    assert thread is not None
    assert thread.metadata is not None
    kept = thread.metadata["compaction"]
    await memory.delete_messages([kept["through"]])
    await said(third, "five")
    assert not any("one one" in message.text for message in model.requests[1].messages)


async def test_steps_of_the_present_turn_are_summarised_and_all_are_stored(
    tokens: Callable[[str], int],
) -> None:
    sent: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Any:
        sent.append(request)
        if len(sent) <= 20:
            return ToolCall("look", {"place": f"p{len(sent)}", "depth": 2})
        return "done"

    memory = Memory()
    shorter = FunctionModel(lambda _: "What was looked up so far.")
    limit = Compaction(4000, model=shorter, count=tokens)
    agent = Agent(
        id="a", model=FunctionModel(answer), tools=[look], memory=memory, input_processors=[limit]
    )
    result = await agent.generate("look at all of them", memory=HERE, max_steps=30)
    assert result.text == "done"
    providers = Providers()
    for request in sent:
        check_pairs(request.messages)
        assert any(m.text == "look at all of them" for m in request.messages)
        assert tokens(providers.check(request)) <= 4000
    stored: Any = (await memory.list_messages(thread_id="t")).messages[1].content["parts"]
    assert sum("toolInvocation" in part for part in stored) == 20


async def test_a_compaction_goes_through_approval_streaming_and_a_durable_run() -> None:
    @tool(require_approval=True)
    async def book() -> str:
        """Book."""
        return "booked"

    shorter = ScriptedModel("A summary.")

    def answer(request: ModelRequest) -> Any:
        check_pairs(request.messages)
        assert "A summary." in request.messages[0].text
        return "done" if request.messages[-1].role == "tool" else ToolCall("book", {})

    for durable in (False, True):
        memory = Memory()
        await memory.create_thread(thread_id="t", resource_id="ann")
        old = [Message.user("old " * 100), Message.assistant("answer " * 100)]
        await memory.add_messages(old, thread_id="t", resource_id="ann")
        shorter = ScriptedModel("A summary.")
        limit = Compaction(250, model=shorter, count=words, instructions="Sum up.")
        agent = Agent(
            id="a",
            model=FunctionModel(answer),
            tools=[book],
            memory=memory,
            input_processors=[limit],
            durable=durable,
        )
        async with Mastra(agents={"a": agent}) as mastra:
            known = mastra.get_agent("a")
            await known.generate("go", run_id="r", memory=HERE)
            async with known.approve_tool_call("r") as stream:
                assert await stream.text() == "done"
        assert len(shorter.requests) == 1, "the summary in the thread serves the resumed run"


async def test_without_a_summary_the_oldest_are_left_out_and_nothing_is_kept(caplog: Any) -> None:
    memory = Memory()
    model = ScriptedModel("a " * 40, "b", "c")
    broken = ScriptedModel(ModelError("down"), "One part.", "Now it works.")
    limit = Compaction(100, model=broken, count=words, instructions="Sum up.")
    agent = Agent(id="a", model=model, memory=memory, input_processors=[limit])
    await agent.generate("one " * 40, memory=HERE)
    await agent.generate("two " * 10, memory=HERE)
    assert [message.text for message in model.requests[1].messages] == ["two " * 10]
    assert "for want of a summary" in caplog.text
    await agent.generate("three", memory=HERE)
    assert "Now it works." in model.requests[2].messages[0].text


async def test_a_limit_that_what_the_summary_takes_passes_is_said() -> None:
    limit = Compaction(40, model=ScriptedModel(), count=words)
    agent = Agent(id="a", model=ScriptedModel(), input_processors=[limit])
    with pytest.raises(ConfigError, match="shorter instructions"):
        await agent.generate([*_turn(1), Message.user("now?")])


def test_a_compaction_keeps_less_than_its_limit() -> None:
    with pytest.raises(ConfigError, match="fewer"):
        Compaction(100, keep=100, model="openai/gpt-5-mini")


def _turn(number: int, words: int = 20) -> list[Message]:
    call = ToolCallPart(f"c{number}", "look", {"place": "x " * words})
    result = ToolResultPart(f"c{number}", "look", "y " * words)
    return [
        Message.user(f"question {number}"),
        Message("assistant", (call,)),
        Message.tool(result),
        Message.assistant(f"answer {number}"),
    ]


@pytest.mark.parametrize("limit", [5, 40, 60, 100, 150, 200, 400, 1000])
async def test_a_limiter_leaves_no_orphan_and_keeps_what_it_must(limit: int) -> None:
    model = ScriptedModel("ok")
    agent = Agent(
        id="a",
        instructions="Stay.",
        model=model,
        input_processors=[TokenLimiter(limit, count=words)],
    )
    history = [message for number in range(6) for message in _turn(number)]
    await agent.generate([*history, Message.user("now?")])
    request = model.requests[0]
    check_pairs(request.messages)
    assert request.messages[0].text == "Stay."
    assert request.messages[1].role == "user"
    assert request.messages[-1].text == "now?"
    assert len(request.messages) > 2 or limit < 200
    assert len(request.messages) < len(history) or limit == 1000


async def test_a_limiter_counts_arguments_results_and_tools_and_holds_at_every_step(
    tokens: Callable[[str], int],
) -> None:
    sent: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Any:
        sent.append(request)
        if len(sent) <= 6:
            return ToolCall("look", {"place": f"p{len(sent)}", "depth": len(sent)})
        return "done"

    agent = Agent(
        id="a",
        model=FunctionModel(answer),
        tools=[look],
        input_processors=[TokenLimiter(2000, count=tokens)],
    )
    result = await agent.generate("look", max_steps=10)
    providers = Providers()
    for request in sent:
        check_pairs(request.messages)
        assert tokens(providers.check(request)) <= 2000
        assert request.messages[0].text == "look"
    # The newest result is cut rather than left out: the model would ask for it again.
    assert sent[-1].messages[-1].role == "tool"
    assert len(result.messages) == 14


async def test_a_limiter_leaves_out_of_the_request_and_not_of_the_memory() -> None:
    memory = Memory()
    limiter = TokenLimiter(12, count=words)
    model = ScriptedModel("ok")
    agent = Agent(id="a", model=model, memory=memory, input_processors=[limiter])
    await agent.generate(["one " * 10, "two"], memory=HERE)
    assert [message.text for message in model.requests[0].messages] == ["two"]
    assert (await memory.list_messages(thread_id="t")).total == 3


async def test_a_processor_that_parts_calls_from_results_sends_pairs_all_the_same() -> None:
    class Careless(Processor):
        def process_llm_request(self, ctx: Any) -> Any:
            return {"prompt": ctx.prompt[-2:]}

    model = ScriptedModel("ok")
    agent = Agent(id="a", model=model, input_processors=[Careless()])
    history = _turn(1)[:3]
    await agent.generate([*history, Message.user("now?")])
    check_pairs(model.requests[0].messages)


def test_what_counts(tokens: Callable[[str], int]) -> None:
    texts = [
        "The quick brown fox jumps over the lazy dog, and nobody is surprised by it at all.",
        dump_json([{"id": n, "name": f"Row {n}", "price": n * 1.25} for n in range(50)]).decode(),
        "def f(x: int) -> dict[str, list[int]]:\n    return {str(x): [x] * 3}\n",
        "天気は晴れ。 Привет, как дела? Grüße aus Zürich.",
    ]
    for text in texts:
        assert 0.9 * tokens(text) <= estimate_tokens(text) <= 2 * tokens(text), text
    assert estimate_tokens("") == 0
    limiter = TokenLimiter(100)
    shown = ToolResultPart("c", "look", None, content=(ImagePart(data="x" * 100_000),))
    history = [Message("assistant", (ToolCallPart("c", "look", {}),)), Message.tool(shown)]
    assert limiter._size.messages(history) < 2000


LONG = "x y z " * 2_000


@pytest.mark.parametrize(
    "part",
    [
        ReasoningPart(LONG),
        ReasoningPart("", signature="s" * 12_000, provider="p"),
        ProviderPart("p", {"type": "compaction", "content": LONG}),
        ToolCallPart("c", "look", {"at": LONG}, provider_executed=True),
    ],
)
async def test_whatever_an_old_answer_holds_counts(part: Any) -> None:
    model = ScriptedModel("ok")
    agent = Agent(id="a", model=model, input_processors=[TokenLimiter(2_000)])
    old = [Message.user("first"), Message("assistant", (part, TextPart("said")))]
    await agent.generate([*old, Message.user("now?")])
    assert [message.text for message in model.requests[0].messages] == ["now?"]


@pytest.mark.parametrize("part", [SourcePart("1", "https://a", LONG), TextPart("short")])
async def test_what_is_not_sent_does_not_count(part: Any) -> None:
    model = ScriptedModel("ok")
    agent = Agent(id="a", model=model, input_processors=[TokenLimiter(2_000)])
    old = [Message.user("first"), Message("assistant", (part, TextPart("said")))]
    await agent.generate([*old, Message.user("now?")])
    assert len(model.requests[0].messages) == 3


async def test_the_answer_s_form_and_tools_that_run_there_leave_less_room() -> None:
    many = {f"field_{n}": {"type": "string", "description": "A field." * 5} for n in range(60)}
    form = {"type": "object", "properties": many, "required": list(many)}
    search = ProviderTool("openai", "web_search", {"filters": list(many) * 4})
    old = [message for n in range(8) for message in (
        Message.user(f"question {n}" + " word" * 100), Message("assistant", (TextPart("answer"),))
    )]  # fmt: skip

    async def kept(**options: Any) -> int:
        answer = json.dumps(dict.fromkeys(many, "x")) if "structured_output" in options else "ok"
        model = ScriptedModel(answer)
        agent = Agent(id="a", model=model, input_processors=[TokenLimiter(2_000)])
        await agent.generate([*old, Message.user("now?")], **options)
        return len(model.requests[0].messages)

    assert await kept() > await kept(structured_output={"schema": form})
    assert await kept() > await kept(toolsets={"more": [search]})


async def test_a_summary_far_behind_is_caught_up_with() -> None:
    memory = Memory()
    shorter = FunctionModel(lambda request: f"Summary {len(request.messages[-1].text)}.")
    limit = Compaction(300, model=shorter, count=words, instructions="Sum up.")
    model = ScriptedModel("ok", "ok")
    agent = Agent(id="a", model=model, memory=memory, input_processors=[limit])
    await memory.create_thread(thread_id="t", resource_id="ann")

    async def said(number: int, *, begins: int) -> None:
        told: list[Message] = []
        for n in range(number):
            told += [Message.user(f"{begins + n} word word"), Message.assistant("ok")]
        await memory.save_messages(told, thread_id="t", resource_id="ann")

    await said(90, begins=0)
    await agent.generate("first?", memory=HERE)
    # More than are read at once are said where no agent hears them.
    before = len(shorter.requests)
    await said(120, begins=100)
    await agent.generate("second?", memory=HERE)
    told = [one.messages[-1].text for one in shorter.requests[before:]]
    assert "Summary " in told[0]
    assert any("User: 100 word" in text for text in told)
    assert not any("User: 1 word" in text for text in told)
    assert "Summary " in model.requests[1].messages[0].text
    assert sum(words(one.text) for one in model.requests[1].messages) <= 300


async def test_pictures_are_left_out_of_a_summary_and_an_empty_one_is_none(caplog: Any) -> None:
    shorter = FunctionModel(lambda _: "In short." if len(shorter.requests) > 1 else " ")
    limit = Compaction(100, model=shorter, count=words, instructions="Sum up.")
    model = ScriptedModel("ok", "ok")
    agent = Agent(id="a", model=model, input_processors=[limit])
    history = [
        Message.user("one " * 60, ImagePart(url="https://example.org/a.png")),
        Message.assistant("b " * 60),
    ]
    for asked in ("first?", "second?"):
        await agent.generate([*history, Message.user(asked)])
    assert "gave an empty summary" in caplog.text
    assert [one.text for one in model.requests[0].messages] == ["first?"]
    assert not any("example.org" in one.messages[-1].text for one in shorter.requests)
    assert "In short." in model.requests[1].messages[0].text


async def test_a_question_that_is_too_long_alone_is_cut_without_a_summary() -> None:
    shorter = FunctionModel(lambda _: "In short.")
    limit = Compaction(100, model=shorter, count=words, instructions="Sum up.")
    model = ScriptedModel("ok")
    agent = Agent(id="a", model=model, input_processors=[limit])
    await agent.generate("word " * 200)
    assert not shorter.requests
    assert [one.role for one in model.requests[0].messages] == ["user"]


async def test_a_limiter_of_a_conversation_that_nobody_began() -> None:
    model = ScriptedModel("ok", "ok")
    limiter = TokenLimiter(30, count=words)
    agent = Agent(id="a", model=model, input_processors=[limiter])
    orphan = Message.tool(ToolResultPart("c0", "look", "y " * 9))
    await agent.generate([orphan, Message.user("first"), Message.user("then?")])
    assert [one.text for one in model.requests[0].messages] == ["first", "then?"]
    long = Message.assistant("b " * 50)  # nothing of it can be cut
    await agent.generate([Message.user("now?"), long])
    assert [one.text for one in model.requests[1].messages] == ["now?"]
