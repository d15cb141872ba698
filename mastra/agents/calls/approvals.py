"""Whether an agent's author wants a person to agree to a call, whatever the tool itself says."""

from __future__ import annotations

from typing import Any

from mastra.agents.options import ToolApproval
from mastra.failures import call_user
from mastra.logs import get_logger

__all__ = ["asks_of_call"]


async def asks_of_call(policy: Any, call: ToolApproval) -> bool:
    """Return whether a person must agree to a call.

    Args:
        policy: The option `require_tool_approval`: a flag, or a function of the call.
        call: What would be run.
    """
    if not callable(policy):
        return bool(policy)
    try:
        return bool(await call_user(policy, call))
    except Exception as error:  # noqa: BLE001 - whatever the policy raises, a person decides
        get_logger({"tool": call.tool_name}).warning(
            "approval policy raised; asking", exc_info=error
        )
        return True
