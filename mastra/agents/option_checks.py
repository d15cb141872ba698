"""Whether what an agent and a call of it are given can be meant, before anything runs.

What is only looked at later would be left out without a word: a thread that is misspelled is a
conversation that nobody remembers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.buildable import optional_schema
from mastra.errors import ConfigError
from mastra.given import (
    COUNT,
    FLAG,
    FUNCTION,
    ID,
    LIST,
    MAPPING,
    MAPPING_OR_FUNCTION,
    SCHEMA,
    TEXT,
    TEXTS,
    Form,
    check_given,
    check_names,
    either,
    having,
)
from mastra.models.resolve import MODEL
from mastra.names import hint
from mastra.stream.abort import AbortSignal

__all__ = ["check_call", "check_made", "setting_of"]


def _can_abort(given: Any) -> bool:
    if isinstance(given, AbortSignal):
        return True
    # A thread's event has a `wait` as well, which would block the loop.
    return hasattr(given, "is_set") and iscoroutinefunction(getattr(given, "wait", None))


_SAID: Final = Form(
    "text, a message or a list of them", lambda value: not isinstance(value, (int, float, bytes))
)
_PROCESSORS: Final = either(Form("a list of processors", LIST.holds), FUNCTION)
_TOOLS: Final = Form("a dict or a list of tools", lambda v: LIST.holds(v) or MAPPING.holds(v))
_OF_AGENT: Final = {
    "name": TEXT,
    "instructions": either(_SAID, FUNCTION),
    "model": MODEL,
    "tools": either(_TOOLS, FUNCTION),
    "agents": MAPPING_OR_FUNCTION,
    "workflows": MAPPING_OR_FUNCTION,
    "description": TEXT,
    "default_options": MAPPING_OR_FUNCTION,
    "max_retries": COUNT,
    "input_processors": _PROCESSORS,
    "output_processors": _PROCESSORS,
    "error_processors": _PROCESSORS,
    "max_processor_retries": COUNT,
    "metadata": MAPPING_OR_FUNCTION,
    "request_context_schema": SCHEMA,
    "hooks": MAPPING,
    "durable": FLAG,
    "cache_instructions": FLAG,
    "scorers": MAPPING_OR_FUNCTION,
}
_OF_CALL: Final = {
    "stop_when": either(FUNCTION, LIST),
    "active_tools": TEXTS,
    "toolsets": MAPPING,
    "client_tools": _TOOLS,
    "client_results": LIST,
    "model": MODEL,
    "instructions": _SAID,
    "system": _SAID,
    "context": _SAID,
    "prepare_step": FUNCTION,
    "on_step_finish": FUNCTION,
    "on_iteration_complete": FUNCTION,
    "auto_resume_suspended_tools": FLAG,
    "on_finish": FUNCTION,
    "on_chunk": FUNCTION,
    "on_error": FUNCTION,
    "on_abort": FUNCTION,
    "abort_signal": Form(
        "an AbortSignal, as mastra.AbortController().signal, or an asyncio.Event", _can_abort
    ),
    "require_tool_approval": either(FLAG, FUNCTION),
    "input_processors": LIST,
    "output_processors": LIST,
    "error_processors": LIST,
    "max_processor_retries": COUNT,
    "provider_options": MAPPING,
    "include_raw_chunks": FLAG,
    "hooks": MAPPING,
    "scorers": MAPPING,
    "return_scorer_data": FLAG,
    "run_id": ID,
}
_OF_FUNCTIONS: Final = {
    "tools": _TOOLS,
    "agents": MAPPING,
    "workflows": MAPPING,
    "default_options": MAPPING,
    "input_processors": LIST,
    "output_processors": LIST,
    "error_processors": LIST,
    "memory": having("an object, Memory()", "bound_to"),
}
_CHOICES: Final = ("auto", "none", "required")
_DATA: Final = (str, int, float, bool, "str", "int", "float", "bool")


def _is_thread(value: Any) -> bool:
    if isinstance(value, Mapping):
        return ID.holds(cast("Mapping[str, Any]", value).get("id"))
    return ID.holds(value)


_MEMORY: Final = {
    "thread": Form(f"the thread's id, or a dict with its `id`: {ID.words}", _is_thread),
    "resource": ID,
    "options": MAPPING,
    "save_per_step": FLAG,
}


def check_made(given: Mapping[str, Any]) -> None:
    """Check what an agent is made of.

    Raises:
        ConfigError: It cannot be meant.
    """
    agent_id, model, memory, tools = (given[name] for name in ("id", "model", "memory", "tools"))
    if not isinstance(agent_id, str):
        raise ConfigError(f"An agent's id is text, not {type(agent_id).__name__}: {agent_id!r}.")
    if model is None or isinstance(model, type):
        told = "None" if model is None else f"the class {model.__name__}"
        raise ConfigError(
            f"The model of agent {agent_id!r} is {told}: give 'provider/model', such as "
            "'openai/gpt-4o', or an object."
        )
    if memory is not None and (isinstance(memory, type) or not _is_memory(memory)):
        told = memory.__name__ if isinstance(memory, type) else repr(memory)
        raise ConfigError(
            f"The memory of agent {agent_id!r} is {told}: give an object, `memory=Memory()`, or a "
            "function that returns one."
        )
    if hasattr(tools, "input_schema") or _is_plain_tool(tools):
        name = getattr(tools, "__name__", "my_tool")
        raise ConfigError(f"Agent {agent_id!r} takes a list or a dict of tools: `tools=[{name}]`.")
    check_given(f"Agent {agent_id!r}", given, _OF_AGENT)
    what = f"request_context_schema of agent {agent_id!r}"
    optional_schema(given["request_context_schema"], what)


def _is_plain_tool(tools: Any) -> bool:
    """Return whether a function is a tool, and not one that gives tools for a call's context."""
    if not inspect.isfunction(tools):
        return False
    taken = inspect.signature(tools).parameters.values()
    required = [item for item in taken if item.default is item.empty and item.kind < 2]
    of_data = [item for item in required if item.annotation in _DATA]
    return len(required) > 1 or bool(of_data)


def _is_memory(memory: Any) -> bool:
    return callable(memory) or hasattr(memory, "bound_to")


async def setting_of(spec: Any, name: str, context: AgentContext) -> Any:
    """Return a setting of an agent, as its function gives it where it is one.

    Raises:
        ConfigError: What the function gave cannot be meant.
    """
    found = await resolve_dynamic(getattr(spec, name), context)
    if found is not getattr(spec, name):
        check_given(f"Agent {spec.id!r}, what its functions give", {name: found}, _OF_FUNCTIONS)
    return found


def check_call(options: Mapping[str, Any]) -> None:
    """Check the values of options of a call.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    steps = options.get("max_steps")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise ConfigError(f"max_steps is {steps!r}: give a number from 1.")
    choice = options.get("tool_choice")
    if isinstance(choice, str) and choice not in _CHOICES:
        raise ConfigError(
            f"tool_choice is {choice!r}: give one of {', '.join(map(repr, _CHOICES))}, or "
            f"{{'type': 'tool', 'toolName': {choice!r}}}.{hint([choice], _CHOICES)}"
        )
    if isinstance(options.get("active_tools"), str):
        name = options["active_tools"]
        raise ConfigError(f"active_tools is {name!r}: give a list of names, [{name!r}].")
    check_given("The call of an agent", options, _OF_CALL)
    if options.get("memory") is not None:
        _check_memory(options["memory"])


def _check_memory(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"memory is {given!r}: give a dict, {{'thread': …, 'resource': …}}, of the thread's id "
            "and whose it is."
        )
    known = cast("Mapping[str, Any]", given)
    check_names("memory has no", known, _MEMORY)
    check_given("memory", known, _MEMORY)
