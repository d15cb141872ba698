"""A real HTTP server on loopback that plays OpenAI's streamed chat completions.

It can stop after its first piece until it is told to go on: whoever sees that piece before then
has seen it while the model was still generating.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ChatServer:
    """What the server says and what it was asked."""

    url: str = ""
    pieces: list[str] = field(default_factory=lambda: ["A walk ", "in the park", ".\n"])
    key: str = "sk-right"
    waits: bool = False
    """Whether to stop after the first piece until `go_on` is set."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the app here."""
        return {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": self.key}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            message = "Incorrect API key provided: sk-wr**ng."
            error = {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}
            return web.json_response({"error": error}, status=401)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, piece in enumerate(self.pieces):
            await response.write(_frame({"content": piece}, None))
            if number == 0 and self.waits:
                await self.go_on.wait()
        await response.write(_frame({}, "stop"))
        await response.write(b"data: [DONE]\n\n")
        return response


def _frame(delta: dict[str, str], finish_reason: str | None) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@asynccontextmanager
async def chat_server() -> AsyncGenerator[ChatServer]:
    """Run the server on a free port."""
    state = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", state.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield state
    finally:
        state.go_on.set()
        await runner.cleanup()
