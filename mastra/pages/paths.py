"""Paths that say who answers."""

from __future__ import annotations

from mastra.errors import ConfigError

__all__ = ["check_path"]


def check_path(path: str, name: str, fixed: str | None) -> None:
    """Refuse a path of which it is not clear who answers.

    Args:
        path: Where the route is.
        name: What in the path says who answers: `agent_id` or `workflow_id`.
        fixed: Who does, where the path does not say.

    Raises:
        ConfigError: It is not clear, or the path takes more than that.
    """
    kind = name.removesuffix("_id")
    named = f"{{{name}}}" in path
    if named == (fixed is not None) or path.count("{") != int(named):
        raise ConfigError(
            f"Path {path!r} must either hold {{{name}}} and nothing else in braces, or none and be "
            f"given with {kind}=..."
        )
