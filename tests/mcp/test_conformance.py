"""The protocol's conformance suite, both ways, and its inspector: from npm, fetched when asked."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mastra import ServerConfig
from tests.mcp.everything import build
from tests.server.live import running
from tests.support.npm import install, node_of

FOLDER = Path(__file__).parent / "js"
NODE = node_of(FOLDER)
PACKAGES = FOLDER / "node_modules" / "@modelcontextprotocol"
SUITE = PACKAGES / "conformance" / "dist" / "index.js"
INSPECTOR = PACKAGES / "inspector" / "clients" / "launcher" / "build" / "index.js"
ROOT = Path(__file__).parents[2]
CLIENT = f"{sys.executable} {Path(__file__).parent / 'conformance_client.py'}"

SCENARIOS = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-step-up",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-retry-limit",
    "auth/scope-omitted-when-undefined",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/cross-app-access-complete-flow",
]
"""All that the suite lists but one: `auth/2025-03-26-oauth-metadata-backcompat` serves metadata that names
another issuer than the address that it is fetched from, which the SDK refuses, as RFC 8414, 3.3 demands."""

pytestmark = [pytest.mark.npm, pytest.mark.timeout(600)]


async def said(*command: str | Path) -> tuple[int | None, str]:
    """Return how a program ended and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, (output + errors).decode()


async def test_our_server_passes_every_scenario() -> None:
    await install(FOLDER)
    async with running(build()) as (url, _):
        address = f"{url.replace('127.0.0.1', 'localhost')}/api/mcp/everything/mcp"
        code, text = await said(NODE, SUITE, "server", "--url", address, "--suite", "all")
    assert code == 0, text[-3000:]
    passed = re.search(r"Total: (\d+) passed, 0 failed", text)
    assert passed is not None, text[-3000:]
    assert int(passed[1]) >= 44


class OfItsSession:
    """A middleware for a scenario whose requests say another version than their session agreed on.

    It looks for what that version does not have.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            said = (b"mcp-protocol-version", b"2025-03-26")
            meant = (said[0], b"2025-11-25")
            headers = [meant if header == said else header for header in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


async def test_our_server_goes_on_with_a_call_that_was_cut_off() -> None:
    await install(FOLDER)
    config = ServerConfig(middleware=[Middleware(OfItsSession)])
    async with running(build(), config) as (url, _):
        address = f"{url.replace('127.0.0.1', 'localhost')}/api/mcp/everything/mcp"
        options = ("--url", address, "--scenario", "server-sse-polling")
        code, text = await said(NODE, SUITE, "server", *options)
    assert code == 0, text[-3000:]
    assert "Passed: 3/3, 0 failed, 0 warnings" in text, text[-3000:]


async def test_no_scenario_of_a_client_is_forgotten() -> None:
    await install(FOLDER)
    _, text = await said(NODE, SUITE, "list")
    listed = re.findall(r"^  - (\S+)", text.partition("Client scenarios")[2], re.MULTILINE)
    assert set(listed) - set(SCENARIOS) == {"auth/2025-03-26-oauth-metadata-backcompat"}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_our_client_passes(scenario: str) -> None:
    await install(FOLDER)
    options = ("--scenario", scenario, "--timeout", "120000")
    code, text = await said(NODE, SUITE, "client", "--command", CLIENT, *options)
    assert code == 0, text[-3000:]
    assert "OVERALL: PASSED" in text


@pytest.mark.parametrize(
    ("method", "field", "count"),
    [
        ("tools/list", "tools", 14),
        ("resources/list", "resources", 3),
        ("prompts/list", "prompts", 4),
    ],
)
async def test_the_inspector_lists_what_there_is(method: str, field: str, count: int) -> None:
    await install(FOLDER)
    options = ("--cli", "--connect-timeout", "120000", "--method", method)
    program = ("mcp", "--app", "tests.mcp.everything:mastra")
    started = (str(Path(sys.executable).parent / "mastra"), *program)
    env = ("-e", f"PYTHONPATH={ROOT}")
    cwd = ("--cwd", str(ROOT))
    async with running(build()) as (url, _):
        address = f"{url}/api/mcp/everything/mcp"
        for target in ((address, "--transport", "http"), (*env, *started, *cwd)):
            code, text = await said(NODE, INSPECTOR, *options, *target)
            assert code == 0, text[-3000:]
            assert len(json.loads(text[text.index("{") :])[field]) == count
