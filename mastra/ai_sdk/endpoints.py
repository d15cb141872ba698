"""What the routes of agents and of workflows share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from mastra.ai_sdk.chunks import StreamOptions
from mastra.ai_sdk.ui_stream import HEADERS, version_of
from mastra.errors import ConfigError
from mastra.given import ID_PATTERN, MAX_ID
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.streaming import EventStreamResponse

__all__ = ["VERSION_HEADER", "ChatId", "Endpoints", "asked_options", "nothing", "stream_response"]

VERSION_HEADER = "x-ai-sdk-version"
"""By which a page says which AI SDK it has."""

ChatId = Annotated[
    str, Path(min_length=1, max_length=MAX_ID, pattern=ID_PATTERN, description="The chat.")
]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What answers at a path."""

    answer: Callable[..., Any]
    go_on: Callable[..., Any]
    stop: Callable[..., Any]


def asked_options(request: Request, options: StreamOptions) -> StreamOptions:
    """Return a route's options as a page's header asks for them.

    Raises:
        Refusal: It asks for an unknown version.
    """
    given = request.headers.get(VERSION_HEADER)
    if given is None:
        return options
    try:
        return replace(options, version=version_of(given))
    except ConfigError as error:
        raise Refusal(400, error.message) from None


def stream_response(server: Server, frames: AsyncGenerator[bytes, None]) -> Response:
    """Return server-sent events as a page expects them."""
    return EventStreamResponse(frames, dict(HEADERS), server.config.keep_alive)


def nothing() -> Response:
    """Return what tells a page that there is no answer under way."""
    return Response(status_code=204)
