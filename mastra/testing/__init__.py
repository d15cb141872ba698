"""For the tests of applications: models that play a script, and an engine that replays."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES: dict[str, str] = {
    "FunctionModel": "mastra.testing.models",
    "ReplayEngine": "mastra.testing.replay",
    "ScriptedModel": "mastra.testing.models",
    "ToolCall": "mastra.testing.models",
    "Turn": "mastra.testing.models",
    "block_model_requests": "mastra.testing.models",
    "model_failure": "mastra.testing.models",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'mastra.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
