"""Resources, prompts and suggestions of a server of ours, in the protocol's form."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, cast

from mcp import types
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mastra.errors import ConfigError, NotFoundError
from mastra.failures import call_user
from mastra.mcp.content import block_of
from mastra.mcp.offers import Completer, MCPServerPrompts, MCPServerResources
from mastra.models.messages import FilePart, ImagePart, Message, TextPart
from mastra.tools.tool_context import ToolContext

__all__ = [
    "completed",
    "listed_prompts",
    "listed_resources",
    "listed_templates",
    "prompt_messages",
    "resource_contents",
]

_MOST_SUGGESTIONS: Final = 100


async def listed_resources(resources: MCPServerResources, ctx: ToolContext) -> list[types.Resource]:
    """Return the resources there are."""
    found = await call_user(resources.list_resources, ctx)
    return [_as(types.Resource, item, "list_resources") for item in found]


async def listed_templates(
    resources: MCPServerResources, ctx: ToolContext
) -> list[types.ResourceTemplate]:
    """Return the addresses with blanks."""
    if resources.resource_templates is None:
        return []
    found = await call_user(resources.resource_templates, ctx)
    return [_as(types.ResourceTemplate, item, "resource_templates") for item in found]


async def resource_contents(
    resources: MCPServerResources, uri: str, ctx: ToolContext
) -> list[types.TextResourceContents | types.BlobResourceContents]:
    """Return what is at an address.

    Raises:
        NotFoundError: Nothing is.
    """
    found: Any = await call_user(resources.get_resource_content, uri, ctx)
    if found is None:
        raise NotFoundError(f"There is no resource {uri!r}.")
    kinds = {item.uri: item.mime_type for item in await listed_resources(resources, ctx)}
    parts = cast("list[Any]", found) if isinstance(found, list) else [found]
    return [_contents(part, uri, kinds.get(uri)) for part in parts]


def _contents(
    part: Any, uri: str, kind: str | None
) -> types.TextResourceContents | types.BlobResourceContents:
    if isinstance(part, str):
        return types.TextResourceContents(uri=uri, text=part, mime_type=kind)
    if isinstance(part, bytes):
        blob = base64.b64encode(part).decode()
        return types.BlobResourceContents(uri=uri, blob=blob, mime_type=kind)
    if not isinstance(part, Mapping):
        raise ConfigError(
            f"get_resource_content gave {type(part).__name__} for {uri!r}: give text, bytes, or a "
            "dict with text or blob."
        )
    facts = {"uri": uri, "mimeType": kind, **cast("Mapping[str, Any]", part)}
    made = types.TextResourceContents if "text" in facts else types.BlobResourceContents
    return _as(made, facts, "get_resource_content")


async def listed_prompts(prompts: MCPServerPrompts, ctx: ToolContext) -> list[types.Prompt]:
    """Return the prompts there are."""
    found = await call_user(prompts.list_prompts, ctx)
    return [_as(types.Prompt, item, "list_prompts") for item in found]


async def prompt_messages(
    prompts: MCPServerPrompts, name: str, args: dict[str, str], ctx: ToolContext
) -> types.GetPromptResult:
    """Return a prompt filled in.

    Raises:
        NotFoundError: There is none of that name.
        MCPError: An argument is missing.
    """
    known = {prompt.name: prompt for prompt in await listed_prompts(prompts, ctx)}
    prompt = known.get(name)
    if prompt is None:
        raise NotFoundError(f"There is no prompt {name!r}.")
    missing = [one.name for one in prompt.arguments or () if one.required and one.name not in args]
    if missing:
        raise MCPError(INVALID_PARAMS, f"Prompt {name!r} needs the argument {missing[0]!r}.")
    found = await call_user(prompts.get_prompt_messages, name, args, ctx)
    # One alone is as good as a list of it; a text would be taken apart letter by letter.
    is_one = isinstance(found, str | Mapping | Message | types.PromptMessage)
    items: Any = [found] if is_one else found
    messages = [made for item in items for made in _messages(item)]
    return types.GetPromptResult(description=prompt.description, messages=messages)


def _messages(item: Any) -> list[types.PromptMessage]:
    if isinstance(item, Mapping | types.PromptMessage):
        return [_as(types.PromptMessage, item, "get_prompt_messages")]
    message = Message("user", item) if isinstance(item, str) else item
    if not isinstance(message, Message) or message.role not in {"user", "assistant"}:
        raise ConfigError(
            "get_prompt_messages gives texts, messages of the user's or the assistant's, or dicts "
            f"with role and content, not {item!r:.80}."
        )
    role: Any = message.role
    shown = [part for part in message.parts if isinstance(part, TextPart | ImagePart | FilePart)]
    return [types.PromptMessage(role=role, content=block_of(part)) for part in shown]


async def completed(complete: Completer, of: str, argument: str, value: str) -> types.Completion:
    """Return suggestions for an argument."""
    given: Any = await call_user(complete, of, argument, value)
    found: list[str] = [given] if isinstance(given, str) else list(given)
    return types.Completion(
        values=found[:_MOST_SUGGESTIONS],
        total=len(found),
        has_more=len(found) > _MOST_SUGGESTIONS,
    )


def _as(kind: Any, item: Any, what: str) -> Any:
    """Return what a function of the application's gave as the SDK's type."""
    if isinstance(item, kind):
        return item
    try:
        return kind.model_validate(item)
    except ValueError as error:
        raise ConfigError(f"{what} gave what is no {kind.__name__}: {error}") from error
