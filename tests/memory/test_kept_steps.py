"""What each step did is stored as it ends, and what was deleted stays so."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, tool
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.processors import PIIDetector, Processor
from mastra.storage.conversations import MemoryStore
from mastra.testing import FunctionModel, ToolCall

HERE: Any = {"thread": "t", "resource": "ann"}


@tool(has_effect=True)
async def pay(euros: int) -> str:
    """Pay."""
    return f"paid {euros} to ann@example.org"


@tool
async def look() -> str:
    """Look."""
    return "seen"


async def parts(memory: Memory) -> list[tuple[str, list[Any]]]:
    """What is stored: each message's role, and the texts, results and open calls in it."""
    page = await memory.list_messages(thread_id="t")
    stored: list[tuple[str, list[Any]]] = []
    for message in page.messages:
        content: Any = message.content["parts"]
        found = [part for part in content if part["type"] != "step-start"]
        told = [part.get("text", part.get("toolInvocation", {}).get("result")) for part in found]
        stored.append((message.role, told))
    return stored


class Watched:
    """An agent that calls a tool first, and looks at its memory as it is asked a second time."""

    def __init__(self, name: str, args: Any = None, **options: Any) -> None:
        self.memory = Memory()
        self.seen: list[tuple[str, list[Any]]] = []
        call = ToolCall(name, args or {})

        async def answer(request: Any) -> Any:
            if request.messages[-1].role != "tool":
                return call
            self.seen = await parts(self.memory)
            return "done"

        self.agent = Agent(
            id="a", model=FunctionModel(answer), tools=[pay, look], memory=self.memory, **options
        )


async def test_a_step_that_acted_is_stored_before_the_model_is_asked_again() -> None:
    watched = Watched("pay", {"euros": 3})
    await watched.agent.generate("go", memory=HERE)
    result = "paid 3 to ann@example.org"
    assert watched.seen == [("user", ["go"]), ("assistant", [result])]
    assert await parts(watched.memory) == [("user", ["go"]), ("assistant", [result, "done"])]


@pytest.mark.parametrize("asked", [None, True, False])
async def test_steps_are_stored_where_that_is_asked_for(asked: bool | None) -> None:
    watched = Watched("look")
    options = HERE if asked is None else {**HERE, "save_per_step": asked}
    await watched.agent.generate("go", memory=options)
    kept = [("user", ["go"]), ("assistant", ["seen"])]
    assert watched.seen == (kept if asked else [])
    watched = Watched("pay", {"euros": 3}, default_options={"memory": {"save_per_step": asked}})
    await watched.agent.generate("go", memory=HERE)
    assert bool(watched.seen) is (asked is not False)


async def test_what_acted_can_be_left_to_the_end() -> None:
    watched = Watched("pay", {"euros": 3})
    await watched.agent.generate("go", memory={**HERE, "save_per_step": False})
    assert watched.seen == []


async def test_processors_of_results_see_what_is_stored_of_a_step() -> None:
    ends: list[str] = []

    class Watch(Processor):
        def process_output_result(self, ctx: Any) -> None:
            ends.append(ctx.messages[-1].role)

    watched = Watched("pay", {"euros": 3}, output_processors=[Watch()])
    await watched.agent.generate("go", memory=HERE)
    assert (watched.seen, ends) == ([], ["assistant"])
    texts = [PIIDetector(["email"], strategy="redact")]
    memory = Memory()

    async def answer(request: Any) -> Any:
        if request.messages[-1].role != "tool":
            return ["I ask bob@example.org.", ToolCall("look", {})]
        assert await parts(memory) == [("user", ["go"]), ("assistant", ["I ask [EMAIL].", "seen"])]
        return "done"

    agent = Agent(
        id="a", model=FunctionModel(answer), tools=[look], memory=memory, output_processors=texts
    )
    result = await agent.generate("go", memory={**HERE, "save_per_step": True})
    assert result.text.endswith("done")


async def test_a_step_is_kept_though_the_next_fails() -> None:
    def answer(request: Any) -> Any:
        if request.messages[-1].role == "tool":
            raise ModelError("down")
        return ToolCall("look", {})

    memory = Memory()
    agent = Agent(id="a", model=FunctionModel(answer), tools=[look], memory=memory)
    with pytest.raises(ModelError):
        await agent.generate(
            "go", memory={**HERE, "save_per_step": True}, model_settings={"max_retries": 0}
        )
    assert await parts(memory) == [("user", ["go"]), ("assistant", ["seen"])]


@pytest.mark.parametrize("name", ["pay", "look"])
async def test_a_thread_deleted_while_its_agent_answers_stays_so(
    store: MemoryStore, name: str
) -> None:
    memory = Memory(store, generate_title=True)
    asked: list[str] = []

    async def answer(request: Any) -> Any:
        asked.append(request.messages[-1].role)
        if request.messages[-1].role == "tool":
            return "done"
        await memory.delete_thread("t")
        return ToolCall(name, {"euros": 1} if name == "pay" else {})

    agent = Agent(id="a", model=FunctionModel(answer), tools=[pay, look], memory=memory)
    result = await agent.generate("go", memory=HERE)
    assert (result.text, asked) == ("done", ["user", "tool"])
    assert await memory.get_thread("t") is None
    assert (await memory.list_messages(thread_id="t")).total == 0


async def test_a_thread_deleted_while_it_gets_its_title_stays_so(store: MemoryStore) -> None:
    memory = Memory(store, generate_title=True)

    async def answer(request: Any) -> Any:
        if request.messages[0].role == "system":
            await memory.delete_thread("t")
            return "A title"
        return "done"

    agent = Agent(id="a", model=FunctionModel(answer), memory=memory)
    assert (await agent.generate("go", memory=HERE)).text == "done"
    assert await memory.get_thread("t") is None
    assert (await memory.list_messages(thread_id="t")).total == 0


async def test_a_thread_deleted_while_its_run_waits_stays_so(store: MemoryStore) -> None:
    @tool(require_approval=True)
    async def book() -> str:
        """Book."""
        return "booked"

    def answer(request: Any) -> Any:
        return "done" if request.messages[-1].role == "tool" else ToolCall("book", {})

    memory = Memory(store)
    agent = Agent(id="a", model=FunctionModel(answer), tools=[book], memory=memory)
    await agent.generate("go", run_id="r", memory=HERE)
    await memory.delete_thread("t")
    async with agent.approve_tool_call("r") as stream:
        assert await stream.text() == "done"
    assert await memory.get_thread("t") is None
    assert (await memory.list_messages(thread_id="t")).total == 0
