"""A server of ours as the SDK serves it: what each request of the protocol comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from mcp import types
from mcp.server import lowlevel
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mastra.errors import (
    MastraError,
    NotFoundError,
    RunStateError,
    ToolError,
    ValidationError,
)
from mastra.jsonable import dump_json
from mastra.logs import get_logger
from mastra.mcp.content import blocks_of
from mastra.mcp.news import News
from mastra.mcp.offers import Completer, MCPServerPrompts, MCPServerResources
from mastra.mcp.served_calls import LOG_LEVEL, MCPCall, connection_of, run_asking
from mastra.mcp.served_offers import (
    completed,
    listed_prompts,
    listed_resources,
    listed_templates,
    prompt_messages,
    resource_contents,
)
from mastra.mcp.server import REQUEST_CONTEXT, MCPServer
from mastra.request_context import AUTH_TOKEN, RESOURCE_ID, RequestContext
from mastra.stream.abort import AbortController
from mastra.tools.execute import is_error_result
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext

__all__ = ["InitializedServer", "build"]

T = TypeVar("T")
Extra = ServerRequestContext[Any, Any]

_MEANT: Final = (ToolError, ValidationError, NotFoundError, RunStateError)
"""Errors that say what a caller may know. A tool raises a `ToolError` to say so."""
_NO_RESOURCE: Final = -32002


class InitializedServer(lowlevel.Server[Any]):
    """The SDK's server, which says of itself that it tells of changed lists."""

    def create_initialization_options(
        self,
        notification_options: lowlevel.NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """Return what a client that connects is told."""
        changes = notification_options or lowlevel.NotificationOptions(
            prompts_changed="prompts/list" in self._request_handlers,
            resources_changed="resources/list" in self._request_handlers,
        )
        return super().create_initialization_options(changes, experimental_capabilities, extensions)


def build(server: MCPServer) -> InitializedServer:
    """Return the SDK's server."""
    handlers = _Handlers(server)
    made = InitializedServer(
        server.name,
        version=server.version,
        title=server.title,
        description=server.description,
        instructions=server.instructions,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_subscriptions_listen=ListenHandler(server.news.bus),
    )
    made.add_request_handler("logging/setLevel", types.SetLevelRequestParams, handlers.set_level)
    if server.offered_resources is not None:
        _add_resources(made, _Resources(server, server.offered_resources))
    if server.offered_prompts is not None:
        prompts = _Prompts(server, server.offered_prompts)
        made.add_request_handler("prompts/list", types.PaginatedRequestParams, prompts.list)
        made.add_request_handler("prompts/get", types.GetPromptRequestParams, prompts.get)
    if server.complete is not None:
        completions = _Completions(server, server.complete)
        made.add_request_handler(
            "completion/complete", types.CompleteRequestParams, completions.complete
        )
    security = RequestStateSecurity(keys=server.state_keys, bind_principal=_who)
    made.middleware.append(RequestStateBoundary(security, default_audience=server.name))
    made.middleware.append(_noting(server.news))
    return made


def _add_resources(made: InitializedServer, resources: _Resources) -> None:
    made.add_request_handler("resources/list", types.PaginatedRequestParams, resources.list)
    made.add_request_handler(
        "resources/templates/list", types.PaginatedRequestParams, resources.templates
    )
    made.add_request_handler("resources/read", types.ReadResourceRequestParams, resources.read)
    made.add_request_handler("resources/subscribe", types.SubscribeRequestParams, resources.watch)
    made.add_request_handler(
        "resources/unsubscribe", types.UnsubscribeRequestParams, resources.unwatch
    )


def _noting(news: News) -> Any:
    async def note(extra: Extra, call_next: CallNext) -> HandlerResult:
        if extra.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            news.met(connection_of(extra))
        return await call_next(extra)

    return note


def _who(extra: Extra) -> str | None:
    """Return who calls, so that nobody else's answer goes on with their call."""
    context = _request_context(extra)
    who = context.get(RESOURCE_ID) or context.get(AUTH_TOKEN)
    return None if who is None else str(who)


def _request_context(extra: Extra) -> RequestContext:
    scope: Mapping[str, Any] = getattr(extra.request, "scope", {})
    return RequestContext.of(scope.get(REQUEST_CONTEXT))


class _Handlers:
    """Of tools, and what the other handlers share."""

    def __init__(self, server: MCPServer) -> None:
        self._server = server

    def context(self, extra: Extra, controller: AbortController | None = None) -> ToolContext:
        """Return what functions of the application's are given."""
        return ToolContext(
            mastra=self._server.mastra,
            request_context=_request_context(extra),
            abort_signal=(controller or AbortController()).signal,
            mcp=MCPCall(extra),
        )

    async def list_tools(self, _extra: Extra, _params: Any) -> types.ListToolsResult:
        tools = self._server.list_tools()
        return types.ListToolsResult(tools=[_described(name, tool) for name, tool in tools.items()])

    async def call_tool(
        self, extra: Extra, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        controller = AbortController()
        try:
            tool = self._server.tool(params.name)
            result = await run_asking(tool, self.context(extra, controller), params, extra)
            if isinstance(result, types.InputRequiredResult):
                return result
            return _answer(tool.dump(result))
        except asyncio.CancelledError:
            controller.abort("The MCP client cancelled the call.")
            raise
        except Exception as error:  # noqa: BLE001 - the client is told that it failed
            return _failed(_told(f"Tool {params.name!r}", error))

    async def set_level(self, extra: Extra, params: types.SetLevelRequestParams) -> Any:
        connection_of(extra).state[LOG_LEVEL] = params.level
        return types.EmptyResult()


class _Resources(_Handlers):
    def __init__(self, server: MCPServer, offered: MCPServerResources) -> None:
        super().__init__(server)
        self._offered = offered

    async def list(self, extra: Extra, _params: Any) -> types.ListResourcesResult:
        found = await _guarded(
            "The list of resources", listed_resources(self._offered, self.context(extra))
        )
        return types.ListResourcesResult(resources=found)

    async def templates(self, extra: Extra, _params: Any) -> types.ListResourceTemplatesResult:
        found = await _guarded(
            "The list of templates", listed_templates(self._offered, self.context(extra))
        )
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def read(
        self, extra: Extra, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        reading = resource_contents(self._offered, uri, self.context(extra))
        found = await _guarded(f"Resource {uri!r}", reading, _NO_RESOURCE)
        return types.ReadResourceResult(contents=found)

    async def watch(self, extra: Extra, params: types.SubscribeRequestParams) -> Any:
        self._server.news.watch(connection_of(extra), str(params.uri))
        return types.EmptyResult()

    async def unwatch(self, extra: Extra, params: types.UnsubscribeRequestParams) -> Any:
        self._server.news.unwatch(connection_of(extra), str(params.uri))
        return types.EmptyResult()


class _Prompts(_Handlers):
    def __init__(self, server: MCPServer, offered: MCPServerPrompts) -> None:
        super().__init__(server)
        self._offered = offered

    async def list(self, extra: Extra, _params: Any) -> types.ListPromptsResult:
        found = await _guarded(
            "The list of prompts", listed_prompts(self._offered, self.context(extra))
        )
        return types.ListPromptsResult(prompts=found)

    async def get(
        self, extra: Extra, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        args = dict(params.arguments or {})
        filling = prompt_messages(self._offered, params.name, args, self.context(extra))
        return await _guarded(f"Prompt {params.name!r}", filling)


class _Completions(_Handlers):
    def __init__(self, server: MCPServer, function: Completer) -> None:
        super().__init__(server)
        self._function = function

    async def complete(
        self, extra: Extra, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        del extra
        of = params.ref.name if isinstance(params.ref, types.PromptReference) else params.ref.uri
        asked = params.argument
        completing = completed(self._function, str(of), asked.name, asked.value)
        found = await _guarded("The list of suggestions", completing)
        return types.CompleteResult(completion=found)


async def _guarded(what: str, work: Awaitable[T], missing: int = INVALID_PARAMS) -> T:
    """Return what a function of the application's gave, or raise what a client may know of it."""
    try:
        return await work
    except MCPError:
        raise
    except NotFoundError as error:
        raise MCPError(missing, error.message) from error
    except ValidationError as error:
        raise MCPError(INVALID_PARAMS, error.message) from error
    except Exception as error:
        raise MCPError(INTERNAL_ERROR, _told(what, error)) from error


def _told(what: str, error: Exception) -> str:
    """Return what a client is told of a failure: what was meant for it, and nothing of the inside."""
    if isinstance(error, _MEANT) and isinstance(error, MastraError):
        return error.message
    get_logger({"mcp": what}).error("%s failed over MCP", what, exc_info=error)
    return f"{what} failed: {type(error).__name__}"


def _described(name: str, tool: Tool[Any, Any]) -> types.Tool:
    facts: Any = tool.mcp or {}
    output = None if tool.output_schema is None else tool.output_schema.json_schema("serialization")
    facts = {
        "name": name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_json_schema,
        "outputSchema": output if (output or {}).get("type") == "object" else None,
        "annotations": facts.get("annotations"),
        "_meta": facts.get("_meta"),
    }
    return types.Tool.model_validate(facts)


def _failed(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _answer(result: Any) -> types.CallToolResult:
    if is_error_result(result):
        return _failed(result["message"])
    blocks = blocks_of(result)
    if blocks is not None:
        return types.CallToolResult(content=blocks)
    text = result if isinstance(result, str) else dump_json(result).decode()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content=result if isinstance(result, dict) else None,
    )
