"""`AgentSyncStream`: an agent's answer for programs without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Generic, TypeVar

from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk
from mastra.agents.results import AgentResult
from mastra.models.chunks import Usage
from mastra.sync import iterate_sync, run_sync

__all__ = ["AgentSyncStream"]

Obj = TypeVar("Obj")
T = TypeVar("T")


class AgentSyncStream(Generic[Obj]):
    """What `agent.stream_sync(…)` gives: iterated with `for`, closed by `with`.

    Nothing runs between two reads, so a program that reads slowly is waited for.
    """

    def __init__(self, stream: AgentStream[Obj]) -> None:
        self.stream = stream
        """The stream that is read."""

    def __iter__(self) -> Iterator[AgentChunk]:
        return self.full_stream

    def __enter__(self) -> AgentSyncStream[Obj]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def full_stream(self) -> Generator[AgentChunk, None, None]:
        """Every chunk."""
        return iterate_sync(self.stream.full_stream, called="stream_sync")

    @property
    def text_stream(self) -> Generator[str, None, None]:
        """The text, as it comes."""
        return iterate_sync(self.stream.text_stream, called="stream_sync")

    @property
    def object_stream(self) -> Generator[Any, None, None]:
        """The structured output, as far as it is there, and in the end as a value of its type."""
        return iterate_sync(self.stream.object_stream, called="stream_sync")

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.stream.run_id

    @property
    def status(self) -> str:
        """How far the run is, as far as was read."""
        return self.stream.status

    def result(self) -> AgentResult[Obj]:
        """Read to the end and return everything.

        Raises:
            ModelError: The model failed.
        """
        return self._wait(self.stream.result())

    def text(self) -> str:
        """Return the whole text, of all steps."""
        return self._wait(self.stream.text())

    def object(self) -> Obj:
        """Return the structured output, a value of its type."""
        return self._wait(self.stream.object())

    def usage(self) -> Usage:
        """Return the tokens of the whole run."""
        return self._wait(self.stream.usage())

    def finish_reason(self) -> str:
        """Return why the run ended."""
        return self._wait(self.stream.finish_reason())

    def close(self) -> None:
        """End the model call and the tools; what was read can still be read."""
        self._wait(self.stream.aclose())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return run_sync(work, called="stream_sync", instead="agent.stream(…) and await it")
