"""Resources and prompts that a server of ours offers, as an application gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mastra.names import python_options
from mastra.tools.tool_context import ToolContext

__all__ = ["Completer", "MCPServerPrompts", "MCPServerResources"]

Completer: TypeAlias = "Callable[[str, str, str], Sequence[str] | Awaitable[Sequence[str]]]"
"""Suggests values: of the prompt's name or the template's address, the argument, and what is typed."""


@python_options
@dataclass(frozen=True, slots=True, kw_only=True)
class MCPServerResources:
    """The resources of a server. Each function may be async; `ctx` is a `ToolContext`."""

    list_resources: Callable[[ToolContext], Any]
    """`(ctx)`: what there is, each a dict with `uri` and `name`, and `description`, `mimeType`, …"""
    get_resource_content: Callable[[str, ToolContext], Any]
    """`(uri, ctx)`: what is there: text, bytes, a dict with `text` or `blob` (and `mimeType`), or a
    list of these. `None`, or a `NotFoundError`, where there is nothing."""
    resource_templates: Callable[[ToolContext], Any] | None = None
    """`(ctx)`: addresses with blanks, each a dict with `uriTemplate` and `name`."""


@python_options
@dataclass(frozen=True, slots=True, kw_only=True)
class MCPServerPrompts:
    """The prompts of a server. Each function may be async; `ctx` is a `ToolContext`."""

    list_prompts: Callable[[ToolContext], Any]
    """`(ctx)`: what there is, each a dict with `name`, and `description`, and `arguments`: a list of
    dicts with `name`, `description`, `required`."""
    get_prompt_messages: Callable[[str, dict[str, str], ToolContext], Any]
    """`(name, args, ctx)`: the prompt filled in: `Message`s, texts of the user's, or dicts with `role`
    and `content` as the protocol has them; one of these alone, or a list."""
