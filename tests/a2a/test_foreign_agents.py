"""Remote agents of other makers: whatever the protocol lets them say is heard, each thing once."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from mastra.a2a import A2AAgent
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.models.messages import FilePart, ImagePart, Message, TextPart

WORKING = {"state": "TASK_STATE_WORKING"}
DONE = {"state": "TASK_STATE_COMPLETED"}
PICTURE = base64.b64encode(b"\x89PNG").decode()


def said(*parts: dict[str, Any], message_id: str = "m") -> dict[str, Any]:
    return {"messageId": message_id, "role": "ROLE_AGENT", "parts": list(parts)}


def status(state: dict[str, Any], *parts: dict[str, Any]) -> dict[str, Any]:
    facts = {**state, "message": said(*parts, message_id="s")} if parts else state
    return {"statusUpdate": {"taskId": "t", "contextId": "c", "status": facts}}


def artifact(*parts: dict[str, Any], append: bool = False) -> dict[str, Any]:
    one = {"artifactId": "a", "parts": list(parts)}
    return {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": one, "append": append}}


@asynccontextmanager
async def foreign(*answers: list[dict[str, Any]]) -> AsyncGenerator[tuple[str, list[Any]]]:
    """Serve an agent that streams these events, a list a request; give its address and requests."""
    asked: list[Any] = []
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def card(_: Request) -> JSONResponse:
        return JSONResponse(
            {
                "name": "foreign",
                "description": "Another",
                "version": "1",
                "supportedInterfaces": [
                    {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
                ],
                "capabilities": {"streaming": True},
                "defaultInputModes": ["text/plain"],
                "defaultOutputModes": ["text/plain"],
                "skills": [],
            }
        )

    async def call(request: Request) -> StreamingResponse:
        body = await request.json()
        events = answers[len(asked)]
        asked.append(body["params"]["message"])
        lines = [
            f"data: {json.dumps({'jsonrpc': '2.0', 'id': body['id'], 'result': one})}\n\n"
            for one in events
        ]
        return StreamingResponse(iter(lines), media_type="text/event-stream")

    routes = [
        Route("/.well-known/agent-card.json", card),
        Route("/", call, methods=["POST"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
    task = asyncio.ensure_future(server.serve([listener]))
    try:
        yield url, asked
    finally:
        server.should_exit = True
        await task


def agent_at(url: str) -> A2AAgent:
    return A2AAgent(url, id="foreign", memory=Memory(), max_retries=0)


@pytest.mark.parametrize(
    ("events", "text"),
    [
        # A message alone, and no task.
        ([{"message": said({"text": "Hello."})}], "Hello."),
        # Data has no order there; here it is the same text each time.
        (
            [{"message": said({"data": {"z": 3, "b": [1, 2.5], "a": {"y": 1, "x": 2}, "k": 0}})}],
            '{"a":{"x":2,"y":1},"b":[1,2.5],"k":0,"z":3}',
        ),
        # An artifact in pieces, and whole once more at its end.
        (
            [
                status(WORKING),
                artifact({"text": "one "}),
                artifact({"text": "two"}, append=True),
                artifact({"text": "one two three"}),
                status(DONE),
            ],
            "one two three",
        ),
        # Written anew as something else: what was told is not told again.
        ([artifact({"text": "one"}), artifact({"text": "other"}), status(DONE)], "one"),
        # The whole task in place of its changes.
        (
            [
                {
                    "task": {
                        "id": "t",
                        "contextId": "c",
                        "status": DONE,
                        "artifacts": [{"artifactId": "a", "parts": [{"text": "All."}]}],
                    }
                }
            ],
            "All.",
        ),
        # What it says at its end counts where it has said nothing else.
        ([status(WORKING), status(DONE, {"text": "Bye."})], "Bye."),
        ([artifact({"text": "Said."}), status(DONE, {"text": "Bye."})], "Said."),
    ],
)
async def test_what_it_says_is_heard_once(events: list[dict[str, Any]], text: str) -> None:
    async with foreign(events) as (url, _):
        assert (await agent_at(url).generate("hello")).text == text


async def test_a_file_that_it_made() -> None:
    picture = {"raw": PICTURE, "mediaType": "image/png"}
    async with foreign([artifact({"text": "Look:"}, picture), status(DONE)]) as (url, _):
        answer = await agent_at(url).generate("draw")
    assert answer.text == "Look:"
    [file] = answer.files
    assert (file.payload.data, file.payload.mime_type) == (PICTURE, "image/png")


@pytest.mark.parametrize(
    ("state", "parts", "told"),
    [
        ("TASK_STATE_FAILED", [{"text": "no ink"}], "failed: no ink"),
        ("TASK_STATE_REJECTED", [], "was rejected: it does not say why"),
        ("TASK_STATE_CANCELED", [], "was cancelled: it does not say why"),
    ],
)
async def test_a_task_that_comes_to_nothing(state: str, parts: list[Any], told: str) -> None:
    async with foreign([status({"state": state}, *parts)]) as (url, _):
        with pytest.raises(ModelError, match=told):
            await agent_at(url).generate("draw")


async def test_a_question_is_answered_where_it_was_asked() -> None:
    asks = status({"state": "TASK_STATE_INPUT_REQUIRED"}, {"text": "Which one?"})
    others = [artifact({"text": "ok"}), status(DONE)]
    async with foreign([asks], others, others) as (url, asked):
        agent = agent_at(url)
        thread: Any = {"thread": "t", "resource": "ann"}
        assert (await agent.generate("paint it", memory=thread)).text == "Which one?"
        # What only looks like JSON is said as it is.
        await agent.generate("{the blue one", memory=thread)
        await agent.generate("thanks", memory=thread)
    first, second, third = asked
    assert "taskId" not in first
    assert (second["taskId"], second["contextId"]) == ("t", "c")
    assert second["parts"] == [{"text": "{the blue one"}]
    # The task is over; the conversation is the same.
    assert "taskId" not in third
    assert third["contextId"] == "c"


async def test_what_is_shown_and_attached_goes_along() -> None:
    question = Message(
        "user",
        (
            TextPart("See"),
            ImagePart(None, PICTURE, "image/png"),
            ImagePart("https://example.org/a.png", None, "image/png"),
            FilePart("application/pdf", None, PICTURE, "a.pdf"),
        ),
    )
    answer = [{"message": said({"text": "Seen."})}]
    async with foreign(answer, answer) as (url, asked):
        agent = agent_at(url)
        await agent.generate([question])
        # A conversation that another agent led is told with who said what.
        # What is told to a model alone, as a system message, is not for another's agent.
        await agent.generate(
            [
                Message.system("Be short."),
                Message.user("hi"),
                Message.assistant("yes?"),
                Message.user("go"),
            ]
        )
    assert asked[0]["parts"] == [
        {"text": "See"},
        {"raw": PICTURE, "mediaType": "image/png"},
        {"url": "https://example.org/a.png", "mediaType": "image/png"},
        {"raw": PICTURE, "mediaType": "application/pdf", "filename": "a.pdf"},
    ]
    assert "".join(part["text"] for part in asked[1]["parts"]) == (
        "user: hi\n\nassistant: yes?\n\nuser: go"
    )
