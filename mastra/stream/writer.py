"""What a step or a tool writes to while it runs, so that readers see it at once."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from typing import Any, Protocol

from mastra.errors import ValidationError
from mastra.given import shown

__all__ = ["DONE", "Done", "NullWriter", "Writer", "custom_type"]


class Done:
    """What a call gives that has taken effect: it may be awaited and need not be."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield  # what makes it a generator


DONE = Done()


class Writer(Protocol):
    """Sends values to whoever reads the run or the agent's stream.

    A call takes effect where it is made, in a plain function and in any thread too. To await
    what it gives is to let a storage that others read keep up.
    """

    def write(self, value: Any) -> Awaitable[None]:
        """Send a value: `workflow-step-output` from a step, `tool-output` from a tool.

        Never waits for a reader.
        """
        ...

    def custom(self, chunk: Mapping[str, Any]) -> Awaitable[None]:
        """Send a chunk of your own: `{"type": "data-<name>", "data": …}`, passed on as it is.

        Raises:
            ValidationError: The type does not begin with `data-`, or `data` is missing.
        """
        ...


class NullWriter:
    """A writer that nobody reads."""

    __slots__ = ()

    def write(self, value: Any) -> Awaitable[None]:
        """Drop the value."""
        del value
        return DONE

    def custom(self, chunk: Mapping[str, Any]) -> Awaitable[None]:
        """Drop the chunk."""
        del chunk
        return DONE


def custom_type(chunk: Mapping[str, Any], who: str) -> str:
    """Return the type of a chunk of a user's own.

    Args:
        chunk: The chunk.
        who: Who writes it, for the error.

    Raises:
        ValidationError: The type does not begin with `data-`, or there is no `data`.
    """
    given: Any = chunk
    if not isinstance(given, Mapping):
        raise ValidationError(
            f'{who} wrote {shown(given)} as a custom chunk: it is a dict, {{"type": "data-…", "data": …}}.',
            code="CUSTOM_CHUNK_INVALID",
        )
    kind = chunk.get("type")
    if isinstance(kind, str) and kind.startswith("data-") and "data" in chunk:
        return kind
    raise ValidationError(
        f"{who} wrote a custom chunk of type {kind!r}: it needs a `type` that begins with 'data-' "
        "and a `data`.",
        code="CUSTOM_CHUNK_INVALID",
    )
