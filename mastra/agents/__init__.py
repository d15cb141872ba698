"""Agents: what is asked of them and what they answer; the wings are how a run goes."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from mastra.extras import missing_name  # noqa: PLC0415 - only where a name is not there

    raise missing_name(__name__, name, ())
