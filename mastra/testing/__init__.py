"""For the tests of applications: models that play a script, engines that replay, time that jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.testing.crash import crash_at
    from mastra.testing.models import (
        FunctionModel,
        ScriptedModel,
        ToolCall,
        Turn,
        block_model_requests,
        model_failure,
    )
    from mastra.testing.recording import record_run
    from mastra.testing.replay import ReplayEngine
    from mastra.testing.time import FakeClock, fake_ids

__all__ = [
    "FakeClock",
    "FunctionModel",
    "ReplayEngine",
    "ScriptedModel",
    "ToolCall",
    "Turn",
    "block_model_requests",
    "crash_at",
    "fake_ids",
    "model_failure",
    "record_run",
]

_HOMES = {
    "FakeClock": "mastra.testing.time",
    "FunctionModel": "mastra.testing.models",
    "ReplayEngine": "mastra.testing.replay",
    "ScriptedModel": "mastra.testing.models",
    "ToolCall": "mastra.testing.models",
    "Turn": "mastra.testing.models",
    "block_model_requests": "mastra.testing.models",
    "crash_at": "mastra.testing.crash",
    "fake_ids": "mastra.testing.time",
    "model_failure": "mastra.testing.models",
    "record_run": "mastra.testing.recording",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
