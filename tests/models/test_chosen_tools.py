"""A choice may name a tool that runs at the provider; each provider is told so in its own way."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent
from mastra.errors import ConfigError
from mastra.models import Message, ModelRequest, ProviderTool
from mastra.models.anthropic_request import anthropic_body
from mastra.models.base import ToolSpec
from mastra.models.gemini_request import gemini_body
from mastra.models.openai_request import chat_body
from mastra.models.responses_request import responses_body
from mastra.models.settings import ModelSettings
from mastra.testing import ScriptedModel

LOOK = ToolSpec("look", "Look.", {"type": "object"})
TOOLS = (
    ProviderTool("openai", "web_search"),
    ProviderTool("openai", "mcp", {"server_label": "crm", "server_url": "https://crm.example"}),
    ProviderTool("openai", "custom", {"custom": {"name": "shout"}, "name": "shout"}),
    ProviderTool("anthropic", "web_fetch"),
    ProviderTool("anthropic", "text_editor"),
    ProviderTool("anthropic", "mcp", {"name": "crm", "url": "https://crm.example"}),
    ProviderTool("google", "google_search"),
)


def naming(name: str, **more: Any) -> ModelRequest:
    choice = {"type": "tool", "tool_name": name}
    given: dict[str, Any] = {"tools": (LOOK,), "provider_tools": TOOLS, "tool_choice": choice}
    return ModelRequest([Message("user", "q")], **(given | more))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("look", {"type": "function", "name": "look"}),
        ("web_search", {"type": "web_search"}),
        ("mcp", {"type": "mcp", "server_label": "crm"}),
        ("custom", {"type": "custom", "name": "shout"}),
        ("web_fetch", "auto"),
        ("in the body", {"type": "function", "name": "in the body"}),
    ],
)
def test_openai_s_responses(name: str, told: Any) -> None:
    assert responses_body(naming(name), "gpt-5", "openai")["tool_choice"] == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("look", {"type": "function", "function": {"name": "look"}}),
        ("web_search", {"type": "web_search"}),
        ("custom", {"type": "custom", "custom": {"name": "shout"}}),
        ("google_search", "auto"),
    ],
)
def test_chat_completions(name: str, told: Any) -> None:
    assert chat_body(naming(name), "gpt-5", "openai")["tool_choice"] == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("look", {"type": "tool", "name": "look"}),
        ("web_fetch", {"type": "tool", "name": "web_fetch"}),
        ("text_editor", {"type": "tool", "name": "str_replace_based_edit_tool"}),
        ("web_search", {"type": "auto"}),
    ],
)
def test_anthropic(name: str, told: Any) -> None:
    assert (
        anthropic_body(naming(name), "claude-sonnet-4-5", "anthropic").body["tool_choice"] == told
    )


@pytest.mark.parametrize(("name", "may_think"), [("web_fetch", False), ("web_search", True)])
def test_a_model_that_has_to_call_a_tool_does_not_think_first(name: str, may_think: bool) -> None:
    request = naming(name, tools=(), settings=ModelSettings(reasoning="high"))
    body = anthropic_body(request, "claude-sonnet-4-5", "anthropic").body
    assert ("thinking" in body) is may_think


def test_what_cannot_be_asked_for_is_said() -> None:
    with pytest.raises(ConfigError, match="a server of tools"):
        anthropic_body(naming("mcp"), "claude-sonnet-4-5", "anthropic")
    with pytest.raises(ConfigError, match=r"it decides by itself\. active_tools="):
        gemini_body(naming("google_search"), "gemini-2.5-pro", "google")
    assert "toolConfig" not in gemini_body(naming("web_search"), "gemini-2.5-pro", "google")


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["web_search", "find"])
async def test_an_agent_takes_the_key_or_the_name(name: str) -> None:
    model = ScriptedModel("a", "b")
    agent = Agent(id="a", model=model, tools={"find": ProviderTool("openai", "web_search")})
    await agent.generate("q", tool_choice={"type": "tool", "toolName": name})
    assert model.requests[0].tool_choice == {"type": "tool", "tool_name": "web_search"}
    with pytest.raises(ConfigError, match=r"names 'nope', which it does not have\. It has: find"):
        await agent.generate("q", tool_choice={"type": "tool", "toolName": "nope"})
