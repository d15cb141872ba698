"""An agent that another program runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mastra.a2a.model import A2AModel
from mastra.agents.agent import Agent
from mastra.names import python_options

__all__ = ["A2AAgent"]


@python_options
class A2AAgent(Agent):
    """An agent of another program, asked by the protocol A2A, for `agents={}` and for itself.

    It is an agent as any other: it streams, remembers where its conversation goes on in a `Memory`,
    and may be a step or asked by another agent.

    Args:
        url: Its address, or that of its card.
        id: Its name here.
        description: What others read to decide when to ask it.
        headers: What is sent with each request, such as `authorization`.
        timeout_s: How long it may say nothing.
        options: Further options of `Agent`.
    """

    __slots__ = ()

    def __init__(
        self,
        url: str,
        *,
        id: str,
        description: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        **options: Any,
    ) -> None:
        model = A2AModel(url, headers=headers, timeout_s=timeout_s)
        super().__init__(id=id, description=description, model=model, **options)
