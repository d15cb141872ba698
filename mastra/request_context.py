"""Values of one request, handed to every step, tool, agent and dynamic function.

Mirrors Mastra's `RequestContext`: a map with text keys. What JSON cannot hold stays in memory
and is left out when a run is stored.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, cast

from mastra.errors import ConfigError, SerializationError
from mastra.given import shown
from mastra.jsonable import Json, to_jsonable
from mastra.names import python_names

__all__ = ["AUTH_TOKEN", "RESOURCE_ID", "THREAD_ID", "RequestContext"]

RESOURCE_ID = "mastra__resourceId"
"""Set by server middleware: overrides the resource that a client names."""

THREAD_ID = "mastra__threadId"
"""Set by server middleware: overrides the thread that a client names."""

AUTH_TOKEN = "mastra__authToken"  # noqa: S105 - a key's name, not a secret
"""The caller's token; removed before anything is stored."""


def _checked(values: Any) -> dict[str, Any]:
    if not isinstance(values, (Mapping, RequestContext)):
        raise ConfigError(
            f"A request context is made of a dict of texts to values, and got {shown(values)}."
        )
    found = dict(cast("Mapping[str, Any]", values).items())
    for key in found:
        _check_key(key)
    return found


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise ConfigError(f"The keys of a request context are texts; {shown(key)} is none.")


@python_names
class RequestContext:
    """A map of text keys to values, alive for one request or run."""

    __slots__ = ("_values", "changes")

    def __init__(self, values: Mapping[str, Any] | RequestContext | None = None) -> None:
        self._values: dict[str, Any] = {} if values is None else _checked(values)
        self.changes = 0
        """How often it was changed: tells whoever stores it when to do so again."""

    @classmethod
    def of(cls, values: RequestContext | Mapping[str, Any] | None) -> RequestContext:
        """Return the context itself, or a new one made of a mapping or of nothing."""
        return values if isinstance(values, RequestContext) else cls(values)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value under a key, or the default."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Put a value under a key.

        Raises:
            ConfigError: The key is no text.
        """
        _check_key(key)
        self.changes += 1
        self._values[key] = value

    def has(self, key: str) -> bool:
        """Return whether the key is there."""
        return key in self._values

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        self.changes += 1
        return self._values.pop(key, self) is not self

    def clear(self) -> None:
        """Remove everything."""
        self.changes += 1
        self._values.clear()

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._values.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values."""
        return self._values.values()

    def items(self) -> ItemsView[str, Any]:
        """Return keys and values."""
        return self._values.items()

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as a dict."""
        return dict(self._values)

    def to_json(self) -> dict[str, Json]:
        """Return what can be stored: JSON values only, without the caller's token."""
        kept: dict[str, Json] = {}
        for key, value in self._values.items():
            if key == AUTH_TOKEN:
                continue
            try:
                kept[key] = to_jsonable(value)
            except SerializationError:
                continue
        return kept

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RequestContext):
            return self._values == other._values
        return self._values == cast("Any", other) if isinstance(other, dict) else NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"RequestContext({sorted(self._values)})"
