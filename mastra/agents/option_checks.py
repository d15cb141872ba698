"""Whether what an agent and a call of it are given can be meant, before anything runs.

What is only looked at later would be left out without a word: a thread that is misspelled is a
conversation that nobody remembers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, cast

from mastra.errors import ConfigError
from mastra.names import hint

__all__ = ["check_call", "check_made"]

_MEMORY: Final = ("thread", "resource", "options", "save_per_step")
_CHOICES: Final = ("auto", "none", "required")
_DATA: Final = (str, int, float, bool, "str", "int", "float", "bool")


def check_made(agent_id: Any, model: Any, memory: Any, tools: Any) -> None:
    """Check what an agent is made of.

    Raises:
        ConfigError: It cannot be meant.
    """
    if not isinstance(agent_id, str):
        raise ConfigError(f"An agent's id is text, not {type(agent_id).__name__}: {agent_id!r}.")
    if model is None or isinstance(model, type):
        given = "None" if model is None else f"the class {model.__name__}"
        raise ConfigError(
            f"The model of agent {agent_id!r} is {given}: give 'provider/model', such as "
            "'openai/gpt-4o', or an object."
        )
    if memory is not None and (isinstance(memory, type) or not _is_memory(memory)):
        given = memory.__name__ if isinstance(memory, type) else repr(memory)
        raise ConfigError(
            f"The memory of agent {agent_id!r} is {given}: give an object, `memory=Memory()`, or a "
            "function that returns one."
        )
    if hasattr(tools, "input_schema") or _is_plain_tool(tools):
        name = getattr(tools, "__name__", "my_tool")
        raise ConfigError(f"Agent {agent_id!r} takes a list or a dict of tools: `tools=[{name}]`.")


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


def check_call(options: Mapping[str, Any]) -> None:
    """Check the values of options of a call.

    Raises:
        ConfigError: One of them cannot be meant.
    """
    steps = options.get("max_steps")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool)):
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
    if options.get("memory") is not None:
        _check_memory(options["memory"])


def _check_memory(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"memory is {given!r}: give a dict, {{'thread': …, 'resource': …}}, of the thread's id "
            "and whose it is."
        )
    unknown = cast("Mapping[str, Any]", given).keys() - set(_MEMORY)
    if unknown:
        raise ConfigError(
            f"memory has no {', '.join(map(repr, sorted(unknown)))}. There are: "
            f"{', '.join(_MEMORY)}.{hint(unknown, _MEMORY)}"
        )
