"""What the caller's tools gave is told with the answer to a call of the same step that waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, SQLStorage, create_tool
from mastra.errors import ConfigError, InputValidationError
from mastra.testing import ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio

PAY, LOCATE = ToolCall("pay", {"to": "ann"}, id="p"), ToolCall("locate", {}, id="l")
MORE = ToolCall("pay", {"to": "bob"}, id="q")


def result(call_id: str, output: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "tool-result",
        "toolCallId": call_id,
        "toolName": "locate",
        "output": {"type": "json", "value": output},
        **more,
    }


class Till:
    """An application with one agent, and what its tool has paid."""

    def __init__(self, durable: bool, *turns: Any, storage: Any = None) -> None:
        self.paid: list[str] = []

        async def pay(given: dict[str, Any]) -> str:
            self.paid.append(given["to"])
            return f"paid {given['to']}"

        schema = {"type": "object", "properties": {"to": {"type": "string"}}}
        tools = {
            "pay": create_tool("pay", "Pay", schema, execute=pay, require_approval=True),
            "locate": create_tool("locate", "Where", {"type": "object", "properties": {}}),
        }
        self.model = ScriptedModel(*turns)
        self.mastra = Mastra(
            agents={"a": Agent(id="a", model=self.model, tools=tools, durable=durable)},
            **({} if storage is None else {"storage": storage}),
        )
        self.agent = self.mastra.get_agent("a")

    @property
    def told(self) -> dict[str, Any]:
        """What the model was told last, by call; one that it was told twice fails."""
        found: dict[str, Any] = {}
        for message in self.model.requests[-1].messages:
            for part in message.parts if message.role == "tool" else ():
                assert part.tool_call_id not in found
                found[part.tool_call_id] = (part.result, part.is_error)
        return found


@pytest.fixture(params=[False, True], ids=["plain", "durable"])
def durable(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("calls", [[PAY, LOCATE, MORE], [LOCATE, PAY, MORE], [PAY, MORE, LOCATE]])
async def test_it_may_be_told_with_any_of_several_answers(durable: bool, calls: list[Any]) -> None:
    for at in range(3):
        till = Till(durable, calls, "done")
        first = await till.agent.generate("go")
        for place, call_id in enumerate(["p", "q"]):
            # Told twice, it counts once.
            told = [result("l", "Oslo")] if at in {place, 2} else []
            options: Any = {"client_results": told} if told else {}
            ended = await till.agent.approve_tool_call_generate(first.run_id, call_id, **options)
        assert ended.text == "done"
        assert till.told == {
            "p": ("paid ann", False), "q": ("paid bob", False), "l": ("Oslo", False)
        }  # fmt: skip
        assert till.paid == ["ann", "bob"]


async def test_an_error_of_the_callers_tool_is_told_as_one(durable: bool) -> None:
    till = Till(durable, [PAY, LOCATE], "done")
    first = await till.agent.generate("go")
    told = [result("l", "no signal", isError=True)]
    await till.agent.decline_tool_call_generate(
        first.run_id, "p", reason="too dear", client_results=told
    )
    assert till.told == {"p": ("too dear", False), "l": ("no signal", True)}


async def test_it_is_taken_of_the_callers_own_unanswered_calls_alone(durable: bool) -> None:
    till = Till(durable, [PAY, LOCATE, MORE], "done")
    first = await till.agent.generate("go")
    told = [result("p", "x"), result("q", "y"), result("made-up", "z"), result("l", "Oslo")]
    told.append(result("l", "Rome"))
    for call_id in ("p", "q"):
        await till.agent.approve_tool_call_generate(first.run_id, call_id, client_results=told)
    assert till.told == {"p": ("paid ann", False), "q": ("paid bob", False), "l": ("Oslo", False)}


async def test_without_it_the_run_ends_with_the_step(durable: bool) -> None:
    till = Till(durable, [LOCATE, PAY], "never said")
    first = await till.agent.generate("go")
    ended = await till.agent.approve_tool_call_generate(first.run_id, "p")
    assert (ended.text, ended.finish_reason) == ("", "tool-calls")
    assert (till.paid, len(till.model.requests)) == (["ann"], 1)


async def test_a_new_run_refuses_it(durable: bool) -> None:
    till = Till(durable, "never said")
    with pytest.raises(ConfigError, match="client_results"):
        await till.agent.generate("go", client_results=[result("l", "Oslo")])


@pytest.mark.parametrize(
    "wrong", [{"type": "text", "text": "Oslo"}, "Oslo", {"toolCallId": "l", "output": 1}]
)
async def test_what_is_no_result_is_refused_and_the_run_waits_on(durable: bool, wrong: Any) -> None:
    till = Till(durable, [LOCATE, PAY], "done")
    first = await till.agent.generate("go")
    with pytest.raises(InputValidationError):
        await till.agent.approve_tool_call_generate(first.run_id, client_results=[wrong])
    assert (await till.agent.list_suspended_runs()).total == 1
    told = [result("l", "Oslo"), result("l", "Rome")]
    ended = await till.agent.approve_tool_call_generate(first.run_id, client_results=told)
    assert (ended.text, till.paid, till.told["l"]) == ("done", ["ann"], ("Oslo", False))


async def test_a_reader_sees_it_live_and_from_storage(durable: bool) -> None:
    till = Till(durable, [LOCATE, PAY], "done")
    first = await till.agent.generate("go")
    told = [result("l", "Oslo")]
    async with till.agent.approve_tool_call(first.run_id, "p", client_results=told) as stream:
        live = [c.payload.tool_call_id async for c in stream if c.type == "tool-result"]
    async with till.agent.observe(first.run_id) as stream:
        stored = [
            (c.payload.tool_call_id, c.payload.result)
            async for c in stream
            if c.type == "tool-result"
        ]
    assert sorted(live) == ["l", "p"]
    assert sorted(stored) == [("l", "Oslo"), ("p", "paid ann")]


async def test_another_process_goes_on_with_it(durable: bool, tmp_path: Path) -> None:
    run_id = ""
    for asked, turns in (
        ("", [[PAY, LOCATE, MORE], "never said"]),
        ("p", ["never said"]),
        ("q", ["done"]),
    ):
        till = Till(durable, *turns, storage=SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}"))
        async with till.mastra:
            if not asked:
                run_id = (await till.agent.generate("go")).run_id
                continue
            told: Any = {"client_results": [result("l", "Oslo")]} if asked == "p" else {}
            ended = await till.agent.approve_tool_call_generate(run_id, asked, **told)
    assert ended.text == "done"
    assert till.told == {"p": ("paid ann", False), "q": ("paid bob", False), "l": ("Oslo", False)}
