"""`chat_route`: an agent answers a page's chat (`useChat`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mastra.ai_sdk.chunks import StreamOptions, UIChunk, Version
from mastra.ai_sdk.ui_stream import version_of
from mastra.pages.paths import check_path
from mastra.server.config import ApiRoute

if TYPE_CHECKING:
    from mastra.ai_sdk.endpoints import Endpoints

__all__ = ["chat_route", "routes_of"]


def chat_route(
    path: str = "/chat/{agent_id}",
    *,
    agent: str | None = None,
    version: Version = "v7",
    send_start: bool = True,
    send_finish: bool = True,
    send_reasoning: bool = False,
    send_sources: bool = False,
    on_error: Callable[[Mapping[str, Any]], str] | None = None,
    message_metadata: Callable[[UIChunk], Mapping[str, Any] | None] | None = None,
) -> list[ApiRoute]:
    """Return the routes by which pages of the AI SDK talk to agents.

    `POST {path}` answers, `GET {path}/{chat id}/stream` goes on with an answer after a reload, and
    `POST {path}/{chat id}/stop` stops it. The answer of an agent made with `durable=True` goes on
    when its reader leaves; any other ends then. A chat is a thread of the agent's memory of the
    same id.

    Args:
        path: Where; `{agent_id}` in it is the agent's key or id.
        agent: The agent, where the path names none.
        version: Of the AI SDK that pages have, where their header `x-ai-sdk-version` does not say.
        send_start: Whether messages are opened.
        send_finish: Whether they are finished.
        send_reasoning: Whether pages see what the model thinks.
        send_sources: Whether they see what it drew on.
        on_error: Says what a page is told of an error, given as JSON with `message` and `name`.
        message_metadata: Facts for a message, given its `start` and its `finish`.

    Raises:
        ConfigError: It is not clear which agent answers, or the version is unknown.
    """
    options = StreamOptions(
        version=version_of(version),
        send_start=send_start,
        send_finish=send_finish,
        send_reasoning=send_reasoning,
        send_sources=send_sources,
        on_error=on_error,
        message_metadata=message_metadata,
    )

    def endpoints() -> Endpoints:
        from mastra.ai_sdk.chat_endpoints import chat_endpoints  # noqa: PLC0415 - loads a framework

        return chat_endpoints(agent, options)

    return routes_of(path, "agent_id", agent, endpoints)


def routes_of(
    path: str, name: str, fixed: str | None, endpoints: Callable[[], Endpoints]
) -> list[ApiRoute]:
    """Return the three routes of a path.

    Args:
        path: Where they are.
        name: What in the path says who answers.
        fixed: Who does, where the path does not say.
        endpoints: Makes what answers.

    Raises:
        ConfigError: It is not clear who answers, or the path takes more than that.
    """
    check_path(path, name, fixed)
    chat = f"{path.rstrip('/')}/{{chat_id:path}}"
    return [
        ApiRoute(path=path, method="POST", create_handler=lambda _: endpoints().answer),
        ApiRoute(path=f"{chat}/stream", method="GET", create_handler=lambda _: endpoints().go_on),
        ApiRoute(path=f"{chat}/stop", method="POST", create_handler=lambda _: endpoints().stop),
    ]
