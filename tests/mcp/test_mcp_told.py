"""What a tool of ours tells and asks the client while it runs, and what a client is suggested."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from mcp import Client, types

from mastra import Mastra, ServerConfig, tool
from mastra.errors import ConfigError, ToolError
from mastra.mcp import MCPClient, MCPServer, Question
from mastra.mcp.sessions import HttpSessions
from mastra.models.messages import Message
from mastra.server import create_app
from mastra.tools.tool_context import ToolContext

pytestmark = pytest.mark.anyio


@tool
async def tell(ctx: ToolContext) -> str:
    """Log at three levels."""
    await ctx.mcp.log("debug", "how")
    await ctx.mcp.log("info", {"what": 1}, logger="shop")
    await ctx.mcp.log("error", "why")
    return "told"


@tool
async def ponder(ctx: ToolContext) -> str:
    """Ask the client's model."""
    said = [Message.user("Hm?"), Message.assistant("Go on."), Message.user("Well?")]
    return await ctx.mcp.sample(said, max_tokens=3, system_prompt="Be brief.", temperature=0.5)


@tool
async def ask(kind: str, ctx: ToolContext) -> str:
    """Ask for what no form has."""
    schemas: dict[str, Any] = {
        "field": {"type": "object", "properties": {"name": True}},
        "object": {"type": "object", "properties": {"name": {"type": "object"}}},
        "nothing": {"type": "object"},
        "text": "name",
        "choice": {"type": "object", "properties": {"name": {"enum": ["Ada"]}}},
    }
    answer = await ctx.mcp.elicitation.send_request("Who?", schemas[kind])
    return str(answer.content)


@tool
async def blocks() -> Any:
    """Give blocks as the protocol has them."""
    return [
        {"type": "text", "text": "look", "annotations": {"priority": 1.0}},
        {"type": "image", "data": "AAE=", "mimeType": "image/png"},
    ]


SERVER = MCPServer("s", tools=[tell, ponder, ask, blocks])


async def logged(level: Any, mode: Any) -> list[tuple[str, Any, str | None]]:
    heard: list[tuple[str, Any, str | None]] = []

    async def hear(params: types.LoggingMessageNotificationParams) -> None:
        heard.append((params.level, params.data, params.logger))

    given: dict[str, Any] = {"mode": mode, "logging_callback": hear, "log_level": level}
    async with Client(SERVER.build(), **given) as client:
        if mode == "legacy" and level is not None:
            asked = types.SetLevelRequest(params=types.SetLevelRequestParams(level=level))
            await client.session.send_request(asked, types.EmptyResult)
        await client.call_tool("tell", {})
    return heard


DEBUG, INFO, ERROR = ("debug", "how", None), ("info", {"what": 1}, "shop"), ("error", "why", None)


@pytest.mark.parametrize(
    ("mode", "level", "told"),
    [
        # Until 2026 a client gets all if it says nothing, and says once from which level on.
        ("legacy", None, [DEBUG, INFO, ERROR]),
        ("legacy", "info", [INFO, ERROR]),
        ("legacy", "critical", []),
        # Since then it says so with each call, and gets nothing if it says nothing.
        ("auto", None, []),
        ("auto", "debug", [DEBUG, INFO, ERROR]),
        ("auto", "error", [ERROR]),
    ],
)
async def test_a_client_gets_the_log_from_the_level_on_that_it_wants(
    mode: str, level: str | None, told: list[Any]
) -> None:
    assert await logged(level, mode) == told


@pytest.mark.parametrize("mode", ["legacy", "newest"])
async def test_our_own_client_asks_for_the_level_that_it_was_told(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "mastra")
    where = {"server": SERVER, "mode": mode, "log_level": "info"}
    async with MCPClient({"s": where}) as client:
        assert await (await client.list_tools())["s_tell"].execute({}) == "told"
    said = [(r.levelname, r.getMessage()) for r in caplog.records if "'s': " in r.getMessage()]
    assert said == [
        ("INFO", "MCP server 's': {'what': 1}"),
        ("ERROR", "MCP server 's': why"),
    ]


async def test_the_clients_model_answers_in_words_or_the_tool_is_told_so() -> None:
    asked: list[types.CreateMessageRequestParams] = []
    words = types.TextContent(type="text", text="brevity")
    picture = types.ImageContent(type="image", data="AAE=", mime_type="image/png")
    for content in (words, picture):

        async def sample(
            context: Any, params: types.CreateMessageRequestParams, content: Any = content
        ) -> types.CreateMessageResult:
            del context
            asked.append(params)
            return types.CreateMessageResult(role="assistant", content=content, model="m")

        async with Client(SERVER.build(), mode="legacy", sampling_callback=sample) as client:
            result = await client.call_tool("ponder", {})
            shown: Any = result.content[0]
            if content is words:
                assert (result.is_error, shown.text) == (False, "brevity")
            else:
                assert result.is_error
                assert "answered with image, not with text" in shown.text
    assert [one.role for one in asked[0].messages] == ["user", "assistant", "user"]
    assert (asked[0].system_prompt, asked[0].temperature) == ("Be brief.", 0.5)


def ada(_question: Question) -> Any:
    return {"name": "Ada"}


async def test_a_form_has_simple_fields() -> None:
    where = {"server": SERVER, "mode": "legacy"}
    async with MCPClient({"s": where}, elicitation=ada) as client:
        asking = (await client.list_tools())["s_ask"]
        assert await asking.execute({"kind": "choice"}) == "{'name': 'Ada'}"
        for kind in ("field", "object", "nothing", "text"):
            with pytest.raises(ToolError, match="simple fields alone"):
                await asking.execute({"kind": kind})


async def test_blocks_that_are_in_the_protocols_form_go_as_they_are() -> None:
    async with Client(SERVER.build()) as client:
        first, second = (await client.call_tool("blocks", {})).content
    assert isinstance(first, types.TextContent)
    assert first.annotations is not None
    assert first.annotations.priority == 1.0
    assert isinstance(second, types.ImageContent)
    assert (second.data, second.mime_type) == ("AAE=", "image/png")


# -- suggestions and prompts -------------------------------------------------------------------


CITIES = [f"city {number}" for number in range(150)]


def suggest(of: str, argument: str, typed: str) -> Any:
    if of == "greet":
        return f"{argument} {typed}da"
    return [city for city in CITIES if city.startswith(typed)]


SAID: dict[str, Any] = {
    "words": "Say hello.",
    "dict": {"role": "assistant", "content": {"type": "text", "text": "Hello."}},
    "message": Message.user("Hi."),
    "made": [
        types.PromptMessage(role="user", content=types.TextContent(type="text", text="as it is"))
    ],
}


def prompts(_ctx: ToolContext) -> Any:
    return [types.Prompt(name=name) for name in SAID]


def filled_in(name: str, _args: dict[str, str], _ctx: ToolContext) -> Any:
    return SAID[name]


def nothing(*_: Any) -> Any:
    return []


def templates(_ctx: ToolContext) -> Any:
    return [{"uriTemplate": "trip://{city}", "name": "trip"}]


OFFERING = MCPServer(
    "s",
    complete=suggest,
    prompts={"list_prompts": prompts, "get_prompt_messages": filled_in},
    resources={
        "list_resources": nothing,
        "get_resource_content": nothing,
        "resource_templates": templates,
    },
)


async def test_what_is_suggested_for_an_argument() -> None:
    async with Client(OFFERING.build()) as client:
        template = types.ResourceTemplateReference(type="ref/resource", uri="trip://{city}")
        found = (await client.complete(template, {"name": "city", "value": "city"})).completion
        assert (found.values, found.total, found.has_more) == (CITIES[:100], 150, True)
        found = (await client.complete(template, {"name": "city", "value": "city 14"})).completion
        assert (len(found.values), found.total, found.has_more) == (11, 11, False)
        # One suggestion alone is one, and not its letters.
        prompt = types.PromptReference(type="ref/prompt", name="greet")
        found = (await client.complete(prompt, {"name": "who", "value": "A"})).completion
        assert (found.values, found.total) == (["who Ada"], 1)


async def test_a_prompt_of_one_message_needs_no_list() -> None:
    async with MCPClient({"s": {"server": OFFERING}}) as client:
        said = {}
        for name in SAID:
            prompt = await client.prompts.get("s", name)
            said[name] = [(one.role, one.text) for one in prompt.messages]
        assert said == {
            "words": [("user", "Say hello.")],
            "dict": [("assistant", "Hello.")],
            "message": [("user", "Hi.")],
            "made": [("user", "as it is")],
        }
        (template,) = (await client.resources.templates())["s"]
        assert template.uri_template == "trip://{city}"


def test_a_tool_that_has_the_name_of_an_agents() -> None:
    from mastra import Agent
    from mastra.testing import ScriptedModel

    helper = Agent(id="h", description="Helps", model=ScriptedModel())
    taken = tool(id="ask_helper")(lambda: 2)
    with pytest.raises(ConfigError, match="'x' has two tools named 'ask_helper'"):
        MCPServer("x", tools=[taken], agents={"helper": helper})


async def test_a_server_of_one_application_that_another_offers_stays_its_own() -> None:
    @tool
    async def whose(ctx: ToolContext) -> list[str]:
        """Say whose tools there are."""
        mastra: Any = ctx.mastra
        return list(mastra.list_tools())

    own = Mastra(tools={"whose": whose})
    server = MCPServer("s", mastra=own)
    Mastra(tools={"other": tell}, mcp_servers={"s": server})
    async with MCPClient({"s": {"server": server}}) as client:
        assert await (await client.list_tools())["s_whose"].execute({}) == '["whose"]'


# -- sessions over HTTP ------------------------------------------------------------------------

HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}


class Broken(MCPServer):
    """One that cannot be built at first."""

    is_whole = False

    def build(self) -> Any:
        if not self.is_whole:
            raise ConfigError("a part is missing")
        return super().build()


async def test_a_server_that_cannot_be_built_is_an_error_and_not_silence() -> None:
    broken = Broken("b")
    app = create_app(Mastra(mcp_servers={"b": broken}, server=ServerConfig(timeout=5)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as client,
    ):
        refused = await client.post("/mcp/b/mcp", json=HELLO, headers=ACCEPT)
        assert (refused.status_code, refused.json()) == (500, {"error": "a part is missing"})
        broken.is_whole = True
        assert (await client.post("/mcp/b/mcp", json=HELLO, headers=ACCEPT)).status_code == 200


async def test_there_are_only_so_many_sessions() -> None:
    sessions: Any = HttpSessions(MCPServer("s"), 100_000)
    (await sessions._running()).max_sessions = 1
    transport = httpx.ASGITransport(sessions)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        opened = await client.post("/", json=HELLO, headers=ACCEPT)
        refused = await client.post("/", json=HELLO, headers=ACCEPT)
        assert (opened.status_code, refused.status_code) == (200, 503)
        own = {**ACCEPT, "mcp-session-id": opened.headers["mcp-session-id"]}
        assert (await client.delete("/", headers=own)).status_code == 200
        assert (await client.post("/", json=HELLO, headers=ACCEPT)).status_code == 200
    await sessions.aclose(0)


async def test_calls_under_way_end_before_their_sessions_do() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def work() -> str:
        """Work."""
        begun.set()
        await may_end.wait()
        return "done"

    sessions: Any = HttpSessions(MCPServer("s", tools=[work]), 100_000)
    await sessions.aclose(0)  # nobody has come yet
    transport = httpx.ASGITransport(sessions)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        opened = await client.post("/", json=HELLO, headers=ACCEPT)
        own = {**ACCEPT, "mcp-session-id": opened.headers["mcp-session-id"]}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "work"}}
        calling = asyncio.ensure_future(client.post("/", json=call, headers=own))
        await begun.wait()
        closing = asyncio.ensure_future(sessions.aclose(10))
        await asyncio.sleep(0)
        assert not closing.done()
        may_end.set()
        assert '"text":"done"' in (await calling).text
        await closing


@pytest.mark.parametrize("path", ["/api/mcp/s/mcp", "/api/mcp/s/messages"])
async def test_a_client_that_hangs_up_in_its_message_is_nobodys_error(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Mastra(mcp_servers={"s": MCPServer("s")}))
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"jsonrpc"', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    headers.append((b"accept", b"application/json, text/event-stream"))
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"session_id=" + b"0" * 32, "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    assert (caplog.records, sent) == ([], [])
