"""Pages of AG-UI (CopilotKit and others) talk to agents and workflows of this server.

Names are imported on first use: writing a route loads no web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.ag_ui.route import ag_ui_route

__all__ = ["ag_ui_route"]

__getattr__, __dir__ = lazy_names(__name__, {"ag_ui_route": "mastra.ag_ui.route"}, extra="ag-ui")
