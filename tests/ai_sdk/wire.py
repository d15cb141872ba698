"""What a page does with the routes, in Python: sends, reads events, puts a message together."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx

__all__ = ["Page", "chunks_of", "put_together"]


def chunks_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the chunks of an answer, whose framing is looked at."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def put_together(  # noqa: PLR0912, PLR0915 - an arm a kind of chunk
    message: dict[str, Any], chunks: list[dict[str, Any]]
) -> dict[str, Any]:
    """Add chunks to a message as the SDK does, and refuse what it refuses."""
    parts: list[dict[str, Any]] = message.setdefault("parts", [])
    blocks: dict[str, dict[str, Any]] = {}

    def call(call_id: str) -> dict[str, Any]:
        return next(part for part in reversed(parts) if part.get("toolCallId") == call_id)

    for chunk in chunks:
        assert None not in [value for key, value in chunk.items() if key not in {"input", "output"}]
        kind = chunk["type"]
        match kind.split("-"):
            case ["start"]:
                message["id"] = chunk.get("messageId", message.get("id"))
            case ["start", "step"]:
                parts.append({"type": "step-start"})
            case ["reset", "step"]:
                starts = [n for n, part in enumerate(parts) if part["type"] == "step-start"]
                del parts[starts[-1] + 1 :]
            case ["text" | "reasoning" as block, "start"]:
                blocks[chunk["id"]] = {"type": block, "text": "", "state": "streaming"}
                parts.append(blocks[chunk["id"]])
            case ["text" | "reasoning", "delta"]:
                blocks[chunk["id"]]["text"] += chunk["delta"]
            case ["text" | "reasoning", "end"]:
                blocks.pop(chunk["id"])["state"] = "done"
            case ["tool", "input", "start"]:
                name, call_id = chunk["toolName"], chunk["toolCallId"]
                part = {"type": f"tool-{name}", "toolCallId": call_id, "rawInput": ""}
                parts.append({**part, "state": "input-streaming"})
            case ["tool", "input", "delta"]:
                call(chunk["toolCallId"])["rawInput"] += chunk["inputTextDelta"]
            case ["tool", "input", "available"]:
                known = [part for part in parts if part.get("toolCallId") == chunk["toolCallId"]]
                if not known:
                    known = [{"toolCallId": chunk["toolCallId"]}]
                    parts += known
                known[-1] |= {"type": f"tool-{chunk['toolName']}", "state": "input-available"}
                known[-1]["input"] = chunk["input"]
                known[-1].pop("rawInput", None)
            case ["tool", "approval", "request"]:
                asked = {"state": "approval-requested", "approval": {"id": chunk["approvalId"]}}
                call(chunk["toolCallId"]).update(asked)
            case ["tool", "output", _]:
                told = {key: chunk[key] for key in ("output", "errorText") if key in chunk}
                call(chunk["toolCallId"]).update(told, state=kind.removeprefix("tool-"))
            case ["data", *_]:
                same = [
                    part
                    for part in parts
                    if "id" in chunk and (part["type"], part.get("id")) == (kind, chunk["id"])
                ]
                if chunk.get("transient"):
                    continue
                if same:
                    same[0]["data"] = chunk["data"]
                else:
                    parts.append(dict(chunk))
            case ["source" | "file", *_]:
                parts.append(dict(chunk))
            case ["finish"]:
                assert not blocks
                message.setdefault("metadata", {}).update(chunk.get("messageMetadata", {}))
            case ["finish", "step"] | ["error"] | ["abort"]:
                pass
            case _:
                raise AssertionError(f"a page does not know {kind}")
    return message


class Page:
    """A page with one chat."""

    def __init__(self, http: httpx.AsyncClient, agent: str, chat: str, **headers: str) -> None:
        self.http = http
        self.path = f"/chat/{agent}"
        self.chat = chat
        self.headers = headers
        self.messages: list[dict[str, Any]] = []
        self.chunks: list[dict[str, Any]] = []

    def said(self, text: str, message_id: str | None = None) -> None:
        """Add what the user says."""
        made = message_id or f"user-{self.chat}-{len(self.messages)}"
        part = {"type": "text", "text": text}
        self.messages.append({"id": made, "role": "user", "parts": [part]})

    def body(self, **body: Any) -> dict[str, Any]:
        """Return what is sent."""
        sent = {"id": self.chat, "messages": self.messages, "trigger": "submit-message"}
        return copy.deepcopy({**sent, **body})

    async def post(self, **body: Any) -> httpx.Response:
        """Send the conversation."""
        return await self.http.post(self.path, json=self.body(**body), headers=self.headers)

    async def send(self, **body: Any) -> dict[str, Any]:
        """Send the conversation, and show the answer; return its message."""
        self.chunks = chunks_of(await self.post(**body))
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant"})
        return put_together(self.messages[-1], self.chunks)

    async def ask(self, text: str, **body: Any) -> dict[str, Any]:
        """Say something and show the answer."""
        self.said(text)
        return await self.send(**body)

    @property
    def kinds(self) -> list[str]:
        """The types of the last answer's chunks."""
        return [chunk["type"] for chunk in self.chunks]

    @property
    def states(self) -> dict[str, str]:
        """The states of the last message's calls."""
        parts = self.messages[-1]["parts"]
        return {part["toolCallId"]: part["state"] for part in parts if "toolCallId" in part}

    @property
    def text(self) -> str:
        """The text of the last message."""
        parts = self.messages[-1]["parts"]
        return "".join(part["text"] for part in parts if part["type"] == "text")

    def answer(self, *, approved: bool = True, reason: str | None = None) -> None:
        """Answer every approval that the last message asks for."""
        for part in self.messages[-1]["parts"]:
            if part.get("state") == "approval-requested":
                part["state"] = "approval-responded"
                part["approval"] |= {"approved": approved} | ({"reason": reason} if reason else {})

    def is_sent_by_itself(self) -> bool:
        """Return what `lastAssistantMessageIsCompleteWithApprovalResponses` says."""
        parts = self.messages[-1]["parts"]
        starts = [n for n, part in enumerate(parts) if part["type"] == "step-start"]
        states = [part["state"] for part in parts[starts[-1] :] if "toolCallId" in part]
        done = {"output-available", "output-error", "output-denied", "approval-responded"}
        return "approval-responded" in states and set(states) <= done

    async def go_on(self) -> httpx.Response:
        """Ask for the answer under way."""
        chat = self.chat.replace("%", "%25").replace("/", "%2F").replace("?", "%3F")
        return await self.http.get(f"{self.path}/{chat}/stream", headers=self.headers)

    async def stop(self) -> bool:
        """Stop the answer under way."""
        chat = self.chat.replace("%", "%25").replace("/", "%2F").replace("?", "%3F")
        answer = await self.http.post(f"{self.path}/{chat}/stop", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["stopped"]
