"""The events of a run as something to iterate, and its result at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from mastra.names import python_names
from mastra.workflows.engines.base import RunHandle
from mastra.workflows.events import Event
from mastra.workflows.results import WorkflowResult

__all__ = ["RunStream"]

Out = TypeVar("Out")


@python_names
class RunStream(Generic[Out]):
    """A run's events. Iterate it, as often as you like, or enter it with `async with`.

    The run starts when the stream is first entered, awaited (which gives the stream itself),
    iterated or asked for its result. Leaving the stream never stops the run.
    """

    def __init__(
        self, run_id: str, workflow_id: str, begin: Callable[[], Awaitable[tuple[RunHandle, int]]]
    ) -> None:
        self.run_id = run_id
        """The run's id."""
        self.workflow_id = workflow_id
        """The workflow's id."""
        self._begin = begin
        self._begun: tuple[RunHandle, int] | None = None
        self._beginning = asyncio.Lock()
        self._result: WorkflowResult[Any] | None = None

    async def _handle(self) -> tuple[RunHandle, int]:
        if self._begun is None:
            async with self._beginning:  # several readers begin it once
                if self._begun is None:
                    self._begun = await self._begin()
        return self._begun

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        await self._handle()
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.full_stream

    if not TYPE_CHECKING:  # who forgets the `async` is told so

        def __iter__(self) -> NoReturn:
            raise TypeError("A stream arrives: write `async for event in ….stream(…)`.")

    @property
    def full_stream(self) -> AsyncIterator[Event]:
        """Every event of this leg of the run, from its first on."""
        return self._read()

    async def _read(self) -> AsyncIterator[Event]:
        handle, start = await self._handle()
        events = handle.events(start)
        async for event in events:
            yield event

    async def batches(self, limit: int = 64) -> AsyncIterator[Sequence[Event]]:
        """Yield what `full_stream` does, events that are there already together.

        Args:
            limit: How many at most.
        """
        handle, start = await self._handle()
        async for batch in handle.batches(start, limit):
            yield batch

    async def result(self) -> WorkflowResult[Out]:
        """Return the result of this leg of the run, as long as that takes."""
        if self._result is None:
            handle, _ = await self._handle()
            self._result = await handle.result()
        return self._result

    async def status(self) -> str:
        """Return the status of the result."""
        return (await self.result()).status

    async def usage(self) -> dict[str, int]:
        """Return the tokens that agents used whose streams were written to steps' writers."""
        usage: dict[str, int] = {}
        async for event in self:
            if event.type == "workflow-finish" and event.payload is not None:
                output: Any = event.payload.output or {}  # of another release or language
                usage = dict(output.get("usage") or {})
        return usage
