"""A call that a client makes of a tool of ours: what it is told meanwhile, and what it is asked.

A tool asks in two ways. `ctx.suspend` ends it, and it runs again with the answer: any client that
can ask a person is asked so. `ctx.mcp.elicitation` asks while the tool goes on, which the protocol
of 2026 has no way for.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, cast, get_args

from mcp import types
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.elicitation import render_elicitation_schema
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import LOG_LEVEL_META_KEY, LoggingLevel
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mastra.errors import ToolError
from mastra.jsonable import dump_json, load_json
from mastra.mcp.content import block_of
from mastra.models.messages import Message, TextPart
from mastra.names import python_names
from mastra.schema import Schema, SchemaMismatch
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext, ToolSuspend

__all__ = ["LOG_LEVEL", "MCPCall", "MCPElicitation", "connection_of", "run_asking"]

LOG_LEVEL: Final = "mastra.logLevel"
"""Under which name the state of a connection until 2026 has the level that its client asked for."""

_QUESTION: Final = "answer"
_WRAPPED: Final = "value"
_SIMPLE: Final = frozenset(("string", "number", "integer", "boolean"))
_MOST_QUESTIONS: Final = 20


@python_names
class MCPCall:
    """What a tool may tell and ask the MCP client that calls it: `ctx.mcp`.

    Args:
        extra: The SDK's own context of the request.
    """

    def __init__(self, extra: ServerRequestContext[Any, Any]) -> None:
        self.extra = extra
        """The SDK's own context of the request."""
        self.elicitation = MCPElicitation(extra)
        """Asks a person at the client."""

    async def progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; nothing where the client does not want to know."""
        await self.extra.session.report_progress(progress, total, message)

    async def log(self, level: types.LoggingLevel, data: Any, logger: str | None = None) -> None:
        """Send a log message, where the client wants those of its level."""
        if not _is_wanted(self.extra, level):
            return
        params = types.LoggingMessageNotificationParams(level=level, data=data, logger=logger)
        await self.extra.session.send_notification(
            types.LoggingMessageNotification(params=params), self.extra.request_id
        )

    async def sample(
        self,
        messages: str | Sequence[Message],
        *,
        max_tokens: int,
        system_prompt: str | None = None,
        temperature: float | None = None,
    ) -> str:
        """Return what the client's model answers.

        Raises:
            ToolError: The client has none to offer, refused, or has it answer with no text.
        """
        capabilities = self.extra.session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise ToolError("The MCP client has no model to offer (sampling).")
        said = [Message("user", messages)] if isinstance(messages, str) else messages
        params = types.CreateMessageRequestParams(
            messages=[_sampled(message) for message in said],
            max_tokens=max_tokens,
            system_prompt=system_prompt,
            temperature=temperature,
        )
        request = types.CreateMessageRequest(params=params)
        answer = await _ask(self.extra, request, types.CreateMessageResult)
        content: Any = answer.content
        if content.type != "text":
            raise ToolError(f"The MCP client's model answered with {content.type}, not with text.")
        return content.text


class MCPElicitation:
    """Asks the person at a client, while the tool goes on."""

    def __init__(self, extra: ServerRequestContext[Any, Any]) -> None:
        self._extra = extra

    async def send_request(self, message: str, requested_schema: Any) -> types.ElicitResult:
        """Ask, and return the answer: its `action` (`accept`, `decline`, `cancel`) and `content`.

        Args:
            message: The question.
            requested_schema: What is asked for: a pydantic model of simple fields, or a JSON Schema.

        Raises:
            ToolError: Nobody can be asked at the client.
        """
        _check_can_ask(self._extra)
        params = types.ElicitRequestFormParams(
            message=message, requested_schema=_form_of(requested_schema)
        )
        request = types.ElicitRequest(params=params)
        return await _ask(self._extra, request, types.ElicitResult)


async def run_asking(
    tool: Tool[Any, Any],
    ctx: ToolContext,
    params: types.CallToolRequestParams,
    extra: ServerRequestContext[Any, Any],
) -> Any:
    """Run a tool, and ask the client's person whatever it suspends for.

    Returns:
        What the tool gave, or an `InputRequiredResult` for a client that is to call again.

    Raises:
        ToolError: Nobody can be asked, or nobody answered.
    """
    ctx.suspender = _suspend
    answers = params.input_responses or {}
    if _QUESTION in answers and params.request_state is not None:
        ctx.suspend_data = load_json(params.request_state)
        ctx.resume_data = _answered(tool, answers[_QUESTION])
    for _ in range(_MOST_QUESTIONS):
        try:
            return await tool.execute(params.arguments or {}, ctx)
        except ToolSuspend as signal:
            asked = signal
        request = _question(tool, asked.payload, extra)
        if extra.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return _input_required(request, asked.payload)
        answer = await _ask(extra, request, types.ElicitResult)
        ctx.suspend_data, ctx.resume_data = asked.payload, _answered(tool, answer)
    raise ToolError(f"Tool {tool.id!r} asked {_MOST_QUESTIONS} times.")


def _suspend(payload: Any, _resume_label: str | Sequence[str] | None = None) -> NoReturn:
    raise ToolSuspend(payload)


def _question(
    tool: Tool[Any, Any], payload: Any, extra: ServerRequestContext[Any, Any]
) -> types.ElicitRequest:
    if tool.resume_schema is None:
        # Among them what waits for a person's approval, which is not the caller's to give.
        raise ToolError(
            f"Tool {tool.id!r} waits for somebody's answer before it goes on, and does not say of "
            "what form (resume_schema). That cannot be given over MCP."
        )
    _check_can_ask(extra)
    told: Mapping[str, Any] = cast("Any", payload) if isinstance(payload, Mapping) else {}
    text: Any = cast("Any", payload) if isinstance(payload, str) else told.get("message")
    message = text if isinstance(text, str) else dump_json(cast("Any", payload)).decode()
    params = types.ElicitRequestFormParams(
        message=message, requested_schema=_form_of(_asked_type(tool.resume_schema))
    )
    return types.ElicitRequest(params=params)


def _asked_type(schema: Schema[Any]) -> Any:
    """Return what a tool is resumed with as an object, which is what clients ask for."""
    if _is_model(schema.type):
        return schema.type
    found = schema.json_schema()
    if found.get("type") == "object":
        return found
    return {"type": "object", "properties": {_WRAPPED: found}, "required": [_WRAPPED]}


def _answered(tool: Tool[Any, Any], answer: Any) -> Any:
    """Return what a person answered, as the tool takes it.

    Raises:
        ToolError: Nobody did, or it does not fit.
    """
    action = getattr(answer, "action", "no answer")
    if action != "accept":
        raise ToolError(f"The user did not answer what tool {tool.id!r} asked ({action}).")
    schema = cast("Schema[Any]", tool.resume_schema)
    content: Any = dict(answer.content or {})
    if not _is_model(schema.type) and schema.json_schema().get("type") != "object":
        content = content.get(_WRAPPED)
    try:
        return schema.load(content)
    except SchemaMismatch as mismatch:
        raise ToolError(f"The answer to tool {tool.id!r} does not fit: {mismatch}.") from mismatch


def _input_required(request: types.ElicitRequest, payload: Any) -> types.InputRequiredResult:
    # What seals it on its way to the client and back is the server's middleware.
    state = dump_json(payload).decode()
    return types.InputRequiredResult(input_requests={_QUESTION: request}, request_state=state)


def _check_can_ask(extra: ServerRequestContext[Any, Any]) -> None:
    capabilities = extra.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        raise ToolError("The MCP client has nobody to ask (elicitation).")


async def _ask(extra: ServerRequestContext[Any, Any], request: Any, result: Any) -> Any:
    """Ask the client something over the connection of its call.

    Raises:
        ToolError: Its protocol has no such question, or it refused.
    """
    metadata = ServerMessageMetadata(related_request_id=extra.request_id)
    try:
        return await extra.session.send_request(request, result, metadata=metadata)
    except NoBackChannelError as error:
        raise ToolError(
            "This MCP client cannot be asked while a tool goes on. Suspend in its place: "
            "`return await ctx.suspend(…)`, with a resume_schema."
        ) from error
    except MCPError as error:
        raise ToolError(f"The MCP client refused: {error}") from error


def _form_of(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema of an object of simple fields.

    Raises:
        ToolError: It is none.
    """
    if _is_model(schema):
        try:
            return render_elicitation_schema(schema)
        except TypeError as error:
            raise ToolError(str(error)) from error
    known: Mapping[str, Any] = cast("Any", schema) if isinstance(schema, Mapping) else {}
    fields: Any = known.get("properties")
    if not isinstance(fields, Mapping) or not all(
        map(_is_simple, cast("Mapping[str, Any]", fields).values())
    ):
        raise ToolError("An MCP client can be asked for an object of simple fields alone.")
    return dict(known)


def _is_simple(field: Any) -> bool:
    if not isinstance(field, Mapping):
        return False
    known = cast("Mapping[str, Any]", field)
    return known.get("type") in _SIMPLE or "enum" in known or "items" in known


def _is_model(type_: Any) -> bool:
    return inspect.isclass(type_) and hasattr(type_, "model_json_schema")


def _is_wanted(extra: ServerRequestContext[Any, Any], level: str) -> bool:
    levels = get_args(LoggingLevel)
    asked: Any = (extra.meta or {}).get(LOG_LEVEL_META_KEY)
    if extra.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        # A client says it once for its connection, and gets all if it says nothing.
        asked = connection_of(extra).state.get(LOG_LEVEL, levels[0])
    return asked in levels and levels.index(level) >= levels.index(asked)


def connection_of(extra: ServerRequestContext[Any, Any]) -> Connection:
    """Return the connection that a request came by."""
    return extra.session._connection  # noqa: SLF001 - the SDK gives it to handlers nowhere else


def _sampled(message: Message) -> types.SamplingMessage:
    blocks: Any = [block_of(part) for part in message.parts if isinstance(part, TextPart)]
    role: Any = "assistant" if message.role == "assistant" else "user"
    return types.SamplingMessage(role=role, content=blocks[0] if len(blocks) == 1 else blocks)
