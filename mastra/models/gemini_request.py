"""Gemini's request bodies, made of messages, tools and settings. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mastra.errors import ConfigError
from mastra.jsonable import Json, dump_wire
from mastra.models.base import ModelRequest, ProviderTool, ToolSpec
from mastra.models.gemini_messages import contents_of
from mastra.models.gemini_schema import answer_schema, function_schema
from mastra.models.tool_choice import chosen_tool
from mastra.names import camel

__all__ = ["gemini_body"]

_PROVIDERS: Final = frozenset(("gemini", "google", "vertex", "vertex_ai"))
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
}
"""Tokens of thinking, for models that take a number."""
_GENERATION: Final = frozenset((
    "audioTimestamp", "imageConfig", "logprobs", "mediaResolution", "responseLogprobs",
    "responseModalities", "speechConfig", "thinkingConfig",
))  # fmt: skip
"""Options that are part of `generationConfig`."""


def gemini_body(request: ModelRequest, model_name: str, provider: str) -> dict[str, Json]:
    """Return the body of a streamed `generateContent`."""
    extra = dict(request.settings.extra_body or {})
    options = _options(request.provider_options, provider)
    is_third = model_name.startswith(("gemini-3", "models/gemini-3"))
    tools = _tools(request, extra.pop("tools", None) or ())
    generation = _generation(request, extra.pop("reasoning_effort", None), is_third=is_third)
    body: dict[str, Json] = {"contents": contents_of(request.messages, is_third=is_third)}
    system = [message.text for message in request.messages if message.role == "system"]
    wanted = request.response_format
    if wanted is not None and tools and not is_third:
        # These models answer in JSON or call functions, and refuse to be asked for both.
        schema = dump_wire(wanted.given or wanted.schema).decode()
        system.append(f"Answer with JSON alone that meets this schema: {schema}")
    elif wanted is not None:
        generation["responseMimeType"] = "application/json"
        generation["responseJsonSchema"] = answer_schema(wanted.given or wanted.schema)
    if any(system):
        body["systemInstruction"] = {"parts": [{"text": "\n\n".join(filter(None, system))}]}
    if tools:
        body["tools"] = tools
        config = _tool_config(chosen_tool(request, *_PROVIDERS), tools)
        if is_third and len(tools) > 1:
            config["includeServerSideToolInvocations"] = True
        if config:
            body["toolConfig"] = config
    generation.update({key: value for key, value in options.items() if key in _GENERATION})
    body.update({key: value for key, value in options.items() if key not in _GENERATION})
    if generation:
        body["generationConfig"] = generation
    for key, value in extra.items():
        known: Any = body.get(key)
        both = isinstance(known, dict) and isinstance(value, Mapping)
        body[key] = {**known, **value} if both else value
    return body


def _options(options: Mapping[str, Any], provider: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (*_PROVIDERS - {provider}, provider):
        found.update(options.get(name) or {})
    return found


def _generation(request: ModelRequest, effort: object, *, is_third: bool) -> dict[str, Json]:
    settings = request.settings
    stop = settings.stop
    given: dict[str, Any] = {
        "temperature": settings.temperature,
        "maxOutputTokens": settings.max_output_tokens,
        "topP": settings.top_p,
        "topK": settings.top_k,
        "presencePenalty": settings.presence_penalty,
        "frequencyPenalty": settings.frequency_penalty,
        "stopSequences": [stop] if isinstance(stop, str) else stop and list(stop),
        "seed": settings.seed,
        "thinkingConfig": _thinking(
            effort if settings.reasoning is None else settings.reasoning, is_third=is_third
        ),
    }
    return {key: value for key, value in given.items() if value is not None}


def _thinking(wanted: object, *, is_third: bool) -> Json:
    """Return how hard to think: a word, a number of tokens, or the provider's own settings."""
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return dict(cast("Mapping[str, Json]", wanted))
    if wanted is True or wanted == "auto":
        return {"includeThoughts": True}  # as hard as the model does by itself
    if wanted is False:
        wanted = "none"
    if isinstance(wanted, int):
        return {"includeThoughts": wanted > 0, "thinkingBudget": wanted}
    word = str(wanted)
    if is_third:
        level = "minimal" if word == "none" else word
        return {"includeThoughts": word != "none", "thinkingLevel": level}
    return {"includeThoughts": word != "none", "thinkingBudget": _BUDGETS.get(word, 8192)}


def _tools(request: ModelRequest, more: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return tools as Gemini takes them: functions in one entry, its own in an entry each.

    Args:
        request: What is asked.
        more: Further ones, as a body may hold them: Gemini's own, or functions in OpenAI's form.
    """
    functions = [_function(tool) for tool in request.tools]
    own: list[Json] = [
        {camel(tool.name): dict(tool.args)}
        for tool in request.provider_tools
        if tool.provider in _PROVIDERS
    ]
    names = {function["name"] for function in functions}
    for entry in more:
        if entry.get("type") != "function":
            own.append(dict(entry))
            continue
        found = entry["function"]
        if found["name"] not in names:
            spec = ToolSpec(found["name"], found.get("description") or "", found["parameters"])
            functions.append(_function(spec))
    return [*own, {"functionDeclarations": functions}] if functions else own


def _function(tool: ToolSpec) -> dict[str, Json]:
    return {
        "name": tool.name,
        "description": tool.description or tool.name,
        "parametersJsonSchema": function_schema(tool.parameters),
    }


def _tool_config(choice: str | ToolSpec | ProviderTool, tools: Sequence[Any]) -> dict[str, Json]:
    if isinstance(choice, ProviderTool):
        raise ConfigError(
            f"tool_choice names {choice.name!r}, which Gemini cannot be made to use: it decides by "
            f"itself. active_tools=[{choice.name!r}] offers it nothing else."
        )
    if not any("functionDeclarations" in tool for tool in tools) or choice == "auto":
        return {}
    if not isinstance(choice, str):
        names = [choice.name]
        return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": names}}
    mode = "ANY" if choice == "required" else "NONE"
    return {"functionCallingConfig": {"mode": mode}}
