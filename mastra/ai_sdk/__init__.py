"""Pages of the AI SDK (`useChat`) talk to agents and workflows of this server.

Names are imported on first use: writing a route loads no web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="server")
