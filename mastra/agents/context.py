"""What an agent's dynamic settings are functions of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mastra.failures import call_user
from mastra.names import python_names, takes_context
from mastra.request_context import RequestContext
from mastra.services import Services

__all__ = ["AgentContext", "resolve_dynamic"]


@python_names
@dataclass(frozen=True, slots=True)
class AgentContext:
    """One call of an agent, as its dynamic settings see it."""

    request_context: RequestContext = field(default_factory=RequestContext)
    """Values of the request."""
    mastra: Services | None = None
    """The application, where the agent is registered with one."""
    agent_id: str = ""
    """The agent's id."""
    run_id: str | None = None
    """The run, where there is one already."""
    thread_id: str | None = None
    """The thread of the agent's memory, if any."""
    resource_id: str | None = None
    """Whose thread it is."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the request."""
        return self.request_context.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.request_context[key]

    def __contains__(self, key: object) -> bool:
        return key in self.request_context


async def resolve_dynamic(value: Any, context: AgentContext) -> Any:
    """Return a setting, calling it where it is a function, with the context if it takes one."""
    if not callable(value) or isinstance(value, type):
        return value
    return await (call_user(value, context) if _takes_argument(value) else call_user(value))


def _takes_argument(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None and not inspect.ismethod(function):  # once a setting and call: no signature
        needed = code.co_argcount - len(getattr(function, "__defaults__", None) or ())
        if needed > 0 or not code.co_argcount:
            return needed > 0 or bool(code.co_flags & inspect.CO_VARARGS)
    return takes_context(function, 0, "AgentContext")
