"""Messages that callers send, without what only a provider says of them.

What a provider wants back with a message (items of its own, whatever holds them) becomes a part of
the next request as it is. From an agent's own history that is right; from a caller it would be a way
to write the request: a system message, a tool, another conversation's item. Signatures and marks for
caching say nothing by themselves, and pages send them back, so they pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mastra.errors import InputValidationError
from mastra.models.message_wire import PROVIDER_ITEM

__all__ = ["plain_messages"]

_METADATA: Final = frozenset((
    "callProviderMetadata", "providerMetadata", "providerOptions", "provider_metadata",
    "provider_options", "resultProviderMetadata",
))  # fmt: skip
_PASSES: Final = frozenset(
    ("imageDetail", "phase", "redactedData", "signature", "thoughtSignature")
)
"""Of a provider's own: text that only it can read, or a word of a few."""
_MARKS: Final = frozenset(("cacheControl", "cachePoint", "cache_control"))
_DEEPEST: Final = 8
"""How far down a message may hold parts; what lies deeper is not looked at, so it may not pass."""


def plain_messages(messages: Any) -> Any:
    """Return messages of a caller as far as a caller may say them; text stays as it is.

    Raises:
        InputValidationError: They hold parts within parts, too deeply.
    """
    return _plain(messages, 0)


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InputValidationError(
            f"A message holds parts within parts, more than {_DEEPEST} levels deep."
        )
    if isinstance(value, Mapping):
        known = cast("Mapping[str, Any]", value)
        plain: dict[str, Any] = {}
        for key, item in known.items():
            if key in _METADATA:
                plain[key] = _kept(item)
            elif key in {"content", "parts", "toolInvocation", "resultContent"}:
                plain[key] = _plain(item, depth + 1)
            else:
                plain[key] = item
        return plain
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items = cast("Sequence[Any]", value)
        return [_plain(item, depth + 1) for item in items if not _is_provider_item(item)]
    return value


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
