"""What a page says beside its last question: other messages, state, whom it is for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mastra.ag_ui import ag_ui_route
from mastra.errors import ConfigError
from tests.ag_ui.wire import Page
from tests.ai_sdk.app import Deeds

pytestmark = pytest.mark.anyio


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"id": f"{role}-{len(str(content))}", "role": role, "content": content, **more}


# -- messages --------------------------------------------------------------------------------------


async def test_messages_of_every_role(http: httpx.AsyncClient, deeds: Deeds, thread: str) -> None:
    page = Page(http, "plain", thread)
    call = {"id": "c", "type": "function", "function": {"name": "gone", "arguments": "{"}}
    page.messages = [
        said("system", "Be brief."),
        said("developer", "Be kind, too."),
        said("user", "first"),
        said("reasoning", "Hm."),
        said("assistant", "Yes.", toolCalls=[call]),
        said("tool", [{"type": "text", "text": "a part"}], toolCallId="c"),
        said("tool", "of no call", toolCallId="nothing"),
        {"id": "p", "role": "activity", "activityType": "data-p", "content": {"done": 1}},
        said("assistant", "Of another.", subagentRunId="r"),
        said("user", "hello"),
    ]
    await page.send()
    messages = deeds.requests[-1].messages
    assert [(one.role, one.text) for one in messages] == [
        ("system", "Be brief."),
        ("system", "Be kind, too."),
        ("user", "first"),
        ("assistant", "Yes."),
        ("tool", ""),
        ("user", "hello"),
    ]
    _, called = messages[3].parts
    [result] = messages[4].parts
    assert (called.args, result.result) == ("{", [{"type": "text", "text": "a part"}])
    # The page keeps all that is its own.
    assert [one["role"] for one in page.messages[:-1]] == [
        "system", "developer", "user", "reasoning", "assistant", "tool", "tool", "activity",
        "assistant", "user",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [[], "hello", 5, None])
async def test_what_is_no_object_is_refused(http: httpx.AsyncClient, body: Any) -> None:
    assert (await http.post("/ag-ui/plain", json=body)).status_code == 400


async def test_files_by_their_address(http: httpx.AsyncClient, deeds: Deeds, thread: str) -> None:
    page = Page(http, "plain", thread)
    sources: list[dict[str, Any]] = [
        {"type": "url", "value": "https://example.com/a.jpg", "mimeType": "image/jpeg"},
        {"type": "url", "value": "https://example.com/b"},
    ]
    parts = [{"type": kind, "source": one} for kind in ("image", "document") for one in sources]
    page.messages.append(said("user", parts))
    await page.send()
    told = [(part.media_type, part.url) for part in deeds.requests[-1].messages[-1].content]
    assert told == [
        ("image/jpeg", "https://example.com/a.jpg"),
        ("image/png", "https://example.com/b"),
        ("image/jpeg", "https://example.com/a.jpg"),
        ("application/octet-stream", "https://example.com/b"),
    ]


async def test_files_as_pages_of_before_1_0_send_them(
    http: httpx.AsyncClient, deeds: Deeds, thread: str
) -> None:
    page = Page(http, "plain", thread)
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "hello"},
        {"type": "binary", "mimeType": "image/png", "data": "aGk=", "filename": "a.png"},
        {"type": "binary", "mimeType": "audio/wav", "url": "https://example.com/a.wav"},
        {"type": "binary", "mimeType": "application/pdf", "id": "file-of-a-provider"},
    ]
    page.messages.append(said("user", parts))
    await page.send()
    _, *told = deeds.requests[-1].messages[-1].content
    assert [(part.media_type, part.url) for part in told] == [
        ("image/png", "data:image/png;base64,aGk="),
        ("audio/wav", "https://example.com/a.wav"),
    ]


async def test_what_is_no_file_is_refused(http: httpx.AsyncClient, thread: str) -> None:
    for part in (
        {"type": "binary", "mimeType": "image/png"},
        {"type": "binary", "data": "aGk="},
        1,
    ):
        page = Page(http, "plain", thread)
        page.messages.append(said("user", [part]))
        answer = await page.post()
        assert answer.status_code == 400, answer.text


# -- state -----------------------------------------------------------------------------------------


async def test_notes_that_are_text_are_a_key_of_the_state(
    http: httpx.AsyncClient, deeds: Deeds, thread: str
) -> None:
    page = Page(http, "jotting", thread)
    page.state = {"theme": "dark"}
    await page.ask("hello")
    assert page.state == {}
    page.state = {"workingMemory": "Likes tea.", "theme": "dark"}
    for _ in range(2):
        await page.ask("hello")
        assert page.state == {"workingMemory": "Likes tea."}
        assert "Likes tea." in str(deeds.requests[-1].messages)
        page.state["theme"] = "dark"
    # An editor that was emptied says so, too.
    page.state = {"workingMemory": ""}
    await page.ask("hello")
    assert page.state == {"workingMemory": ""}
    assert "Likes tea." not in str(deeds.requests[-1].messages)


async def test_notes_from_before_there_was_a_schema(http: httpx.AsyncClient, thread: str) -> None:
    """Two agents may keep notes of one person; what one wrote as text is shown as text."""
    page = Page(http, "jotting", thread)
    page.state = {"workingMemory": "Likes tea."}
    await page.ask("hello")
    other = Page(http, "noting", f"{thread}-2")
    ann = {"forwardedProps": {"resourceId": thread}}
    await other.ask("hello", **ann)
    assert other.state == {"workingMemory": "Likes tea."}
    await other.ask("I am Ann", **ann)
    assert other.state == {"name": "Ann", "likes": []}


async def test_state_that_is_no_notes_changes_nothing(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "noting", thread)
    await page.ask("I am Ann")
    states: list[Any] = ["text", [1], {}, page.state]
    for state in states:
        await page.ask("hello", state=state)
        assert page.of("STATE_SNAPSHOT")[0]["snapshot"] == {"name": "Ann", "likes": []}


# -- routes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/a", "agent": "a", "workflow": "w"},
        {"path": "/a/{workflow_id}", "agent": "a"},
        {"path": "/a/{agent_id}", "workflow": "w"},
        {"path": "/a"},
    ],
)
def test_a_route_that_nobody_could_answer_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ag_ui_route(**options)
