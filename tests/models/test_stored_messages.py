"""Messages as storage writes them are those of the original, whose readers drop what they do not know."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.models.message_forms import message_from
from mastra.models.messages import (
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.stored_messages import to_stored_wire


def stored(*parts: Any) -> list[Any]:
    (wire,) = to_stored_wire([Message("assistant", parts)])
    content: Any = wire["content"]
    return content["parts"]


def read(*parts: Any) -> list[Any]:
    content = {"format": 2, "parts": parts}
    return list(message_from({"role": "assistant", "content": content}).parts)


def test_a_thought_is_told_with_its_details() -> None:
    thought = ReasoningPart("deep", "sig", provider="anthropic")
    (wire,) = stored(thought)
    assert wire["reasoning"] == "deep"
    assert wire["details"] == [{"type": "text", "text": "deep", "signature": "sig"}]


@pytest.mark.parametrize(
    ("result", "is_error", "wire"),
    [
        ("broke", True, {"state": "output-error", "errorText": "broke"}),
        ("", True, {"state": "output-error", "errorText": ""}),
        ({"error": True}, True, {"state": "result", "isError": True}),
        ("fine", False, {"state": "result", "result": "fine"}),
    ],
)
def test_a_call_that_failed_is_told_as_one(result: Any, is_error: bool, wire: Any) -> None:
    call = ToolCallPart("c", "look", {})
    (part,) = stored(call, ToolResultPart("c", "look", result, is_error))
    assert part["toolInvocation"].items() >= wire.items()
    assert read(part)[1] == ToolResultPart("c", "look", result, is_error, {})


def test_a_thought_reads_back_as_it_was() -> None:
    thought = ReasoningPart("deep", "sig", provider="anthropic", provider_metadata={"x": {"y": 1}})
    assert read(*stored(thought)) == [thought]


def test_what_the_original_stored_is_read() -> None:
    details = [{"type": "text", "text": "de"}, {"type": "text", "text": "ep", "signature": "s"}]
    call: dict[str, Any] = {"toolCallId": "c", "toolName": "look", "args": {}}
    thought, _, failed, _, denied = read(
        {"type": "reasoning", "reasoning": "", "details": details},
        {
            "type": "tool-invocation",
            "toolInvocation": call | {"state": "output-error", "errorText": "broke"},
        },
        {
            "type": "tool-invocation",
            "toolInvocation": call
            | {"state": "output-denied", "approval": {"approved": False, "reason": "too far"}},
        },
    )
    assert thought == ReasoningPart("deep", "s")
    assert (failed.result, failed.is_error) == ("broke", True)
    assert (denied.result, denied.is_error) == ("too far", False)


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "reasoning", "text": "deep", "signature": "s", "provider": "p"},
        {
            "type": "reasoning",
            "reasoning": "deep",
            "details": [],
            "signature": "s",
            "provider": "p",
        },
    ],
)
def test_what_was_stored_before_is_read(wire: Any) -> None:
    assert read(wire) == [ReasoningPart("deep", "s", provider="p")]


def test_what_the_model_said_after_its_tools_is_another_step() -> None:
    one, two = (ToolCallPart(name, "look", {}) for name in "ab")
    done = [ToolResultPart(name, "look", "sun") for name in "ab"]
    parts = stored(one, two, *done, TextPart("Sunny."), TextPart("Bye."))
    kinds = [part["type"] for part in parts]
    assert kinds == ["tool-invocation", "tool-invocation", "step-start", "text", "text"]
    assert [type(part) for part in read(*parts)][-2:] == [TextPart, TextPart]
    ran_there = ToolResultPart("a", "look", "sun", provider_executed=True)
    kinds = [part["type"] for part in stored(one, ran_there, TextPart("Sunny."))]
    assert kinds == ["tool-invocation", "text"]
