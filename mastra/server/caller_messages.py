"""Messages that callers send, without what only a provider says of them.

What a provider wants back with a message (items of its own, whatever holds them) becomes a part of
the next request as it is. From an agent's own history that is right; from a caller it would be a way
to write the request: a system message, a tool, another conversation's item. Signatures and marks for
caching say nothing by themselves, and pages send them back, so they pass.

A file's id at the provider is of that kind too: it names something in the account of the application,
which anybody's conversation may have put there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mastra.errors import InputValidationError
from mastra.models.message_wire import PROVIDER_ITEM, part_to_wire
from mastra.models.schema_parts import as_object
from mastra.models.tool_content import content_in
from mastra.server.errors import Refusal

__all__ = ["plain_messages", "refuse_instructions"]

_INSTRUCTING: Final = ("developer", "system")
"""The roles of messages that tell a model what to do."""

_METADATA: Final = frozenset((
    "callProviderMetadata", "experimental_providerMetadata", "providerMetadata", "providerOptions",
    "provider_metadata", "provider_options", "resultProviderMetadata",
))  # fmt: skip
_PASSES: Final = frozenset(
    ("imageDetail", "phase", "redactedData", "signature", "thoughtSignature")
)
"""Of a provider's own: text that only it can read, or a word of a few."""
_MARKS: Final = frozenset(("cacheControl", "cachePoint", "cache_control"))
_DEEPEST: Final = 8
"""How far down a message may hold parts; what lies deeper is not looked at, so it may not pass."""


def refuse_instructions(policy: str, *said: Any) -> None:
    """Refuse messages that tell the agent what to do, where only its author may.

    Args:
        policy: `ServerConfig.instructions_of_callers`.
        said: Messages, or one message each; what is neither passes.

    Raises:
        Refusal: One of them does, and the policy is to refuse it.
    """
    if policy == "refuse" and any(map(_instructs, said)):
        raise Refusal(
            400,
            "Instructions are the author's alone: leave out instructions, system, and messages "
            "with the role of system or developer.",
        )


def _instructs(said: Any) -> bool:
    listed = cast("list[Any]", said if isinstance(said, list) else [said])
    return any(
        isinstance(item, Mapping) and cast("Mapping[str, Any]", item).get("role") in _INSTRUCTING
        for item in listed
    )


def plain_messages(messages: Any, role: str = "user") -> Any:
    """Return messages of a caller as far as a caller may say them; text stays as it is.

    Args:
        messages: Messages, one message, or a message's content.
        role: Who says what has no role of its own.

    Raises:
        InputValidationError: They hold parts within parts, too deeply, or a file of the provider's.
    """
    return _plain(messages, role, 0)


def _plain(value: Any, role: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InputValidationError(
            f"A message holds parts within parts, more than {_DEEPEST} levels deep."
        )
    if isinstance(value, Mapping):
        known = cast("Mapping[str, Any]", value)
        if _names_file(known):
            return _unnamed(role)
        role = known.get("role", role)
        plain: dict[str, Any] = {}
        is_result = role == "tool" and "tool_call_id" in known  # of OpenAI's form
        for key, item in known.items():
            if key in _METADATA:
                plain[key] = _kept(item)
            elif key in {"content", "parts", "toolInvocation"}:
                plain[key] = _plain(_result(item) if is_result else item, role, depth + 1)
            elif key == "resultContent":
                plain[key] = _plain(item, "tool", depth + 1)
            elif key in {"output", "result"}:
                plain[key] = _result(item)
            else:
                plain[key] = item
        return plain
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items = cast("Sequence[Any]", value)
        return [_plain(item, role, depth + 1) for item in items if not _is_provider_item(item)]
    return value


def _names_file(part: Mapping[str, Any]) -> bool:
    """Return whether a part is a file that is named by its id at the provider."""
    if part.get("type") not in ("file", "image", "input_file", "input_image"):
        return False
    inner: Any = part.get("file")
    own = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else part
    return own.get("file_id") is not None


def _unnamed(role: Any) -> dict[str, Any]:
    if role == "user":
        raise InputValidationError(
            "A message names a file by its id at the provider (file_id), where only the author's "
            "files are: send its bytes, or its address."
        )
    # What was told by the agent itself, and is sent back with the conversation.
    return {"type": "text", "text": "(a file that the provider has)"}


def _result(given: Any) -> Any:
    """Return what a tool gave without files of the provider's."""
    known = as_object(given)
    if "value" in known and known.get("type") != "content":  # as the AI SDK wraps what is data
        return {**known, "value": _result(known["value"])}
    parts = content_in(given)
    if not parts or all(getattr(part, "file_id", None) is None for part in parts):
        return given
    shown = [
        part_to_wire(part) if getattr(part, "file_id", None) is None else _unnamed("tool")
        for part in parts
    ]
    return {"type": "content", "value": shown}


def _is_provider_item(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and cast("Mapping[str, Any]", value).get("type") == PROVIDER_ITEM
    )


def _kept(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        return {}
    kept: dict[str, Any] = {}
    for provider, own in cast("Mapping[str, Any]", metadata).items():
        if not isinstance(own, Mapping):
            continue
        facts = cast("Mapping[str, Any]", own)
        kept[provider] = {key: item for key, item in facts.items() if _may_pass(key, item)}
    return kept


def _may_pass(key: str, value: Any) -> bool:
    if key in _PASSES:
        return isinstance(value, str)
    if key not in _MARKS or not isinstance(value, Mapping):
        return False
    mark = cast("Mapping[str, Any]", value)
    return set(mark) <= {"type", "ttl"} and all(isinstance(item, str) for item in mark.values())
