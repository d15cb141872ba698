"""`workflow_route`: a workflow runs for a page, which sees its steps as parts of a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mastra.ai_sdk.chat import routes_of
from mastra.ai_sdk.chunks import StreamOptions, UIChunk, Version
from mastra.ai_sdk.ui_stream import version_of
from mastra.server.config import ApiRoute

if TYPE_CHECKING:
    from mastra.ai_sdk.endpoints import Endpoints

__all__ = ["workflow_route"]


def workflow_route(
    path: str = "/workflow/{workflow_id}",
    *,
    workflow: str | None = None,
    version: Version = "v7",
    send_reasoning: bool = False,
    send_sources: bool = False,
    on_error: Callable[[Mapping[str, Any]], str] | None = None,
    message_metadata: Callable[[UIChunk], Mapping[str, Any] | None] | None = None,
) -> list[ApiRoute]:
    """Return the routes by which pages of the AI SDK run workflows.

    `POST {path}` with `inputData` starts a run, with `resumeData` it resumes one. `GET {path}/{chat
    id}/stream` goes on with a run after a reload, and `POST {path}/{chat id}/stop` cancels it. A
    run goes on when its reader leaves.

    Args:
        path: Where; `{workflow_id}` in it is the workflow's key or id.
        workflow: The workflow, where the path names none.
        version: Of the AI SDK that pages have, where their header `x-ai-sdk-version` does not say.
        send_reasoning: Whether pages see what the models of steps think.
        send_sources: Whether they see what those drew on.
        on_error: Says what a page is told of an error, given as JSON with `message` and `name`.
        message_metadata: Facts for a message, given its `start` and its `finish`.

    Raises:
        ConfigError: It is not clear which workflow runs, or the version is unknown.
    """
    options = StreamOptions(
        version=version_of(version),
        send_reasoning=send_reasoning,
        send_sources=send_sources,
        on_error=on_error,
        message_metadata=message_metadata,
    )

    def endpoints() -> Endpoints:
        from mastra.ai_sdk.workflow_endpoints import workflow_endpoints  # noqa: PLC0415 - as there

        return workflow_endpoints(workflow, options)

    return routes_of(path, "workflow_id", workflow, endpoints)
