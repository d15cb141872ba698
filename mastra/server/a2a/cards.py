"""What an agent tells of itself before it is asked."""

from __future__ import annotations

from typing import Any, Final

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.utils.constants import PROTOCOL_VERSION_0_3, PROTOCOL_VERSION_1_0

from mastra.agents.agent import Agent
from mastra.tools.tool import Tool

__all__ = ["card_of", "card_wire"]

_TEXT: Final = "text/plain"
_DATA: Final = "application/json"
_BINDING: Final = "JSONRPC"
_VERSION: Final = "1.0.0"


def card_of(
    agent: Agent, tools: dict[str, Tool[Any, Any]], url: str, *, has_auth: bool, has_push: bool
) -> AgentCard:
    """Return an agent's card.

    Args:
        agent: The agent.
        tools: Its tools, of which each is a skill.
        url: Where it is spoken to.
        has_auth: Whether callers show a token.
        has_push: Whether callers may be told of their tasks at an address of theirs.
    """
    what = agent.description or f"The agent {agent.name}."
    skills = [
        AgentSkill(id=name, name=tool.title or name, description=tool.description, tags=["tool"])
        for name, tool in tools.items()
    ]
    card = AgentCard(
        name=agent.name,
        description=what,
        version=_VERSION,
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=_BINDING, protocol_version=version)
            for version in (PROTOCOL_VERSION_1_0, PROTOCOL_VERSION_0_3)
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=has_push),
        default_input_modes=[_TEXT, _DATA],
        default_output_modes=[_TEXT, _DATA],
        skills=skills
        or [AgentSkill(id=agent.id, name=agent.name, description=what, tags=["agent"])],
    )
    if has_auth:
        bearer = HTTPAuthSecurityScheme(scheme="bearer")
        card.security_schemes["bearer"].CopyFrom(SecurityScheme(http_auth_security_scheme=bearer))
        card.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
    return card


def card_wire(card: AgentCard) -> dict[str, Any]:
    """Return a card as it is sent, for clients of both versions."""
    return agent_card_to_dict(card)
