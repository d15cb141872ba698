"""What MCP servers ask of us: a person's answer, a model's, our folders; and what they log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from mastra.errors import ToolError
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.mcp.calls import Question, asking_call, elicited, question_of
from mastra.mcp.config import MCPServerConfig
from mastra.mcp.content import message_of
from mastra.models.base import ModelRequest
from mastra.models.collect import collect
from mastra.models.messages import Message
from mastra.models.resolve import ModelInput, resolve_models
from mastra.models.settings import ModelSettings

if TYPE_CHECKING:
    from mastra.mcp.connection import Connection

__all__ = ["Elicitation", "ServerRequests"]

Elicitation: TypeAlias = "bool | Callable[[Question], Any | Awaitable[Any]]"
"""Whether servers may ask a person, by suspending the run; or a function that answers."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "notice": logging.INFO,
                  "warning": logging.WARNING}  # fmt: skip
_STOPS: Final = {"length": "maxTokens", "stop": "endTurn"}


class ServerRequests:
    """Answers what servers ask, as far as the client was told to."""

    def __init__(
        self,
        configs: Mapping[str, MCPServerConfig],
        elicitation: Elicitation,
        sampling: ModelInput | None,
    ) -> None:
        self._configs = configs
        self._elicitation = elicitation
        self._sampling = sampling

    def callbacks(self, connection: Connection) -> dict[str, Any]:
        """Return what the SDK's client calls; it offers to servers what is there."""
        name = connection.name
        config = self._configs[name]

        async def elicit(_context: Any, params: Any) -> Any:
            return await self._elicit(connection, params)

        async def sample(_context: Any, params: Any) -> Any:
            return await self._sample(params)

        async def roots(_context: Any) -> Any:
            return self._roots(config)

        async def log(params: Any) -> None:
            level = _LEVELS.get(params.level, logging.ERROR)
            facts = {"mcpServer": name, "mcpLogger": params.logger}
            get_logger(facts).log(level, "MCP server %r: %s", name, params.data)

        async def told(message: Any) -> None:
            if getattr(message, "method", None) == "notifications/resources/updated":
                for queue in connection.updates:
                    queue.put_nowait(str(message.params.uri))

        return {
            "elicitation_callback": elicit if self._elicitation else None,
            "sampling_callback": None if self._sampling is None else sample,
            "list_roots_callback": roots if config.roots else None,
            "logging_callback": log,
            "log_level": config.log_level,
            "message_handler": told,
        }

    async def answered(
        self, server: str, requests: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Answer what a server wants to know before it goes on with a call.

        Returns:
            The answers as JSON, by the server's keys; and the questions that a person has to
            answer, each with its `key`.

        Raises:
            ToolError: A model has to answer, and none may, or the one there is failed.
        """
        from mcp_types import ErrorData  # noqa: PLC0415 - an optional package

        answers: dict[str, Any] = {}
        questions: list[dict[str, Any]] = []
        for key, request in requests.items():
            if request.method == "elicitation/create":
                question = question_of(server, None, request.params)
                if self._elicitation is True:
                    questions.append(_kept(key, question))
                    continue
                answer = await self._ask_function(question)
            elif request.method == "sampling/createMessage":
                answer = await self._sample(request.params)
                if isinstance(answer, ErrorData):
                    # There is no answer that says so: the call cannot go on.
                    raise ToolError(
                        f"MCP server {server!r} asks for a model's answer. {answer.message}",
                        code="MCP_SAMPLING",
                        details={"server": server},
                    )
            else:
                answer = self._roots(self._configs[server])
            answers[key] = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        return answers, questions

    async def _elicit(self, connection: Connection, params: Any) -> Any:
        call = asking_call(connection)
        question = question_of(connection.name, None if call is None else call.tool, params)
        if self._elicitation is not True:
            return await self._ask_function(question)
        if call is not None:
            return await call.ask(question)
        return _error(
            "Nobody can be asked: no tool call is under way, or several are and the question does "
            "not say which it belongs to."
        )

    async def _ask_function(self, question: Question) -> Any:
        if not callable(self._elicitation):
            return elicited(False)
        answer = self._elicitation(question)
        given = await answer if inspect.isawaitable(answer) else answer
        return elicited(given, question.requested_schema)

    async def _sample(self, params: Any) -> Any:
        from mcp_types import CreateMessageResult, TextContent  # noqa: PLC0415 - optional

        if self._sampling is None:
            return _error("Sampling is not allowed.")
        messages: list[Message] = []
        if params.system_prompt:
            messages.append(Message("system", params.system_prompt))
        for said in params.messages:
            content: Any = said.content
            blocks = cast("list[Any]", content) if isinstance(content, list) else [content]
            messages += [message_of(said.role, block) for block in blocks]
        settings = ModelSettings(
            temperature=params.temperature,
            max_output_tokens=params.max_tokens,
            stop=tuple(params.stop_sequences) if params.stop_sequences else None,
        )
        try:
            entries = await resolve_models(self._sampling)
            answer = await collect(entries, ModelRequest(messages, settings=settings))
        except Exception as error:  # noqa: BLE001 - the server is told that there is no answer
            get_logger().warning("A model that an MCP server asked failed", exc_info=error)
            return _error(f"The model failed: {text_of(error)}")
        reason = str(answer.finish.reason)
        return CreateMessageResult(
            role="assistant",
            content=TextContent(type="text", text=answer.text),
            model=answer.metadata.model_id or entries[0].name,
            stop_reason=_STOPS.get(reason, reason),
        )

    def _roots(self, config: MCPServerConfig) -> Any:
        from mcp_types import ListRootsResult, Root  # noqa: PLC0415 - an optional package

        addresses = [
            str(root) if "://" in str(root) else Path(root).absolute().as_uri()
            for root in config.roots
        ]
        return ListRootsResult.model_validate(
            {"roots": [Root.model_validate({"uri": address}) for address in addresses]}
        )


def _kept(key: str, question: Question) -> dict[str, Any]:
    kept: dict[str, Any] = {"key": key, "message": question.message}
    if question.requested_schema is not None:
        kept["requestedSchema"] = dict(question.requested_schema)
    if question.url is not None:
        kept["url"] = question.url
    return kept


def _error(message: str) -> Any:
    from mcp_types import INVALID_REQUEST, ErrorData  # noqa: PLC0415 - an optional package

    return ErrorData(code=INVALID_REQUEST, message=message)
