"""Tools in Anthropic's form: ours, those it runs itself, and those whose form it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mastra.errors import ConfigError
from mastra.jsonable import Json
from mastra.models.anthropic_schema import can_be_strict, strict_schema
from mastra.models.base import ProviderTool, ToolSpec
from mastra.models.schema_parts import input_schema
from mastra.models.tool_names import wire_name
from mastra.names import snake

__all__ = ["Declared", "cache_control", "declare", "name_of", "snake_keys"]

_TYPES: Final[Mapping[str, str]] = {
    "advisor": "advisor_20260301",
    "bash": "bash_20250124",
    "code_execution": "code_execution_20250825",
    "computer": "computer_20250124",
    "memory": "memory_20250818",
    "text_editor": "text_editor_20250728",
    "tool_search": "tool_search_tool_bm25_20251119",
    "tool_search_bm25": "tool_search_tool_bm25_20251119",
    "tool_search_regex": "tool_search_tool_regex_20251119",
    "tool_search_tool_bm25": "tool_search_tool_bm25_20251119",
    "tool_search_tool_regex": "tool_search_tool_regex_20251119",
    "web_fetch": "web_fetch_20250910",
    "web_search": "web_search_20250305",
}
"""The dated type of each tool's short name: the one that the most models know."""

_NAMES: Final[Mapping[str, str]] = {
    "text_editor_20241022": "str_replace_editor",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
}
"""What the model calls a tool, where that is not its type without the date."""

_BETAS: Final[Mapping[str, str]] = {
    "advisor_20260301": "advisor-tool-2026-03-01",
    "code_execution_20250522": "code-execution-2025-05-22",
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "mcp_toolset": "mcp-client-2025-11-20",
}

_SERVER: Final = frozenset(("mcp", "mcp_server"))


_NAMED: Final = frozenset(("configs",))
"""Options that hold others by the names of tools."""
_AS_GIVEN: Final = frozenset(("input_examples", "input_schema", "schema"))
"""Options that hold names of fields."""


@dataclass(slots=True)
class Declared:
    """What a request offers."""

    tools: list[Json] = field(default_factory=list[Json])
    """In the API's form."""
    servers: list[Json] = field(default_factory=list[Json])
    """MCP servers that Anthropic calls."""
    betas: list[str] = field(default_factory=list[str])
    """Features to be asked for in a header."""


def declare(
    tools: Iterable[ToolSpec], elsewhere: Iterable[ProviderTool], provider: str, *, strict: bool
) -> Declared:
    """Return the tools of a request in Anthropic's form.

    Args:
        tools: Ours.
        elsewhere: Those whose form is a provider's; other providers' are left out. Where one has
            the name of one of ours, as a memory or a shell that runs here has, its form is taken.
        provider: What the provider is called here.
        strict: Whether the model can be held to a schema.

    Raises:
        ConfigError: A provider's tool has no such name.
    """
    found = Declared()
    typed: dict[str, Json] = {}
    for tool in elsewhere:
        if tool.provider not in (provider, "anthropic"):
            continue
        short = tool.name.removeprefix("anthropic.")
        args = snake_keys(tool.args)
        if short in _SERVER:
            found.servers.append({"type": "url", **args})
            continue
        wire = _typed(short, args)
        if wire["type"] in _BETAS:
            found.betas.append(_BETAS[wire["type"]])
        typed[wire.get("name") or wire.get("mcp_server_name") or wire["type"]] = wire
    found.tools = [typed.pop(tool.name, None) or _own(tool, provider, strict) for tool in tools]
    found.tools += typed.values()
    return found


def name_of(tool: ProviderTool) -> str:
    """Return what the model calls a tool of Anthropic's.

    Raises:
        ConfigError: It is no one tool, so that no model can be made to call it.
    """
    short = tool.name.removeprefix("anthropic.")
    name = None if short in _SERVER else _typed(short, snake_keys(tool.args)).get("name")
    if name is None:
        raise ConfigError(
            f"tool_choice names {tool.name!r}, which is a server of tools: Anthropic's models cannot "
            "be made to call it. 'required' makes them call some tool."
        )
    return str(name)


def _typed(short: str, args: dict[str, Any]) -> dict[str, Any]:
    kind = _TYPES.get(short, short)
    if kind == "mcp_toolset" or "toolset" in kind:
        return {"type": kind, **args}
    stem, _, date = kind.rpartition("_")
    if not (date.isdigit() and len(date) == 8):
        listed = ", ".join((*sorted(_TYPES), "mcp", "mcp_toolset"))
        raise ConfigError(
            f"Anthropic has no tool {short!r}. There are: {listed}; or a name with its date, such "
            "as 'web_search_20250305'."
        )
    return {"type": kind, "name": _NAMES.get(kind, stem), **args}


def _own(tool: ToolSpec, provider: str, strict: bool) -> dict[str, Json]:
    wire: dict[str, Json] = {"name": wire_name(tool.name)}
    if tool.description:
        wire["description"] = tool.description
    wire["input_schema"] = input_schema(tool.parameters)
    if tool.strict and strict and can_be_strict(tool.parameters):
        wire["input_schema"] = strict_schema(tool.parameters)
        wire["strict"] = True
    own = snake_keys(tool.provider_options.get(provider) or {})
    mark = cache_control(tool.provider_options.get(provider) or {})
    own.pop("cache_control", None)
    return {**wire, **own, **({} if mark is None else {"cache_control": mark})}


def cache_control(own: Mapping[str, Any], *, cache: bool = False) -> dict[str, Any] | None:
    """Return the mark that a part, a tool or a call asks for, if it does."""
    given: Any = own.get("cacheControl") or own.get("cache_control")
    if isinstance(given, Mapping):
        return {"type": "ephemeral", **cast("Mapping[str, Any]", given)}
    return {"type": "ephemeral"} if cache or given is True else None


def snake_keys(value: Any) -> Any:
    """Return options with the names that the API has for them, however deep.

    Names of tools and of their fields are not the API's.
    """
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in cast("Mapping[str, Any]", value).items():
            name = snake(key)
            if name in _NAMED and isinstance(item, Mapping):
                inner = cast("Mapping[str, Any]", item).items()
                made[name] = {tool: snake_keys(own) for tool, own in inner}
            else:
                made[name] = item if name in _AS_GIVEN else snake_keys(item)
        return made
    if isinstance(value, (list, tuple)):
        return [snake_keys(item) for item in cast("list[Any]", value)]
    return value
