"""Tools by the names that a model sees. Two of one name are refused: one of them would be lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from mastra.errors import ConfigError
from mastra.models.base import ProviderTool
from mastra.tools.tool import Tool, ToolInput, ToolSetInput, as_tool

__all__ = ["add_tools", "check_names", "named_provider_tools", "named_tools"]

_CONNECTORS: Final = ("mcp",)
"""Provider tools that there may be several of: each is a server with a name of its own."""
_HOSTED: Final = (
    "advisor", "code_execution", "code_interpreter", "file_search", "google_search",
    "image_generation", "tool_search", "url_context", "web_fetch", "web_search",
)  # fmt: skip
"""What runs at the provider. Of others, such as a shell, it gives the form and a function runs here."""


def named_tools(tools: ToolSetInput | None) -> dict[str, Tool[Any, Any]]:
    """Return tools by the names that a model sees, without those that run at a provider.

    Raises:
        ConfigError: Two of a list have one name, or one is no tool.
    """
    if not tools:
        return {}
    given: Any = tools
    if isinstance(given, str):
        raise ConfigError(f"tools is {given!r}, a text: give a list or a dict of tools.")
    if isinstance(tools, Mapping):
        named = {name: value for name, value in tools.items() if not _runs_elsewhere(value)}
        return {name: as_tool(cast("ToolInput", value)) for name, value in named.items()}
    found: dict[str, Tool[Any, Any]] = {}
    for value in tools:
        if not _runs_elsewhere(value):
            made = as_tool(cast("ToolInput", value))
            add_tools(found, {made.id: made}, "its list")
    return found


def add_tools(
    tools: dict[str, Tool[Any, Any]],
    more: Mapping[str, Tool[Any, Any]],
    where: str,
    *,
    of: str = "tools",
) -> None:
    """Add further tools to those that there are.

    Args:
        tools: Those that there are.
        more: Those to add. One that is there already, the same, is left as it is.
        where: Where they come from, for the error.
        of: What they are the tools of, for the error.

    Raises:
        ConfigError: Another has the name of one of them.
    """
    for name, tool in more.items():
        known = tools.get(name)
        if known is not None and not _is_same(known, tool):
            raise ConfigError(
                f"Two tools of {of} are named {name!r}; the second is in {where}. A model cannot "
                "tell them apart: give one of them another id, or give tools as a dict with the "
                "names as keys.",
                code="TOOL_NAME_TAKEN",
                details={"tool": name},
            )
        tools[name] = tool


def _is_same(one: Tool[Any, Any], other: Tool[Any, Any]) -> bool:
    if one is other:
        return True
    return one.function is not None and one.function == other.function and one.call is not None


def named_provider_tools(tools: ToolSetInput | None) -> dict[str, ProviderTool]:
    """Return those of some tools that run at a provider, by names that tell them apart.

    That is a tool's own name, for the first of that name; models of different providers in a
    fallback list may each have a search of the web.

    Raises:
        ConfigError: A provider is given one tool twice.
    """
    if not tools:
        return {}
    if isinstance(tools, Mapping):
        found = {key: value for key, value in tools.items() if isinstance(value, ProviderTool)}
        _refuse_twice(found.values())
        return found
    listed = [value for value in tools if isinstance(value, ProviderTool)]
    _refuse_twice(listed)
    named: dict[str, ProviderTool] = {}
    for tool in listed:
        key = tool.name
        if key in named:
            key = f"{tool.provider}.{tool.name}"
        while key in named:
            key += "+"
        named[key] = tool
    return named


def _refuse_twice(tools: Iterable[ProviderTool]) -> None:
    seen: list[ProviderTool] = []
    for tool in tools:
        same = [item for item in seen if (item.provider, item.name) == (tool.provider, tool.name)]
        if same and not (_is_one(tool, _CONNECTORS) and tool not in same):
            raise ConfigError(
                f"The tool {tool.name!r} of {tool.provider} is given twice.",
                code="TOOL_NAME_TAKEN",
                details={"tool": tool.name},
            )
        seen.append(tool)


def check_names(
    tools: Mapping[str, Tool[Any, Any]], elsewhere: Mapping[str, ProviderTool], of: str = "tools"
) -> None:
    """Refuse a tool that runs at a provider and has the name of one that runs here.

    Raises:
        ConfigError: There is one.
    """
    for tool in elsewhere.values():
        if tool.name in tools and _is_one(tool, _HOSTED):
            raise ConfigError(
                f"Two tools of {of} are named {tool.name!r}: one runs here, one at "
                f"{tool.provider}. Give the one that runs here another name.",
                code="TOOL_NAME_TAKEN",
                details={"tool": tool.name},
            )


def _is_one(tool: ProviderTool, kinds: tuple[str, ...]) -> bool:
    return tool.name.removeprefix(f"{tool.provider}.").startswith(kinds)


def _runs_elsewhere(value: object) -> bool:
    return isinstance(value, ProviderTool)
