"""`AgentSyncStream`: an agent's answer for programs without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Generic, TypeVar

from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk, TripwirePayload
from mastra.agents.results import AgentResult, LLMStepResult
from mastra.models.chunks import Usage
from mastra.models.messages import Message
from mastra.names import python_names
from mastra.sync import iterate_sync, run_sync

__all__ = ["AgentSyncStream"]

Obj = TypeVar("Obj")
T = TypeVar("T")


@python_names
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
    def element_stream(self) -> Generator[Any, None, None]:
        """Of structured output that is a list: each element, once it is whole."""
        return iterate_sync(self.stream.element_stream, called="stream_sync")

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.stream.run_id

    @property
    def status(self) -> str:
        """How far the run is, as far as was read."""
        return self.stream.status

    @property
    def message_id(self) -> str:
        """The id of the message being made."""
        return self.stream.message_id

    @property
    def error(self) -> BaseException | None:
        """What went wrong, as far as was read."""
        return self.stream.error

    @property
    def tripwire(self) -> TripwirePayload | None:
        """A processor's refusal, as far as was read."""
        return self.stream.tripwire

    @property
    def used_fallback_value(self) -> bool:
        """Whether the structured output is the fallback value."""
        return self.stream.used_fallback_value

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

    def reasoning(self) -> str:
        """Return what the model thought, in all steps."""
        return self._wait(self.stream.reasoning())

    def tool_calls(self) -> list[AgentChunk]:
        """Return every `tool-call` chunk."""
        return self._wait(self.stream.tool_calls())

    def tool_results(self) -> list[AgentChunk]:
        """Return every `tool-result` chunk."""
        return self._wait(self.stream.tool_results())

    def usage(self) -> Usage:
        """Return the tokens of the whole run."""
        return self._wait(self.stream.usage())

    def total_usage(self) -> Usage:
        """Return the tokens of the whole run."""
        return self._wait(self.stream.total_usage())

    def cost_usd(self) -> float | None:
        """Return what the run cost, in US dollars; `None` where no price is known."""
        return self._wait(self.stream.cost_usd())

    def finish_reason(self) -> str:
        """Return why the run ended."""
        return self._wait(self.stream.finish_reason())

    def steps(self) -> list[LLMStepResult]:
        """Return the steps."""
        return self._wait(self.stream.steps())

    def messages(self) -> list[Message]:
        """Return the conversation: what came in, what was said, tool calls and results."""
        return self._wait(self.stream.messages())

    def suspend_payload(self) -> Any:
        """Return what the run waits for, if it does."""
        return self._wait(self.stream.suspend_payload())

    def close(self) -> None:
        """End the model call and the tools; what was read can still be read."""
        self._wait(self.stream.aclose())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return run_sync(work, called="stream_sync", instead="agent.stream(…) and await it")
