"""Pages of the AI SDK (`useChat`) talk to agents and workflows of this server.

Names are imported on first use: writing a route loads no web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.ai_sdk.chat import chat_route
    from mastra.ai_sdk.chunks import UIChunk
    from mastra.ai_sdk.ui_stream import UIMessageStream, to_ui_message_stream
    from mastra.ai_sdk.workflow import workflow_route

__all__ = [
    "UIChunk",
    "UIMessageStream",
    "chat_route",
    "to_ui_message_stream",
    "workflow_route",
]

_HOMES = {
    "UIChunk": "mastra.ai_sdk.chunks",
    "UIMessageStream": "mastra.ai_sdk.ui_stream",
    "chat_route": "mastra.ai_sdk.chat",
    "to_ui_message_stream": "mastra.ai_sdk.ui_stream",
    "workflow_route": "mastra.ai_sdk.workflow",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'mastra.ai_sdk' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
