"""The console: pages on which runs are looked at, started and answered. `mount(app, mastra)`.

It is a client of the REST API, asked in this process with the credentials of whoever looks, so it
shows and does what the API would, and nothing that the API refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.console.mounting import mount

__all__ = ["mount"]

__getattr__, __dir__ = lazy_names(__name__, {"mount": "mastra.console.mounting"}, extra="console")
