"""The kit of a2aproject at its mandatory level over JSON-RPC, where somebody has a checkout of it.

`A2A_TCK` is the folder of one (a2aproject/a2a-tck), and `A2A_TCK_PYTHON` a Python that has what it needs.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mastra import Agent, Mastra, ServerConfig, tool
from mastra.request_context import RESOURCE_ID
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool_context import ToolContext
from tests.server.live import running

KIT = os.environ.get("A2A_TCK")
ITS_OWN = {"test_push_notification_not_supported_error_32003_enhanced"}
"""What fails in the kit itself: it calls a function of its own with too many arguments."""

pytestmark = [
    pytest.mark.every_engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(KIT is None, reason="A2A_TCK names no checkout of a2aproject/a2a-tck"),
]


@tool(resume_schema=str)
async def more(ctx: ToolContext) -> str:
    """Wait for more."""
    if ctx.resume_data is None:
        return await ctx.suspend({"message": "More?"})
    return ctx.resume_data


async def answer(_request: Any) -> Any:
    """Take a while, and ask: the kit looks at tasks under way, and says more to them."""
    await asyncio.sleep(1.5)
    return ToolCall("more", {})


class Rooted:
    """A middleware for a kit that looks for an agent at the root of a server, and says who that is.

    It sends messages without saying whether it waits, and wants the task at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not scope["path"].startswith("/api"):
                path = f"/api/a2a/helper{scope['path'].rstrip('/')}"
                scope = {**scope, "path": path, "raw_path": path.encode()}
            # It lists tasks by nothing, which only a caller may who is known.
            state = {**scope.get("state", {}), "request_context": {RESOURCE_ID: "kit"}}
            scope = {**scope, "state": state}
            if scope["method"] == "POST":
                receive, scope = await at_once(scope, receive)
        await self._app(scope, receive, send)


async def at_once(scope: Scope, receive: Receive) -> tuple[Receive, Scope]:
    body, is_whole = b"", False
    while not is_whole:
        message = await receive()
        body += message.get("body", b"")
        is_whole = not message.get("more_body")
    try:
        call: Any = json.loads(body)
        if call["method"] == "SendMessage":
            call["params"].setdefault("configuration", {}).setdefault("returnImmediately", True)
            body = json.dumps(call).encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # what the kit sends broken stays so
    kept = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
    length = (b"content-length", str(len(body)).encode())
    sent: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return sent.pop() if sent else await receive()

    return again, {**scope, "headers": [*kept, length]}


async def test_the_mandatory_level() -> None:
    assert KIT is not None
    agent = Agent(id="helper", model=FunctionModel(answer), tools={"more": more})
    config = ServerConfig(middleware=[Middleware(Rooted)])
    python = os.environ.get("A2A_TCK_PYTHON", sys.executable)
    async with running(Mastra(agents={"helper": agent}), config) as (number, _):
        # An address by its number counts as one that a card must not tell of.
        url = number.replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(timeout=60) as http:
            # The protocol's packages are loaded by the first request, which the kit waits for a second.
            assert (await http.get(f"{url}/.well-known/agent-card.json")).is_success
        options = ("--category", "mandatory", "--transports", "jsonrpc")
        process = await asyncio.create_subprocess_exec(
            *(python, "run_tck.py", "--sut-url", url, *options),
            cwd=Path(KIT),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    said = output.decode()
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", said, re.MULTILINE))
    passed = re.search(r"(\d+) passed", said)
    assert failed <= ITS_OWN, said[-4000:]
    assert passed is not None, said[-4000:]
    assert int(passed[1]) >= 70
