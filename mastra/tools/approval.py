"""Whether a person has to agree before a tool runs: asked in one place, whoever runs it.

`Tool.execute` refuses a call that nobody agreed to, so what runs tools has to ask first and say so
in the context it gives (`ToolContext.is_approved`): an agent waits for `approve_tool_call`, a step
of a workflow suspends, and who has nobody to ask (MCP, the routes that run a tool by itself) is
told no.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mastra.logs import get_logger
from mastra.names import takes_context

if TYPE_CHECKING:
    from mastra.tools.tool import Tool

__all__ = ["asks_approval"]


async def asks_approval(tool: Tool[Any, Any], value: Any, context: Any) -> bool:
    """Return whether a person must agree to a call.

    Args:
        tool: The tool.
        value: Its input, validated.
        context: What a policy that needs two arguments is given beside the input.
    """
    policy = tool.require_approval
    if not callable(policy):
        return bool(policy)
    try:
        answer = (
            policy(value, context) if takes_context(policy, 1, "ToolContext") else policy(value)
        )
        return bool(await answer if inspect.isawaitable(answer) else answer)
    except Exception as error:  # noqa: BLE001 - whatever the policy raises, a person decides
        get_logger({"tool": tool.id}).warning("approval policy raised; asking", exc_info=error)
        return True
