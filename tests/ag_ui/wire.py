"""What a page of AG-UI does, in Python: sends, reads events, and refuses what its client refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonpatch
from ag_ui.core import Event
from pydantic import TypeAdapter

from mastra import Mastra
from mastra.server import create_app

__all__ = ["Page", "asking", "events_of"]

_EVENT = TypeAdapter[Any](Event)
_OPENED = {
    "TEXT_MESSAGE": "messageId",
    "TOOL_CALL": "toolCallId",
    "REASONING": "messageId",
    "REASONING_MESSAGE": "messageId",
    "STEP": "stepName",
    "SUBAGENT": "subagentRunId",
}


@asynccontextmanager
async def asking(mastra: Mastra) -> AsyncGenerator[httpx.AsyncClient]:
    """What asks an application of its own."""
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        yield http


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the events of an answer, whose framing and order are looked at."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    assert "\r" not in answer.text
    frames = answer.text.split("\n\n")
    assert frames[-1] == ""
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1]]
    for event in events:
        assert None not in event.values(), event
        _EVENT.validate_python(event)
    _check_order(events)
    return events


def _check_order(events: list[dict[str, Any]]) -> None:
    is_open: set[tuple[str, str]] = set()
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] in {"RUN_FINISHED", "RUN_ERROR"}
    assert [event["type"] for event in events].count("RUN_STARTED") == 1
    for event in events[1:-1]:
        kind, _, part = event["type"].rpartition("_")
        if kind not in _OPENED or part == "RESULT":
            assert event["type"] not in {"RUN_FINISHED", "RUN_ERROR"}
            continue
        key = (kind, event[_OPENED[kind]])
        if part in {"START", "STARTED"}:
            assert key not in is_open, event
            is_open.add(key)
        else:
            assert key in is_open, event
        if part in {"END", "FINISHED", "ERROR"}:
            is_open.remove(key)
    assert not is_open


class Page:
    """A page with one thread."""

    def __init__(self, http: httpx.AsyncClient, path: str, thread: str, **headers: str) -> None:
        self.http = http
        self.path = f"/ag-ui/{path}"
        self.thread = thread
        self.headers = headers
        self.messages: list[dict[str, Any]] = []
        self.state: Any = None
        self.events: list[dict[str, Any]] = []
        self.runs = 0

    def body(self, **body: Any) -> dict[str, Any]:
        """Return what is sent."""
        self.runs += 1
        sent = {"threadId": self.thread, "runId": f"run-{self.runs}", "protocolVersion": "1.0"}
        if self.state is not None:
            sent["state"] = self.state
        return copy.deepcopy({**sent, "messages": self.messages, **body})

    async def post(self, **body: Any) -> httpx.Response:
        """Send the conversation."""
        return await self.http.post(self.path, json=self.body(**body), headers=self.headers)

    async def send(self, **body: Any) -> dict[str, Any]:
        """Send the conversation, take in the answer, and return how it ended."""
        self.events = events_of(await self.post(**body))
        for event in self.events:
            match event["type"]:
                case "MESSAGES_SNAPSHOT":
                    self.messages = event["messages"]
                case "STATE_SNAPSHOT":
                    self.state = event["snapshot"]
                case "STATE_DELTA":
                    self.state = jsonpatch.apply_patch(self.state, event["delta"])
                case _:
                    pass
        return self.events[-1]

    async def ask(self, text: str, **body: Any) -> dict[str, Any]:
        """Say something, and return how the answer ended."""
        made = {"id": f"user-{self.thread}-{len(self.messages)}", "role": "user", "content": text}
        self.messages.append(made)
        return await self.send(**body)

    async def answer(self, ended: dict[str, Any], *payloads: Any, **body: Any) -> dict[str, Any]:
        """Answer what waits, in order; the last answer is that of all others, too."""
        interrupts = ended["outcome"]["interrupts"]
        given = [*payloads, *payloads[-1:] * len(interrupts)]
        resume = [
            {"interruptId": one["id"], "status": "resolved", "payload": payload}
            for one, payload in zip(interrupts, given, strict=False)
        ]
        return await self.send(resume=resume, **body)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the last answer's events of a type."""
        return [event for event in self.events if event["type"] == kind]

    @property
    def text(self) -> str:
        """What the last answer says."""
        return "".join(event["delta"] for event in self.of("TEXT_MESSAGE_CONTENT"))

    @property
    def results(self) -> dict[str, str]:
        """What came of the last answer's calls."""
        return {one["toolCallId"]: one["content"] for one in self.of("TOOL_CALL_RESULT")}
