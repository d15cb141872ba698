"""From the body of a call to the options of an agent: what a caller may say, and no more.

A body may tighten what the agent's author decided, never loosen it. What is not named here does
not pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.agents.limits import UsageLimits
from mastra.agents.loop.recall import UPDATE_TOOL
from mastra.agents.output import StructuredOutput
from mastra.agents.prompt import system_messages
from mastra.errors import ConfigError
from mastra.models.schema_parts import is_moderate
from mastra.models.settings import ModelSettings
from mastra.request_context import RequestContext
from mastra.server.caller_memory import memory_options
from mastra.server.caller_messages import plain_messages, refuse_instructions
from mastra.server.caller_settings import (
    allowed_model,
    number_within,
    provider_options,
    settings,
)
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentAnswerBody, AgentBody
from mastra.tools.named import named_provider_tools, named_tools
from mastra.tools.tool import Tool, create_tool

__all__ = ["call_options"]

_OUTPUT: Final = {
    "schema": "schema",
    "model": "model",
    "instructions": "instructions",
    "errorStrategy": "error_strategy",
    "fallbackValue": "fallback_value",
    "jsonPromptInjection": "json_prompt_injection",
    "strict": "strict",
}
_CHOICES: Final = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class _Call:
    server: Server
    agent: Agent
    context: RequestContext
    author: Mapping[str, Any]
    """The agent's default options."""

    async def tools(self) -> dict[str, bool]:
        """Return the names of the agent's own tools, and whether each runs here."""
        spec, asked = self.agent.spec, AgentContext(self.context, self.server.mastra, self.agent.id)
        given = await resolve_dynamic(spec.tools, asked)
        names = {name: tool.call is not None for name, tool in named_tools(given).items()}
        names |= dict.fromkeys(named_provider_tools(given), True)
        for kind, value in (("agent", spec.agents), ("workflow", spec.workflows)):
            names |= {f"{kind}-{key}": True for key in await resolve_dynamic(value, asked) or ()}
        return names if spec.memory is None else {**names, UPDATE_TOOL: True}


async def call_options(
    server: Server, request: Request, agent: Agent, body: AgentBody | AgentAnswerBody
) -> dict[str, Any]:
    """Return the options that a body asks for, as far as they are a caller's to say.

    Raises:
        Refusal: One of them is not, or cannot be.
    """
    context = server.request_context(request, body.request_context)
    call = _Call(server, agent, context, await agent.get_default_options(context))
    options: dict[str, Any] = {"request_context": context}
    author = call.author
    if body.model_settings:
        of_author = ModelSettings.of(author.get("model_settings"))
        options["model_settings"] = settings(body.model_settings, of_author, agent.spec.max_retries)
    options["max_steps"] = number_within(body.max_steps, author.get("max_steps"))
    # `false` is what there is without it; where the author wants approval, it stays.
    options["require_tool_approval"] = True if body.require_tool_approval else None
    if isinstance(body, AgentBody):
        await _said(call, body, options)
    memory = await memory_options(server, request, agent, context, body, author)
    if memory:
        options["memory"] = memory
    return {name: value for name, value in options.items() if value is not None}


async def _said(call: _Call, body: AgentBody, options: dict[str, Any]) -> None:
    """Add what only the routes that ask an agent take."""
    author, config = call.author, call.server.config
    options["context"] = None if body.context is None else plain_messages(body.context)
    if body.limits is not None:
        options["limits"] = _limits(body.limits, author.get("limits"))
    options["run_id"] = body.run_id
    if body.model is not None:
        options["model"] = allowed_model(body.model, config.allowed_models, "model")
    if body.provider_options:
        options["provider_options"] = provider_options(
            body.provider_options,
            author.get("provider_options") or {},
            config.allowed_provider_options,
        )
    if body.structured_output:
        wanted = _output(body.structured_output, config.allowed_models)
        # What an answer has to be is for whoever reads it to say, unless the author has.
        options["structured_output"] = wanted if author.get("structured_output") is None else None
    for name in ("auto_resume_suspended_tools", "include_raw_chunks"):
        # `false` is what there is without it, and a durable agent keeps no option that it need not.
        decided, wanted = author.get(name), getattr(body, name)
        options[name] = wanted if decided is not False and (wanted or decided) else None
    options["tool_call_concurrency"] = _concurrency(
        body.tool_call_concurrency, author.get("tool_call_concurrency")
    )
    _instructions(call, body, options)
    await _tools(call, body, options)


# -- what the model is told --------------------------------------------------------------------


def _instructions(call: _Call, body: AgentBody, options: dict[str, Any]) -> None:
    given = [text for text in (body.instructions, body.system) if text]
    policy = call.server.config.instructions_of_callers
    output = body.structured_output or {}
    if given or ("schema" in output and output.get("instructions")):
        refuse_instructions(policy, {"role": "system"})
    refuse_instructions(policy, body.messages, body.context)
    try:
        told = [system_messages(text) for text in given]
        if policy == "replace" and body.instructions:
            options["instructions"] = told.pop(0)
    except (ConfigError, TypeError, ValueError, KeyError) as error:
        raise Refusal(400, f"instructions and system are text or messages: {error}") from None
    if told:
        before = system_messages(call.author.get("system"))
        options["system"] = [*before, *(message for texts in told for message in texts)]


def _output(given: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    if "schema" not in given:
        return {"schema": _schema(given, "structuredOutput.schema")}
    unknown = sorted(given.keys() - _OUTPUT.keys())
    if unknown:
        raise Refusal(400, f"structuredOutput.{unknown[0][:60]} is not a caller's to set.")
    wanted = {_OUTPUT[key]: value for key, value in given.items() if value is not None}
    if "model" in wanted:
        wanted["model"] = allowed_model(wanted["model"], allowed, "structuredOutput.model")
    if not isinstance(wanted.get("schema"), dict):
        raise Refusal(400, "structuredOutput.schema must be a JSON Schema.")
    _schema(wanted["schema"], "structuredOutput.schema")
    try:
        StructuredOutput.of(wanted)
    except ConfigError as error:
        raise Refusal(400, error.message) from None
    return wanted


def _schema(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a JSON Schema, where what it comes to is no larger than a provider would take."""
    if not is_moderate(given):
        raise Refusal(400, f"{what} is too large, with what it refers to written out.")
    return dict(given)


# -- tools -------------------------------------------------------------------------------------


async def _tools(call: _Call, body: AgentBody, options: dict[str, Any]) -> None:
    author = call.author
    choice: Any = body.tool_choice
    names: dict[str, bool] = {}
    if body.client_tools or body.active_tools is not None or isinstance(choice, dict):
        names = await call.tools()
    if body.client_tools:
        taken = [name for name in body.client_tools if names.get(name)]
        if taken:
            raise Refusal(
                400,
                f"Client tool {taken[0][:60]!r} has the name of a tool that runs on the server.",
            )
        # One that the author left to clients is as the author describes it.
        fresh = {name: tool for name, tool in body.client_tools.items() if name not in names}
        options["client_tools"] = _client_tools(fresh) or None
        names |= dict.fromkeys(fresh, False)
    if body.active_tools is not None:
        options["active_tools"] = _active(body, author.get("active_tools"), names)
    if choice is not None:
        options["tool_choice"] = _choice(choice, author.get("tool_choice"), names)
    _check_chosen({**author, **options})


def _check_chosen(options: Mapping[str, Any]) -> None:
    """Refuse a choice of a tool that is not among those that may be called."""
    choice, active = options.get("tool_choice"), options.get("active_tools")
    name: Any = cast("Any", choice).get("toolName") if isinstance(choice, Mapping) else None
    if name is not None and active is not None and name not in active:
        raise Refusal(400, f"activeTools leaves out {name[:60]!r}, which has to be called.")


def _active(body: AgentBody, author: Sequence[str] | None, names: Collection[str]) -> list[str]:
    wanted = body.active_tools or []
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise Refusal(400, f"activeTools names {unknown[0][:60]!r}, which the agent does not have.")
    own = set(body.client_tools or ())
    return [name for name in wanted if author is None or name in author or name in own]


def _choice(given: Any, author: Any, names: Collection[str]) -> Any:
    if isinstance(given, dict):
        known = cast("dict[str, Any]", given)
        name = known.get("toolName") or known.get("tool_name")
        if not isinstance(name, str) or name not in names:
            raise Refusal(400, "toolChoice names a tool that the agent does not have.")
        given = {"type": "tool", "toolName": name}
    elif given not in _CHOICES:
        raise Refusal(400, f"toolChoice is one of {', '.join(_CHOICES)}, or names a tool.")
    # None at all is always less than what the author decided.
    return given if author is None or given == "none" else author


def _limits(given: Mapping[str, Any], author: Any) -> UsageLimits:
    try:
        wanted = UsageLimits.of(given)
    except ConfigError as error:
        raise Refusal(400, error.message) from None
    return wanted.within(UsageLimits.of(author))


def _concurrency(given: int | None, author: Any) -> Any:
    if given is None or author is None:
        return given
    if isinstance(author, Mapping):
        known = cast("Mapping[str, Any]", author)
        return {**known, "limit": number_within(given, known.get("limit"))}
    return number_within(given, author)


def _client_tools(given: dict[str, Any]) -> dict[str, Tool[Any, Any]]:
    tools: dict[str, Tool[Any, Any]] = {}
    for name, facts in given.items():
        if not isinstance(facts, dict):
            raise Refusal(400, f"Client tool {name!r} must be an object")
        known = cast("dict[str, Any]", facts)
        schema = known.get("inputSchema") or known.get("parameters") or {"type": "object"}
        if not isinstance(schema, dict):
            raise Refusal(400, f"The input schema of client tool {name!r} must be an object")
        _schema(cast("dict[str, Any]", schema), f"The input schema of client tool {name[:60]!r}")
        text = str(known.get("description") or name)
        if not name:
            raise Refusal(400, "A client tool has a name.")
        try:
            tools[name] = create_tool(str(known.get("id") or name), text, cast("Any", schema))
        except ConfigError as error:
            raise Refusal(400, error.message) from error
    return tools
