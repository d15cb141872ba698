"""The FastAPI backend: Mastra's REST API over this app."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from app.main import mastra
from mastra import ConfigError

__all__ = ["build_app"]


def build_app() -> Any:
    """Return the FastAPI application.

    Raises:
        ConfigError: This version has no server.
    """
    if find_spec("mastra.server") is None:
        raise ConfigError("This version has no server yet: workflows run in process only.")
    return import_module("mastra.server").create_app(mastra)
