"""What tools have done is remembered, whoever left meanwhile: readers, callers, models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mastra import Agent, InMemoryStorage, Mastra, ModelError, create_tool, tool
from mastra.agents.chunks import AgentChunk
from mastra.memory import Memory
from mastra.models.chunks import ToolCallEnd
from mastra.stream.abort import AbortController
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool_context import ToolContext

HERE: Any = {"thread": "t", "resource": "u"}
done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    done.append(to)
    return f"paid {to}"


@tool
async def book(to: str) -> str:
    """Book, at once."""
    done.append(to)
    return f"booked {to}"


@tool
async def hang(to: str) -> str:
    """Never end."""
    await asyncio.Event().wait()
    return to


@tool
async def ask(to: str, ctx: ToolContext) -> str:
    """Ask first."""
    if ctx.resume_data is None:
        return await ctx.suspend({"to": to})
    done.append(to)
    return f"asked {to}"


@tool(require_approval=True)
async def break_down(to: str) -> str:
    """Act, and fail."""
    done.append(to)
    raise ValueError(f"broke at {to}")


async def acted(given: Any) -> str:
    done.append(given["to"])
    return "acted"


ANY: Any = {"type": "object"}
TOOLS: Any = {"pay": pay, "book": book, "hang": hang, "ask": ask, "break_down": break_down}


class Application:
    """An agent whose model asks for some calls, and then does what a test wants."""

    def __init__(
        self, *calls: ToolCall | str, then: Callable[[], Any], durable: bool = False, **more: Any
    ) -> None:
        self.asked = asyncio.Event()
        self._calls = calls
        self._then = then
        model = FunctionModel(self._answer)
        tools = {**TOOLS, **more}
        agent = Agent(id="a", model=model, tools=tools, memory=Memory(), durable=durable)
        self.mastra = Mastra(agents={"a": agent}, storage=InMemoryStorage())

    async def _answer(self, request: Any) -> Any:
        if request.messages[-1].role != "tool":
            return list(self._calls)
        self.asked.set()
        return await self._then()

    @property
    def agent(self) -> Agent:
        return self.mastra.get_agent("a")

    async def wait(self) -> None:
        """Run until somebody has to answer."""
        result = await self.agent.generate("Go.", run_id="r", memory=HERE)
        assert result.finish_reason == "suspended"

    async def kept(self) -> list[tuple[str, Any]]:
        """Return the tools' results in the thread, by tool."""
        page = await Memory().bound_to(self.mastra).list_messages(thread_id="t")
        parts: list[Any] = [part for m in page.messages for part in m.content["parts"]]
        calls = [part["toolInvocation"] for part in parts if part["type"] == "tool-invocation"]
        assert all(call["state"] in ("result", "output-error") for call in calls)
        if calls:
            assert page.messages[0].role == "user"
        return [(call["toolName"], call["result"]) for call in calls]

    async def waiting(self) -> list[str]:
        """Return the tools that wait."""
        runs = (await self.agent.list_suspended_runs()).runs
        return [call.tool_name for run in runs for call in run.tool_calls]


async def never() -> Any:
    await asyncio.Event().wait()


async def fail() -> Any:
    raise ModelError("The provider is down.", status_code=400)


def call(name: str, to: str = "shop", call_id: str | None = None) -> ToolCall:
    return ToolCall(name, {"to": to}) if call_id is None else ToolCall(name, {"to": to}, call_id)


async def read_to(stream: AsyncIterator[AgentChunk], kind: str) -> None:
    async for chunk in stream:
        if chunk.type == kind:
            return
    raise AssertionError(f"There was no {kind}.")


ANSWERS: dict[str, tuple[str, Callable[[Agent], Any], str, str]] = {
    "approve": ("pay", lambda a: a.approve_tool_call("r"), "tool-result", "paid shop"),
    "resume": (
        "ask",
        lambda a: a.resume_stream({"ok": 1}, run_id="r"),
        "tool-result",
        "asked shop",
    ),
    "decline": (
        "pay",
        lambda a: a.decline_tool_call("r", reason="No."),
        "tool-output-denied",
        "No.",
    ),
}


@pytest.mark.parametrize("how", ANSWERS)
async def test_a_reader_leaves_an_answered_run(how: str) -> None:
    name, answer, chunk, result = ANSWERS[how]
    app = Application(call(name), then=never)
    await app.wait()
    async with answer(app.agent) as stream:
        await read_to(stream, chunk)
    assert await app.kept() == [(name, result)]
    assert await app.waiting() == []


async def test_a_reader_leaves_after_a_tool_that_raised() -> None:
    app = Application(call("break_down"), then=never)
    await app.wait()
    async with app.agent.approve_tool_call("r") as stream:
        await read_to(stream, "tool-error")
    [(name, result)] = await app.kept()
    assert name == "break_down"
    assert "broke at shop" in str(result)
    assert await app.waiting() == []


@pytest.mark.parametrize("is_resumed", [True, False])
async def test_whoever_waits_for_the_whole_answer_is_cancelled(is_resumed: bool) -> None:
    app = Application(call("pay" if is_resumed else "book"), then=never)
    if is_resumed:
        await app.wait()
        task = asyncio.ensure_future(app.agent.approve_tool_call_generate("r"))
    else:
        task = asyncio.ensure_future(app.agent.generate("Go.", memory=HERE))
    await app.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [name for name, _ in await app.kept()] == ["pay" if is_resumed else "book"]
    assert await app.waiting() == []


@pytest.mark.parametrize("is_resumed", [True, False])
async def test_the_model_fails_afterwards(is_resumed: bool) -> None:
    app = Application(call("pay" if is_resumed else "book"), then=fail)
    if is_resumed:
        await app.wait()
    agent = app.agent
    failing = (
        agent.approve_tool_call_generate("r") if is_resumed else agent.generate("Go.", memory=HERE)
    )
    with pytest.raises(ModelError):
        await failing
    assert len(await app.kept()) == len(done) == 1
    assert await app.waiting() == []


async def test_the_run_is_aborted_afterwards() -> None:
    app = Application(call("book"), then=never)
    controller = AbortController()
    options: Any = {"memory": HERE, "abort_signal": controller.signal}
    async with app.agent.stream("Go.", **options) as stream:
        await read_to(stream, "tool-result")
        controller.abort()
        await stream.consume()
        assert stream.status == "aborted"
    assert await app.kept() == [("book", "booked shop")]


async def test_it_is_kept_before_the_model_is_asked_for_more() -> None:
    seen: list[Any] = []

    async def look() -> str:
        head = await app.mastra.storage.workflows.get_run("agent:a", "r")
        seen.append((await app.kept(), await app.waiting(), head is not None and head.data))
        return "Paid."

    app = Application(call("pay"), then=look)
    await app.wait()
    assert (await app.agent.approve_tool_call_generate("r")).text == "Paid."
    # A process that is killed now has left no run that would pay again.
    assert seen == [([("pay", "paid shop")], [], {"initialState": {}, "agentId": "a"})]
    page = await Memory().bound_to(app.mastra).list_messages(thread_id="t")
    assert [message.role for message in page.messages] == ["user", "assistant"]


async def test_what_still_waits_goes_on_waiting() -> None:
    app = Application(call("pay", "one", "c1"), call("pay", "two", "c2"), then=never)
    await app.wait()
    async with app.agent.approve_tool_call("r", "c1") as stream:
        await read_to(stream, "tool-result")
    assert await app.kept() == [("pay", "paid one")]
    assert await app.waiting() == ["pay"]
    async with app.agent.approve_tool_call("r") as stream:
        await read_to(stream, "tool-result")
    assert (done, await app.waiting()) == (["one", "two"], [])
    assert await app.kept() == [("pay", "paid one"), ("pay", "paid two")]


@pytest.mark.parametrize("first", ["book", "pay"])
async def test_an_answer_that_nothing_came_of_may_be_given_again(first: str) -> None:
    hangs = asyncio.Event()

    async def refuse() -> str:
        return "No."

    @tool(require_approval=True)
    async def send(to: str) -> str:
        """Send, unless that takes for ever."""
        if not hangs.is_set():
            hangs.set()
            await asyncio.Event().wait()
        done.append(to)
        return f"sent {to}"

    app = Application(call(first, "one", "c1"), call("send", "two", "c2"), then=refuse, send=send)
    await app.wait()
    if first == "pay":
        await app.agent.approve_tool_call_generate("r", "c1")
    assert (done, await app.waiting()) == (["one"], ["send"])
    leaving = asyncio.ensure_future(app.agent.approve_tool_call_generate("r", "c2"))
    await hangs.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    # So it is where no other call of the step has acted before.
    assert (done, await app.waiting()) == (["one"], ["send"])
    assert (await app.agent.approve_tool_call_generate("r", "c2")).text == "No."
    assert done == ["one", "two"]


@pytest.mark.parametrize("waits_late", [True, False])
async def test_a_call_waits_though_nobody_read_that_it_does(waits_late: bool) -> None:
    gate = asyncio.Event()

    async def asks(_: Any) -> bool:
        await gate.wait()
        return waits_late

    late = create_tool("late", "Act, or wait.", ANY, execute=acted, require_approval=asks)
    app = Application(call("book" if waits_late else "pay"), call("late"), then=never, late=late)
    async with app.agent.stream("Go.", run_id="r", memory=HERE) as stream:
        await read_to(stream, "tool-result" if waits_late else "tool-call-approval")
        gate.set()
        for _ in range(20):
            await asyncio.sleep(0)  # what runs beside what is read comes to its end
    assert (done, stream.status) == (["shop"], "suspended")
    assert [result for _, result in await app.kept()] == ["booked shop" if waits_late else "acted"]
    assert await app.waiting() == ["late" if waits_late else "pay"]
    async with app.agent.approve_tool_call("r") as stream:
        await read_to(stream, "tool-result")
    assert (len(done), await app.waiting()) == (2, [])


@pytest.mark.parametrize("is_resumed", [True, False])
async def test_a_reader_leaves_in_the_moment_that_a_tool_has_acted(is_resumed: bool) -> None:
    reader: list[asyncio.Future[Any]] = []

    @tool(require_approval=is_resumed)
    async def send(to: str) -> str:
        """Send, and lose who asked."""
        done.append(to)
        asyncio.get_running_loop().call_soon(reader[0].cancel)
        return f"sent {to}"

    app = Application(call("send"), then=never, send=send)
    if is_resumed:
        await app.wait()
        reader.append(asyncio.ensure_future(app.agent.approve_tool_call_generate("r")))
    else:
        reader.append(asyncio.ensure_future(app.agent.generate("Go.", memory=HERE)))
    await asyncio.wait(reader)
    assert reader[0].cancelled()
    assert (await app.kept(), await app.waiting()) == ([("send", "sent shop")], [])


async def test_a_model_that_fails_after_a_tool_has_acted_hides_nothing() -> None:
    acted = asyncio.Event()

    @tool
    async def send(to: str) -> str:
        """Send."""
        acted.set()
        return f"sent {to}"

    async def answer(_: Any) -> AsyncIterator[Any]:
        yield ToolCallEnd("c1", "send", '{"to": "shop"}')
        await acted.wait()
        raise OSError("gone")

    app = Application(then=never, send=send)
    with pytest.raises(ModelError, match="gone"):
        await app.agent.generate("Go.", memory=HERE, model=FunctionModel(answer))
    assert await app.kept() == [("send", "sent shop")]


@pytest.mark.parametrize("text", [[], ["I pay."]])
async def test_what_waits_is_stored_with_what_comes_of_it(text: list[str]) -> None:
    app = Application(*text, call("pay"), then=never)
    await app.agent.generate("Go.", memory={**HERE, "save_per_step": True})
    page = await Memory().bound_to(app.mastra).list_messages(thread_id="t")
    roles = [message.role for message in page.messages]
    assert roles == (["user", "assistant"] if text else ["user"])
    assert await app.kept() == []


async def test_what_acted_is_kept_beside_what_waits() -> None:
    app = Application(call("book", "one", "c1"), call("pay", "two", "c2"), then=never)
    await app.wait()
    assert await app.kept() == [("book", "booked one")]
    assert await app.waiting() == ["pay"]


async def test_a_call_that_was_cut_off_says_so() -> None:
    app = Application(call("book", "one", "c1"), call("hang", "two", "c2"), then=never)
    async with app.agent.stream("Go.", memory=HERE, tool_call_concurrency=2) as stream:
        await read_to(stream, "tool-result")
    kept = dict(await app.kept())
    # `ask` and `pay` may wait for a person, so calls go one by one unless only what is called counts.
    assert kept["book"] == "booked one"
    assert "whether it acted is not known" in str(kept["hang"])


async def test_what_did_not_act_is_no_conversation() -> None:
    app = Application(call("hang"), then=never)
    async with app.agent.stream("Go.", memory=HERE) as stream:
        await read_to(stream, "tool-call")
    assert await app.kept() == []
    assert (await Memory().bound_to(app.mastra).list_messages(thread_id="t")).total == 0


async def test_a_memory_that_cannot_store_hides_nothing(caplog: Any) -> None:
    app = Application(call("book"), then=fail)

    async def broken(_: Any) -> None:
        raise OSError("The disk is full.")

    app.mastra.storage.memory.save_messages = broken  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="provider is down"):
        await app.agent.generate("Go.", memory=HERE)
    assert "what its tools did could not be kept" in caplog.text


@pytest.mark.parametrize("name", ["on_finish", "on_error", "on_abort"])
async def test_a_callback_that_raises_changes_no_end(name: str, caplog: Any) -> None:
    def broken(_: Any) -> None:
        raise ValueError("The callback is broken.")

    async def answer() -> str:
        return "Done."

    callback: Any = {name: broken}
    if name == "on_finish":
        app = Application(call("book"), then=answer)
        result = await app.agent.generate("Go.", memory=HERE, **callback)
        assert (result.text, result.finish_reason) == ("Done.", "stop")
    elif name == "on_error":
        app = Application(call("book"), then=fail)
        with pytest.raises(ModelError, match="provider is down"):
            await app.agent.generate("Go.", memory=HERE, **callback)
    else:
        app = Application(call("book"), then=never)
        controller = AbortController()
        stream = app.agent.stream("Go.", memory=HERE, abort_signal=controller.signal, **callback)
        await read_to(stream.full_stream, "tool-result")
        controller.abort()
        assert await stream.finish_reason() == "aborted"
    assert len(await app.kept()) == 1
    assert f"{name} raised" in caplog.text
