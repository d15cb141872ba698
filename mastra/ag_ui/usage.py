"""What models have used, as AG-UI counts it: each call of a run, those of agents it asked included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from ag_ui.core import TokenUsage

from mastra.agents.chunks import AgentChunk

__all__ = ["usage_of_model", "usage_within"]

_WRAPS: Final = frozenset(("tool-output", "workflow-step-output"))
"""What a tool or a step has written, which may be a chunk of an agent that it asked."""


def usage_of_model(
    metadata: Mapping[str, Any], usage: Mapping[str, Any] | None
) -> list[TokenUsage]:
    """Return what a model has used, as AG-UI has it; nothing where nobody knows."""
    counts: dict[str, Any] = {
        "input_tokens": (usage or {}).get("inputTokens"),
        "output_tokens": (usage or {}).get("outputTokens"),
        "total_tokens": (usage or {}).get("totalTokens"),
        "reasoning_tokens": (usage or {}).get("reasoningTokens"),
        "cached_input_tokens": (usage or {}).get("cachedInputTokens"),
        "cache_write_input_tokens": (usage or {}).get("cacheCreationInputTokens"),
    }
    if all(count is None for count in counts.values()):
        return []
    who: Any = metadata.get("modelMetadata") or {}
    return [TokenUsage(provider=who.get("modelProvider"), model=who.get("modelId"), **counts)]


def usage_within(written: Any) -> list[TokenUsage]:
    """Return what a model call has used whose end a tool or a step has written, however deep.

    Args:
        written: An `AgentChunk`, its JSON, or anything else.
    """
    if isinstance(written, AgentChunk):
        written = written.to_wire()
    known = cast("Mapping[str, Any]", written if isinstance(written, Mapping) else {})
    kind, payload = known.get("type"), cast("Any", known.get("payload"))
    if not isinstance(payload, Mapping):
        return []
    told = cast("Mapping[str, Any]", payload)
    if kind in _WRAPS:
        return usage_within(told.get("output"))
    output: Any = told.get("output")
    if kind != "step-finish" or not isinstance(output, Mapping):
        return []
    return usage_of_model(told.get("metadata") or {}, cast("Any", output).get("usage"))
