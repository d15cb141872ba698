"""Anthropic's request bodies, made of messages, tools and settings. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from mastra.jsonable import Json
from mastra.models.anthropic_facts import ModelFacts, facts_of
from mastra.models.anthropic_messages import Conversation, converse
from mastra.models.anthropic_schema import (
    can_be_strict,
    strict_schema,
)
from mastra.models.anthropic_tools import (
    Declared,
    cache_control,
    declare,
    name_of,
    snake,
    snake_keys,
)
from mastra.models.anthropic_turns import keep_last_marks, may_think
from mastra.models.base import ModelRequest, ProviderTool, ToolSpec
from mastra.models.schema_parts import input_schema, is_object
from mastra.models.settings import ModelSettings
from mastra.models.tool_choice import chosen_tool
from mastra.models.tool_names import wire_name

__all__ = ["ANSWER", "AnthropicBody", "anthropic_body"]

ANSWER: Final = "json"
"""The tool by which a model that cannot be held to a schema gives its answer."""

_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 31_999,
}
"""Tokens for thinking, where a model is given a number of them."""

_DEEP: Final = frozenset(
    ("thinking", "output_config", "mcp_servers", "container", "context_management", "metadata")
)
"""Options whose names within are the API's too."""

_RUNS_CODE: Final = ("code_execution", "bash_code", "web_search_2026", "web_fetch_2026")
"""What runs code begins with: a container means nothing to other requests."""


@dataclass(slots=True)
class AnthropicBody:
    """What to send."""

    body: dict[str, Json]
    betas: list[str] = field(default_factory=list[str])
    """Features to be asked for in a header."""
    answer_tool: str | None = None
    """The tool whose input is the answer."""
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    """Tools that go by another name, by that name."""
    said: Conversation = field(default_factory=Conversation)
    """What the body says in turns."""


def anthropic_body(request: ModelRequest, model_name: str, provider: str) -> AnthropicBody:
    """Return the body of a streamed message, and what goes with it.

    Raises:
        ConfigError: A tool of Anthropic's is not known.
        ModelError: A file is of a kind that it does not take.
    """
    return _Maker(request, model_name, provider).make()


class _Maker:
    """Makes one body."""

    def __init__(self, request: ModelRequest, model_name: str, provider: str) -> None:
        self.request = request
        self.settings: ModelSettings = request.settings
        self.facts: ModelFacts = facts_of(model_name)
        self.provider = provider
        own: Mapping[str, Any] = {
            **(request.provider_options.get("anthropic") or {}),
            **(request.provider_options.get(provider) or {}),
        }
        self.own = {snake(key): value for key, value in own.items()}
        self.body: dict[str, Json] = {"model": model_name}
        self.betas: list[str] = []
        self.answer_tool: str | None = None
        self.choice = chosen_tool(request, provider, "anthropic")

    def make(self) -> AnthropicBody:
        own = self.own
        declared = declare(
            self.request.tools,
            self.request.provider_tools,
            self.provider,
            strict=self.facts.keeps_schemas,
        )
        self.betas += declared.betas
        thinks = own.pop("send_reasoning", True) is not False
        said = converse(self.request.messages, self.provider, thinks=thinks)
        body = self.body
        body["messages"] = said.turns
        body["stream"] = True
        if said.system:
            body["system"] = said.system
        self._think()
        self._answer(declared, own.pop("structured_output_mode", "auto"))
        self._tools(declared)
        self._options()
        self._settle(said)
        if said.has_files:
            self.betas.append("files-api-2025-04-14")
        names = {wire_name(tool.name): tool.name for tool in self.request.tools}
        renamed = {wire: name for wire, name in names.items() if wire != name}
        return AnthropicBody(body, self.betas, self.answer_tool, renamed, said)

    def _think(self) -> None:
        """Say how hard to think, in the way that the model is told."""
        wanted = self.settings.reasoning
        effort = self.own.pop("effort", None)
        if "thinking" in self.own or wanted is None:
            thinking = snake_keys(self.own.pop("thinking", None))
        elif isinstance(wanted, Mapping) and ("type" in wanted):
            thinking = snake_keys(cast("Mapping[str, Any]", wanted))
        else:
            thinking, effort = self._wanted(wanted, effort)
        if thinking is not None:
            self.body["thinking"] = thinking
        if effort is not None:
            self._config("effort", effort)

    def _wanted(self, wanted: Any, effort: Any) -> tuple[dict[str, Any] | None, Any]:
        """Return thinking and effort for `settings.reasoning`."""
        if isinstance(wanted, Mapping):
            given = snake_keys(cast("Mapping[str, Any]", wanted))
            wanted = given.get("budget_tokens", given.get("max_tokens", given.get("effort")))
            if given.get("enabled") is False:
                wanted = False
        if wanted is False or wanted in ("none", "off", 0):
            return {"type": "disabled"}, effort
        if self._is_forced():
            # A model that has to call a tool may not think first.
            return None, effort
        if wanted is True or wanted == "auto":
            # As hard as the model does by itself.
            wanted = None
        if not self.facts.thinks_adaptively:
            budget = wanted if isinstance(wanted, int) else _BUDGETS.get(str(wanted), 8192)
            return {"type": "enabled", "budget_tokens": max(budget, 1024)}, effort
        thinking: dict[str, Any] = {"type": "adaptive"}
        if self.facts.hides_thoughts:
            thinking["display"] = "summarized"
        if isinstance(wanted, int):
            wanted = "low" if wanted <= 2048 else "medium" if wanted <= 8192 else "high"
        return thinking, effort or ("low" if wanted == "minimal" else wanted)

    def _is_forced(self) -> bool:
        offers = bool(self.request.tools or self.request.provider_tools)
        return offers and (self.choice == "required" or not isinstance(self.choice, str))

    def _config(self, key: str, value: Json) -> None:
        self.body["output_config"] = {**(self.body.get("output_config") or {}), key: value}

    def _answer(self, declared: Declared, mode: str) -> None:
        """Ask for an answer that meets a schema."""
        wanted = self.request.response_format
        if wanted is None:
            return
        wished = wanted.schema if wanted.given is None else wanted.given
        strict = self.facts.keeps_schemas and mode in ("auto", "outputFormat", "output_format")
        if strict and (mode != "auto" or can_be_strict(wished)):
            self._config("format", {"type": "json_schema", "schema": strict_schema(wished)})
        elif is_object(wished):
            self.answer_tool = ANSWER
            declared.tools.append(
                {
                    "name": ANSWER,
                    "description": "Give the answer: a JSON object that meets the schema.",
                    "input_schema": input_schema(wished),
                }
            )
        else:
            schema = orjson.dumps(wished).decode()
            said = f"Answer with JSON that meets this JSON Schema, and with nothing else: {schema}"
            self.body["system"] = [
                *(self.body.get("system") or ()),
                {"type": "text", "text": said},
            ]

    def _tools(self, declared: Declared) -> None:
        if declared.servers:
            self.body["mcp_servers"] = declared.servers
        if not declared.tools:
            return
        self.body["tools"] = declared.tools
        choice = self.choice
        wire: dict[str, Json]
        match choice:
            case ToolSpec():
                wire = {"type": "tool", "name": wire_name(choice.name)}
            case ProviderTool():
                wire = {"type": "tool", "name": name_of(choice)}
            case _:
                wire = {"type": {"required": "any"}.get(choice, choice)}
        parallel = self.settings.parallel_tool_calls
        if self.answer_tool is not None and isinstance(choice, str):
            wire, parallel = self._answering(declared, choice), False
        if self.own.pop("disable_parallel_tool_use", False):
            parallel = False
        if parallel is False and wire["type"] != "none":
            wire["disable_parallel_tool_use"] = True
        self.body["tool_choice"] = wire

    def _answering(self, declared: Declared, choice: str) -> dict[str, Json]:
        """Return the choice of a request that is answered by a call."""
        thinking: Any = self.body.get("thinking") or {}
        if choice == "none" or len(declared.tools) == 1:
            wire: dict[str, Json] = {"type": "tool", "name": ANSWER}
        else:
            wire = {"type": "any"}
        # While it thinks, a model cannot be made to call a tool.
        return wire if thinking.get("type") in (None, "disabled") else {"type": "auto"}

    def _options(self) -> None:
        """Take over the options that are spelt as the AI SDK spells them."""
        own, body = self.own, self.body
        self.betas += own.pop("anthropic_beta", None) or own.pop("betas", None) or ()
        own.pop("tool_streaming", None)
        mark = cache_control(own)
        own.pop("cache_control", None)
        if mark is not None:
            # The API puts it on the last block that can be kept.
            body["cache_control"] = mark
        servers = own.pop("mcp_servers", None)
        if servers:
            body["mcp_servers"] = [*(body.get("mcp_servers") or ()), *snake_keys(servers)]
        config = own.pop("output_config", None)
        if config:
            body["output_config"] = {**(body.get("output_config") or {}), **snake_keys(config)}
        for key, value in own.items():
            body[key] = snake_keys(value) if key in _DEEP else value
        extra = dict(self.settings.extra_body or {})
        self.betas += extra.pop("betas", None) or ()
        if "tools" in extra:
            extra["tools"] = [_from_function(tool) for tool in extra["tools"]]
            body.setdefault("tool_choice", {"type": "auto"})
        body.update(extra)

    def _settle(self, said: Conversation) -> None:
        """Add what depends on all the rest."""
        body = self.body
        if not may_think(said.turns) and "thinking" not in (self.settings.extra_body or {}):
            self._think_no_more()
        thinking: Mapping[str, Any] = body.get("thinking") or {}
        self._limit(thinking)
        self._sample(thinks=thinking.get("type") in ("enabled", "adaptive"))
        tools: list[dict[str, Any]] = body.get("tools") or []
        self._ask_for_features([str(tool.get("type") or "") for tool in tools])
        if any(str(tool.get("type")).startswith(_RUNS_CODE) for tool in tools):
            self._contain(said.container)
        system: list[dict[str, Any]] = body.get("system") or []
        if isinstance(system, str):
            system = []
        turns = [block for turn in said.turns for block in turn["content"]]
        # A mark on the whole request is one of them.
        keep_last_marks([*tools, *system, *turns], most=3 if "cache_control" in body else 4)

    def _think_no_more(self) -> None:
        """Leave thinking with a number of tokens out: it may not begin in the middle of a turn."""
        thinking: Mapping[str, Any] = self.body.get("thinking") or {}
        if thinking.get("type") == "enabled":
            del self.body["thinking"]

    def _ask_for_features(self, kinds: list[str]) -> None:
        """Name the features that a header has to ask for."""
        body = self.body
        thinking: Mapping[str, Any] = body.get("thinking") or {}
        if thinking.get("type") == "enabled" and kinds and self.facts.may_interleave:
            self.betas.append("interleaved-thinking-2025-05-14")
        if body.get("mcp_servers") and "mcp_toolset" not in kinds:
            self.betas.append("mcp-client-2025-04-04")
        if body.get("context_management"):
            self.betas.append("context-management-2025-06-27")
            if "compact_" in str(body["context_management"]):
                self.betas.append("compact-2026-01-12")
        if body.get("speed"):
            self.betas.append("fast-mode-2026-02-01")
        if "skills" in (body.get("container") or ()):
            self.betas += ("skills-2025-10-02", "files-api-2025-04-14")

    def _contain(self, container: str | None) -> None:
        """Run code where it ran before, if that is still there."""
        known: Any = self.body.get("container")
        if container is None:
            return
        if known is None:
            self.body["container"] = container
        elif isinstance(known, Mapping) and "id" not in known:
            self.body["container"] = {**cast("Mapping[str, Any]", known), "id": container}

    def _limit(self, thinking: Mapping[str, Any]) -> None:
        """Say how long the answer may be, which the API wants to be told."""
        body, facts, wanted = self.body, self.facts, self.settings.max_output_tokens
        if "max_tokens" in body:
            return
        longest = facts.max_output_tokens
        budget: int = thinking.get("budget_tokens") or 0
        if "thinking" in (self.settings.extra_body or {}):
            budget = 0
        limit = (wanted or longest) + budget
        if facts.is_claude:
            limit = min(limit, max(longest, wanted or 0))
        if budget >= limit:
            body["thinking"] = {**thinking, "budget_tokens": max(limit // 2, 1024)}
        body["max_tokens"] = limit

    def _sample(self, *, thinks: bool) -> None:
        """Say how to sample, as far as the model can be told."""
        settings, body = self.settings, self.body
        stop = [settings.stop] if isinstance(settings.stop, str) else list(settings.stop or ())
        stop = [text for text in stop if text.strip()]
        if stop:
            body.setdefault("stop_sequences", stop)
        if not self.facts.samples:
            return
        given: dict[str, float | None] = {
            "temperature": None if settings.temperature is None else min(settings.temperature, 1),
            "top_p": settings.top_p,
            "top_k": settings.top_k,
        }
        if thinks:
            # Whoever thinks is sampled in one way only.
            given["temperature"] = given["top_k"] = None
            if given["top_p"] is not None and given["top_p"] < 0.95:
                given["top_p"] = None
        if self.facts.samples_one_way and given["temperature"] is not None:
            given["top_p"] = None
        for key, value in given.items():
            if value is not None:
                body.setdefault(key, value)


def _from_function(tool: Any) -> Any:
    """Return a function declared as chat completions declare it in Anthropic's form."""
    if not isinstance(tool, Mapping) or "function" not in tool:
        return cast("Any", tool)
    function: dict[str, Any] = dict(cast("Any", tool)["function"])
    wire: dict[str, Any] = {
        "name": function["name"],
        "input_schema": input_schema(function.get("parameters") or {}),
    }
    if function.get("description"):
        wire["description"] = function["description"]
    return wire
