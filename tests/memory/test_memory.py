"""What an agent remembers: threads, the latest messages, notes and titles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, InputValidationError
from mastra.memory import Memory, WorkingMemory
from mastra.models.messages import Message
from mastra.processors import Processor
from mastra.registry import Mastra
from mastra.request_context import RESOURCE_ID
from mastra.storage import InMemoryStorage, SQLStorage
from mastra.storage.conversations import InMemoryMemoryStore, StoredMessage, ThreadRecord
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall
from mastra.tools.tool import tool

HERE: Any = {"thread": "t1", "resource": "ann"}


def agent(*turns: Any, memory: Memory | None = None, **options: Any) -> Agent:
    return Agent(id="a", model=ScriptedModel(*turns), memory=memory or Memory(), **options)


def asked(subject: Agent, call: int) -> list[tuple[str, str]]:
    model: Any = subject.spec.model
    return [(message.role, message.text) for message in model.requests[call].messages]


@tool
async def look(city: str) -> str:
    """Look."""
    return f"sunny in {city}"


async def test_the_conversation_goes_on() -> None:
    subject = agent("hello ann", "you said hi")
    await subject.generate("hi", memory=HERE)
    result = await subject.generate("what did I say?", memory=HERE)
    assert asked(subject, 1) == [
        ("user", "hi"),
        ("assistant", "hello ann"),
        ("user", "what did I say?"),
    ]
    assert [message.text for message in result.remembered_messages] == ["hi", "hello ann"]
    memory: Any = subject.spec.memory
    page = await memory.list_messages(thread_id="t1")
    assert page.total == 4
    assert page.messages[1].content["parts"] == [{"type": "text", "text": "hello ann"}]
    thread = await memory.get_thread("t1")
    assert thread.resource_id == "ann"


async def test_other_threads_are_not_shown_and_no_thread_remembers_nothing() -> None:
    subject = agent("a", "b", "c")
    await subject.generate("one", memory=HERE)
    await subject.generate("two", memory={"thread": "t2", "resource": "ann"})
    assert asked(subject, 1) == [("user", "two")]
    await subject.generate("three")
    assert asked(subject, 2) == [("user", "three")]


async def test_tool_calls_are_remembered_with_their_results() -> None:
    subject = agent(ToolCall("look", {"city": "Rome"}), "sunny", "yes", tools=[look])
    await subject.generate("weather?", memory=HERE)
    await subject.generate("sure?", memory=HERE)
    memory: Any = subject.spec.memory
    page = await memory.list_messages(thread_id="t1", page=1, per_page=2)
    assert page.messages[1].content["parts"] == [
        {
            "type": "tool-invocation",
            "toolInvocation": {
                "state": "result",
                "toolCallId": "call_1",
                "toolName": "look",
                "args": {"city": "Rome"},
                "result": "sunny in Rome",
            },
        },
        {"type": "step-start"},
        {"type": "text", "text": "sunny"},
    ]
    model: Any = subject.spec.model
    roles = [message.role for message in model.requests[2].messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_only_the_latest() -> None:
    subject = agent("1", "2", "3", memory=Memory(last_messages=2))
    for text in ("a", "b", "c"):
        await subject.generate(text, memory=HERE)
    assert asked(subject, 2) == [("user", "b"), ("assistant", "2"), ("user", "c")]
    options: Any = {**HERE, "options": {"lastMessages": False}}
    subject = agent("1", "2")
    await subject.generate("a", memory=HERE)
    await subject.generate("b", memory=options)
    assert asked(subject, 1) == [("user", "b")]


async def test_a_thread_of_somebody_else() -> None:
    subject = agent("a", "b")
    await subject.generate("hi", memory=HERE)
    with pytest.raises(InputValidationError, match="does not belong"):
        await subject.generate("hi", memory={"thread": "t1", "resource": "bob"})
    with pytest.raises(InputValidationError, match="does not belong"):
        await subject.generate("hi", memory=HERE, request_context={RESOURCE_ID: "bob"})
    with pytest.raises(ConfigError, match="no resource"):
        await subject.generate("hi", memory={"thread": "t1"})


async def test_a_resource_without_a_thread_would_not_be_remembered() -> None:
    subject = agent("a", "b")
    with pytest.raises(ConfigError, match="and no thread"):
        await subject.generate("hi", memory={"resource": "ann"})
    without: Any = Agent(id="none", model=ScriptedModel("a"))
    assert (await without.generate("hi", memory={"resource": "ann"})).text == "a"
    # A server that knows who is calling does not know of which conversation.
    answer = await subject.generate("hi", request_context={RESOURCE_ID: "ann"})
    assert answer.text == "a"


async def test_a_refused_answer_is_not_remembered() -> None:
    class Refuse(Processor):
        def process_output_step(self, ctx: Any) -> None:
            ctx.abort("no")

    subject = agent("bad", output_processors=[Refuse()])
    await subject.generate("hi", memory=HERE)
    memory: Any = subject.spec.memory
    assert (await memory.list_messages(thread_id="t1")).total == 0


async def test_read_only() -> None:
    memory = Memory(read_only=True)
    subject = agent("a", memory=memory)
    await subject.generate("hi", memory=HERE)
    assert await memory.get_thread("t1") is None


async def test_notes_that_are_read_only_are_shown_and_not_to_be_changed() -> None:
    memory = Memory(working_memory=WorkingMemory(template="# Name:"), read_only=True)
    subject = agent("a", memory=memory)
    await subject.generate("hi", memory=HERE)
    model: Any = subject.spec.model
    assert model.requests[0].tools == ()
    told = asked(subject, 0)[0][1]
    assert "# Name:" in told
    assert "updateWorkingMemory" not in told


async def test_a_memory_is_one_for_some_and_none_for_others() -> None:
    memory = Memory()

    def own(ctx: Any) -> Memory | None:
        return None if ctx.request_context.get("guest") else memory

    subject = agent("a", "b", memory=own)
    await subject.generate("hi", memory=HERE, request_context={"guest": True})
    assert await memory.get_thread("t1") is None
    await subject.generate("hi", memory=HERE)
    assert (await memory.list_messages(thread_id="t1")).total == 2


async def test_working_memory_as_text() -> None:
    memory = Memory(working_memory=WorkingMemory(template="# Name:"))
    subject = agent(
        ToolCall("updateWorkingMemory", {"memory": "# Name: Ann"}), "noted", "Ann!", memory=memory
    )
    await subject.generate("I am Ann", memory=HERE)
    assert "# Name:" in asked(subject, 0)[0][1]
    await subject.generate("who am I?", memory={"thread": "t2", "resource": "ann"})
    assert "# Name: Ann" in asked(subject, 2)[0][1]
    assert await memory.get_working_memory(resource_id="ann") == "# Name: Ann"


class Profile(BaseModel):
    name: str = ""
    city: str = ""


async def test_working_memory_with_a_schema() -> None:
    memory = Memory(working_memory={"schema": Profile, "scope": "thread"})
    subject = agent(
        ToolCall("updateWorkingMemory", {"memory": {"name": "Ann"}}),
        ToolCall("updateWorkingMemory", {"memory": {"city": "Rome"}}),
        ToolCall("updateWorkingMemory", {"memory": {"city": 5}}),
        "ok",
        memory=memory,
    )
    result = await subject.generate("q", memory=HERE)
    assert await memory.get_working_memory(thread_id="t1") == '{"name":"Ann","city":"Rome"}'
    model: Any = subject.spec.model
    assert model.requests[3].messages[-1].parts[0].is_error
    assert len(result.steps) == 4
    with pytest.raises(ConfigError):
        WorkingMemory(template="x", schema=Profile)


async def test_titles() -> None:
    memory = Memory(generate_title=ScriptedModel('"About Rome"'))
    subject = agent("a", "b", memory=memory)
    await subject.generate("tell me of Rome", memory=HERE)
    thread = await memory.get_thread("t1")
    assert thread is not None
    assert thread.title == "About Rome"
    await subject.generate("more", memory=HERE)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("", ""),
        ('" "', ""),
        (' "About Rome" ', "About Rome"),
        ('About "Rome"', 'About "Rome"'),
        ('"Rome" and "Oslo"', '"Rome" and "Oslo"'),
        ("x" * 100, "x" * 80),
    ],
)
async def test_a_title_is_what_was_said_without_quotes_around_it(said: str, title: str) -> None:
    memory = Memory(generate_title=ScriptedModel(said))
    await agent("a", memory=memory).generate("tell me of Rome", memory=HERE)
    thread = await memory.get_thread("t1")
    assert thread is not None
    assert thread.title == title


async def test_a_run_that_waits_belongs_to_its_thread() -> None:
    @tool(require_approval=True)
    async def act() -> str:
        """Act."""
        return "done"

    memory = Memory()
    subject = agent(ToolCall("act"), "all done", memory=memory, tools=[act])
    first = await subject.generate("go", memory=HERE)
    assert (await memory.list_messages(thread_id="t1")).total == 0
    await subject.approve_tool_call_generate(first.run_id)
    page = await memory.list_messages(thread_id="t1")
    assert [message.role for message in page.messages] == ["user", "assistant"]


async def test_the_store() -> None:
    store = InMemoryMemoryStore()
    for number in range(3):
        await store.save_thread(
            ThreadRecord(f"t{number}", "ann", metadata={"n": number}, updated_at=number)
        )
    page = await store.list_threads(resource_id="ann", per_page=2)
    assert [thread.id for thread in page.threads] == ["t2", "t1"]
    assert page.total == 3
    assert (await store.list_threads(metadata={"n": 1})).total == 1
    assert (await store.list_threads(resource_id="bob")).total == 0
    await store.save_messages(
        [StoredMessage(f"m{n}", "t0", "ann", "user", {"parts": []}, n) for n in range(5)]
    )
    latest = await store.list_messages(thread_id="t0", per_page=2)
    assert [message.id for message in latest.messages] == ["m3", "m4"]
    older = await store.list_messages(thread_id="t0", per_page=2, page=2)
    assert [message.id for message in older.messages] == ["m0"]
    await store.delete_messages(["m0"])
    assert (await store.list_messages(ids=["m0", "m1"])).total == 1
    assert await store.delete_thread("t0")
    assert not await store.delete_thread("t0")
    assert (await store.list_messages(thread_id="t0")).total == 0


async def test_threads_by_hand() -> None:
    memory = Memory()
    thread = await memory.create_thread(resource_id="ann", title="One", metadata={"a": 1})
    await memory.update_thread(thread.id, title="Two", metadata={"b": 2})
    found = await memory.get_thread(thread.id)
    assert found is not None
    assert (found.title, found.metadata) == ("Two", {"a": 1, "b": 2})
    assert (await memory.list_threads(resource_id="ann")).total == 1
    assert await memory.delete_thread(thread.id)
    assert await memory.update_thread(thread.id, title="x") is None
    assert memory.to_wire()["lastMessages"] == 10


async def test_calls_on_the_object_reach_what_its_agent_keeps() -> None:
    memory = Memory()
    assert (await memory.list_threads()).total == 0
    agent = Agent(
        id="a", model=FunctionModel(lambda asked: str(len(asked.messages))), memory=memory
    )
    one = {"thread": "t", "resource": "ann"}
    mastra = Mastra(agents=[agent])
    await memory.create_thread(resource_id="ann", thread_id="t", title="Given")
    assert (await mastra.get_agent("a").generate("q", memory=one)).text == "1"
    assert [thread.title for thread in (await memory.list_threads()).threads] == ["Given"]
    assert (await mastra.get_agent("a").generate("q", memory=one)).text == "3"
    assert (await mastra.storage.memory.list_messages(thread_id="t")).total == 4
    assert len(await memory.recall(thread_id="t", resource_id="ann")) == 4
    # Of several applications it is the last, and those before it have what they had.
    other = Mastra(agents=[agent])
    assert (await memory.list_threads()).total == 0
    assert (await other.get_agent("a").generate("q", memory=one)).text == "1"
    assert (await mastra.get_agent("a").generate("q", memory=one)).text == "5"


async def test_what_was_kept_before_its_agent_was_registered_is_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for storage in (InMemoryStorage(), SQLStorage(f"sqlite:///{tmp_path / 'm.db'}")):
        memory = Memory()
        await memory.create_thread(resource_id="ann", thread_id="t1", title="Before")
        await memory.add_messages([Message.user("hello")], thread_id="t1", resource_id="ann")
        agent = Agent(
            id="a", model=FunctionModel(lambda asked: str(len(asked.messages))), memory=memory
        )
        async with Mastra(agents=[agent], storage=storage) as mastra:
            assert (await mastra.get_agent("a").generate("q", memory=HERE)).text == "2"
            assert (await mastra.get_agent("a").generate("q", memory=HERE)).text == "4"
        assert [thread.title for thread in (await memory.list_threads()).threads] == ["Before"]
        assert len(await memory.recall(thread_id="t1", resource_id="ann")) == 5
    assert caplog.text.count("was used before its agent was registered") == 1


async def test_a_memory_that_a_function_gives_belongs_where_it_was_last_used() -> None:
    memory = Memory()
    agent = Agent(id="a", model=ScriptedModel("b"), memory=lambda: memory)
    mastra = Mastra(agents=[agent])
    await mastra.get_agent("a").generate("q", memory={"thread": "t", "resource": "ann"})
    assert (await memory.list_threads()).total == 1


async def test_options_of_one_call_are_about_the_same_conversation() -> None:
    memory = Memory()
    agent = Agent(
        id="a", model=FunctionModel(lambda asked: str(len(asked.messages))), memory=memory
    )
    here: Any = {"thread": "t", "resource": "ann", "options": {"last_messages": 5}}
    assert [(await agent.generate("q", memory=here)).text for _ in range(2)] == ["1", "3"]
    assert len(await memory.recall(thread_id="t", resource_id="ann")) == 4
