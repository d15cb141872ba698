"""Servers that ask for what a client did not offer, answer in pages, garble their answers, or fall silent."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import HEADER_MISMATCH
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

from mastra.agents.agent import Agent
from mastra.errors import ResumeValidationError, ToolError
from mastra.mcp import MCPClient, MCPServer, MCPServerConfig, Question
from mastra.mcp.calls import HeldCall
from mastra.registry import Mastra
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import tool
from mastra.tools.tool_context import ToolContext
from tests.mcp.test_mcp_http import served

pytestmark = pytest.mark.anyio

FORM = types.ElicitRequestFormParams(
    message="Who?",
    requested_schema={
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 3}},
    },
)
ELSEWHERE = types.ElicitRequestURLParams(
    message="Log in", url="https://example.com/login", elicitation_id="e1"
)
WHO = types.ElicitRequest(params=FORM)
LOG_IN = types.ElicitRequest(params=ELSEWHERE)
HM = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="Hm?"))
MODEL = types.CreateMessageRequest(
    params=types.CreateMessageRequestParams(
        messages=[HM], max_tokens=3, system_prompt="Be brief.", stop_sequences=["!"]
    )
)
NOTHING: dict[str, Any] = {"type": "object"}
Call = Callable[[Any, types.CallToolRequestParams], Any]


def text(said: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=str(said))])


def serving(call: Call, **handlers: Any) -> Any:
    """Return a server with one tool, `t`."""

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="t", input_schema=NOTHING)])

    given: dict[str, Any] = {"on_list_tools": list_tools, "on_call_tool": call, **handlers}
    return Server("odd", **given)


def wanting(request: Any) -> Any:
    """Return a server of the newest protocol whose tool wants something, and gives what it got."""

    async def call(_context: Any, params: types.CallToolRequestParams) -> Any:
        if not params.input_responses:
            asked = {} if request is None else {"k": request}
            return types.InputRequiredResult(input_requests=asked, request_state="s")
        return text(params.input_responses["k"].model_dump(exclude_none=True))

    return {"server": serving(call), "mode": "newest"}


def giving(answer: Any) -> Callable[[Question], Any]:
    """Return what answers every question so."""

    def give(_question: Question) -> Any:
        return answer

    return give


async def called(server: Any, **options: Any) -> Any:
    async with MCPClient({"s": server}, **options) as client:
        return await (await client.list_tools())["s_t"].execute({})


# -- what is asked though it was not offered ---------------------------------------------------


async def test_a_question_where_nobody_can_be_asked_is_declined() -> None:
    assert await called(wanting(WHO), elicitation=False) == "{'action': 'decline'}"


async def test_a_model_that_may_not_be_asked_or_fails_ends_the_call() -> None:
    with pytest.raises(
        ToolError, match=r"'s' asks for a model's answer\. Sampling is not"
    ) as raised:
        await called(wanting(MODEL))
    assert raised.value.code == "MCP_SAMPLING"
    with pytest.raises(
        ToolError, match=r"'s' asks for a model's answer\. The model failed: .*turns"
    ):
        await called(wanting(MODEL), sampling=ScriptedModel())
    model = ScriptedModel("yes", "no")
    assert "'text': 'yes'" in await called(wanting(MODEL), sampling=model)
    plain = types.CreateMessageRequestParams(messages=[HM], max_tokens=3)
    bare = types.CreateMessageRequest(params=plain)
    assert "'text': 'no'" in await called(wanting(bare), sampling=model)
    asked, other = model.requests
    assert [one.role for one in other.messages] == ["user"]
    said = [(one.role, one.text) for one in asked.messages]
    assert said == [("system", "Be brief."), ("user", "Hm?")]
    assert (asked.settings.max_output_tokens, asked.settings.stop) == (3, ("!",))


async def test_folders_that_are_not_shown_are_none() -> None:
    assert await called(wanting(types.ListRootsRequest())) == "{'roots': []}"


async def test_a_server_that_never_has_enough_is_given_up() -> None:
    async def call(_context: Any, _params: Any) -> Any:
        return types.InputRequiredResult(input_requests={"k": WHO}, request_state="s")

    with pytest.raises(ToolError, match="'t' of MCP server 's' asked 10 times"):
        await called({"server": serving(call), "mode": "newest"}, elicitation=giving({"name": "A"}))


async def test_a_server_that_only_wants_to_be_asked_again_is() -> None:
    async def call(_context: Any, params: types.CallToolRequestParams) -> Any:
        if params.request_state is None:
            return types.InputRequiredResult(request_state="later")
        return text(params.request_state)

    assert await called({"server": serving(call), "mode": "newest"}) == "later"


# -- what may be answered ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (types.ElicitResult(action="cancel"), {"action": "cancel"}),
        (True, {"action": "accept", "content": {"age": 3}}),
        ({"action": "accept"}, {"action": "accept", "content": {"age": 3}}),
        ({"action": "accept", "content": None}, {"action": "accept", "content": {"age": 3}}),
        ({"age": 4, "name": "A"}, {"action": "accept", "content": {"age": 4, "name": "A"}}),
        # A form may have a field of that name.
        ({"action": ["a"]}, {"action": "accept", "content": {"age": 3, "action": ["a"]}}),
    ],
)
async def test_an_answer_reaches_the_server(answer: Any, told: dict[str, Any]) -> None:
    assert await called(wanting(WHO), elicitation=giving(answer)) == str(told)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("Ada", "answered with the object"),
        (0, "answered with the object"),
        ({"action": "accept", "content": "Ada"}, "answered with the object"),
        ({"action": "decline", "content": "no"}, "holds what no form has"),
        ({"name": {"first": "Ada"}}, "holds what no form has"),
    ],
)
async def test_an_answer_that_no_form_has_is_refused_before_it_is_sent(
    answer: Any, says: str
) -> None:
    with pytest.raises(ResumeValidationError, match=says):
        await called(wanting(WHO), elicitation=giving(answer))


@pytest.mark.parametrize("mode", ["legacy", "newest"])
async def test_a_question_that_is_answered_elsewhere_has_its_address(mode: Any) -> None:
    async def call(context: Any, params: types.CallToolRequestParams) -> Any:
        if mode == "legacy":
            said = await context.session.elicit_url("Log in", "https://example.com/login", "e1")
            return text(said.action)
        if not params.input_responses:
            return types.InputRequiredResult(input_requests={"k": LOG_IN}, request_state="s")
        answer: Any = params.input_responses["k"]
        return text(f"{answer.action} {answer.content}")

    async with MCPClient({"s": {"server": serving(call), "mode": mode}}) as client:
        model = ScriptedModel(ToolCall("s_t", {}), "done")
        agent = Agent(id="a", model=model, tools=await client.list_tools())
        agent = Mastra(agents={"a": agent}).get_agent("a")
        waits = await agent.generate("go")
        asked: Any = waits.suspend_payload
        assert (asked["message"], asked["url"]) == ("Log in", "https://example.com/login")
        assert "resumeSchema" not in asked
        done = await agent.resume_generate(True, run_id=waits.run_id)
    assert done.tool_results[0].payload.result == ("accept" if mode == "legacy" else "accept None")


# -- questions that come at the wrong time -----------------------------------------------------


async def test_a_question_that_belongs_to_no_call_is_refused() -> None:
    async def list_tools(context: Any, _params: Any) -> types.ListToolsResult:
        await context.session.elicit_form("Who?", FORM.requested_schema)
        raise AssertionError

    server = serving(never, on_list_tools=list_tools)
    async with MCPClient({"s": {"server": server, "mode": "legacy"}}) as client:
        with pytest.raises(ToolError, match="no tool call is under way"):
            await client.list_tools()


async def never(_context: Any, _params: Any) -> Any:
    raise AssertionError


class Heard:
    """An application, and whether somebody hears what it says by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.is_heard = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.start" and scope["method"] == "GET":
                self.is_heard.set()

        await self.app(scope, receive, send_on)


async def test_a_question_that_may_belong_to_either_of_two_calls_is_refused() -> None:
    is_second, is_refused = asyncio.Event(), asyncio.Event()

    async def call(context: Any, _params: Any) -> Any:
        if not is_second.is_set():
            is_second.set()
            await is_refused.wait()
            return text("done")
        await app.is_heard.wait()
        try:
            # Over the connection, where it does not say which call it is for.
            await context.session.elicit_form("Who?", FORM.requested_schema)
        except MCPError as error:
            is_refused.set()
            return text(error)

    app = Heard(serving(call).streamable_http_app())
    async with served(app) as url, MCPClient({"s": {"url": url, "mode": "legacy"}}) as client:
        tried = (await client.list_tools())["s_t"]
        first = asyncio.ensure_future(tried.execute({}))
        await is_second.wait()
        assert "several are" in await tried.execute({})
        assert await first == "done"


async def test_a_question_that_the_server_no_longer_asks_when_it_is_answered() -> None:
    has_given_up = asyncio.Event()

    async def call(context: Any, _params: Any) -> Any:
        asking = context.session.elicit_form("Who?", FORM.requested_schema)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking, 0.01)
        has_given_up.set()
        return text("without you")

    async with MCPClient({"s": {"server": serving(call), "mode": "legacy"}}) as client:
        model = ScriptedModel(ToolCall("s_t", {}), "done")
        agent = Agent(id="a", model=model, tools=await client.list_tools())
        agent = Mastra(agents={"a": agent}).get_agent("a")
        waits = await agent.generate("go")
        assert waits.finish_reason == "suspended"
        await has_given_up.wait()
        done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
    assert done.tool_results[0].payload.result == "without you"


async def asking(context: Any, _params: Any) -> Any:
    said = await context.session.elicit_form("Who?", FORM.requested_schema)
    return text(said.action)


async def test_a_question_outside_a_run_stops_the_call() -> None:
    was_stopped = asyncio.Event()

    async def call(context: Any, params: Any) -> Any:
        try:
            return await asking(context, params)
        finally:
            was_stopped.set()

    async with MCPClient({"s": {"server": serving(call), "mode": "legacy"}}) as client:
        with pytest.raises(ToolError, match=r"asks: 'Who\?'\. Nobody can be asked here"):
            await (await client.list_tools())["s_t"].execute({})
        await asyncio.wait_for(was_stopped.wait(), 5)


async def test_a_question_that_was_let_go_can_no_longer_be_answered() -> None:
    client = MCPClient({"s": {"server": serving(asking), "mode": "legacy"}})
    model = ScriptedModel(ToolCall("s_t", {}), "sorry")
    agent = Agent(id="a", model=model, tools=await client.list_tools())
    agent = Mastra(agents={"a": agent}).get_agent("a")
    waits = await agent.generate("go")
    await client.aclose()
    done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
    assert (done.text, done.tool_results) == ("sorry", [])
    told: Any = model.requests[-1].messages[-1].parts[0]
    assert told.is_error
    assert "can no longer be answered" in told.result
    await client.aclose()


async def test_a_call_that_is_not_answered_in_time_is_stopped() -> None:
    was_stopped = asyncio.Event()

    async def call(_context: Any, _params: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            was_stopped.set()

    async with MCPClient({"s": {"server": serving(call)}}) as client:
        tools = await client.list_tools()
        client._runs._timeout_s = 0.01  # of the call alone, and not of what comes before
        with pytest.raises(ToolError, match=r"did not answer tool 't' within 0\.01 s") as raised:
            await tools["s_t"].execute({})
        assert raised.value.code == "MCP_TIMEOUT"
        await asyncio.wait_for(was_stopped.wait(), 5)


async def test_a_question_that_is_taken_back_before_anybody_was_asked_is_none() -> None:
    """The next one is what is asked."""
    connection: Any = Held()
    held = HeldCall(connection, "t", ToolContext())
    both_asked = asyncio.Event()

    async def call() -> str:
        first = asyncio.ensure_future(held.ask(Question("s", "First?")))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await both_asked.wait()
        answer = await held.ask(Question("s", "Second?"))
        return answer.action

    held.start(call())
    asked = asyncio.ensure_future(held.next(5))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asked.done()
    both_asked.set()
    question = await asked
    assert question is not None
    assert question.message == "Second?"
    # An answer to another question than the last is no answer.
    held.answer(types.ElicitResult(action="accept"), held.asked - 1, ToolContext())
    assert held.is_asking
    held.answer(types.ElicitResult(action="decline"), held.asked, ToolContext())
    assert await held.next(5) is None
    assert held.task is not None
    assert held.task.result() == "decline"


class Held:
    """What a call tells of its beginning and its end."""

    def begun(self, call: HeldCall) -> None:
        del call

    def ended(self, call: HeldCall) -> None:
        del call


# -- lists, and answers that are none ----------------------------------------------------------


def paged(kind: Any, **items: Any) -> Any:
    """Return a handler that gives each item on a page of its own."""
    ((field, listed),) = items.items()

    async def handle(_context: Any, params: Any) -> Any:
        place = int(params.cursor or 0) if params is not None else 0
        following = str(place + 1) if place + 1 < len(listed) else None
        return kind(**{field: [listed[place]]}, next_cursor=following)

    return handle


async def test_lists_are_read_to_their_last_page() -> None:
    server = serving(
        never,
        on_list_tools=paged(
            types.ListToolsResult,
            tools=[types.Tool(name=name, input_schema=NOTHING) for name in ("x", "y", "z")],
        ),
        on_list_resources=paged(
            types.ListResourcesResult,
            resources=[types.Resource(name=name, uri=f"n://{name}") for name in ("x", "y")],
        ),
        on_list_resource_templates=paged(
            types.ListResourceTemplatesResult,
            resource_templates=[
                types.ResourceTemplate(name=name, uri_template=f"n://{name}/{{a}}")
                for name in ("x", "y")
            ],
        ),
        on_list_prompts=paged(
            types.ListPromptsResult, prompts=[types.Prompt(name=name) for name in ("x", "y")]
        ),
    )
    async with MCPClient({"s": MCPServerConfig(server=server)}) as client:
        assert sorted(await client.list_tools()) == ["s_x", "s_y", "s_z"]
        assert [one.name for one in (await client.resources.list())["s"]] == ["x", "y"]
        assert [one.name for one in (await client.resources.templates())["s"]] == ["x", "y"]
        assert [one.name for one in (await client.prompts.list())["s"]] == ["x", "y"]
        with pytest.raises(ToolError, match=r"There is no MCP server 'nope'\. Known: s"):
            await client.resources.read("nope", "n://x")


@pytest.mark.parametrize("following", [itertools.repeat("again"), map(str, itertools.count())])
async def test_a_list_that_comes_to_no_end_is_given_up(following: Iterator[str]) -> None:
    """Its pages are empty, so that no tool shows that they are the same."""

    async def tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[], next_cursor=next(following))

    async def prompts(_context: Any, _params: Any) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[], next_cursor=next(following))

    async def call(_context: Any, _params: Any) -> Any:
        raise MCPError(HEADER_MISMATCH, "a header is missing")

    server = serving(call, on_list_tools=tools, on_list_prompts=prompts)
    async with MCPClient({"s": MCPServerConfig(server=server)}) as client:
        with pytest.raises(ToolError, match="MCP server 's' comes to no end with the list of its"):
            await client.list_tools()
        with pytest.raises(ToolError, match="its prompts"):
            await client.prompts.list()
        with pytest.raises(ToolError, match="comes to no end"):
            await client._runs.run("s", "t", {}, ToolContext())


async def test_a_program_that_ends_whenever_it_is_asked_was_asked_more_than_once(
    tmp_path: Path,
) -> None:
    """A list may be read again, so nothing says that it was not."""
    program = tmp_path / "server.py"
    program.write_text(
        """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "tools/list":
        os._exit(1)
    if "id" in asked:
        facts = {"protocolVersion": asked["params"]["protocolVersion"],
                 "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": facts}), flush=True)
"""
    )
    config = {"command": sys.executable, "args": [str(program)]}
    async with MCPClient({"s": config}) as client:
        with pytest.raises(ToolError, match="each of 3 times"):
            await client.list_tools()


@pytest.mark.parametrize("original", [sys.__stderr__, None])
async def test_a_program_is_started_where_standard_error_is_no_file(
    monkeypatch: pytest.MonkeyPatch, original: Any
) -> None:
    """As in a notebook, whose output goes to a page."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "__stderr__", original)
    program = str(Path(__file__).parent / "stdio_server.py")
    root = str(Path(__file__).parents[2])
    config = {"command": sys.executable, "args": [program], "env": {"PYTHONPATH": root}}
    async with MCPClient({"s": config}) as client:
        assert list(await client.list_tools()) == ["s_double"]


async def test_lines_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    """A program that greets in an encoding of its own, as older ones do, is spoken to all the same."""
    program = tmp_path / "server.py"
    program.write_text(
        f"""
import sys
sys.path[:] = {sys.path!r}
sys.stdout.buffer.write("Démarré\\n".encode("latin-1"))
sys.stdout.flush()
import anyio
from mastra.mcp import MCPServer
from tests.mcp.stdio_server import double
anyio.run(MCPServer("numbers", tools=[double]).run_stdio)
"""
    )
    config = {"command": sys.executable, "args": [str(program)]}
    async with MCPClient({"s": config}) as client:
        assert list(await client.list_tools()) == ["s_double"]


async def test_a_tool_that_has_changed_is_looked_up_and_called_once_more() -> None:
    read: list[str | None] = []
    names = ["x", "t", "y"]

    async def list_tools(_context: Any, params: Any) -> types.ListToolsResult:
        cursor = None if params is None else params.cursor
        read.append(cursor)
        place = int(cursor or 0)
        tools = [types.Tool(name=names[place], input_schema=NOTHING)]
        following = str(place + 1) if place < 2 else None
        return types.ListToolsResult(tools=tools, next_cursor=following)

    async def call(_context: Any, _params: Any) -> Any:
        if len(read) == 3:
            raise MCPError(HEADER_MISMATCH, "a header is missing")
        return text("called")

    server = serving(call, on_list_tools=list_tools)
    async with MCPClient({"s": {"server": server}}) as client:
        tools = await client.list_tools()
        assert read == [None, "1", "2"]
        assert await tools["s_t"].execute({}) == "called"
        # As far as the tool, and no further.
        assert read[3:] == [None, "1"]


async def test_a_server_that_falls_silent_is_waited_for_no_longer_than_was_said() -> None:
    async def read(_context: Any, _params: Any) -> Any:
        await asyncio.Event().wait()

    server = serving(never, on_read_resource=read)
    async with MCPClient({"s": {"server": server, "mode": "legacy"}}, timeout_s=0.5) as client:
        with pytest.raises(
            ToolError, match="'s' did not answer resource 'n://x' in time"
        ) as raised:
            await client.resources.read("s", "n://x")
        assert raised.value.code == "MCP_TIMEOUT"


@asynccontextmanager
async def ending_badly(_server: Any) -> AsyncGenerator[dict[str, Any]]:
    yield {}
    raise RuntimeError("the lights stay on")


async def test_a_server_that_fails_while_it_ends_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def call(_context: Any, _params: Any) -> Any:
        return text("here")

    caplog.set_level(logging.DEBUG, "mastra")
    client = MCPClient({"s": {"server": serving(call, lifespan=ending_badly)}})
    assert await (await client.list_tools())["s_t"].execute({}) == "here"
    await client.aclose()
    assert "The connection to MCP server 's' ended" in caplog.text
    # The next call has a connection of its own.
    assert await (await client.list_tools())["s_t"].execute({}) == "here"
    await client.aclose()


async def test_a_program_that_ends_at_once_cannot_be_reached() -> None:
    async with MCPClient({"s": {"command": "true"}}, timeout_s=20) as client:
        with pytest.raises(ToolError, match=r"'s' \(true\) cannot be reached"):
            await client.list_tools()


# -- behind HTTP -------------------------------------------------------------------------------


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


class Answering:
    """Our server, whose answers are sometimes somebody else's."""

    def __init__(self) -> None:
        self.app: ASGIApp = MCPServer("s", tools=[double]).asgi_app()
        self.method = ""
        self.answers: list[Callable[[Any], Response]] = []
        """What is answered to calls of that method, until there are none left."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not self.answers:
            await self.app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        said = await Request(scope, _giving(body)).json()
        if said.get("method") == self.method:
            await self.answers.pop(0)(said)(scope, receive, send)
        else:
            await self.app(scope, _giving(body, receive), send)


def _giving(body: bytes, then: Any = None) -> Any:
    left = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        return left.pop() if left else await then()

    return receive


def gone(_said: Any) -> Response:
    return PlainTextResponse("nobody of that name", 404)


def no_session(said: Any) -> Response:
    error = {"code": -32600, "message": "Bad Request: No valid session ID provided"}
    return JSONResponse({"jsonrpc": "2.0", "id": said["id"], "error": error}, 400)


@pytest.mark.parametrize("forgotten", [gone, no_session])
async def test_a_call_in_a_session_that_the_server_forgot_is_made_in_another(
    forgotten: Callable[[Any], Response],
) -> None:
    app = Answering()
    async with served(app) as url, MCPClient({"s": {"url": url, "mode": "legacy"}}) as client:
        tools = await client.list_tools()
        app.method, app.answers = "tools/call", [forgotten, forgotten]
        assert await tools["s_double"].execute({"n": 2}) == "4"
        app.answers = [forgotten] * 3
        with pytest.raises(ToolError, match="'s' did not take tool 'double'") as raised:
            await tools["s_double"].execute({"n": 2})
        assert raised.value.code == "MCP_UNREACHABLE"
        assert await tools["s_double"].execute({"n": 3}) == "6"


async def test_an_answer_that_the_protocol_does_not_have_is_said_to_be_none() -> None:
    def garbled(said: Any) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": said["id"], "result": {"tools": "many"}})

    app = Answering()
    async with served(app) as url, MCPClient({"s": url}) as client:
        app.method, app.answers = "tools/list", [garbled]
        with pytest.raises(
            ToolError, match="answered to the request for the list of its tools can"
        ):
            await client.list_tools()
        assert list(await client.list_tools()) == ["s_double"]


# -- event loops -------------------------------------------------------------------------------


async def test_connections_of_another_thread_are_closed_there() -> None:
    client = MCPClient({"s": {"server": MCPServer("s", tools=[double])}})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        listing = asyncio.run_coroutine_threadsafe(client.list_tools(), loop)
        assert list(await asyncio.wrap_future(listing)) == ["s_double"]
        await client.aclose()
        counting = asyncio.run_coroutine_threadsafe(others(), loop)
        assert await asyncio.wrap_future(counting) == 0
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def others() -> int:
    return len(asyncio.all_tasks()) - 1


def test_connections_of_a_loop_that_stands_still_are_left_to_it() -> None:
    client = MCPClient({"s": {"server": MCPServer("s", tools=[double])}})
    with asyncio.Runner() as runner:
        assert list(runner.run(client.list_tools())) == ["s_double"]
        asyncio.run(client.aclose())
        # It has nothing of the client's any more, and ends what it has when it ends itself.
        assert list(runner.run(client.list_tools())) == ["s_double"]
        runner.run(client.aclose())


@pytest.mark.parametrize(
    ("status", "told"),
    [("401 Unauthorized", r"HTTP 401 .*authorization"), ("502 Bad Gateway", "502")],
)
async def test_a_server_that_refuses_at_once_is_told_of_with_its_status(
    status: str, told: str
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with MCPClient({"s": f"http://127.0.0.1:{port}/mcp"}) as client:
            with pytest.raises(ToolError, match=told):
                await client.list_tools()
