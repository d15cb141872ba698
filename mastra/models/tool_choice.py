"""What a request says has to be called, as one provider is to be told it."""

from __future__ import annotations

from mastra.models.base import ModelRequest, ProviderTool, ToolSpec

__all__ = ["chosen_tool"]


def chosen_tool(request: ModelRequest, *providers: str) -> str | ToolSpec | ProviderTool:
    """Return `auto`, `none` or `required`, or the tool that has to be called.

    A tool that runs at another provider means nothing to this one, which is left to decide.

    Args:
        request: What is asked.
        providers: The names that the provider goes by.
    """
    choice = request.tool_choice
    if isinstance(choice, str):
        return choice
    name = choice.get("tool_name") or choice["toolName"]
    for tool in request.tools:
        if tool.name == name:
            return tool
    others = [tool for tool in request.provider_tools if tool.name == name]
    if not others:
        return ToolSpec(name, "", {})  # declared in the body by whoever asks
    return next((tool for tool in others if tool.provider in providers), "auto")
