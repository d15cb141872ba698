"""How answers of agents and of workflows are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, cast

from ag_ui.encoder import EventEncoder
from starlette.requests import Request
from starlette.responses import Response

from mastra.ag_ui.outbox import Outbox
from mastra.server.context import Server
from mastra.server.streaming import OPENED, EventStreamResponse

__all__ = ["answer_frames", "encoder_of", "event_response", "text_of_error"]


def encoder_of(request: Request) -> EventEncoder:
    """Return what writes events as the page asks for them."""
    return EventEncoder(accept=request.headers.get("accept", ""))


def event_response(
    server: Server, encoder: EventEncoder, frames: AsyncGenerator[bytes, None]
) -> Response:
    """Return events as a page expects them."""
    headers = {
        "content-type": encoder.get_content_type(),
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
    }
    return EventStreamResponse(frames, headers, server.config.keep_alive)


async def answer_frames(
    outbox: Outbox, error: str | None = None, code: str | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a run in which nothing runs.

    Args:
        outbox: What is sent.
        error: What was wrong; `None` where it is an answer that was given before.
        code: The same, for programs.
    """
    yield OPENED
    outbox.start()
    if error is None:
        outbox.finish()
    else:
        outbox.fail(error, code)
    yield outbox.taken()


def text_of_error(on_error: Callable[[Mapping[str, Any]], str] | None) -> Callable[[Any], str]:
    """Return what says what a page is told of an error.

    Args:
        on_error: The application's own, given JSON with `message` and `name`.
    """

    def text(error: Any) -> str:
        is_whole = isinstance(error, Mapping)
        facts = cast("Mapping[str, Any]", error if is_whole else {"message": error})
        if on_error is not None:
            return str(on_error(facts))
        return str(facts.get("message") or facts.get("name") or "The run failed.")

    return text
