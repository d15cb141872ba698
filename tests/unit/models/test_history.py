"""What providers refuse is put in order as a request is made."""

from dataclasses import replace

import pytest

from mastra.errors import InputValidationError
from mastra.models.history import acceptable
from mastra.models.late_results import apart
from mastra.models.message_forms import messages_from
from mastra.models.messages import (
    ImagePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.stored_messages import merged_messages, split_results

ASK = Message("user", "hi")


def call(*ids: str) -> Message:
    return Message("assistant", tuple(ToolCallPart(id_, "look", {}) for id_ in ids))


def result(*ids: str, of: str = "") -> Message:
    return Message("tool", tuple(ToolResultPart(id_, "look", of + id_) for id_ in ids))


def told(messages: list[Message]) -> list[str]:
    """Roles, and of results what they say."""
    return [
        m.role if m.role != "tool" else "/".join(str(part.result) for part in m.parts)
        for m in messages
    ]


def test_what_is_in_order_is_left_alone() -> None:
    conversation = [ASK, call("a", "b"), result("a", "b"), Message("assistant", "done")]

    assert acceptable(conversation) == conversation
    assert acceptable(conversation)[2] is conversation[2]


@pytest.mark.parametrize(
    ("conversation", "roles"),
    [
        pytest.param([ASK, call("a"), ASK], ["user", "assistant", None, "user"], id="no result"),
        pytest.param(
            [ASK, call("a"), ASK, result("a")], ["user", "assistant", "a", "user"], id="late result"
        ),
        pytest.param([ASK, result("a"), ASK], ["user", "user"], id="no call"),
        pytest.param([ASK, Message("user", ())], ["user"], id="no parts"),
        pytest.param(
            [replace(call("a"), role="user"), ASK], ["user"], id="a call that a user makes"
        ),
        pytest.param(
            [call("a", "b"), result("b"), result("a")], ["assistant", "a/b"], id="order of calls"
        ),
        pytest.param(
            [call("a"), result("a", of="1"), call("a"), result("a", of="2")],
            ["assistant", "1a", "assistant", "2a"],
            id="ids that come again",
        ),
        pytest.param(
            [call("a"), result("a", of="1"), result("a", of="2")], ["assistant", "1a"], id="twice"
        ),
        pytest.param(
            [ASK, Message("assistant", ""), Message("assistant", (TextPart(""),)), ASK],
            ["user", "user"],
            id="nothing said",
        ),
    ],
)
def test_what_is_not_is_put_in_order(conversation: list[Message], roles: list[str | None]) -> None:
    found = told(acceptable(conversation))

    assert [
        said if said in {"user", "assistant"} or "not run" not in said else None for said in found
    ] == roles


def test_calls_at_once_under_one_id_get_ids_of_their_own() -> None:
    first, second = acceptable([ASK, call("a", "a"), result("a", of="1"), result("a", of="2")])[1:]

    assert [part.tool_call_id for part in first.parts] == ["a", "a_1"]
    assert [(part.tool_call_id, part.result) for part in second.parts] == [
        ("a", "1a"),
        ("a_1", "2a"),
    ]


def test_what_the_provider_ran_stays_where_it_is() -> None:
    ran = ToolCallPart("s", "search", {}, provider_executed=True)
    gave = ToolResultPart("s", "search", [], provider_executed=True)
    said = Message("assistant", (ReasoningPart("hm"), ran, gave, TextPart("so"), TextPart("")))

    [kept] = acceptable([said])

    assert kept.parts == said.parts[:-1]


def page(**part: object) -> list[Message]:
    return messages_from(
        [
            {
                "role": "assistant",
                "parts": [{"type": "text", "text": "x"}, {"toolCallId": "c", **part}],
            }
        ]
    )


@pytest.mark.parametrize(
    ("part", "results"),
    [
        ({"type": "tool-look", "state": "input-streaming", "input": {"a"}}, []),
        ({"type": "tool-look", "state": "input-available", "input": {}}, ["not run"]),
        ({"type": "tool-look", "state": "approval-requested", "input": {}}, ["not run"]),
        ({"type": "tool-look", "state": "output-available", "input": {}, "output": None}, ["None"]),
        ({"type": "tool-look", "state": "output-available", "output": 0}, ["0"]),
        ({"type": "tool-look", "state": "output-error", "errorText": "lost"}, ["lost"]),
        ({"type": "tool-look", "state": "output-error", "rawInput": "{"}, ["failed"]),
        ({"type": "tool-look", "state": "output-denied", "approval": {"reason": "no!"}}, ["no!"]),
        ({"type": "dynamic-tool", "toolName": "look", "state": "output-available", "output": 1}, ["1"]),
        ({"type": "tool-look", "state": "output-available", "output": 1, "preliminary": True}, ["not run"]),
    ],
)  # fmt: skip
def test_calls_as_pages_show_them(part: dict[str, object], results: list[str]) -> None:
    conversation = acceptable(page(**part))

    found = [p for m in conversation for p in m.parts if isinstance(p, ToolResultPart)]
    assert len(found) == len(results)
    assert all(words in str(p.result) for words, p in zip(results, found, strict=True))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "data-progress", "id": "1", "data": {"done": 3}},
        {"type": "source-url", "sourceId": "s", "url": "https://a.example"},
        {"type": "source-document", "sourceId": "s", "title": "A", "mediaType": "text/plain"},
        {"type": "step-start"},
        {"type": "file", "url": "https://a.example/b.png", "mediaType": "image/png"},
    ],
)
def test_every_part_of_a_page_is_read_or_skipped(part: dict[str, object]) -> None:
    [message] = messages_from([{"role": "user", "parts": [part, {"type": "text", "text": "hi"}]}])

    assert message.text == "hi"
    assert part["type"] != "file" or isinstance(message.parts[0], ImagePart)


def test_a_kind_of_part_that_is_not_known() -> None:
    known = {"type": "text", "text": "hi"}
    answered, *_ = messages_from([{"role": "assistant", "parts": [known, {"type": "hologram"}]}])

    assert answered.content == (TextPart("hi"),)
    with pytest.raises(InputValidationError, match="'hologram' is not known; known are text"):
        messages_from([{"role": "user", "parts": [known, {"type": "hologram"}]}])


@pytest.mark.parametrize(
    ("output", "result", "is_error"),
    [
        pytest.param(
            {"type": "text", "value": "ok", "providerOptions": {}}, "ok", False, id="text"
        ),
        pytest.param({"type": "json", "value": None}, None, False, id="null"),
        pytest.param({"type": "error-json", "value": {"a": 1}}, {"a": 1}, True, id="error"),
        pytest.param({"type": "execution-denied", "reason": "no"}, "no", False, id="denied"),
        pytest.param(
            {"type": "content", "value": []}, {"type": "content", "value": []}, False, id="content"
        ),
        pytest.param({"type": "text", "more": 1}, {"type": "text", "more": 1}, False, id="data"),
    ],
)
def test_results_as_the_ai_sdk_wraps_them(output: object, result: object, is_error: bool) -> None:
    part = {"type": "tool-result", "toolCallId": "a", "toolName": "look", "output": output}
    (message,) = messages_from([{"role": "tool", "content": [part]}])
    (found,) = message.parts

    assert isinstance(found, ToolResultPart)
    assert (found.result, found.is_error) == (result, is_error)


def test_who_approved_what_in_the_ai_sdk_s_messages_is_no_call() -> None:
    asked = {"type": "tool-approval-request", "approvalId": "p", "toolCallId": "a"}
    said = {"type": "tool-approval-response", "approvalId": "p", "approved": True}
    found = messages_from(
        [{"role": "assistant", "content": [asked]}, {"role": "tool", "content": [said]}]
    )

    assert [message.content for message in found] == [(), ()]


def test_a_late_result_beside_others_is_taken_out_of_their_message() -> None:
    asked, late = call("a"), ToolResultPart("b", "t", "late")
    known = ToolResultPart("a", "t", "known")
    kept, found = apart([asked, Message("tool", (late, known))])
    assert (found, [message.parts for message in kept]) == ([late], [asked.parts, (known,)])


def test_instructions_are_no_part_of_what_is_stored() -> None:
    said = [Message.system("Be kind."), Message.user("hi"), Message.assistant("hello")]
    assert [message.role for message in merged_messages(said)] == ["user", "assistant"]


def test_results_without_their_calls_are_nothing_that_was_said() -> None:
    alone = Message("assistant", (ToolResultPart("a", "t", "x"),))
    asked = Message.user("hi")
    assert split_results([asked, alone]) == [asked]
